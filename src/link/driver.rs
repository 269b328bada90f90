//! The peer connection of one link; with [`super::socket`] the only importer of the WebRTC stack.
//!
//! ```text
//!  owner ── LinkHandle ── queues ── pump ──┐                    ┌── pump ── queues ── FrameReceiver ── owner
//!              │                           ├── data channels ───┤
//!           commands ── actor ─────────────┴── peer connection ─┴── actor ── EventReceiver
//! ```
//!
//! One actor task owns the negotiation; each channel has one task per direction, but data is read by its owner directly. Nothing of ours runs on the stack's own
//! thread, and nothing of the owner's is ever waited for while a lock is held.
//!
//! Copies of a payload byte. Sending: none of ours (a frame held by nobody else becomes the stack's own buffer), then forced
//! by the stack: chunk to SCTP packet, packet to DTLS record (encrypted in place), record to GSO train, kernel. Receiving,
//! forced: kernel, train to datagram, decrypted record, reassembled message; the message itself reaches the owner uncopied.

use std::sync::Arc;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::transport::RTCDtlsRole;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCConfiguration, RTCConfigurationBuilder, RTCIceServer,
    RTCIceTransportPolicy, SettingEngine, SettingEngineBuilder,
};

use super::config::{LinkConfig, PathPolicy};
use super::socket::buffers::{self, BufferRequest};
use super::socket::{LinkRuntime, LocalAddresses};
use super::{Channel, FRAME_BYTES_MAX, StartError};

mod actor;
mod handle;
mod handler;
mod pump;

pub use handle::{EventReceiver, FrameReceiver, LinkHandle, Progress};

use handler::Handler;

/// The stack's driver runs on one thread of its own per process; twice the speed of sharing the workers.
const REACTOR_THREADS: usize = 1;

/// How often a pair is checked during set-up; 200 ms by default.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Checks per pair before it is given up: 20 s of them, for NATs that open late.
const CHECKS_MAX: u16 = 1000;

/// The stream on which grants of [`super::credit`] travel.
const CREDIT_STREAM: u16 = 3;

/// Stack events waiting for the actor: candidates, states and channel openings, about 30 per set-up.
const STACK_EVENTS_MAX: usize = 512;

/// What TURN servers said, waiting for the actor: two servers, from each of a dozen addresses.
const ALLOCATIONS_MAX: usize = 64;

/// A link that was started: one handle to drive it, and one receiver per stream of what comes out of it.
#[derive(Debug)]
pub struct Link {
    /// Commands and outgoing frames.
    pub handle: LinkHandle,
    /// What happens to the link.
    pub events: EventReceiver,
    /// Frames from the peer's control channel. Must be read: when it is full, all channels wait.
    pub control: FrameReceiver,
    /// Frames from the peer's pulse channel. Must be read: when it is full, all channels wait.
    pub pulse: FrameReceiver,
    /// Frames from the peer's data channel; may be left unread, which stalls the peer's data only.
    pub data: FrameReceiver,
}

/// Starts links.
#[derive(Debug)]
pub struct LinkDriver;

impl LinkDriver {
    /// Opens sockets and builds a connection that waits for [`super::LinkCommand::Offer`] or
    /// [`super::LinkCommand::Answer`]. Takes about a millisecond; call it while waiting for the peer.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the configuration is out of bounds, or no socket or connection can be made.
    pub async fn start(config: LinkConfig) -> Result<Link, StartError> {
        Self::start_with(config).await.map(|(link, _)| link)
    }

    /// The same, with the connection itself.
    async fn start_with(config: LinkConfig) -> Result<(Link, Arc<dyn PeerConnection>), StartError> {
        config.validate()?;
        let request =
            BufferRequest { bytes: config.socket_buffer_bytes, force: config.socket_buffer_force };
        let granted = buffers::probe(request)?;
        let (report, allocations) = mpsc::channel(ALLOCATIONS_MAX);
        let mut runtime = LinkRuntime::new(request).with_allocations(report);
        if let Some(settings) = config.carrier {
            runtime = runtime.with_carrier(settings, config.rate_bytes_per_second_max);
        }
        let runtime = Arc::new(runtime);
        prefetch_servers(&runtime, &config);

        let (stack_sender, stack_events) = mpsc::channel(STACK_EVENTS_MAX);
        let window = config.receive_window_bytes(granted.receive_bytes);
        tracing::debug!(
            target: "rejoin::lifecycle",
            granted_bytes = granted.receive_bytes, window_bytes = window, sctp_mtu = config.sctp_packet_bytes(), "link started",
        );
        let connection = PeerConnectionBuilder::new()
            .with_configuration(configuration(&config))
            .with_setting_engine(setting_engine(&config, window))
            .with_runtime(Arc::<LinkRuntime>::clone(&runtime))
            .with_handler(Arc::new(Handler::new(stack_sender.clone())))
            .with_udp_addrs(vec![LocalAddresses { loopback_only: config.loopback_only }])
            .with_dedicated_reactor_pool_size(REACTOR_THREADS)
            .with_data_channel_send_buffer_limit(config.send_buffer_bytes)
            .build()
            .await
            .map_err(|error| StartError::Stack(error.to_string()))?;
        let connection: Arc<dyn PeerConnection> = Arc::new(connection);

        let channels = open_channels(&*connection).await?;
        quieten(&*channels.frames[usize::from(Channel::Data.stream_id())]).await?;
        let (link, pumps) = pump::start(&config, &channels, &runtime, &stack_sender);
        let same = Arc::clone(&connection);
        actor::start(connection, runtime, pumps, (stack_events, allocations), config);
        Ok((link, same))
    }
}

