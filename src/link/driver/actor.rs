//! The one task that owns a link's negotiation, from the first command to the goodbye.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rtc::peer_connection::configuration::RTCOfferOptions;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use webrtc::peer_connection::{
    PeerConnection, RTCIceCandidate, RTCIceCandidateInit, RTCIceCandidateType,
    RTCSessionDescription, StatsSelector,
};

use super::handler::StackEvent;
use super::pump::{self, Pumps};
use crate::link::allocation::Allocation;
use crate::link::candidates::{EarlyCandidates, RemoteCandidates};
use crate::link::socket::{LinkRuntime, LocalAddresses, WakeMode};
use crate::link::{
    Candidate, Channel, CloseReason, IceState, LinkCommand, LinkConfig, LinkEvent, PathKind,
    PathPolicy, PathReport, TurnServer,
};

/// How long a description waits for its host candidates. They need no network, only the names of the servers resolved.
const HOST_CANDIDATES_WAIT: Duration = Duration::from_secs(2);

/// K-41: how long what is queued on control and pulse may take to arrive before the link closes without it.
const DRAIN_BUDGET: Duration = Duration::from_secs(3);

/// K-41: how long the stack may take to close.
const CONNECTION_BUDGET: Duration = Duration::from_secs(5);

/// Channels that report their opening. The data channel has no pump, but opens with the others.
const CHANNELS: usize = 3;

/// Starts the actor.
pub(super) fn start(
    connection: Arc<dyn PeerConnection>,
    runtime: Arc<LinkRuntime>,
    pumps: Pumps,
    (stack, allocations): (mpsc::Receiver<StackEvent>, Allocations),
    config: LinkConfig,
) {
    let actor = Actor {
        connection,
        runtime,
        pumps,
        early: EarlyCandidates::default(),
        remote: RemoteCandidates::default(),
        has_remote: false,
        describing: None,
        channels_open: 0,
        ice: IceState::New,
        answered: Vec::new(),
        config,
    };
    // The stack's code runs on this task, too: on what the peer's descriptions and candidates say.
    let (shared, events) = (Arc::clone(&actor.pumps.shared), actor.pumps.events.clone());
    let (done, tasks) = (actor.pumps.done.clone(), actor.pumps.tasks.clone());
    tokio::spawn(async move {
        if AssertUnwindSafe(actor.run(stack, allocations)).catch_unwind().await.is_err() {
            tracing::error!(target: "rejoin::lifecycle", "the actor of the link panicked");
            shared.shut();
            tasks.iter().for_each(AbortHandle::abort);
            let reason = panicked();
            // Full: the owner reads nothing any more.
            let _ = events.try_send(LinkEvent::Closed { reason });
            done.send_replace(true);
        }
    });
}

fn panicked() -> CloseReason {
    CloseReason::Transport("panic in the WebRTC stack".to_owned())
}

/// A description that was applied and waits for its host candidates.
struct Describing {
    ice_restart: bool,
    hosts: usize,
    deadline: tokio::time::Instant,
}

struct Actor {
    connection: Arc<dyn PeerConnection>,
    runtime: Arc<LinkRuntime>,
    pumps: Pumps,
    early: EarlyCandidates,
    remote: RemoteCandidates,
    has_remote: bool,
    describing: Option<Describing>,
    channels_open: usize,
    ice: IceState,
    /// TURN servers whose word about the present gathering was passed on.
    answered: Vec<String>,
    config: LinkConfig,
}

/// What TURN servers say, by their addresses.
type Allocations = mpsc::Receiver<(SocketAddr, Allocation)>;

/// Why the actor stops; carried by `?` out of a command.
type Step = Result<(), CloseReason>;

impl Actor {
    async fn run(mut self, mut stack: mpsc::Receiver<StackEvent>, mut allocations: Allocations) {
        let reason = loop {
            let deadline = self.describing.as_ref().map(|describing| describing.deadline);
            let step = tokio::select! {
                // In this order: what a server said is heard before the end of the gathering that it was part of.
                biased;
                () = self.runtime.panics().panicked() => Err(panicked()),
                Some((server, outcome)) = allocations.recv() => {
                    self.on_allocation(server, outcome);
                    Ok(())
                }
                command = self.pumps.commands.recv() => {
                    self.on_command(command.unwrap_or(LinkCommand::Close)).await
                }
                event = stack.recv() => match event {
                    Some(event) => self.on_stack(event).await,
                    None => Err(CloseReason::Transport("stack stopped".to_owned())),
                },
                () = sleep_until(deadline) => self.give_description().await,
            };
            if let Err(reason) = step {
                break reason;
            }
        };
        self.close(reason).await;
    }

