//! Strangers who want to keep a host from its work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use rejoin::signal::RoomName;
use rejoin::signal::protocol::ClientMessage;
use rejoin::wire::MemberId;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::host_member::{connect, hear, join, say, session, source, tcp};
use super::member::runtime;

/// Tries of all members a second, at most.
const JOINS_PER_SECOND: u64 = 10_000;
/// Members that try, silent readers, and sockets that are opened side by side.
const AT_ONCE: usize = 250;

pub(crate) fn run(kind: &str, addresses: usize, time: Duration, host: SocketAddr) {
    let done = Arc::new(AtomicU64::new(0));
    runtime().block_on(async {
        let mut flooding = tokio::task::JoinSet::new();
        for index in 0..AT_ONCE {
            let from = source(14_000 + index % addresses);
            let (kind, done) = (kind.to_owned(), Arc::clone(&done));
            flooding.spawn(async move {
                let end = Instant::now() + time;
                while Instant::now() < end {
                    match &*kind {
                        "joins" => joins(index, from, host, &done, end).await,
                        "half" => half(from, host, &done).await,
                        "huge" => huge(from, host, &done).await,
                        "deaf" => deaf(index, from, host, &done, end).await,
                        "frames" => frames(index, from, host, &done).await,
                        _ => sockets(from, host, &done).await,
                    }
                }
            });
        }
        let _ = tokio::time::timeout(time + Duration::from_secs(1), flooding.join_all()).await;
    });
    println!("{} done", done.load(Ordering::Relaxed));
}

type From = std::net::IpAddr;

/// Joins rooms, new ones and those of codes, as fast as all together may.
async fn joins(index: usize, from: From, host: SocketAddr, done: &AtomicU64, end: Instant) {
    let Some(mut socket) = connect(from, host).await else {
        return tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let mut due =
        tokio::time::interval(Duration::from_micros(1_000_000 * AT_ONCE as u64 / JOINS_PER_SECOND));
    let mut number = index as u32;
    while Instant::now() < end {
        due.tick().await;
        number = number.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let room = if number.is_multiple_of(2) {
            RoomName::Code(1 + number % 9_999)
        } else {
            session(2_000_000 + number as usize)
        };
        let heard =
            async { say(&mut socket, &join(room, 3)).await && hear(&mut socket).await.is_some() };
        if !heard.await {
            return;
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Half a request, and then nothing.
async fn half(from: From, host: SocketAddr, done: &AtomicU64) {
    if let Ok(mut stream) = tcp(from, host).await {
        let _ =
            stream.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nRejoin-First-Message: AAAA").await;
        done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// A frame of sixteen megabytes.
async fn huge(from: From, host: SocketAddr, done: &AtomicU64) {
    if let Some(mut socket) = connect(from, host).await {
        let sent = socket.send(Message::binary(vec![0; 16 << 20]));
        let _ = tokio::time::timeout(Duration::from_secs(2), sent).await;
        done.fetch_add(1, Ordering::Relaxed);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// One who talks to one who does not read.
async fn deaf(index: usize, from: From, host: SocketAddr, done: &AtomicU64, end: Instant) {
    let room = session(3_000_000 + index);
    let (Some(mut talker), Some(mut silent)) =
        (connect(from, host).await, connect(from, host).await)
    else {
        return tokio::time::sleep(Duration::from_millis(10)).await;
    };
    say(&mut silent, &join(room, 2)).await;
    say(&mut talker, &join(room, 1)).await;
    let payload = vec![0; 18_000];
    let relay = ClientMessage::Relay { room, to: MemberId([2; 16]), payload };
    let mut due = tokio::time::interval(Duration::from_millis(25));
    while Instant::now() < end && say(&mut talker, &relay).await {
        done.fetch_add(1, Ordering::Relaxed);
        due.tick().await;
    }
}

/// Frames that are no messages: pongs, or pieces of a message with nothing in them.
async fn frames(index: usize, from: From, host: SocketAddr, done: &AtomicU64) {
    let Some(mut socket) = connect(from, host).await else {
        return tokio::time::sleep(Duration::from_millis(10)).await;
    };
    say(&mut socket, &join(session(4_000_000 + index), 1)).await;
    let piece = |code| Frame::message(Vec::new(), OpCode::Data(code), false);
    let is_pong = index.is_multiple_of(2);
    let mut frame = if is_pong { Frame::pong(Vec::new()) } else { piece(Data::Binary) };
    while socket.feed(Message::Frame(frame)).await.is_ok() {
        done.fetch_add(1, Ordering::Relaxed);
        frame = if is_pong { Frame::pong(Vec::new()) } else { piece(Data::Continue) };
    }
}

/// Sockets and pages, as many as go.
async fn sockets(from: From, host: SocketAddr, done: &AtomicU64) {
    if let Ok(mut stream) = tcp(from, host).await {
        let _ = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        done.fetch_add(1, Ordering::Relaxed);
        // Read no answer, and go.
        tokio::task::yield_now().await;
    }
}
