//! A host under load, in small: what members cost, what hostile ones cost, and whether all come back. `benches/host` has the
//! full size, and the figures are in docs/host.md.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use rejoin::signal::client::{Client, ClientEvent};
use rejoin::signal::code::HostAddress;
use rejoin::signal::protocol::{ClientMessage, HostMessage};
use rejoin::wire::MemberId;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::support::env::Home;
use crate::support::host_member::{
    Socket, address, hear, join, joined, say, session, source, tcp, upgrade,
};
use crate::support::lab::{open_files, or_skip};
use crate::support::process::kib;

/// Everybody reaches the host; none where it declines.
async fn connect(from: IpAddr, host: SocketAddr) -> Option<Socket> {
    upgrade(tcp(from, host).await.unwrap(), host).await
}

/// G-05: a member that is there and silent costs less than 30 KB.
#[tokio::test]
async fn an_idle_member_costs_less_than_30_kb() {
    or_skip!(open_files(600));
    let home = Home::new();
    let (host, url) = home.host("127.0.0.1:0");
    let address = address(&url);
    // What a host needs once.
    drop(joined(source(0), address, session(9_999), 1).await.unwrap());
    let empty = kib(host.pid(), "VmRSS").unwrap();
    let mut members = Vec::new();
    for index in 0..600 {
        let from = source(index / 100);
        let member = joined(from, address, session(index / 2), (index % 2) as u8 + 1).await;
        members.push(member.unwrap());
    }
    let full = kib(host.pid(), "VmRSS").unwrap();
    let each = (full - empty) * 1_024 / members.len() as u64;
    assert!(each < 30_000, "{each} bytes a member");
}

/// What hostile strangers do to a host: how, and how much memory it may have at most, in MiB, of which it has 24 anyway in a
/// build for tests.
const HOSTILE: [(&str, u64); 5] = [
    ("huge frames", 48),
    ("half messages", 48),
    ("half requests", 48),
    ("first messages", 48),
    ("deaf", 80),
];

/// H-13: each case has its peak of memory. 300 sockets of five addresses, each with as much as it can leave there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_members_cost_what_is_allowed_and_no_more() {
    // The deaf have two each.
    or_skip!(open_files(600));
    for (kind, most) in HOSTILE {
        let home = Home::new();
        let (host, url) = home.host("127.0.0.1:0");
        let address = address(&url);
        let mut strangers = tokio::task::JoinSet::new();
        for index in 0..300 {
            let kind = kind.to_owned();
            strangers.spawn(async move {
                let from = source(index % 5);
                // A host that has enough of it closes: then the case is over for that one.
                let _ = tokio::time::timeout(
                    Duration::from_secs(3),
                    attack(&kind, index, from, address),
                )
                .await;
            });
        }
        strangers.join_all().await;
        let peak = kib(host.pid(), "VmHWM").unwrap() >> 10;
        assert!(peak < most, "{kind}: {peak} MiB");
        // It serves all the same.
        let mut one = joined(source(99), address, session(1_000_000), 1).await.unwrap();
        let mut other = joined(source(99), address, session(1_000_000), 2).await.unwrap();
        let relay = |to| ClientMessage::Relay {
            room: session(1_000_000),
            to: MemberId([to; 16]),
            payload: b"still here".to_vec(),
        };
        assert!(say(&mut other, &relay(1)).await);
        let heard = async {
            while !matches!(hear(&mut one).await.unwrap(), HostMessage::Relayed { .. }) {}
        };
        tokio::time::timeout(Duration::from_secs(5), heard).await.unwrap();
    }
}