    async fn on_command(&mut self, command: LinkCommand) -> Step {
        match command {
            LinkCommand::Offer => self.offer(false).await,
            LinkCommand::RestartIce => self.offer(true).await,
            LinkCommand::Answer { offer } => self.answer(offer).await,
            LinkCommand::AcceptAnswer { answer } => {
                let answer = self.look_at_remote(&answer);
                let answer = RTCSessionDescription::answer(answer).map_err(negotiation)?;
                self.set_remote(answer).await
            }
            LinkCommand::AddCandidate(candidate) => {
                if self.has_remote {
                    self.add_candidate(candidate).await;
                } else {
                    self.early.handle_candidate(candidate, Instant::now());
                }
                Ok(())
            }
            LinkCommand::Carry(tokens) => {
                self.runtime.carry(tokens);
                Ok(())
            }
            LinkCommand::SetTurnServers(servers) => self.set_turn_servers(servers).await,
            LinkCommand::Close => Err(CloseReason::Local),
            LinkCommand::CloseNow => Err(CloseReason::LocalNow),
        }
    }

    /// Only what is gathered later uses them: an allocation keeps the user name it was made with (RFC 8656 §7.2, 441).
    async fn set_turn_servers(&mut self, servers: Vec<TurnServer>) -> Step {
        self.config.turn_servers = servers;
        let configuration = super::configuration(&self.config);
        self.connection.set_configuration(configuration).await.map_err(negotiation)
    }

    fn on_allocation(&mut self, server: SocketAddr, outcome: Allocation) {
        for turn in &self.config.turn_servers {
            let Some(host) = super::server_host(&turn.url) else { continue };
            if self.runtime.resolved(&host).contains(&server) {
                let url = turn.url.clone();
                return self.tell_allocation(url, outcome);
            }
        }
    }

    /// A server that is asked from several addresses says it once; what it grants once it may refuse another address.
    fn tell_allocation(&mut self, url: String, outcome: Allocation) {
        if !self.answered.contains(&url) {
            self.answered.push(url.clone());
            self.emit(LinkEvent::Allocation { url, outcome });
        }
    }

    async fn offer(&mut self, ice_restart: bool) -> Step {
        self.runtime.set_wake_mode(self.set_up_mode());
        let options = RTCOfferOptions { ice_restart };
        let offer = self.connection.create_offer(Some(options)).await.map_err(negotiation)?;
        self.set_local(offer, ice_restart).await
    }

    /// While it is not known which path it will be, any server may be the way.
    fn set_up_mode(&self) -> WakeMode {
        let has_turn = !self.config.turn_servers.is_empty()
            && self.config.path_policy != PathPolicy::DirectOnly;
        if has_turn { WakeMode::Relayed } else { WakeMode::EveryDatagram }
    }

    async fn answer(&mut self, offer: String) -> Step {
        self.runtime.set_wake_mode(self.set_up_mode());
        let ice_restart = self.has_remote;
        let offer = self.look_at_remote(&offer);
        let offer = RTCSessionDescription::offer(offer).map_err(negotiation)?;
        self.set_remote(offer).await?;
        let answer = self.connection.create_answer(None).await.map_err(negotiation)?;
        self.set_local(answer, ice_restart).await
    }

    async fn set_local(&mut self, description: RTCSessionDescription, ice_restart: bool) -> Step {
        self.runtime.set_local_description(&description.sdp);
        // Before the call: gathering may be done before it returns.
        self.answered.clear();
        self.describing = Some(Describing {
            ice_restart,
            hosts: 0,
            deadline: tokio::time::Instant::now() + HOST_CANDIDATES_WAIT,
        });
        self.connection.set_local_description(description).await.map_err(negotiation)
    }

