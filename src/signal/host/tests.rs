//! A real host and real clients over loopback. Nothing here waits for a fixed time.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::signal::capabilities::Capabilities;
use crate::signal::client::{Client, ClientEvent, HostConnection, LossReason, SendError};
use crate::signal::code::{Code, HostAddress};
use crate::signal::join::{JoinPayload, Joiner, Opener};
use crate::signal::keys::{MemberToken, RoomName, Seed};
use crate::signal::message::{Introduction, SignalMessage};
use crate::signal::protocol::{ClientMessage, CloseReason, RefusalReason};
use crate::wire::MemberId;

const OPENER: MemberId = MemberId([1; 16]);
const JOINER: MemberId = MemberId([2; 16]);
const CODE: RoomName = RoomName::Code(7);
const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn start(limits: Limits) -> (HostHandle, HostAddress) {
    let host = Host::start(LOOPBACK, limits).await.unwrap();
    let address = HostAddress::new("127.0.0.1", host.local_addr().port()).unwrap();
    (host, address)
}

fn token(member: MemberId) -> MemberToken {
    MemberToken::for_room(&[member.0[0]; 32], CODE)
}

fn open() -> ClientMessage {
    ClientMessage::Open {
        number: Some(7),
        member: OPENER,
        token: token(OPENER),
        deposit: b"deposit".to_vec(),
    }
}

fn join(wait: bool) -> ClientMessage {
    ClientMessage::Join { room: CODE, member: JOINER, token: token(JOINER), deposit: None, wait }
}

async fn connected(client: &mut Client) -> HostConnection {
    match client.event().await {
        Some(ClientEvent::Connected(connection)) => connection,
        other => panic!("not connected: {other:?}"),
    }
}

async fn message(client: &mut Client) -> HostMessage {
    match client.event().await {
        Some(ClientEvent::Message(message)) => message,
        other => panic!("no message: {other:?}"),
    }
}

async fn client(address: &HostAddress) -> (Client, HostConnection) {
    let mut client = Client::start(vec![address.clone()]);
    let connection = connected(&mut client).await;
    (client, connection)
}

/// Opener and joiner in code room 7.
async fn pair(address: &HostAddress) -> ((Client, HostConnection), (Client, HostConnection)) {
    let (mut opener, to_host) = client(address).await;
    to_host.send(open()).unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::Opened { number: 7, peers: vec![] });
    let (mut joiner, joiner_to_host) = client(address).await;
    joiner_to_host.send(join(false)).unwrap();
    assert!(matches!(message(&mut joiner).await, HostMessage::Joined { .. }));
    assert_eq!(message(&mut opener).await, HostMessage::PeerJoined { room: CODE, member: JOINER });
    ((opener, to_host), (joiner, joiner_to_host))
}

async fn raw(address: &HostAddress) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    connect_async(address.url()).await.unwrap().0
}

