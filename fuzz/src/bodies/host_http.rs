//! The bytes that anybody may send to a host's port: every connection ends, and the host goes on.

use arbitrary::{Result, Unstructured};
use rejoin::signal::host::{Host, HostHandle};
use rejoin::signal::room::Limits;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// A connection is over by then, whatever it said: the host's own deadline is shorter.
const END: Duration = Duration::from_secs(30);

/// Started once: what one input left in it must not matter to the next.
fn host() -> &'static (Runtime, HostHandle) {
    static HOST: OnceLock<(Runtime, HostHandle)> = OnceLock::new();
    HOST.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let host = runtime.block_on(Host::start(listen, Limits::default())).expect("a host");
        (runtime, host)
    })
}

pub(super) fn run(data: &[u8]) {
    let Ok(pieces) = pieces(&mut Unstructured::new(data)) else { return };
    let (runtime, host) = host();
    runtime.block_on(async {
        let answer = timeout(END, say(host, &pieces, true)).await;
        assert!(answer.is_ok(), "the connection does not end");
        let page = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec();
        let answer =
            timeout(END, say(host, &[page], false)).await.expect("the host answers others");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
    });
}

/// What the host answers. An end of ours may overtake the answer, so a page is asked for without one.
async fn say(host: &HostHandle, pieces: &[Vec<u8>], ends: bool) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(mut stream) = host.own().connect().await else { return answer };
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if ends {
        let _ = stream.shutdown().await;
    }
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// An upgrade, a page, or anything; then whatever else there is, in pieces.
fn pieces(input: &mut Unstructured<'_>) -> Result<Vec<Vec<u8>>> {
    let mut pieces = Vec::new();
    match input.int_in_range(0..=3)? {
        0 => pieces.push(
            b"GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                .to_vec(),
        ),
        1 => pieces.push(b"GET / HTTP/1.1\r\nhost: x\r\n".to_vec()),
        _ => {}
    }
    while !input.is_empty() {
        let length = input.int_in_range(1..=200)?;
        pieces.push(input.bytes(length.min(input.len()))?.to_vec());
    }
    Ok(pieces)
}