async fn attack(kind: &str, index: usize, from: IpAddr, host: SocketAddr) -> Option<()> {
    match kind {
        "huge frames" => {
            let mut socket = connect(from, host).await?;
            socket.send(Message::binary(vec![0; 1 << 20])).await.ok()?;
        }
        // As long as a message may be, but for its end: kept until the host loses patience.
        "half messages" => {
            let mut socket = connect(from, host).await?;
            let stream = socket.get_mut();
            let head = [&[0x82, 0x80 | 126][..], &20_000_u16.to_be_bytes(), &[0; 4]].concat();
            stream.write_all(&head).await.ok()?;
            stream.write_all(&vec![0; 19_999]).await.ok()?;
            stream.read_u8().await.ok()?;
        }
        // A request of which the host keeps what it may, and that never ends.
        "half requests" => {
            let mut stream = tcp(from, host).await.unwrap();
            stream
                .write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nRejoin-First-Message: ")
                .await
                .ok()?;
            stream.write_all(&vec![b'A'; 1 << 20]).await.ok()?;
            stream.read_u8().await.ok()?;
        }
        "first messages" => {
            let mut stream = tcp(from, host).await.unwrap();
            let message = "A".repeat(4_096);
            let request = format!(
                "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nRejoin-First-Message: {message}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok()?;
        }
        // One that talks to one that does not read.
        _ => {
            let room = session(2_000_000 + index);
            let mut silent = connect(from, host).await?;
            say(&mut silent, &join(room, 2)).await;
            let mut talker = connect(from, host).await?;
            say(&mut talker, &join(room, 1)).await;
            let (to, payload) = (MemberId([2; 16]), vec![0; 18_000]);
            let relay = ClientMessage::Relay { room, to, payload };
            while say(&mut talker, &relay).await {}
        }
    }
    Some(())
}

/// G-06: sessions whose host was killed are back soon after it is, without all of them coming at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_to_a_host_that_was_killed() {
    const MEMBERS: usize = 200;
    or_skip!(open_files(MEMBERS as u64));
    let home = Home::new();
    let (host, url) = home.host("127.0.0.1:0");
    let address = address(&url);
    let (joined, mut joins) = mpsc::channel(MEMBERS);
    for index in 0..MEMBERS {
        let joined = joined.clone();
        let known = HostAddress::new("127.0.0.1", address.port()).unwrap();
        tokio::spawn(async move {
            let mut client = Client::start(vec![known], None);
            while let Some(event) = client.event().await {
                match event {
                    ClientEvent::Connected(open) => {
                        open.send(join(session(index / 2), (index % 2) as u8 + 1)).unwrap();
                    }
                    ClientEvent::Message(HostMessage::Joined { .. }) => {
                        joined.send(Instant::now()).await.unwrap();
                    }
                    _ => {}
                }
            }
        });
    }
    let mut all = async || {
        let mut times = Vec::new();
        while times.len() < MEMBERS {
            times.push(joins.recv().await.unwrap());
        }
        times.sort_unstable();
        times
    };
    all().await;
    host.signal(Signal::KILL);
    host.wait();
    let (_host, _) = home.host(&address.to_string());
    let times = tokio::time::timeout(Duration::from_secs(60), all()).await;
    let times = times.expect("all are back within a minute");
    let spread = times[MEMBERS - 1].saturating_duration_since(times[0]);
    assert!(spread > Duration::from_millis(200), "all at once: {spread:?}");
}

/// Opens and closes rooms, one after the other, on one connection.
async fn open_and_close(from: IpAddr, host: SocketAddr, rooms: std::ops::Range<usize>) {
    let mut socket = connect(from, host).await.unwrap();
    for index in rooms.clone() {
        let room = session(index);
        for message in [join(room, 1), ClientMessage::Leave { room }] {
            socket.feed(Message::binary(message.encode().unwrap())).await.unwrap();
        }
    }
    socket.flush().await.unwrap();
    for _ in rooms {
        let answer = hear(&mut socket).await;
        assert!(matches!(answer, Some(HostMessage::Joined { .. })), "{answer:?}");
    }
}

/// L-04: however many rooms there were, a host has the memory of those that are. 10^6 of them with `REJOIN_TEST_ROOMS=1000000`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_returns_from_rooms_that_were() {
    // What the limits of one connection and one address allow at once.
    const OF_A_CONNECTION: usize = 180;
    const OF_AN_ADDRESS: usize = 2 * OF_A_CONNECTION;
    let all = std::env::var("REJOIN_TEST_ROOMS").map_or(10_000, |all| all.parse().unwrap());
    let home = Home::new();
    let (host, url) = home.host("127.0.0.1:0");
    let address = address(&url);
    let mut sizes = Vec::new();
    for part in 0..10 {
        let ends = (all / 10 * part, all / 10 * (part + 1));
        let mut members = tokio::task::JoinSet::new();
        for first in (ends.0..ends.1).step_by(OF_A_CONNECTION) {
            if members.len() >= 16 {
                members.join_next().await.unwrap().unwrap();
            }
            let rooms = first..ends.1.min(first + OF_A_CONNECTION);
            members.spawn(open_and_close(source(first / OF_AN_ADDRESS), address, rooms));
        }
        members.join_all().await;
        sizes.push(kib(host.pid(), "VmRSS").unwrap());
    }
    eprintln!("{all} rooms: {sizes:?} KiB");
    let mut page = tcp(source(0), address).await.unwrap();
    page.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut metrics = String::new();
    page.read_to_string(&mut metrics).await.unwrap();
    assert!(
        metrics.contains(&format!("rejoin_host_rooms_opened_total {}", all / 10 * 10)),
        "{metrics}"
    );
    assert!(metrics.contains("rejoin_host_rooms 0\n"), "{metrics}");
    // Tries are counted by address for ten minutes: some hundred bytes each.
    let addresses = (all / OF_AN_ADDRESS) as u64;
    assert!(sizes[9] < sizes[0] + 4 * 1_024 + addresses / 2, "{sizes:?} KiB");
}
