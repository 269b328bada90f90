//! A host of its own, attacked by strangers over real sockets (kind 3 of the review: limits in what they cost).
//!
//! Source addresses are those of 127/8: each counts as an address of its own, but for 127.0.0.1, where a proxy sits.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rejoin::signal::code::PORT_DEFAULT;
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::support::env::Home;
use crate::support::host_member::{address, source};
use crate::support::lab::{open_files, or_skip};
use crate::support::pair::{CODE, Pair};
use crate::support::process::kib;
use crate::support::tree::assert_same;

/// How long a socket may live that is no WebSocket (`Limits::join_deadline`).
const DEADLINE: Duration = Duration::from_secs(10);

/// An answer that waits for nobody's deadline, however busy the machine is.
const SOON: Duration = Duration::from_secs(5);

/// A socket from `source` that takes little.
fn connect(source: IpAddr, host: SocketAddr) -> Option<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 2_048).unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(source, 0)).unwrap();
    rustix::net::connect(&socket, &host).ok()?;
    Some(TcpStream::from(socket))
}

/// Whether `/healthz` answers within [`SOON`].
fn is_healthy(host: SocketAddr) -> bool {
    let asked = || {
        let mut stream = TcpStream::connect_timeout(&host, SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    asked().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// S-04: sockets that pipeline requests and read nothing took all places of a host for ever.
#[test]
fn who_reads_nothing_takes_no_place_from_others() {
    or_skip!(open_files(4_200));
    let home = Home::new();
    let (host, url) = home.host("127.0.0.1:0");
    let address = address(&url);
    let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let mut sockets = Vec::new();
    for _ in 0..4_200 {
        let Some(mut socket) = connect(source(0), address) else { continue };
        socket.set_nonblocking(true).unwrap();
        // Until it would block, or the host has had enough.
        while socket.write(&requests).is_ok_and(|written| written > 0) {}
        sockets.push(socket);
    }
    assert!(is_healthy(address), "others are served meanwhile");
    // The fault was "for ever"; the deadline itself is measured where the host has a clock of its own.
    let end = Instant::now() + DEADLINE + Duration::from_secs(30);
    for socket in &mut sockets {
        assert!(is_closed_by(socket, end), "a socket lives beyond its deadline");
    }
    assert!(is_healthy(address), "the places are free");
    let peak = kib(host.pid(), "VmHWM").unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB at most");
}

/// Waits until the other end closes it, or this time; who is late still sees what was closed before.
fn is_closed_by(socket: &mut TcpStream, end: Instant) -> bool {
    socket.set_nonblocking(false).unwrap();
    let mut rest = [0; 4_096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // No time at all would be no limit.
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
        match socket.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) if Instant::now() < end => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return true,
            Ok(_) | Err(_) => return false,
        }
    }
}

/// S-04, a relative: the host within `send` is joined while strangers hold what sockets they can get.
#[test]
fn a_sender_that_is_its_own_host_is_joined_beside_a_flood() {
    or_skip!(open_files(600));
    let pair = Pair::new();
    pair.noise("file", 100_000);
    let sender = pair.send(["--json", "file"]).spawn();
    let code = sender.event_where("code", |event| event["event"] == "code");
    let code = code["code"].as_str().unwrap();
    let port = code.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(PORT_DEFAULT);
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let mut sockets = Vec::new();
    for index in 0..600 {
        let Some(mut socket) = connect(source(index % 6), address) else { continue };
        socket.set_nonblocking(true).unwrap();
        // Half of them say half a request, and half read no answer.
        let said = if index.is_multiple_of(2) { &requests[..20] } else { &requests[..] };
        // Whether the host takes it is its own affair.
        let _ = socket.write(said);
        sockets.push(socket);
    }
    let receiver = pair.receive(["--json", "-y", "-o", "target", code]).run();
    receiver.expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("file"), &pair.path("target/file"));
    drop(sockets);
}

/// A host that takes connections and has no word of its own is told, with its address: whoever has nothing to continue ends, and
/// whoever waits on is told so.
#[test]
fn a_host_that_only_takes_connections_is_told() {
    // Closed as soon as it is a WebSocket.
    let closing = mute_host(drop);
    // Reading answers pings.
    let ponging = mute_host(|mut socket| while socket.read().is_ok() {});
    let pair = Pair::new();
    pair.noise("f", 1_000);
    let runs = [&closing, &ponging].map(|url| {
        let receiver = pair.receive(["--json", "-y", CODE, "--host", url]).spawn();
        let sender = pair.send(["--json", "f", "--host", url]).spawn();
        (url, [receiver, sender])
    });
    let waiting = ["--json", "-y", CODE, "--host", &ponging, "--wait", "1m"];
    let waiting = pair.receive(waiting).spawn();
    for (url, sides) in runs {
        for run in sides {
            let error = run.wait().expect_code(4).outcome();
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("no host answers") && message.contains(url), "{error}");
        }
    }
    let warning = waiting.event_where("warning", |event| event["event"] == "warning");
    assert!(warning["message"].as_str().unwrap().contains("no host answers"), "{warning}");
}

/// The URL of a host that does `work` with every WebSocket.
fn mute_host(
    work: impl Fn(tokio_tungstenite::tungstenite::WebSocket<TcpStream>) + Clone + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let work = work.clone();
            std::thread::spawn(move || {
                if let Ok(socket) = tokio_tungstenite::tungstenite::accept(stream) {
                    work(socket);
                }
            });
        }
    });
    url
}