async fn http(address: &HostAddress, path: &str) -> String {
    let mut stream = TcpStream::connect((address.host(), address.port())).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn two_members_pair_through_a_real_host() {
    let (host, address) = start(Limits::default()).await;
    let code: Code = "7-crane-velvet-orbit".parse().unwrap();
    let capabilities = |member| Capabilities::new(member, 65_536, 1);
    let introduction = Introduction::default();
    let mut machine = Opener::for_code(&code, capabilities(OPENER), 0, Seed::new([1; 32])).unwrap();
    let mut joiner_machine = Joiner::for_code(&code, capabilities(JOINER), 0);

    // The joiner comes first and waits.
    let (mut joiner, joiner_to_host) = client(&address).await;
    joiner_to_host.send(join(true)).unwrap();
    assert_eq!(message(&mut joiner).await, HostMessage::Waiting { number: 7 });
    let (mut opener, to_host) = client(&address).await;
    let deposit = machine.deposit().to_vec();
    to_host
        .send(ClientMessage::Open {
            number: Some(7),
            member: OPENER,
            token: token(OPENER),
            deposit,
        })
        .unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::Opened { number: 7, peers: vec![] });
    assert_eq!(message(&mut opener).await, HostMessage::PeerJoined { room: CODE, member: JOINER });

    let HostMessage::Joined { deposit: Some((from, deposit)), .. } = message(&mut joiner).await
    else {
        panic!("no deposit")
    };
    let greeting =
        joiner_machine.handle_deposit(&deposit, &introduction, None, &Seed::new([2; 32])).unwrap();
    assert_eq!(greeting.to, from);
    joiner_to_host
        .send(ClientMessage::Relay { room: CODE, to: from, payload: greeting.payload })
        .unwrap();

    let HostMessage::Relayed { from, payload, .. } = message(&mut opener).await else {
        panic!("no hello")
    };
    let JoinPayload::Hello(hello) = JoinPayload::decode(&payload).unwrap() else {
        panic!("no hello")
    };
    let proved = machine.handle_hello(from, &hello, Seed::new([3; 32])).unwrap();
    let secret = proved.secret.clone();
    let (payload, mut channel) = proved.welcome(&introduction, None).unwrap();
    to_host.send(ClientMessage::Relay { room: CODE, to: from, payload }).unwrap();

    let HostMessage::Relayed { from, payload, .. } = message(&mut joiner).await else {
        panic!("no welcome")
    };
    let JoinPayload::Welcome(welcome) = JoinPayload::decode(&payload).unwrap() else {
        panic!("no welcome")
    };
    let mut admitted = joiner_machine.handle_welcome(from, &welcome).unwrap();
    assert!(secret.is_some() && admitted.secret == secret);
    let stored = JoinPayload::Sealed(admitted.channel.seal(&SignalMessage::Stored).unwrap());
    joiner_to_host
        .send(ClientMessage::Relay { room: CODE, to: from, payload: stored.encode().unwrap() })
        .unwrap();

    let HostMessage::Relayed { from, payload, .. } = message(&mut opener).await else {
        panic!("no envelope")
    };
    let JoinPayload::Sealed(envelope) = JoinPayload::decode(&payload).unwrap() else {
        panic!("no envelope")
    };
    assert_eq!(channel.open(&envelope).unwrap(), SignalMessage::Stored);
    assert!(machine.handle_stored(from));
    to_host.send(ClientMessage::Lock { number: 7, keep: from }).unwrap();
    // A round trip on the same socket: the lock is in force.
    to_host.send(ClientMessage::Relay { room: CODE, to: OPENER, payload: vec![] }).unwrap();
    assert!(matches!(message(&mut opener).await, HostMessage::Refused { .. }));

    let (mut stranger, stranger_to_host) = client(&address).await;
    let join = ClientMessage::Join {
        room: CODE,
        member: MemberId([3; 16]),
        token: token(MemberId([3; 16])),
        deposit: None,
        wait: false,
    };
    stranger_to_host.send(join).unwrap();
    let refused = HostMessage::Refused { room: Some(CODE), reason: RefusalReason::CodeUsed };
    assert_eq!(message(&mut stranger).await, refused);
    let (counters, gauges) = host.snapshot().await.unwrap();
    assert_eq!((counters.codes_used, counters.codes_burnt, gauges.rooms), (1, 0, 1));
}

#[tokio::test]
async fn a_newer_connection_replaces_the_older_for_good() {
    let (_host, address) = start(Limits::default()).await;
    let ((mut opener, _opener_to_host), (mut old, _old_to_host)) = pair(&address).await;
    let (mut new, to_host) = client(&address).await;
    to_host.send(join(false)).unwrap();
    assert!(matches!(message(&mut new).await, HostMessage::Joined { .. }));
    assert!(matches!(old.event().await, Some(ClientEvent::Stopped(CloseReason::Replaced))));
    assert!(old.event().await.is_none(), "it must not fight back");
    assert_eq!(message(&mut opener).await, HostMessage::PeerJoined { room: CODE, member: JOINER });
}

