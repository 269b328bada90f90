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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

pub mod buffers;
mod carried;
mod clock;
mod cutting;
mod panics;
mod resolve;
mod udp;

use super::admission::{Admission, Verdict};
use super::allocation::{Allocation, AllocationWatch};
use super::config::CarrierSettings;
use crate::wire::CarrierTokens;
use buffers::BufferRequest;
use carried::{CarriedSocket, Carrying};
pub use cutting::Fragmented;
pub use panics::PanicWatch;
use resolve::Resolver;

/// Most local addresses used: pairs grow with the product of both sides', and checks with the pairs.
const LOCAL_ADDRESSES_MAX: usize = 12;

/// Passes of the driver's loop without sleep after one in which something happened, where TURN is in play. What comes in
/// is unwrapped in the pass after its arrival, and what the stack makes of it is wrapped in the next one and sent in the
/// one after that; each would wait for the next timer, up to 200 ms.
const RELAY_PASSES: u8 = 3;

/// Bytes read in one go before the driver gets to send. It reads up to 64 trains in a row otherwise, a whole window,
/// before it acknowledges anything, and both sides idle in turns.
const READ_BURST_BYTES: u64 = 128 * 1024;

/// What the sockets of one link have moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketCounts {
    /// Datagrams sent; each segment of a GSO train counts.
    pub datagrams_sent: u64,
    /// Bytes sent, without UDP and IP headers.
    pub bytes_sent: u64,
    /// Datagrams received; each segment of a GRO train counts.
    pub datagrams_received: u64,
    /// Bytes received, without UDP and IP headers.
    pub bytes_received: u64,
    /// Datagrams that came in and were given to nobody.
    pub datagrams_dropped: u64,
    /// Datagrams to addresses that never answered that were not sent, to spare whoever is there.
    pub datagrams_withheld: u64,
    /// Sends that the system refused for a reason that passes (no route, no buffer, too long): lost like any packet.
    pub sends_refused: u64,
}

/// When the driver's sleep may be cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum WakeMode {
    /// After everything that happens, for a few passes: what goes through TURN needs them.
    Relayed = 0,
    /// By every datagram: the link is being set up.
    EveryDatagram = 1,
    /// By [`LinkRuntime::wake`] only.
    OnRequest = 2,
    /// By nothing: `close()` uses the same sleep as its own timeout.
    Never = 3,
}

/// State shared by the runtime, its sockets and its timers.
#[derive(Debug)]
struct Shared {
    wake: Notify,
    wake_mode: AtomicU8,
    /// Whether the channels are there: until then, the stack gets one datagram in a pass.
    is_open: AtomicBool,
    /// Sleeps that end at once: see [`RELAY_PASSES`].
    passes: AtomicU8,
    sockets: AtomicUsize,
    datagrams_sent: AtomicU64,
    bytes_sent: AtomicU64,
    datagrams_received: AtomicU64,
    bytes_received: AtomicU64,
    sends_refused: AtomicU64,
    /// What the path takes uncut, once datagrams are known to be cut: see `cutting`.
    cut_bytes: AtomicU32,
    allocations: Allocations,
    admission: Mutex<Admission>,
}

/// The dialogue with TURN servers, listened to.
#[derive(Debug, Default)]
struct Allocations {
    watch: Mutex<AllocationWatch>,
    /// How many wait, so that a link that waits for none looks at no datagram.
    waiting: AtomicUsize,
    report: OnceLock<mpsc::Sender<(SocketAddr, Allocation)>>,
}

impl Allocations {
    fn on_sent(&self, datagram: &[u8], destination: SocketAddr) {
        if AllocationWatch::is_request(datagram) {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.handle_sent(datagram, destination);
            self.waiting.store(watch.waiting(), Ordering::Relaxed);
        }
    }

    fn on_received(&self, datagram: &[u8]) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(found), Some(report)) = (watch.handle_received(datagram), self.report.get()) {
            // Full: dozens are told already.
            let _ = report.try_send(found);
        }
        self.waiting.store(watch.waiting(), Ordering::Relaxed);
    }
}

impl Shared {
    fn wakes_on(&self, mode: WakeMode) -> bool {
        self.wake_mode.load(Ordering::Relaxed) <= mode as u8
    }

