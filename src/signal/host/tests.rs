//! A real host and real clients over loopback. Nothing here waits for a fixed time.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response as Answer};
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};
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
        again: false,
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
    let mut client = Client::start(vec![address.clone()], None);
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
            again: false,
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
    let mut client = Client::start(vec![dead.clone(), address.clone()], None);
    assert_eq!(connected(&mut client).await.address(), &address);

    // TLS towards a plain host fails with an error, not a panic.
    let secure: HostAddress = format!("wss://127.0.0.1:{}", address.port()).parse().unwrap();
    let mut client = Client::start(vec![dead.clone(), secure.clone()], None);
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

/// What a connection that joined a room hears after it said `frames` over and over, until its end. `None`: it has none in time.
async fn flooded(address: &HostAddress, frames: Vec<Frame>, times: usize) -> Option<Vec<Message>> {
    let mut socket = raw(address).await;
    let session = ClientMessage::Join {
        room: RoomName::Session([7; 16]),
        member: JOINER,
        token: token(JOINER),
        deposit: None,
        wait: false,
    };
    socket.send(Message::binary(session.encode().unwrap())).await.unwrap();
    let (mut sink, mut stream) = socket.split();
    let says = async {
        for _ in 0..times {
            for frame in frames.clone() {
                // An error is the end, which the other half sees.
                if sink.feed(Message::Frame(frame)).await.is_err() {
                    return;
                }
            }
        }
        let _ = sink.flush().await;
    };
    let hears = async {
        let mut heard = Vec::new();
        while let Some(Ok(message)) = stream.next().await {
            heard.push(message);
        }
        heard
    };
    let (heard, ()) =
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(hears, says) })
            .await
            .ok()?;
    Some(heard)
}

/// S-04, a relative: frames that are no messages cost work, too. A flood of them kept a thread from all others.
#[tokio::test]
async fn whatever_is_read_counts() {
    let (_host, address) = start(Limits::default()).await;
    let goodbye = HostMessage::Goodbye { reason: CloseReason::TooManyMessages };
    for frame in [Frame::ping(b"x".to_vec()), Frame::pong(Vec::new())] {
        let heard = flooded(&address, vec![frame], 2_000).await.expect("it ends");
        assert!(heard.contains(&Message::binary(goodbye.encode().unwrap())), "{heard:?}");
    }
    // A message in pieces with nothing in them is never too long.
    let piece = |code, is_last| Frame::message(Vec::new(), OpCode::Data(code), is_last);
    let mut pieces = vec![piece(Data::Binary, false)];
    pieces.extend(vec![piece(Data::Continue, false); 50_000]);
    assert!(flooded(&address, pieces, 1).await.is_some(), "it ends");
}

/// A message in pieces is a message.
#[tokio::test]
async fn a_message_may_come_in_pieces() {
    let (_host, address) = start(Limits::default()).await;
    let mut socket = raw(&address).await;
    let relay = ClientMessage::Relay { room: CODE, to: OPENER, payload: vec![1; 18_000] };
    for _ in 0..8 {
        let bytes = relay.encode().unwrap();
        let last = bytes.chunks(500).count() - 1;
        for (at, part) in bytes.chunks(500).enumerate() {
            let code = if at == 0 { Data::Binary } else { Data::Continue };
            let frame = Frame::message(part.to_vec(), OpCode::Data(code), at == last);
            socket.send(Message::Frame(frame)).await.unwrap();
        }
        let refused = loop {
            if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
                break HostMessage::decode(&bytes).unwrap();
            }
        };
        assert!(matches!(refused, HostMessage::Refused { .. }), "{refused:?}");
    }
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

/// Note (c): how busy a host is concerns whoever runs it, and nobody whose request a proxy passes on.
#[tokio::test]
async fn metrics_are_for_this_machine() {
    let everywhere = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
    let host = Host::start(everywhere, Limits::default()).await.unwrap();
    let port = host.local_addr().port();
    let ask = async |ip: &str, more: &str| {
        let mut stream = TcpStream::connect((ip, port)).await.unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // It ends by itself: a page is one request.
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask("127.0.0.1", "").await.starts_with("HTTP/1.1 200"));
    for more in ["X-Forwarded-For: 127.0.0.1\r\n", "Forwarded: for=::1\r\n", "Via: 1.1 x\r\n"] {
        assert!(ask("127.0.0.1", more).await.starts_with("HTTP/1.1 404"), "{more}");
    }
    let elsewhere = crate::signal::interfaces::own_addresses().usable.into_iter();
    for ip in elsewhere.filter(std::net::IpAddr::is_ipv4) {
        assert!(ask(&ip.to_string(), "").await.starts_with("HTTP/1.1 404"), "{ip}");
    }
}