#[tokio::test]
async fn a_vanished_member_is_announced_and_its_messages_wait() {
    let (_host, address) = start(Limits::default()).await;
    let ((mut opener, to_host), (joiner, _)) = pair(&address).await;
    drop(joiner);
    assert_eq!(message(&mut opener).await, HostMessage::PeerLeft { room: CODE, member: JOINER });
    to_host
        .send(ClientMessage::Relay { room: CODE, to: JOINER, payload: b"later".to_vec() })
        .unwrap();
    let (mut back, back_to_host) = client(&address).await;
    back_to_host.send(join(false)).unwrap();
    assert!(matches!(message(&mut back).await, HostMessage::Joined { .. }));
    let expected = HostMessage::Relayed { room: CODE, from: OPENER, payload: b"later".to_vec() };
    assert_eq!(message(&mut back).await, expected);
}

#[tokio::test]
async fn a_stopping_host_says_goodbye_and_a_new_one_is_found() {
    let (host, address) = start(Limits::default()).await;
    let ((mut opener, to_host), (_joiner, _)) = pair(&address).await;
    host.shutdown(Duration::from_millis(10)).await;
    let Some(ClientEvent::Lost { reason, .. }) = opener.event().await else { panic!("not lost") };
    assert!(matches!(reason, LossReason::Goodbye(CloseReason::Shutdown { retry_after_ms: 10 })));
    assert_eq!(to_host.send(open()), Err(SendError::Lost));

    let listen = SocketAddr::new(LOOPBACK.ip(), address.port());
    let _next = Host::start(listen, Limits::default()).await.unwrap();
    opener.retry_now();
    let to_host = loop {
        match opener.event().await {
            Some(ClientEvent::Connected(connection)) => break connection,
            Some(ClientEvent::Unreachable { .. }) => opener.retry_now(),
            other => panic!("{other:?}"),
        }
    };
    // The room is lost with the host; its opener opens it again.
    to_host.send(open()).unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::Opened { number: 7, peers: vec![] });
}

#[tokio::test]
async fn addresses_are_tried_in_order_and_failures_are_told() {
    let unused = TcpListener::bind(LOOPBACK).await.unwrap();
    let dead = HostAddress::new("127.0.0.1", unused.local_addr().unwrap().port()).unwrap();
    drop(unused);
    let (_host, address) = start(Limits::default()).await;
    let mut client = Client::start(vec![dead.clone(), address.clone()]);
    assert_eq!(connected(&mut client).await.address(), &address);

    // TLS towards a plain host fails with an error, not a panic.
    let secure: HostAddress = format!("wss://127.0.0.1:{}", address.port()).parse().unwrap();
    let mut client = Client::start(vec![dead.clone(), secure.clone()]);
    let Some(ClientEvent::Unreachable { errors, retry_in }) = client.event().await else {
        panic!("reached")
    };
    assert_eq!(errors.iter().map(|(address, _)| address).collect::<Vec<_>>(), [&dead, &secure]);
    assert!(retry_in <= Duration::from_secs(1));
}

#[tokio::test]
async fn messages_that_are_too_large_or_malformed_end_their_connection_only() {
    let (_host, address) = start(Limits::default()).await;
    let ((mut opener, to_host), _joiner) = pair(&address).await;
    for bytes in [vec![0; MESSAGE_BYTES_MAX + 1], vec![1, 0, 250], vec![]] {
        let mut socket = raw(&address).await;
        socket.send(Message::binary(bytes)).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    }
    let mut socket = raw(&address).await;
    socket.send(Message::text("{}")).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    to_host.send(ClientMessage::Relay { room: CODE, to: OPENER, payload: vec![] }).unwrap();
    assert!(matches!(message(&mut opener).await, HostMessage::Refused { .. }));
}