    /// Bytes that the stack may have in one pass.
    fn burst_bytes_max(&self) -> u64 {
        if self.is_open.load(Ordering::Acquire) { READ_BURST_BYTES } else { 1 }
    }

    fn on_received(&self, datagrams: u64, bytes: u64) {
        self.datagrams_received.fetch_add(datagrams, Ordering::Relaxed);
        self.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is to become of a datagram that `from` sent to our socket `local`.
    fn judge(&self, local: SocketAddr, from: SocketAddr, datagram: &[u8], now: Instant) -> Verdict {
        let verdict = self.admission().handle_received(local, from, datagram, now);
        if verdict == Verdict::Stack {
            self.allocations.on_received(datagram);
        }
        verdict
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        // Nothing panics while it is held that would leave it half changed.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stack got something.
    fn on_delivered(&self) {
        if self.wakes_on(WakeMode::EveryDatagram) {
            self.wake.notify_one();
        }
    }

    /// Uses up a pass, if one is left.
    fn take_pass(&self) -> bool {
        let left = |passes: u8| passes.checked_sub(1);
        self.passes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }

    fn on_sent(&self, datagrams: u64, bytes: u64) {
        self.datagrams_sent.fetch_add(datagrams, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

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
            shared: Arc::new(Shared {
                wake: Notify::new(),
                wake_mode: AtomicU8::new(WakeMode::EveryDatagram as u8),
                is_open: AtomicBool::new(false),
                passes: AtomicU8::new(0),
                sockets: AtomicUsize::new(0),
                datagrams_sent: AtomicU64::new(0),
                bytes_sent: AtomicU64::new(0),
                datagrams_received: AtomicU64::new(0),
                bytes_received: AtomicU64::new(0),
                sends_refused: AtomicU64::new(0),
                cut_bytes: AtomicU32::new(0),
                allocations: Allocations::default(),
                admission: Mutex::new(Admission::new(false)),
            }),
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

/// Every address of this machine that a link could use, loopback included.
///
/// # Errors
/// The system does not give the list.
pub fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let interfaces = rtc::shared::ifaces::ifaces()?;
    let addresses = interfaces.into_iter().filter_map(|interface| Some(interface.addr?.ip()));
    Ok(addresses.filter(|address| address.is_loopback() || is_usable(address)).collect())
}

/// The local addresses a link binds: each usable interface address, and loopback, for a peer on the same machine.
///
/// The stack resolves this anew for every bind, so an ICE restart binds the addresses of that moment.
#[derive(Debug, Clone, Copy)]
pub struct LocalAddresses {
    /// Only loopback.
    pub loopback_only: bool,
}

impl LocalAddresses {
    /// What would be bound now.
    #[must_use]
    pub fn now(self) -> Vec<IpAddr> {
        // It never fails: what the system does not tell is not bound.
        let addresses = self.to_socket_addrs().into_iter().flatten();
        addresses.map(|address| address.ip()).collect()
    }
}

impl ToSocketAddrs for LocalAddresses {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let mut addresses = Vec::new();
        if !self.loopback_only {
            match rtc::shared::ifaces::ifaces() {
                Ok(interfaces) => {
                    let of = interfaces
                        .into_iter()
                        .filter_map(|interface| Some((interface.name, interface.addr?)));
                    addresses = local_addresses(&of.collect::<Vec<_>>());
                }
                Err(error) => {
                    tracing::warn!(target: "rejoin::ice", %error, "cannot list the network interfaces");
                }
            }
        }
        addresses.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        Ok(addresses.into_iter())
    }
}

/// The addresses to bind, of interfaces by name. A link-local one (RFC 3927) only where its interface has no other: a cable
/// between two machines, a network without a server of addresses. Of IPv6 such an address needs a scope, which candidates do
/// not carry and the stack knows its sockets with.
fn local_addresses(interfaces: &[(String, SocketAddr)]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let has_other = |name: &str| {
        interfaces.iter().any(|(other, address)| other == name && is_usable(&address.ip()))
    };
    let (others, local): (Vec<_>, Vec<_>) = interfaces
        .iter()
        .filter(|(name, address)| {
            is_usable(&address.ip()) || is_link_local(&address.ip()) && !has_other(name)
        })
        .partition(|(_, address)| is_usable(&address.ip()));
    for (_, address) in others.into_iter().chain(local) {
        let mut address = *address;
        address.set_port(0);
        if !addresses.contains(&address) && addresses.len() + 1 < LOCAL_ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    addresses
}

const fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_link_local())
}

/// Whether a peer could reach an interface address from beyond its cable.
fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_loopback() && !address.is_unspecified() && !address.is_link_local()
        }
        IpAddr::V6(address) => is_usable_v6(address),
    }
}