/// S-04: requests that are sent in one go get one answer, and the connection ends.
#[tokio::test]
async fn a_page_is_one_request_on_one_connection() {
    let (_host, address) = start(Limits::default()).await;
    let mut stream = TcpStream::connect((address.host(), address.port())).await.unwrap();
    stream
        .write_all("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3).as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    // What was not read makes it a reset.
    let _reset_is_fine = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.matches("HTTP/1.1").count() <= 1, "{answer}");
}

/// A socket whose request came with this as its first message, and whether the host took it.
async fn raw_with(
    address: &HostAddress,
    value: &str,
) -> (WebSocketStream<MaybeTlsStream<TcpStream>>, bool) {
    let mut request = address.url().into_client_request().unwrap();
    request.headers_mut().insert(first_message::NAME, value.parse().unwrap());
    let (socket, answer) = connect_async(request).await.unwrap();
    (
        socket,
        answer.headers().get(first_message::NAME).is_some_and(|said| said == first_message::TAKEN),
    )
}

/// The next message that is no ping.
async fn binary<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Bytes {
    loop {
        if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
            return bytes;
        }
    }
}

/// The host's messages until it closes.
async fn said_to(mut socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Vec<HostMessage> {
    let mut said = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            said.push(HostMessage::decode(&bytes).unwrap());
        }
    }
    said
}

#[tokio::test]
async fn a_first_message_in_the_request_is_handled_once() {
    let (_host, address) = start(Limits::default()).await;
    let mut opener = Client::start(vec![address.clone()], Some(open()));
    let to_host = connected(&mut opener).await;
    assert_eq!(message(&mut opener).await, HostMessage::Opened { number: 7, peers: vec![] });
    // The caller enters its room all the same, and goes on.
    to_host.send(open()).unwrap();
    to_host.send(ClientMessage::Relay { room: CODE, to: JOINER, payload: vec![] }).unwrap();
    let next = message(&mut opener).await;
    assert!(matches!(next, HostMessage::Refused { .. }), "it was opened twice: {next:?}");
    // Only what is said first is the message of the request: later it is asked for on purpose.
    to_host.send(open()).unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::Opened { number: 7, peers: vec![] });
}

/// What changed while it was on its way is said as well.
#[tokio::test]
async fn another_first_word_than_that_of_the_request_is_sent() {
    let (_host, address) = start(Limits::default()).await;
    let mut opener = Client::start(vec![address], Some(open()));
    let to_host = connected(&mut opener).await;
    let other = ClientMessage::Open {
        number: Some(8),
        member: OPENER,
        token: MemberToken::for_room(&[1; 32], RoomName::Code(8)),
        deposit: Vec::new(),
        again: false,
    };
    to_host.send(other).unwrap();
    for number in [7, 8] {
        assert_eq!(message(&mut opener).await, HostMessage::Opened { number, peers: vec![] });
    }
}

#[tokio::test]
async fn a_message_in_a_request_has_the_limits_of_a_message() {
    let (_host, address) = start(Limits::default()).await;
    let goodbye = |reason| vec![HostMessage::Goodbye { reason }];
    let version = CloseReason::Version { host: crate::wire::PROTOCOL_VERSION };
    for (value, expected) in [
        ("not base64", CloseReason::Malformed),
        ("", CloseReason::Malformed),
        ("AQD6", CloseReason::Malformed),
        ("AgAGAAc", version),
    ] {
        let (socket, is_taken) = raw_with(&address, value).await;
        assert!(is_taken, "{value}");
        assert_eq!(said_to(socket).await, goodbye(expected), "{value}");
    }
    // Too long for a header: left to a message, which may be said now.
    let (mut socket, is_taken) = raw_with(&address, &"A".repeat(4_097)).await;
    assert!(!is_taken);
    socket.send(Message::binary(join(true).encode().unwrap())).await.unwrap();
    let answer = HostMessage::decode(&binary(&mut socket).await);
    assert_eq!(answer, Ok(HostMessage::Waiting { number: 7 }));
}