/// The data channels of a link: one per [`Channel`], and the one for credit.
struct Channels {
    frames: [Arc<dyn DataChannel>; 3],
    credit: Arc<dyn DataChannel>,
}

/// Creates the negotiated channels; they open when SCTP does, without a message of their own.
async fn open_channels(connection: &dyn PeerConnection) -> Result<Channels, StartError> {
    let open = async |label: &str, stream_id: u16, ordered: bool| {
        let init =
            RTCDataChannelInit { ordered, negotiated: Some(stream_id), ..Default::default() };
        let created = connection.create_data_channel(label, Some(init)).await;
        created.map_err(|error| StartError::Stack(error.to_string()))
    };
    let open_frames = async |channel: Channel| {
        open(channel.label(), channel.stream_id(), channel.is_ordered()).await
    };
    Ok(Channels {
        frames: [
            open_frames(Channel::Control).await?,
            open_frames(Channel::Pulse).await?,
            open_frames(Channel::Data).await?,
        ],
        credit: open("credit", CREDIT_STREAM, false).await?,
    })
}

/// Turns off `OnBufferedAmountLow`, which otherwise comes at every time the channel drains. Nobody reads the data channel
/// of a side that only sends, and 256 unread events on one channel stop the stack's reading on all.
async fn quieten(channel: &dyn DataChannel) -> Result<(), StartError> {
    let set = channel.set_buffered_amount_low_threshold(u32::MAX).await;
    set.map_err(|error| StartError::Stack(error.to_string()))
}

fn configuration(config: &LinkConfig) -> RTCConfiguration {
    let mut servers = Vec::new();
    if config.path_policy != PathPolicy::RelayOnly && !config.stun_urls.is_empty() {
        servers.push(RTCIceServer { urls: config.stun_urls.clone(), ..Default::default() });
    }
    if config.path_policy != PathPolicy::DirectOnly {
        servers.extend(config.turn_servers.iter().map(|server| RTCIceServer {
            urls: vec![server.url.clone()],
            username: server.username.clone(),
            credential: server.password.clone(),
        }));
    }
    let policy = match config.path_policy {
        PathPolicy::All | PathPolicy::DirectOnly => RTCIceTransportPolicy::All,
        PathPolicy::RelayOnly => RTCIceTransportPolicy::Relay,
    };
    RTCConfigurationBuilder::new()
        .with_ice_servers(servers)
        .with_ice_transport_policy(policy)
        .build()
}

fn setting_engine(config: &LinkConfig, window: u32) -> SettingEngine {
    SettingEngineBuilder::new()
        .with_sctp_mtu(u32::from(config.sctp_packet_bytes()))
        .with_sctp_max_receive_buffer_size(window)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(FRAME_BYTES_MAX as u32))
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS_MAX))
        // The peer's check may come before its candidate; nothing is gained by waiting a second for the latter.
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        // The side that nominates speaks first: a ClientHello before that is lost and costs a second.
        .with_answering_dtls_role(RTCDtlsRole::Server)
        // Two seconds in which a direct pair may win; where there can be none, they are only lost.
        .with_relay_acceptance_min_wait(
            (config.path_policy == PathPolicy::RelayOnly).then_some(Duration::ZERO),
        )
        // mDNS needs a route, and our candidates travel sealed.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        // An ICE restart binds new sockets, so the old ones' candidates must go.
        .with_discard_local_candidates_during_ice_restart(true)
        .build()
}

/// `name:port` of a server.
fn server_host(url: &str) -> Option<String> {
    let url = rtc::ice::url::Url::parse_url(url).ok()?;
    let is_v6 = url.host.contains(':');
    let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
    Some(format!("{open}{}{close}:{}", url.host, url.port))
}

/// Resolves the servers' names while the peer is still awaited.
fn prefetch_servers(runtime: &Arc<LinkRuntime>, config: &LinkConfig) {
    let turn = config.turn_servers.iter().map(|server| &server.url);
    for url in config.stun_urls.iter().chain(turn) {
        let Some(host) = server_host(url) else {
            tracing::warn!(target: "rejoin::ice", url, "server URL not understood");
            continue;
        };
        let runtime = Arc::clone(runtime);
        tokio::spawn(async move { runtime.prefetch(&host).await });
    }
}

#[cfg(test)]
mod tests;
