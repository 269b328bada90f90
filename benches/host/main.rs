//! Load on a host: what members cost that are there, whether all come back after its restart, and what floods do to the others.
//! Real processes over loopback; each source address of 127/8 counts as an address of its own.
//!
//! ```text
//! cargo bench --bench host -- --host target/release/rejoin members 9000      rooms with two idle members each
//! cargo bench --bench host -- --host target/release/rejoin restart 1000      sessions whose host is killed, or stopped
//! cargo bench --bench host -- --host target/release/rejoin floods            one after the other
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the bench"
)]

mod flood;
#[path = "../../tests/it/support/host_member.rs"]
mod host_member;
mod member;
mod restart;
mod serving;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serving::Serving;

/// Members of one process of the generator: it has as many files open.
const OF_PROCESS_MAX: usize = 9_000;
/// How long the idle members are watched, and each flood lasts.
const WATCH: Duration = Duration::from_secs(20);

fn main() {
    let mut words: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let host = match words.iter().position(|word| word == "--host") {
        Some(at) => words.drain(at..=at + 1).nth(1).unwrap(),
        None => "target/release/rejoin".to_owned(),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["members", rooms] => members(&host, rooms.parse().unwrap()),
        ["restart", sessions] => restart::run(&host, sessions.parse().unwrap()),
        ["floods"] => floods(&host),
        // The processes that these start.
        ["hold", from, rooms, address] => {
            member::hold(from.parse().unwrap(), rooms.parse().unwrap(), address.parse().unwrap());
        }
        ["relay", pairs, seconds, address] => {
            member::relay(
                pairs.parse().unwrap(),
                seconds.parse().unwrap(),
                address.parse().unwrap(),
            );
        }
        ["flood", kind, addresses, seconds, address] => flood::run(
            kind,
            addresses.parse().unwrap(),
            Duration::from_secs(seconds.parse().unwrap()),
            address.parse().unwrap(),
        ),
        _ => eprintln!("members ROOMS, restart SESSIONS, or floods; --host BINARY before it"),
    }
}

/// Starts this program again for one part of the load.
fn part(words: &[String]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The next line that it says.
fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn words<const N: usize>(words: [&dyn ToString; N]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

/// Relays for some seconds, and says how long they took.
fn relays(address: SocketAddr, seconds: u64) -> String {
    let mut relaying = part(&words([&"relay", &100, &seconds, &address]));
    let figures = line(&mut relaying);
    relaying.wait().unwrap();
    figures
}

fn members(host: &str, rooms: usize) {
    let serving = Serving::start(host, &["--max-rooms", &(rooms + 500).to_string()]);
    let empty = serving.memory_kib();
    let begun = Instant::now();
    let mut holding = Vec::new();
    for from in (0..rooms).step_by(OF_PROCESS_MAX / 2) {
        let count = (rooms - from).min(OF_PROCESS_MAX / 2);
        let mut child = part(&words([&"hold", &from, &count, &serving.address]));
        println!("{}", line(&mut child));
        holding.push(child);
    }
    let opened = begun.elapsed();
    let (full, members) = (serving.memory_kib(), rooms * 2);
    println!("{rooms} rooms with {members} members in {:.1} s", opened.as_secs_f64());
    let each = (full - empty) as f64 / members as f64;
    println!("memory: {empty} KiB empty, {full} KiB full: {each:.1} KiB a member");
    let cpu = serving.cpu_seconds();
    std::thread::sleep(WATCH);
    let cpu = (serving.cpu_seconds() - cpu) / WATCH.as_secs_f64() * 100.0;
    println!("idle for {} s: {cpu:.2} % of a core, {} KiB", WATCH.as_secs(), serving.memory_kib());
    println!("relays beside them: {}", relays(serving.address, 10));
    for mut child in holding {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    println!("after all left: {} KiB", serving.memory_kib());
}

fn floods(host: &str) {
    let serving = Serving::start(host, &[]);
    println!("no flood: {}", relays(serving.address, 10));
    for kind in ["joins", "half", "huge", "deaf", "frames", "sockets"] {
        for addresses in [1, 64] {
            let before = serving.memory_kib();
            let cpu = serving.cpu_seconds();
            let seconds = WATCH.as_secs() / 2;
            let mut flood = part(&words([&"flood", &kind, &addresses, &seconds, &serving.address]));
            let figures = relays(serving.address, seconds);
            let done = line(&mut flood);
            flood.wait().unwrap();
            let cpu = (serving.cpu_seconds() - cpu) / seconds as f64 * 100.0;
            println!(
                "{kind} from {addresses}: {figures}; {done}; {cpu:.0} % of a core, {before} to {} KiB, peak {}",
                serving.memory_kib(),
                serving.peak_kib()
            );
        }
    }
}
