//! A third socket at every UDP port of the processes that are named, for `benches/strangers`.
//!
//!     strangers SECONDS RATE SEED PID...
//!
//! RATE is datagrams a second, 0 as many as go. Prints what was sent.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for measuring")]

#[cfg(target_os = "linux")]
#[path = "../tests/it/support/strangers.rs"]
mod strangers;

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<u64> =
        std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [seconds, rate, seed, pids @ ..] = &arguments[..] else {
        println!("strangers SECONDS RATE SEED PID...");
        return;
    };
    let pids: Vec<u32> = pids.iter().filter_map(|pid| u32::try_from(*pid).ok()).collect();
    let fire = strangers::Fire { rate: *rate, seed: *seed };
    let strangers = strangers::Strangers::at(&pids, fire);
    let mut ports = 0;
    for _ in 0..*seconds * 10 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        ports = ports.max(strangers.ports());
        let is_there = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
        if !pids.iter().any(is_there) {
            break;
        }
    }
    let (sent, replayed) = strangers.sent();
    println!("{sent} datagrams to {ports} ports, {replayed} of them genuine ones of others");
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("it finds the ports of a process on Linux only");
}
