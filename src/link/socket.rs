//! The runtime under the WebRTC stack: Tokio, with our own UDP sockets and a timer that can be woken.
//!
//! It is the one place where socket buffers are set, datagrams counted, the driver woken during set-up and faults injected.
//!
//! Why the wake: the stack's loop writes, then handles events, then sleeps. What an event creates (a DTLS flight, an SCTP
//! INIT) misses that pass and waits for the next ICE tick, 200 ms later, three times per set-up. So while a link is being
//! set up every datagram received also ends the loop's sleep, and the next pass sends what was created.
//!
//! Why one datagram at a time until the channels are open: the stack's loop feeds its core all that is there, and then
//! handles events. The end of SCTP's handshake is such an event, and it is what makes the channels: a message that is read
//! after the handshake's last word and before that event is acknowledged and lost, on a reliable channel.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

mod addresses;
pub mod buffers;
mod carried;
mod clock;
mod cutting;
mod panics;
mod resolve;
mod shared;
mod udp;

use super::admission::Admission;
use super::allocation::Allocation;
use super::config::CarrierSettings;
use crate::wire::CarrierTokens;
pub use addresses::{LocalAddresses, interface_addresses};
use buffers::BufferRequest;
use carried::{CarriedSocket, Carrying};
pub use cutting::Fragmented;
pub use panics::PanicWatch;
use resolve::Resolver;
use shared::Shared;
pub use shared::{SocketCounts, WakeMode};

/// Passes of the driver's loop without sleep after one in which something happened, where TURN is in play. What comes in
/// is unwrapped in the pass after its arrival, and what the stack makes of it is wrapped in the next one and sent in the
/// one after that; each would wait for the next timer, up to 200 ms.
const RELAY_PASSES: u8 = 3;

/// Grants the passes when it is dropped, which is when the sleep that holds it is over.
struct PassesAfter(Arc<Shared>);

impl Drop for PassesAfter {
    fn drop(&mut self) {
        self.0.passes.store(RELAY_PASSES, Ordering::Relaxed);
    }
}

/// The runtime of one link.
#[derive(Debug)]
pub struct LinkRuntime {
    tokio: TokioRuntime,
    request: BufferRequest,
    resolver: Resolver,
    shared: Arc<Shared>,
    carrying: Option<Arc<Carrying>>,
    panics: PanicWatch,
}

impl LinkRuntime {
    /// A runtime whose sockets get buffers as `request` says. Wakes on every datagram until told otherwise.
    #[must_use]
    pub fn new(request: BufferRequest) -> Self {
        #[cfg(feature = "fault-injection")]
        super::fault::watch();
        Self {
            tokio: TokioRuntime,
            request,
            resolver: Resolver::default(),
            carrying: None,
            panics: PanicWatch::default(),
            shared: Arc::new(Shared::new()),
        }
    }

    /// Tells `report` what TURN servers say to requests for an allocation.
    #[must_use]
    pub fn with_allocations(self, report: mpsc::Sender<(SocketAddr, Allocation)>) -> Self {
        // Just made: it is set once.
        let _ = self.shared.allocations.report.set(report);
        self
    }

    /// Sends DTLS through a carrier, once [`Self::carry`] has its tokens, at `rate_max` bytes a second at most.
    #[must_use]
    pub fn with_carrier(mut self, settings: CarrierSettings, rate_max: Option<u64>) -> Self {
        self.carrying = Some(Arc::new(Carrying::new(settings, rate_max)));
        *self.shared.admission() = Admission::new(true);
        self
    }

    /// Says how the carrier's datagrams are known. A runtime without a carrier has no use for it.
    pub fn carry(&self, tokens: CarrierTokens) {
        if let Some(carrying) = &self.carrying {
            carrying.set_tokens(tokens);
            self.shared.admission().carry(tokens.incoming);
        }
    }

    /// Panics in the tasks of this link.
    #[must_use]
    pub const fn panics(&self) -> &PanicWatch {
        &self.panics
    }

    /// Our description, before the stack acts on it: its password signs the checks that are taken.
    pub fn set_local_description(&self, sdp: &str) {
        self.shared.admission().set_local(sdp);
    }

    /// The peer's description, before the stack acts on it.
    pub fn set_remote_description(&self, sdp: &str) {
        self.shared.admission().set_remote(sdp, Instant::now());
    }

    /// What a carrier's path moves in a moment, bytes: with more before it a ping would wait for long. None without one.
    #[must_use]
    pub fn carried_bytes_max(&self) -> Option<usize> {
        self.carrying.as_ref().map(|carrying| carrying.bytes_max())
    }

