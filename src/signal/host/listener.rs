//! Accepts sockets with a bound on their number, and closes those that never become a WebSocket (H-13): a client that
//! sends half a request would otherwise keep its socket for ever.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep};

use crate::signal::client::Stream;

/// Sockets beyond the WebSockets: health checks and metrics must still get through to a full host.
const SPARE_SOCKETS: u32 = 64;
/// Pause after an accept error, such as running out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The sockets a host may hold, and how many there are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    total: u32,
}

/// A listener whose sockets have to earn their life.
pub(super) struct GuardedListener {
    listener: TcpListener,
    /// Connections of this process.
    own: mpsc::Receiver<DuplexStream>,
    places: Places,
    deadline: Duration,
}

/// A socket that ends at its deadline unless it was upgraded.
pub(super) struct GuardedStream {
    stream: Stream,
    deadline: Pin<Box<Sleep>>,
    upgraded: Arc<AtomicBool>,
    _place: OwnedSemaphorePermit,
}

/// Who is at the other end of a request.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    address: IpAddr,
    upgraded: Arc<AtomicBool>,
}

impl Places {
    pub(super) fn new(connections_max: usize) -> Self {
        // A count that does not fit is no bound.
        let total =
            u32::try_from(connections_max).unwrap_or(u32::MAX / 2).saturating_add(SPARE_SOCKETS);
        Self { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until no socket is left.
    pub(super) async fn all_free(&self) {
        // Nobody closes the semaphore.
        let _ = self.free.acquire_many(self.total).await;
    }
}

impl GuardedListener {
    pub(super) const fn new(
        listener: TcpListener,
        own: mpsc::Receiver<DuplexStream>,
        places: Places,
        deadline: Duration,
    ) -> Self {
        Self { listener, own, places, deadline }
    }
}

impl Listener for GuardedListener {
    type Io = GuardedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (GuardedStream, SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.places.free).acquire_owned().await else {
                // Nobody closes the semaphore.
                return std::future::pending().await;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted.map(|(stream, address)| {
                    // Signaling is small messages that somebody waits for; without it they merely are slower.
                    let _ = stream.set_nodelay(true);
                    (Stream::Tcp(stream), address)
                }),
                Some(stream) = self.own.recv() => {
                    Ok((Stream::Own(stream), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
                }
            };
            match accepted {
                Ok((stream, address)) => {
                    let deadline = Box::pin(sleep(self.deadline));
                    let upgraded = Arc::new(AtomicBool::new(false));
                    return (GuardedStream { stream, deadline, upgraded, _place: place }, address);
                }
                Err(error) => {
                    tracing::warn!(target: "rejoin::host", %error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, GuardedListener>> for Peer {
    fn connect_info(incoming: IncomingStream<'_, GuardedListener>) -> Self {
        Self { address: incoming.remote_addr().ip(), upgraded: Arc::clone(&incoming.io().upgraded) }
    }
}

impl Peer {
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// The socket is a WebSocket now, with deadlines of its own.
    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guarded = !self.upgraded.load(Ordering::Relaxed);
        if guarded && self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