fn is_usable_v6(address: &Ipv6Addr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_unicast_link_local()
        && address.to_ipv4_mapped().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::stun::{Class, METHOD_BINDING, made};
    use futures_util::FutureExt;

    fn runtime() -> LinkRuntime {
        let runtime = LinkRuntime::new(BufferRequest { bytes: 1024 * 1024, force: false });
        runtime.set_local_description(DESCRIPTION);
        runtime.set_remote_description(DESCRIPTION);
        runtime
    }

    const DESCRIPTION: &str = "a=ice-ufrag:both\r\na=ice-pwd:a password that both have\r\n";

    /// What is admitted between two of them.
    fn check(number: u8) -> Vec<u8> {
        made::check([number; 12], "both:both", "a password that both have")
    }

    fn ends_at_once(runtime: &LinkRuntime) -> bool {
        runtime.sleep(Duration::from_secs(86_400)).now_or_never().is_some()
    }

    /// B-G: two machines on one cable have nothing else.
    #[test]
    fn a_link_local_address_is_bound_where_its_interface_has_no_other() {
        let of = |list: &[(&str, &str)]| {
            let parse = |(name, ip): &(&str, &str)| {
                (String::from(*name), SocketAddr::new(ip.parse().unwrap(), 0))
            };
            let bound = local_addresses(&list.iter().map(parse).collect::<Vec<_>>());
            bound.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        let cable = ("eth1", "169.254.3.1");
        assert_eq!(of(&[cable, ("eth0", "192.0.2.7")]), ["192.0.2.7", "169.254.3.1"]);
        assert_eq!(of(&[cable, ("eth1", "192.0.2.7"), ("lo", "127.0.0.1")]), ["192.0.2.7"]);
        assert_eq!(of(&[("eth1", "fe80::1")]), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_wake_ends_one_sleep_unless_closing() {
        let runtime = runtime();
        assert!(!ends_at_once(&runtime));
        runtime.wake();
        assert!(ends_at_once(&runtime));
        assert!(!ends_at_once(&runtime));

        runtime.set_wake_mode(WakeMode::Never);
        runtime.wake();
        assert!(!ends_at_once(&runtime));
    }

    #[tokio::test]
    async fn where_turn_is_in_play_passes_follow_whatever_happened_and_then_it_sleeps() {
        let runtime = runtime();
        runtime.set_wake_mode(WakeMode::Relayed);
        for _ in 0..2 {
            // Ended by something else: dropped.
            assert!(!ends_at_once(&runtime));
            for pass in 0..RELAY_PASSES {
                assert!(ends_at_once(&runtime), "pass {pass}");
            }
        }
        runtime.set_wake_mode(WakeMode::OnRequest);
        assert!(!ends_at_once(&runtime), "passes left over are not taken elsewhere");
        assert!(!ends_at_once(&runtime));
    }

    #[tokio::test]
    async fn datagrams_wake_only_during_set_up() {
        let runtime = runtime();
        runtime.shared.on_received(1, 100);
        runtime.shared.on_delivered();
        assert!(ends_at_once(&runtime));

        runtime.set_wake_mode(WakeMode::OnRequest);
        runtime.shared.on_received(1, 100);
        runtime.shared.on_delivered();
        assert!(!ends_at_once(&runtime));
        runtime.wake();
        assert!(ends_at_once(&runtime));
        assert_eq!(runtime.counts().datagrams_received, 2);
    }

    #[tokio::test]
    async fn datagrams_arrive_and_are_counted() {
        let (left, right) = (runtime(), runtime());
        let open = |runtime: &LinkRuntime| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            runtime.wrap_udp_socket(socket).unwrap()
        };
        let (from, to) = (open(&left), open(&right));
        assert_eq!(left.sockets(), 1);

        let check = check(1);
        from.send_to(&check, to.local_addr().unwrap()).await.unwrap();
        let mut buffer = [0; 256];
        let (length, source) = to.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], check);
        assert_eq!(source, from.local_addr().unwrap());
        let bytes = check.len() as u64;
        assert_eq!((left.counts().datagrams_sent, left.counts().bytes_sent), (1, bytes));
        assert_eq!((right.counts().datagrams_received, right.counts().bytes_received), (1, bytes));

        drop(from);
        assert_eq!(left.sockets(), 0);
    }

    /// Each datagram of a train is judged for itself: the stack puts together whatever has one length.
    #[tokio::test]
    async fn a_train_carries_nothing_that_would_not_go_alone() {
        use webrtc::runtime::Transmit;
        let runtime = runtime();
        let from =
            runtime.wrap_udp_socket(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let to = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let destination = to.local_addr().unwrap();
        let length = check(1).len();
        let record = vec![22; length];
        let contents = [&record[..], &check(1), &check(1), &record[..length - 1]].concat();
        let sent = std::future::poll_fn(|context| {
            let transmit = Transmit {
                destination,
                ecn: None,
                contents: &contents,
                segment_size: Some(length),
                src_ip: None,
            };
            from.poll_send(context, &transmit)
        });
        assert_eq!(sent.await.unwrap(), contents.len());
        // Nothing overtakes on loopback: a record would have come before.
        let mut buffer = [0; 256];
        for _ in 0..2 {
            let (length, _) = to.recv_from(&mut buffer).await.unwrap();
            assert_eq!(buffer[..length], check(1));
        }
        assert_eq!(runtime.counts().datagrams_withheld, 2);
        // What asks from within a train is known when it is answered.
        let password = Some(&b"a password that both have"[..]);
        let answer = made::message(Class::Success, METHOD_BINDING, [1; 12], &[], password);
        to.send_to(&answer, from.local_addr().unwrap()).await.unwrap();
        let (length, _) = from.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], answer);
    }

    /// C-05: what the system will not send is lost like any packet, and the socket goes on.
    #[tokio::test]
    async fn a_send_that_the_system_refuses_ends_nothing() {
        let runtime = runtime();
        let open = || {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            runtime.wrap_udp_socket(socket).unwrap()
        };
        let (from, to) = (open(), open());
        // A question to a server may go anywhere. No leave to broadcast; longer than UDP; nobody listens, which is told to the next
        // call.
        let question =
            |number: u8| made::message(Class::Request, METHOD_BINDING, [number; 12], &[], None);
        let broadcast = "255.255.255.255:9".parse().unwrap();
        assert_eq!(from.send_to(&question(1), broadcast).await.unwrap(), 20);
        // Records go where a check was answered.
        from.send_to(&check(1), to.local_addr().unwrap()).await.unwrap();
        let password = Some(&b"a password that both have"[..]);
        let answer = made::message(Class::Success, METHOD_BINDING, [1; 12], &[], password);
        to.send_to(&answer, from.local_addr().unwrap()).await.unwrap();
        let mut buffer = [0; 256];
        let (length, _) = from.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], answer);
        let long = vec![22; 70_000];
        assert_eq!(from.send_to(&long, to.local_addr().unwrap()).await.unwrap(), long.len());
        assert_eq!(runtime.counts().sends_refused, 2);
        let closed = {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap()
        };
        for number in 2..5 {
            assert_eq!(from.send_to(&question(number), closed).await.unwrap(), 20);
        }
        from.send_to(&check(5), to.local_addr().unwrap()).await.unwrap();
        let mut last = Vec::new();
        while last != check(5) {
            let (length, _) = to.recv_from(&mut buffer).await.unwrap();
            last = buffer[..length].to_vec();
        }
        // The other way: an ICMP error is no error of a receive.
        to.send_to(&check(6), from.local_addr().unwrap()).await.unwrap();
        let (length, _) = from.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], check(6));
    }

    #[test]
    fn loopback_is_always_bound() {
        for loopback_only in [false, true] {
            let addresses: Vec<_> =
                LocalAddresses { loopback_only }.to_socket_addrs().unwrap().collect();
            assert!(addresses.iter().any(|address| address.ip().is_loopback()));
            assert!(addresses.len() <= LOCAL_ADDRESSES_MAX);
            assert!(addresses.iter().all(|address| !address.ip().is_unspecified()));
        }
    }
}