    /// Bytes of the stack's records that a carrier has and no datagram took yet. None without a carrier.
    #[must_use]
    pub fn unsent_bytes(&self) -> Option<u64> {
        self.carrying.as_ref().map(|carrying| carrying.unsent_bytes())
    }

    /// The addresses of `host` as far as they are known, without asking anybody.
    #[must_use]
    pub fn resolved(&self, host: &str) -> Vec<SocketAddr> {
        self.resolver.known(host)
    }

    /// The channels are open: the stack may have many datagrams in one pass.
    pub fn set_open(&self) {
        self.shared.is_open.store(true, Ordering::Release);
    }

    /// Changes what ends the driver's sleep.
    pub fn set_wake_mode(&self, mode: WakeMode) {
        self.shared.wake_mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Ends the driver's sleep now: for calls into the stack that change what is due without waking it.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// How many UDP sockets are open, which is how many host candidates to expect.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.shared.sockets.load(Ordering::Relaxed)
    }

    /// What the sockets have moved so far.
    #[must_use]
    pub fn counts(&self) -> SocketCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (datagrams_dropped, datagrams_withheld) = {
            let admission = self.shared.admission();
            (admission.dropped(), admission.withheld())
        };
        SocketCounts {
            datagrams_dropped,
            datagrams_withheld,
            datagrams_sent: load(&self.shared.datagrams_sent),
            bytes_sent: load(&self.shared.bytes_sent),
            datagrams_received: load(&self.shared.datagrams_received),
            bytes_received: load(&self.shared.bytes_received),
            sends_refused: load(&self.shared.sends_refused),
        }
    }

    /// Resolves a server's name ahead of its use, so that gathering does not wait for DNS.
    pub async fn prefetch(&self, host: &str) {
        if let Err(error) = self.resolver.resolve(host).await {
            tracing::debug!(target: "rejoin::ice", host, %error, "server name not resolved yet");
        }
    }
}

impl Runtime for LinkRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.tokio.spawn(Box::pin(self.panics.guard(future)))
    }

    // Delegated explicitly: the trait's default would spawn on the ambient runtime and lose the dedicated thread.
    fn spawn_reactor(
        &self,
        pool_size: usize,
        future: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Box<dyn JoinHandle> {
        self.tokio.spawn_reactor(pool_size, Box::pin(self.panics.guard(future)))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let granted = buffers::request(&socket, self.request)?;
        tracing::debug!(
            target: "rejoin::resource",
            address = ?socket.local_addr().ok(),
            receive_bytes = granted.receive_bytes,
            send_bytes = granted.send_bytes,
            "socket opened",
        );
        let socket = udp::UdpSocket::new(socket, Arc::clone(&self.shared))?;
        Ok(match &self.carrying {
            Some(carrying) => {
                carrying.add_socket(granted.receive_bytes);
                Arc::new(CarriedSocket::new(socket, Arc::clone(carrying), &self.panics))
            }
            None => Arc::new(socket),
        })
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.tokio.wrap_tcp_listener(listener)
    }

    // Nothing of ours goes over TCP; a candidate of the peer must not have us connect to what it names.
    fn connect_tcp<'a>(
        &'a self,
        _remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    // The stack resolves inside its driver loop, so an unanswered DNS query would stop the whole link.
    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        Box::pin(self.resolver.resolve(host))
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        if !self.shared.wakes_on(WakeMode::OnRequest) {
            return Box::pin(tokio::time::sleep(duration));
        }
        let shared = Arc::clone(&self.shared);
        let is_relayed = shared.wakes_on(WakeMode::Relayed);
        if is_relayed && shared.take_pass() {
            return Box::pin(std::future::ready(()));
        }
        // However this sleep ends, by its time or because something else happened first, passes follow.
        let passes = is_relayed.then(|| PassesAfter(Arc::clone(&shared)));
        Box::pin(async move {
            let _passes = passes;
            tokio::select! {
                () = shared.wake.notified() => {}
                () = tokio::time::sleep(duration) => {}
            }
        })
    }

    fn now(&self) -> Instant {
        let real = Instant::now();
        self.carrying.as_ref().map_or(real, |carrying| carrying.stack_time(real))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.tokio.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tokio.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.tokio.yield_now()
    }

    fn name(&self) -> &'static str {
        "rejoin"
    }
}

#[cfg(test)]
mod tests;
