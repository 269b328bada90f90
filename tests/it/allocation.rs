//! Memory that is not there (P-11). What a length claims is not asked for: every decoder gets along in a small address space. Where
//! an allocation fails all the same, Rust ends the process; that loses as much as a kill: nothing.

use crate::fuzz_corpora::{bodies, inputs};
use crate::support::env::Finished;
use crate::support::pair::{CODE, Pair, wait_for_half};
use crate::support::process::kib;
use crate::support::tree::assert_same;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

/// Says that this process is to play the decoders, with one of so many inputs.
const CHILD: &str = "REJOIN_TEST_DECODERS";

/// What decoding may take beside what is there by then: 16 MiB for the value of the largest message, as much again for what is made
/// of it, and what the allocator keeps.
const ROOM: u64 = 64 << 20;

/// No more address space than it has, and `more` bytes.
fn limit(pid: u32, more: u64) {
    let Some(used) = kib(pid, "VmSize") else { return };
    let most = Some((used << 10) + more);
    let pid = Pid::from_raw(pid.cast_signed());
    // Over already: then there is nothing to limit.
    let _ = prlimit(pid, Resource::As, Rlimit { current: most, maximum: most });
}

/// As bincode and as fixed little-endian numbers write them: 16 MiB and one, 4 GiB, most of what there is.
const CLAIMS: [&[u8]; 6] = [
    &[252, 1, 0, 0, 1],
    &[252, 255, 255, 255, 255],
    &[253, 0, 0, 0, 0, 1, 0, 0, 0],
    &[253, 255, 255, 255, 255, 255, 255, 255, 127],
    &[255, 255, 255, 255],
    &[255, 255, 255, 255, 255, 255, 255, 127],
];

/// Targets whose bodies only decode. What is a machine by itself takes long for each input.
const DECODERS: [&str; 9] = [
    "code",
    "credentials",
    "frames",
    "host_message",
    "journal",
    "manifest_page",
    "sealed_payload",
    "session_record",
    "transfer_message",
];

/// What is decoded by a child of [`no_claimed_length_needs_memory`]; by itself it does nothing.
#[test]
fn decoders_in_a_small_address_space() {
    let Ok(each) = std::env::var(CHILD) else { return };
    let each: usize = each.parse().unwrap();
    let all: Vec<_> = bodies::TARGETS
        .iter()
        .flat_map(|(target, body)| {
            let read = |path| (*target, *body, std::fs::read(path).unwrap());
            inputs("corpus", target).into_iter().map(read)
        })
        .collect();
    for decoder in DECODERS {
        assert!(all.iter().any(|(target, ..)| *target == decoder), "{decoder}");
    }
    limit(std::process::id(), ROOM);
    let mut decoded = 0_u64;
    for (number, (target, body, data)) in all.iter().enumerate() {
        let is_quick = DECODERS.contains(target);
        if number % each == 0 {
            body(data);
            decoded += 1;
        }
        for at in (0..data.len().min(400)).filter(|_| is_quick) {
            for (which, claim) in CLAIMS.iter().enumerate() {
                if (number + at + which) % each != 0 {
                    continue;
                }
                let rest = &data[at + 1..];
                body(&[&data[..at], claim, rest].concat());
                body(
                    &[&data[..at], claim, rest.get(claim.len() - 1..).unwrap_or_default()].concat(),
                );
                decoded += 2;
            }
        }
    }
    println!("decoded {decoded}");
}

/// P-11: lengths that are claimed, at every place of every kind of input, where the whole of what is claimed is not to be had. All
/// places and claims with `REJOIN_TEST_CLAIMS=1`, else one of 97.
#[test]
fn no_claimed_length_needs_memory() {
    let each = std::env::var("REJOIN_TEST_CLAIMS").unwrap_or_else(|_| "97".to_owned());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "allocation::decoders_in_a_small_address_space"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(CHILD, &each)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let decoded = said.lines().find_map(|line| line.split_once("decoded ")?.1.parse::<u64>().ok());
    let Some(decoded) = decoded.filter(|_| output.status.success()) else {
        panic!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    eprintln!("{decoded} inputs decoded");
    assert!(decoded > 2_000, "{decoded}");
}

/// How a run ended that got no more memory.
#[track_caller]
fn assert_ended(run: &Finished, what: &str) -> bool {
    let aborted = run.status.signal() == Some(6);
    let is_told = run.stderr.contains("memory allocation of") || run.stderr.contains("error:");
    // Whoever needed no more of it is through.
    assert!(run.status.code() == Some(0) || is_told, "{what}: {run:?}");
    assert!(aborted || run.status.signal().is_none(), "{what}: {run:?}");
    aborted
}

/// P-11: from some moment on neither side gets more memory than it has, or little more. It ends by itself, and the same commands
/// continue what it had.
#[test]
fn a_run_without_memory_ends_and_continues() {
    let cases = [("start", 0), ("start", 1 << 20), ("half", 0), ("half", 1 << 20)];
    let aborted: usize = std::thread::scope(|scope| {
        let runs = cases.map(|(moment, more)| scope.spawn(move || without_memory(moment, more)));
        runs.map(|run| usize::from(run.join().unwrap())).into_iter().sum()
    });
    eprintln!("{aborted} of {} aborted", cases.len());
    assert!(aborted > 0, "nobody had too little memory");
}

/// Whether one of the two was ended by its allocator.
fn without_memory(moment: &str, more: u64) -> bool {
    let what = format!("{moment}, {more}");
    let pair = Pair::new();
    pair.noise("tree/large", 24 << 20);
    for number in 0..100 {
        pair.noise(&format!("tree/{number}"), 3_000);
    }
    let send = || pair.send(["--json", "--code", CODE, "--retry-for", "2s", "tree"]);
    let receive = || pair.receive(["--json", "-y", "-o", "target", "--retry-for", "2s", CODE]);
    let sender = send().env("MALLOC_ARENA_MAX", "1").spawn();
    sender.event_where("code", |event| event["event"] == "code");
    let receiver = receive().env("MALLOC_ARENA_MAX", "1").spawn();
    match moment {
        "start" => drop(receiver.event_where("session", |event| event["event"] == "session")),
        _ => wait_for_half(&receiver),
    }
    for run in [&sender, &receiver] {
        limit(run.pid(), more);
    }
    let receiver = receiver.wait();
    // Where the receiver was not there for long, the sender may have nobody to wait for.
    let sender = sender.kill_after(Duration::from_secs(20));
    let mut has_aborted = false;
    for run in [&receiver, &sender] {
        has_aborted |= run.status.signal() != Some(9) && assert_ended(run, &what);
    }
    if (receiver.status.code(), sender.status.code()) != (Some(0), Some(0)) {
        let sender = send().spawn();
        sender.event_where("code", |event| event["event"] == "code");
        receive().run().expect_code(0);
        sender.wait().expect_code(0);
    }
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
    has_aborted
}
