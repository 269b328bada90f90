//! Members: idle ones, and pairs that relay.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rejoin::signal::protocol::{ClientMessage, HostMessage};
use rejoin::signal::{MemberToken, RoomName};
use rejoin::wire::MemberId;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Members that connect side by side.
const AT_ONCE: usize = 64;
/// Between two messages of a pair.
const PERIOD: Duration = Duration::from_millis(100);

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The address number `index` that is no proxy's.
pub(crate) fn source(index: usize) -> IpAddr {
    Ipv4Addr::new(127, 1, (index / 250) as u8, (index % 250 + 2) as u8).into()
}

pub(crate) async fn tcp(from: IpAddr, host: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(host).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(crate) async fn connect(from: IpAddr, host: SocketAddr) -> Option<Socket> {
    let config = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(0);
    let stream = tcp(from, host).await.ok()?;
    let url = format!("ws://{host}/ws");
    client_async_with_config(url, stream, Some(config)).await.ok().map(|(socket, _)| socket)
}

pub(crate) fn join(room: RoomName, member: u8) -> ClientMessage {
    let token = MemberToken::for_room(&[member; 32], room);
    let member = MemberId([member; 16]);
    ClientMessage::Join { room, member, token, deposit: None, wait: false }
}

pub(crate) fn session(index: usize) -> RoomName {
    RoomName::Session((index as u128 + 1).to_le_bytes())
}

pub(crate) async fn say(socket: &mut Socket, message: &ClientMessage) -> bool {
    socket.send(Message::binary(message.encode().unwrap())).await.is_ok()
}

/// The next message of the host.
pub(crate) async fn hear(socket: &mut Socket) -> Option<HostMessage> {
    loop {
        if let Message::Binary(bytes) = socket.next().await?.ok()? {
            return HostMessage::decode(&bytes).ok();
        }
    }
}

async fn joined(from: IpAddr, host: SocketAddr, room: RoomName, member: u8) -> Option<Socket> {
    let mut socket = connect(from, host).await?;
    say(&mut socket, &join(room, member)).await;
    matches!(hear(&mut socket).await, Some(HostMessage::Joined { .. })).then_some(socket)
}

/// Two members in each of `rooms` rooms, until standard input ends.
pub(crate) fn hold(from: usize, rooms: usize, host: SocketAddr) {
    runtime().block_on(async {
        let members = (0..rooms * 2).map(|index| {
            let room = from + index / 2;
            // 100 members at each address.
            joined(source((from * 2 + index) / 100), host, session(room), (index % 2) as u8 + 1)
        });
        let all: Vec<Option<Socket>> =
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
                let (Some(mut one), Some(mut other)) =
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