#[tokio::test]
async fn who_does_not_read_is_closed() {
    let limits = Limits { messages_burst: 1_000_000, ..Limits::default() };
    let (_host, address) = start(limits).await;
    let (mut opener, to_host) = client(&address).await;
    to_host.send(open()).unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::Opened { number: 7, peers: vec![] });
    let mut deaf = raw(&address).await;
    deaf.send(Message::binary(join(false).encode().unwrap())).await.unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::PeerJoined { room: CODE, member: JOINER });
    // More than any kernel buffers, until the host gives up on the other side.
    let relay = ClientMessage::Relay { room: CODE, to: JOINER, payload: vec![0; 18_000] };
    loop {
        tokio::select! {
            biased;
            left = message(&mut opener) => {
                assert_eq!(left, HostMessage::PeerLeft { room: CODE, member: JOINER });
                break;
            }
            () = tokio::task::yield_now() => {
                let _full_is_fine = to_host.send(relay.clone());
            }
        }
    }
}

#[tokio::test]
async fn half_a_handshake_and_a_silent_socket_are_cut_off() {
    let (_host, address) =
        start(Limits { join_deadline: Duration::from_millis(20), ..Limits::default() }).await;
    let mut half = TcpStream::connect((address.host(), address.port())).await.unwrap();
    half.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _reset_is_fine = half.read_to_end(&mut rest).await;

    let mut silent = raw(&address).await;
    let mut goodbye = None;
    while let Some(Ok(message)) = silent.next().await {
        if let Message::Binary(bytes) = message {
            goodbye = Some(HostMessage::decode(&bytes).unwrap());
        }
    }
    assert_eq!(goodbye, Some(HostMessage::Goodbye { reason: CloseReason::TooLate }));
}

#[tokio::test]
async fn pages_answer_and_metrics_name_nobody() {
    let (_host, address) = start(Limits::default()).await;
    let _pair = pair(&address).await;
    for (path, expected) in [("/healthz", "ok"), ("/readyz", "ready"), ("/", "rejoin host")] {
        let answer = http(&address, path).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(expected),
            "{path}: {answer}"
        );
    }
    let metrics = http(&address, "/metrics").await;
    assert!(
        metrics.contains("\nrejoin_host_rooms 1\n")
            && metrics.contains("\nrejoin_host_connections_total 2\n"),
        "{metrics}"
    );
    assert!(!metrics.contains("0101") && !metrics.contains("127.0.0.1") && !metrics.contains('{'));
    assert!(http(&address, "/nothing").await.starts_with("HTTP/1.1 404"));
    assert!(
        http(&address, "/ws").await.starts_with("HTTP/1.1 4"),
        "no WebSocket without an upgrade"
    );
}

/// A host that is not ours: whatever it sends, the client keeps its limits and goes on.
#[tokio::test]
async fn a_malicious_host_is_dropped() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = HostAddress::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let mut client = Client::start(vec![address]);
    let attacks = [
        Message::binary(vec![1; MESSAGE_BYTES_MAX + 1]),
        Message::binary(vec![1, 0, 200]),
        Message::binary(vec![9, 0, 0]),
        Message::text("\u{1b}[2J"),
    ];
    for attack in attacks {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let _connection = connected(&mut client).await;
        socket.send(attack).await.unwrap();
        let Some(ClientEvent::Lost { reason, .. }) = client.event().await else {
            panic!("not lost")
        };
        assert!(matches!(reason, LossReason::WebSocket(_) | LossReason::Codec(_)), "{reason}");
        client.retry_now();
    }
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let (host, _) = start(Limits::default()).await;
    let error = Host::start(host.local_addr(), Limits::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"));
}

#[tokio::test]
async fn last_words_reach_the_host_before_a_client_goes() {
    let (_host, address) = start(Limits::default()).await;
    let ((opener, to_host), (mut joiner, _joiner_to_host)) = pair(&address).await;
    to_host.send(ClientMessage::Burn { number: 7 }).unwrap();
    drop(to_host);
    opener.close().await;
    let closed = HostMessage::RoomClosed { room: CODE, reason: RefusalReason::Burnt };
    assert_eq!(message(&mut joiner).await, closed);
}
