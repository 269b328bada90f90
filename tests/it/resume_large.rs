//! A receiver that has much already is at work again at once: nothing is read back before the first new byte.
//!
//! Small here; `benches/resume` runs the same with 20 GiB and with a million files.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::pair::{CODE, Pair};
use crate::support::process::{Process, Traffic};
use crate::support::random::Random;

const MIB: u64 = 1 << 20;

/// Until a transfer of the large versions gets to where it is cut, or to its end.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// What a start reads that has nothing to do with content: the program, the configuration.
const START_BYTES: u64 = MIB;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Between two pages that are not empty: less than what the receiver leaves out, so that it writes all of it, while the
/// source needs an eighth of the disk.
const PAGE_INTERVAL: u64 = 32 << 10;

/// A sparse file of which no two pages with content are the same.
fn pattern(path: &Path, mebibytes: u64) {
    let file = File::create_new(path).unwrap();
    file.set_len(mebibytes * MIB).unwrap();
    let mut page = Random::new(mebibytes).bytes(4096);
    for offset in (0..mebibytes * MIB).step_by(PAGE_INTERVAL as usize) {
        page[..8].copy_from_slice(&offset.to_le_bytes());
        file.write_all_at(&page, offset).unwrap();
    }
}

fn start(pair: &Pair, side: &str, arguments: &[&str], name: &str) -> Process {
    let invocation = if side == "send" { pair.send(arguments) } else { pair.receive(arguments) };
    let command = invocation.env("REJOIN_LOG", "rejoin::recovery=debug").into_command();
    Process::start(command, pair.home.path(), name)
}

fn send(pair: &Pair, path: &str) -> Process {
    let mut sender = start(pair, "send", &["--json", "--code", CODE, path], "sender");
    sender.wait_for("code", PATIENCE).unwrap();
    sender
}

fn receive(pair: &Pair, name: &str) -> Process {
    start(pair, "receive", &["--json", "-y", "-o", "target", CODE], name)
}