    /// What of the peer's description the stack gets: without candidates that are not used.
    fn look_at_remote(&mut self, sdp: &str) -> String {
        let own = LocalAddresses { loopback_only: self.config.loopback_only }.now();
        let sdp = self.remote.describe(sdp, &own, self.has_local_server());
        if self.remote.refused() > 0 {
            let refused = self.remote.refused();
            tracing::debug!(target: "rejoin::ice", refused, "remote candidates not used");
        }
        self.runtime.set_remote_description(&sdp);
        sdp
    }

    /// Whether a TURN server of ours is on this machine: what it relays is, too.
    fn has_local_server(&self) -> bool {
        let hosts =
            self.config.turn_servers.iter().filter_map(|server| super::server_host(&server.url));
        hosts
            .into_iter()
            .flat_map(|host| self.runtime.resolved(&host))
            .any(|server| server.ip().is_loopback())
    }

    async fn set_remote(&mut self, description: RTCSessionDescription) -> Step {
        self.connection.set_remote_description(description).await.map_err(negotiation)?;
        self.has_remote = true;
        for candidate in self.early.take(Instant::now()) {
            self.add_candidate(candidate).await;
        }
        Ok(())
    }

    /// A candidate that cannot be used is one path less, not the end of the link.
    async fn add_candidate(&mut self, candidate: Candidate) {
        let Some(taken) = self.remote.take(&candidate.candidate) else {
            let refused = self.remote.refused();
            if refused.is_power_of_two() {
                tracing::debug!(target: "rejoin::ice", refused, "remote candidates not used");
            }
            return;
        };
        let init = RTCIceCandidateInit {
            candidate: taken,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
            ..Default::default()
        };
        if let Err(error) = self.connection.add_ice_candidate(init).await {
            tracing::warn!(target: "rejoin::ice", %error, "remote candidate refused");
        }
        // The stack does not wake its driver for it.
        self.runtime.wake();
    }

    async fn on_stack(&mut self, event: StackEvent) -> Step {
        match event {
            StackEvent::Candidate { candidate, is_host } => match &mut self.describing {
                Some(describing) => {
                    describing.hosts += usize::from(is_host);
                    if describing.hosts >= self.runtime.sockets() {
                        self.give_description().await?;
                    }
                }
                None => self.emit(LinkEvent::LocalCandidate(candidate)),
            },
            StackEvent::CandidatesEnd => {
                self.give_description().await?;
                self.tell_silent();
                self.emit(LinkEvent::CandidatesEnd);
            }
            StackEvent::Ice(state) => self.on_ice(state).await,
            StackEvent::Secured => {
                self.runtime.wake();
                self.emit(LinkEvent::Secured);
            }
            // ICE that failed may be restarted; that is the owner's decision.
            StackEvent::ConnectionFailed if self.ice == IceState::Failed => {}
            StackEvent::ConnectionFailed => {
                return Err(CloseReason::Transport("DTLS handshake failed".to_owned()));
            }
            StackEvent::Opened => {
                self.channels_open += 1;
                if self.channels_open == CHANNELS {
                    self.runtime.set_open();
                    self.runtime.set_wake_mode(WakeMode::OnRequest);
                    self.pumps.shared.opened.send_replace(true);
                    self.emit(LinkEvent::Open);
                    self.report_path().await;
                }
            }
            StackEvent::Ended(reason) => return Err(reason),
        }
        Ok(())
    }

    async fn on_ice(&mut self, state: IceState) {
        if std::mem::replace(&mut self.ice, state) == state {
            return;
        }
        tracing::debug!(target: "rejoin::ice", ?state, "ICE state");
        self.emit(LinkEvent::Ice(state));
        if state == IceState::Connected && self.is_open() {
            self.runtime.set_wake_mode(WakeMode::OnRequest);
            self.report_path().await;
        }
    }

    fn is_open(&self) -> bool {
        self.channels_open >= CHANNELS
    }

    /// Gives out the description that waits, with the candidates found so far inside.
    async fn give_description(&mut self) -> Step {
        let Some(describing) = self.describing.take() else {
            return Ok(());
        };
        let Some(description) = self.connection.local_description().await else {
            return Err(CloseReason::Negotiation("no local description".to_owned()));
        };
        self.emit(LinkEvent::LocalDescription {
            sdp: description.sdp,
            ice_restart: describing.ice_restart,
        });
        Ok(())
    }

