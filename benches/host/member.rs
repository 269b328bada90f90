//! Members: idle ones, and pairs that relay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rejoin::signal::protocol::{ClientMessage, HostMessage};
use rejoin::wire::MemberId;

use super::host_member::{Socket, hear, joined, say, session, source};

/// Members that connect side by side.
const AT_ONCE: usize = 64;
/// Between two messages of a pair.
const PERIOD: Duration = Duration::from_millis(100);

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Two members in each of `rooms` rooms, until standard input ends.
pub(crate) fn hold(from: usize, rooms: usize, host: SocketAddr) {
    runtime().block_on(async {
        let members = (0..rooms * 2).map(|index| {
            let room = from + index / 2;
            // 100 members at each address.
            joined(source((from * 2 + index) / 100), host, session(room), (index % 2) as u8 + 1)
        });
        let all: Vec<Result<Socket, String>> =
            futures_util::stream::iter(members).buffer_unordered(AT_ONCE).collect().await;
        let there = all.iter().flatten().count();
        println!("{there} of {} members are there", rooms * 2);
        // Pings are answered.
        for mut socket in all.into_iter().flatten() {
            tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
        }
        let mut rest = String::new();
        tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut rest))
            .await
            .unwrap()
            .unwrap();
    });
}

/// Pairs that relay 300 bytes each tenth of a second; how long they took.
pub(crate) fn relay(pairs: usize, seconds: u64, host: SocketAddr) {
    let mut took = runtime().block_on(async {
        let begin = Instant::now();
        let mut measuring = tokio::task::JoinSet::new();
        for pair in 0..pairs {
            measuring.spawn(async move {
                let room = session(1_000_000 + pair);
                let from = source(15_000 + pair);
                let (Ok(mut one), Ok(mut other)) =
                    (joined(from, host, room, 1).await, joined(from, host, room, 2).await)
                else {
                    return Vec::new();
                };
                let mut took = Vec::new();
                // Not all at the same moment.
                tokio::time::sleep(PERIOD * pair as u32 / pairs as u32).await;
                let end = Instant::now() + Duration::from_secs(seconds);
                let mut due = tokio::time::interval(PERIOD);
                while Instant::now() < end {
                    due.tick().await;
                    let sent = begin.elapsed().as_micros() as u64;
                    let payload = [sent.to_le_bytes().as_slice(), &[0; 292]].concat();
                    let relay = ClientMessage::Relay { room, to: MemberId([2; 16]), payload };
                    if !say(&mut one, &relay).await {
                        break;
                    }
                    let payload = loop {
                        match hear(&mut other).await {
                            Some(HostMessage::Relayed { payload, .. }) => break Some(payload),
                            Some(_) => {}
                            None => break None,
                        }
                    };
                    let Some(payload) = payload else { break };
                    let sent = u64::from_le_bytes(payload[..8].try_into().unwrap());
                    took.push(begin.elapsed().as_micros() as u64 - sent);
                }
                took
            });
        }
        let took: Vec<u64> = measuring.join_all().await.concat();
        took
    });
    took.sort_unstable();
    let at = |part: f64| {
        let index = ((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1));
        took.get(index).map_or(f64::NAN, |us| *us as f64 / 1_000.0)
    };
    println!(
        "{} relays, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