#[tokio::test]
async fn a_message_in_a_request_counts_against_the_rate() {
    let limits = Limits { messages_burst: 1, messages_per_second: 0, ..Limits::default() };
    let (_host, address) = start(limits).await;
    // Leave of a room that it is not in: nothing is answered.
    let (mut socket, is_taken) = raw_with(&address, "AQAGAAc").await;
    assert!(is_taken);
    socket.send(Message::binary(join(true).encode().unwrap())).await.unwrap();
    let reason = CloseReason::TooManyMessages;
    assert_eq!(said_to(socket).await, [HostMessage::Goodbye { reason }]);
}

/// A host that knows nothing of the header gets the message as a message, and so does every later one of the list.
#[tokio::test]
async fn a_host_that_does_not_know_the_header_gets_the_message() {
    let unused = TcpListener::bind(LOOPBACK).await.unwrap();
    let dead = HostAddress::new("127.0.0.1", unused.local_addr().unwrap().port()).unwrap();
    drop(unused);
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = HostAddress::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let mut client = Client::start(vec![dead, address], Some(open()));
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    connected(&mut client).await.send(open()).unwrap();
    assert_eq!(ClientMessage::decode(&binary(&mut socket).await), Ok(open()));
}

/// The host takes the message, and its answer never arrives: the next connection says it anew, and takes the place over.
#[tokio::test]
async fn a_lost_answer_leaves_one_member_and_no_message_twice() {
    let (_host, address) = start(Limits::default()).await;
    let (mut opener, to_host) = client(&address).await;
    to_host.send(open()).unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::Opened { number: 7, peers: vec![] });
    let middle = TcpListener::bind(LOOPBACK).await.unwrap();
    let by_middle = HostAddress::new("127.0.0.1", middle.local_addr().unwrap().port()).unwrap();
    let mut joiner = Client::start(vec![by_middle], Some(join(false)));
    let (mut near, _) = middle.accept().await.unwrap();
    let mut far = TcpStream::connect((address.host(), address.port())).await.unwrap();
    let mut request = vec![0; 4_096];
    let size = near.read(&mut request).await.unwrap();
    far.write_all(&request[..size]).await.unwrap();
    assert_eq!(message(&mut opener).await, HostMessage::PeerJoined { room: CODE, member: JOINER });
    drop(near);
    assert!(matches!(joiner.event().await, Some(ClientEvent::Unreachable { .. })));

    joiner.retry_now();
    let (mut near, _) = middle.accept().await.unwrap();
    let mut again = TcpStream::connect((address.host(), address.port())).await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut again).await });
    let joiner_to_host = connected(&mut joiner).await;
    joiner_to_host.send(join(false)).unwrap();
    let stranger = MemberId([3; 16]);
    joiner_to_host
        .send(ClientMessage::Relay { room: CODE, to: stranger, payload: vec![] })
        .unwrap();
    assert!(matches!(message(&mut joiner).await, HostMessage::Joined { .. }));
    assert!(matches!(message(&mut joiner).await, HostMessage::Refused { .. }), "joined twice");
    assert_eq!(message(&mut opener).await, HostMessage::PeerJoined { room: CODE, member: JOINER });
    to_host.send(open()).unwrap();
    let opened = HostMessage::Opened { number: 7, peers: vec![JOINER] };
    assert_eq!(message(&mut opener).await, opened, "one member");
}

/// After a loss the caller says anew what it would begin with; until then nothing is said for it.
#[tokio::test]
#[expect(clippy::result_large_err, reason = "the type of the handshake's callback")]
async fn a_first_message_rides_in_the_first_round_only() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = HostAddress::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let mut client = Client::start(vec![address], Some(open()));
    for expected in [Some(open()), None, None] {
        let (stream, _) = listener.accept().await.unwrap();
        let mut first = None;
        let look = |request: &Request, answer: Answer| {
            let values = request.headers().get_all(first_message::NAME).iter();
            first = first_message::decode(values.map(HeaderValue::as_bytes));
            Ok(answer)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
        let first = first.map(|bytes| ClientMessage::decode(&bytes).unwrap());
        assert_eq!(first, expected);
        let _connection = connected(&mut client).await;
        drop(socket);
        assert!(matches!(client.event().await, Some(ClientEvent::Lost { .. })));
        client.retry_now();
    }
}

/// A host that is not ours: whatever it sends, the client keeps its limits and goes on.
#[tokio::test]
async fn a_malicious_host_is_dropped() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = HostAddress::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let mut client = Client::start(vec![address], None);
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