    /// Servers that let the whole gathering pass without a word.
    fn tell_silent(&mut self) {
        if self.config.path_policy == PathPolicy::DirectOnly {
            return;
        }
        for turn in self.config.turn_servers.clone() {
            self.tell_allocation(turn.url, Allocation::Silent);
        }
    }

    async fn report_path(&self) {
        match self.path().await {
            Some(path) => {
                self.runtime.look_at_path(path.local.ip(), path.remote);
                if path.kind == PathKind::Relay {
                    self.runtime.set_wake_mode(WakeMode::Relayed);
                }
                self.emit(LinkEvent::Path(path));
            }
            None => tracing::debug!(target: "rejoin::ice", "no nominated pair to report"),
        }
    }

    async fn path(&self) -> Option<PathReport> {
        let sctp = self.connection.sctp().await?;
        let ice = sctp.transport().ice_transport();
        let pair = ice.get_selected_candidate_pair().await.ok()??;
        let is_relay = |candidate: &RTCIceCandidate| candidate.typ == RTCIceCandidateType::Relay;
        let kind = if is_relay(pair.local()) || is_relay(pair.remote()) {
            PathKind::Relay
        } else {
            PathKind::Direct
        };
        let stats = self.connection.get_stats(Instant::now(), StatsSelector::None).await;
        let rtt = stats
            .candidate_pairs()
            .find(|pair| pair.nominated)
            .map(|pair| pair.current_round_trip_time);
        Some(PathReport {
            kind,
            local: address(pair.local())?,
            remote: address(pair.remote())?,
            rtt: rtt
                .filter(|seconds| *seconds > 0.0)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }

    fn emit(&self, event: LinkEvent) {
        // An owner that dropped its receiver, or reads none of a thousand events, is not waited for.
        if let Err(mpsc::error::TrySendError::Full(event)) = self.pumps.events.try_send(event) {
            tracing::error!(target: "rejoin::lifecycle", ?event, "events are not read, one lost");
        }
    }

    async fn close(self, reason: CloseReason) {
        self.pumps.shared.shut();
        // Whoever did not ask for it goes on at once, with the reason: what is left of the connection ends by itself.
        let is_asked_for = matches!(reason, CloseReason::Local | CloseReason::LocalNow);
        if !is_asked_for {
            self.emit(LinkEvent::Closed { reason: reason.clone() });
        }
        if reason == CloseReason::Local && self.is_open() && self.ice == IceState::Connected {
            let drain = async {
                for channel in [Channel::Pulse, Channel::Control] {
                    let data_channel = &self.pumps.channels[usize::from(channel.stream_id())];
                    pump::drained(&**data_channel, self.pumps.shared.outgoing(channel)).await;
                }
            };
            if tokio::time::timeout(DRAIN_BUDGET, drain).await.is_err() {
                tracing::info!(target: "rejoin::lifecycle", "closed before everything was delivered");
            }
        }
        // `close()` waits by the same sleep that we wake.
        self.runtime.set_wake_mode(WakeMode::Never);
        let connection = Arc::clone(&self.connection);
        // On a task of its own: a stack that panicked may do it again.
        let closing = tokio::spawn(async move { connection.close().await });
        match tokio::time::timeout(CONNECTION_BUDGET, closing).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::debug!(target: "rejoin::lifecycle", %error, "connection did not close cleanly");
            }
            Ok(Err(error)) => {
                tracing::error!(target: "rejoin::lifecycle", %error, "connection did not close");
            }
            Err(_) => {
                tracing::warn!(target: "rejoin::lifecycle", "connection did not close in time")
            }
        }
        for task in &self.pumps.tasks {
            task.abort();
        }
        tracing::debug!(target: "rejoin::lifecycle", %reason, "link closed");
        if is_asked_for {
            self.emit(LinkEvent::Closed { reason });
        }
        self.pumps.done.send_replace(true);
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn negotiation(error: webrtc::error::Error) -> CloseReason {
    CloseReason::Negotiation(error.to_string())
}

fn address(candidate: &RTCIceCandidate) -> Option<SocketAddr> {
    let address: IpAddr = candidate.address.parse().ok()?;
    Some(SocketAddr::new(address, candidate.port))
}