/// Waits until `percent` of what `figure` counts are there, and kills it.
fn kill_at(mut receiver: Process, figure: &str, percent: u64) {
    let deadline = Instant::now() + PATIENCE;
    let total = format!("total_{figure}");
    loop {
        let is_there = receiver.look(|events| {
            let last = events.iter().rfind(|(_, event)| event["event"] == "progress");
            last.is_some_and(|(_, event)| {
                let [now, all] = [figure, &total].map(|name| event[name].as_u64().unwrap());
                all > 0 && now * 100 >= all * percent
            })
        });
        if is_there {
            break;
        }
        assert!(receiver.ended().is_none() && Instant::now() < deadline, "not cut in its middle");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(receiver.kill());
}

/// The moment of an event.
fn moment(process: &Process, is_meant: impl Fn(&serde_json::Value) -> bool) -> Option<Instant> {
    process.look(|events| events.iter().find(|(_, event)| is_meant(event)).map(|(at, _)| *at))
}

fn is_link_up(event: &serde_json::Value) -> bool {
    event["event"] == "link" && event["state"] == "connected"
}

/// What it had read when the link came up and when `bytes` were written after that, and the time in between.
fn first_written(receiver: &mut Process, bytes: u64) -> (Traffic, Traffic, Duration) {
    let deadline = Instant::now() + PATIENCE;
    let mut linked: Option<(Instant, Traffic)> = None;
    loop {
        assert!(receiver.ended().is_none(), "it ended before it wrote anything");
        let Some(traffic) = receiver.traffic() else { continue };
        match (linked, moment(receiver, is_link_up)) {
            (None, Some(at)) => linked = Some((at, traffic)),
            (Some((at, before)), _) if traffic.written >= before.written + bytes => {
                return (before, traffic, at.elapsed());
            }
            _ => {}
        }
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_receiver_killed_at_two_thirds_reads_nothing_back() {
    let mebibytes = number("REJOIN_TEST_RESUME_MIB", 256);
    let pair = Pair::new();
    pattern(&pair.path("large"), mebibytes);
    let mut sender = send(&pair, "large");
    let begun = Instant::now();
    kill_at(receive(&pair, "first"), "bytes", 68);
    let took = begun.elapsed();
    let started = Instant::now();
    let mut receiver = receive(&pair, "second");
    let (linked, first, after) = first_written(&mut receiver, MIB / 2);
    let from_start = started.elapsed();
    let session = receiver.wait_for("session", PATIENCE).unwrap();
    let kept = session["kept_bytes"].as_u64().unwrap();
    eprintln!(
        "{mebibytes} MiB, killed at 68 % after {took:.1?}, {} MiB kept: first new unit {after:.3?} after the link opened, \
         {from_start:.3?} after the start; read by then: {} kB, when the link opened: {} kB",
        kept / MIB,
        first.read / 1000,
        linked.read / 1000,
    );
    assert!(kept >= mebibytes * MIB / 2, "{session}");
    // The journal has about a hundred bytes for each unit.
    assert!(first.read < START_BYTES + kept / 4096, "{first:?} of {kept}");
    if number("REJOIN_TEST_RESUME_FINISH", 1) == 0 {
        return;
    }
    assert!(receiver.wait(PATIENCE).is_some_and(|status| status.success()));
    assert!(sender.wait(PATIENCE).is_some_and(|status| status.success()));
    let done = receiver.wait_for("done", PATIENCE).unwrap();
    eprintln!(
        "fetched {} MiB in {} ms",
        done["wire_bytes"].as_u64().unwrap() / MIB,
        done["elapsed_ms"]
    );
    assert_same_content(&pair.path("large"), &pair.path("target/large"));
}

#[test]
fn a_receiver_of_many_small_files_says_briefly_what_it_has() {
    let files = number("REJOIN_TEST_RESUME_FILES", 10_000);
    // Few of them must be larger, or they are over before they can be cut.
    let (lines, percent) = if files > 100_000 { (8, 50) } else { (2_400, 30) };
    let content = |number: u64| format!("{number}\n").repeat(lines);
    let pair = Pair::new();
    let tree = pair.path("tree");
    for number in 0..files {
        let directory = tree.join(format!("directory-{:04}", number / 1_000));
        if number % 1_000 == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        fs::write(directory.join(format!("file-{number}")), content(number)).unwrap();
    }
    let mut sender = send(&pair, "tree");
    let begun = Instant::now();
    kill_at(receive(&pair, "first"), "files", percent);
    let took = begun.elapsed();
    let started = Instant::now();
    let mut receiver = receive(&pair, "second");
    // The content of a thousand of the smallest.
    let (_, _, at_work) = first_written(&mut receiver, 55 << 10);
    // By now it has read its journal, and knows what it has.
    let peak_kib = receiver.peak_memory_kib();
    let session = receiver.wait_for("session", PATIENCE).unwrap();
    let kept = session["kept_bytes"].as_u64().unwrap();
    assert!(receiver.wait(PATIENCE).is_some_and(|status| status.success()));
    assert!(sender.wait(PATIENCE).is_some_and(|status| status.success()));
    let linked = moment(&receiver, is_link_up).unwrap() - started;
    let goes_on = |event: &serde_json::Value| {
        let is_more = event["bytes"].as_u64() > Some(kept);
        (event["event"] == "progress" && is_more) || event["event"] == "done"
    };
    let resumed = moment(&receiver, goes_on).unwrap() - started;
    let request = request_bytes(&pair.path("second.err"));
    let done = receiver.wait_for("done", PATIENCE).unwrap();
    eprintln!(
        "{files} files, killed at {percent} % after {took:.1?}: request of {request} bytes; link after {linked:.3?}, at work {at_work:.3?} later, \
         more than before after {resumed:.3?}; {kept} bytes kept, {} fetched of {}; whole run: {} ms; {peak_kib:?} KiB of memory at most",
        done["wire_bytes"], done["bytes"], done["elapsed_ms"],
    );
    assert!(request < 1_000_000, "{request} bytes");
    assert!(peak_kib.is_none_or(|kib| kib <= 80 << 10), "{peak_kib:?}");
    assert!(kept > 0, "{session}");
    let fetched = done["wire_bytes"].as_u64().unwrap();
    assert!(0 < fetched && fetched <= done["bytes"].as_u64().unwrap() * 8 / 10, "{done}");
    for number in (0..files).step_by(97).chain([files - 1]) {
        let name = format!("target/tree/directory-{:04}/file-{number}", number / 1_000);
        assert_eq!(fs::read_to_string(pair.path(&name)).unwrap(), content(number));
    }
}

/// The size of the one request that it sent, from its log.
fn request_bytes(log: &Path) -> u64 {
    let text = fs::read_to_string(log).unwrap();
    let sizes = text.lines().filter(|line| line.contains("recovery request"));
    let mut sizes = sizes.filter_map(|line| line.split_once("bytes=")?.1.trim().parse().ok());
    sizes.next().unwrap_or_else(|| panic!("no request in {text}"))
}

/// Piece by piece: they may be larger than the memory.
fn assert_same_content(source: &Path, target: &Path) {
    let (mut source, mut target) = (File::open(source).unwrap(), File::open(target).unwrap());
    assert_eq!(source.metadata().unwrap().len(), target.metadata().unwrap().len());
    let (mut here, mut there) = (vec![0; MIB as usize], vec![0; MIB as usize]);
    for _ in 0..source.metadata().unwrap().len() / MIB {
        source.read_exact(&mut here).unwrap();
        target.read_exact(&mut there).unwrap();
        assert!(here == there, "wrong bytes");
    }
}
