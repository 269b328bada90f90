//! How a session gets its link back: what reaches the layers of [`crate::session::recovery`], and what comes of them.

use super::{DiskLoad, Meeting, Session, SessionOutput, Transfer, Up};
use crate::event::{Event, FRAGMENTED, Layer, LinkState};
use crate::link::LinkEvent;
use crate::link::health::Health;
use crate::link::quality::{Quality, Verdict};
use crate::options::Timing;
use crate::session::recovery::{IceOutput, IceRestart};
use crate::signal::message::SignalMessage;
use crate::time::Instant;
use crate::transfer::message::Message;
use crate::wire::Channel;
use std::net::IpAddr;
use std::time::Duration;

/// Tries to reach a host that the schedule of layer B counts before it only repeats itself (S-06).
const HOST_TRIES: u32 = 5;

/// How long units may be due and not come before a receiver tries a new connection, at most: a user may want it sooner.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a side says that its disk keeps the other one waiting: some times within [`STALL_TIMEOUT`].
const BUSY_INTERVAL: Duration = Duration::from_secs(5);

/// More than the pings and path checks of that time: a frame is on its way, slowly. 56 kbit/s bring 105 kB in it.
const STALL_BYTES: u64 = 16 * 1024;

impl Up {
    /// A link that came up when so many bytes were settled.
    pub(super) fn new(timing: &Timing, settled: u64, now: Instant) -> Self {
        Self {
            health: Health::new(timing.ping_interval, timing.ping_misses, now),
            quality: Quality::new(settled, now),
            assemblers: Default::default(),
            due_since: None,
            settled,
            delivered: 0,
            inbound: 0,
            received: 0,
            doubt: None,
            is_ending: false,
            busy_at: None,
        }
    }
}

impl Session {
    /// With other intervals and tries than the usual ones.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self.ice = IceRestart::new(matches!(self.meeting, Meeting::Joining(_)), &timing);
        if let Meeting::Joining(joining) = &mut self.meeting {
            joining.set_timing(&timing);
        }
        self
    }

    /// The host could not be reached, or its socket broke; the next try comes after `retry_in`.
    pub fn handle_host_retry(&mut self, retry_in: Duration, now: Instant) {
        // Before there was a link, the one who waits for the host says so.
        if self.up.is_none() && self.lost_at.is_none() {
            return;
        }
        let (attempt, _) = self.host_away.get_or_insert((0, now));
        *attempt = attempt.saturating_add(1);
        let attempt = *attempt;
        let delay_ms = millis(retry_in);
        self.event(Event::Reconnecting { layer: Layer::Host, attempt, of: HOST_TRIES, delay_ms });
    }

    /// No host can be reached, for the reasons in `what`. Before there was a link, it is told once that it is waited for.
    pub fn handle_host_unreachable(&mut self, what: String) {
        if self.up.is_some() {
            return;
        }
        let is_told = self.unreachable.replace(what.clone()).is_some() || self.lost_at.is_some();
        if !is_told {
            let message = if self.has_everything() {
                format!(
                    "{what}; everything that was sent before is here, so the sender is not waited for long"
                )
            } else if self.is_paired() {
                format!("{what}; trying on for {}", in_words(self.retry_for))
            } else {
                format!("{what}; trying on")
            };
            self.event(Event::Warning { code: "host_unreachable".to_owned(), message });
        }
    }

    /// The addresses of this machine, whenever they change.
    pub fn handle_addresses(&mut self, addresses: Vec<IpAddr>, now: Instant) {
        let is_new = |address: &IpAddr| !self.addresses.contains(address);
        let has_come = !self.addresses.is_empty() && addresses.iter().any(is_new);
        let was_ours = self.local.is_some_and(|local| self.addresses.contains(&local));
        let is_gone = was_ours && self.local.is_some_and(|local| !addresses.contains(&local));
        tracing::info!(target: "rejoin::resource", count = addresses.len(), has_come, is_gone, "addresses changed");
        self.addresses = addresses;
        if is_gone {
            self.ice.handle_address_gone(now);
        }
        if has_come {
            self.on_evidence(now);
        }
        self.drain(now);
    }

    /// The machine slept, or this process was stopped: what is known of link and host is old.
    pub fn handle_wake(&mut self, away: Duration, now: Instant) {
        tracing::info!(target: "rejoin::activity", ?away, "awake again");
        // What came meanwhile was not heard yet.
        if let Some(up) = &mut self.up {
            up.due_since = up.due_since.map(|_| now);
            if let Some(doubt) = &mut up.doubt {
                doubt.handle_activity(now);
            }
        }
        self.ping(now);
        self.on_evidence(now);
        self.drain(now);
    }

    /// A person wants the path renewed (K-16).
    pub fn handle_restart(&mut self, now: Instant) {
        if self.up.is_some() {
            self.ice.handle_request(now);
        } else {
            self.on_evidence(now);
        }
        self.drain(now);
    }

    /// Bytes of the data channel that the peer's end of the connection has, in all, and whether more are under way.
    pub fn handle_delivery(&mut self, acknowledged: u64, is_busy: bool, now: Instant) {
        let Some(up) = &mut self.up else { return };
        if acknowledged > std::mem::replace(&mut up.delivered, acknowledged) {
            up.due_since = up.due_since.map(|_| now);
        }
        if let Some(window) = up.quality.handle_delivery(acknowledged, is_busy, now) {
            // What waits in the stack stands before every word of control: a second of it is enough (design §5).
            let limit = window.min(self.timing.buffer_limit);
            self.outputs.push_back(SessionOutput::SendLimit(limit));
        }
    }

    /// Datagrams are cut on their way: the path takes `path_bytes`, where that is known. Said once.
    pub fn handle_fragmented(&mut self, path_bytes: Option<u32>) {
        if self.up.is_none() || std::mem::replace(&mut self.is_fragmented, true) {
            return;
        }
        let message = match path_bytes {
            Some(bytes) => format!("the path takes {bytes} bytes; datagrams are fragmented"),
            None => "the path takes fewer than 1,228 bytes; datagrams are fragmented".to_owned(),
        };
        self.event(Event::Warning { code: FRAGMENTED.to_owned(), message });
    }

    /// Bytes of the data channel that the link took and did not send: when it is lost, they went nowhere.
    pub fn handle_unsent(&mut self, bytes: u64) {
        if let (Some(_), Transfer::Sender(sender)) = (&self.up, &mut self.transfer) {
            sender.handle_unsent(bytes);
        }
    }

    /// Descriptions that were late, repeated or foreign, and were dropped (X2).
    #[must_use]
    pub const fn stale_answers(&self) -> u64 {
        let meeting = match &self.meeting {
            Meeting::Opening(_) => 0,
            Meeting::Joining(joining) => joining.stale_answers(),
        };
        meeting + self.ice.dropped()
    }

    pub(super) fn on_host_up(&mut self, now: Instant) {
        self.presence.handle_host_up();
        self.unreachable = None;
        if let Some((_, since)) = self.host_away.take() {
            let after = now.saturating_duration_since(since);
            let kept_bytes = self.progress().bytes;
            let (layer, after_ms) = (Layer::Host, millis(after));
            self.say_back(layer, after_ms, kept_bytes, 0);
        }
        if let Meeting::Joining(joining) = &mut self.meeting {
            joining.handle_evidence(now);
        }
    }

    pub(super) fn on_host_down(&mut self, now: Instant) {
        self.presence.handle_host_down();
        self.on_presence(now);
    }

    /// Who is at the host may have changed.
    pub(super) fn on_presence(&mut self, now: Instant) {
        let is_reachable = self.presence.is_reachable();
        self.ice.set_reachable(is_reachable && self.up.is_some(), now);
        if let Meeting::Joining(joining) = &mut self.meeting {
            joining.set_reachable(is_reachable, now);
        }
    }

    /// Takes what concerns the path of the link that is up; gives back what is the meeting's.
    pub(super) fn on_path_event(&mut self, event: LinkEvent, now: Instant) -> Option<LinkEvent> {
        match event {
            LinkEvent::LocalDescription { sdp, ice_restart: true } => {
                self.ice.handle_description(sdp, now);
                None
            }
            LinkEvent::Ice(state) => {
                if self.up.is_some() {
                    self.ice.handle_ice(state, now);
                }
                Some(event)
            }
            LinkEvent::Path(ref path) => {
                self.local = Some(path.local.ip());
                if let (Some(up), Some(rtt)) = (&mut self.up, path.rtt) {
                    up.quality.handle_rtt(rtt);
                }
                Some(event)
            }
            LinkEvent::LocalDescription { .. }
            | LinkEvent::LocalCandidate(_)
            | LinkEvent::CandidatesEnd
            | LinkEvent::Secured
            | LinkEvent::Open
            | LinkEvent::Allocation { .. }
            | LinkEvent::Closed { .. } => Some(event),
        }
    }

    /// The peer speaks of the path.
    pub(super) fn on_restart(&mut self, message: SignalMessage, now: Instant) {
        match message {
            SignalMessage::RestartOffer { generation, sdp } => {
                self.ice.handle_offer(generation, sdp, now);
            }
            SignalMessage::RestartAnswer { generation, sdp } => {
                self.ice.handle_answer(generation, sdp, now);
            }
            SignalMessage::RestartRequest => self.ice.handle_request(now),
            SignalMessage::Offer { .. }
            | SignalMessage::Answer { .. }
            | SignalMessage::Candidate { .. }
            | SignalMessage::CandidatesEnd { .. }
            | SignalMessage::ReconnectOffer { .. }
            | SignalMessage::ReconnectAnswer { .. }
            | SignalMessage::Stored
            | SignalMessage::Bye { .. } => {}
        }
    }

    pub(super) fn apply_ice(&mut self, output: IceOutput, now: Instant) {
        match output {
            IceOutput::Link(command) => self.outputs.push_back(SessionOutput::Link(command)),
            IceOutput::Signal(message) => {
                let is_sent = match &mut self.meeting {
                    Meeting::Opening(opening) => opening.send(&message),
                    Meeting::Joining(joining) => joining.send(&message),
                };
                tracing::debug!(target: "rejoin::ice_restart", ?message, is_sent, "restart");
            }
            IceOutput::Ping => self.ping(now),
            IceOutput::Lost(reason) => {
                tracing::info!(target: "rejoin::ice", reason, "the path is lost");
                self.set_state(LinkState::Disconnected, reason, now);
            }
            IceOutput::Restarting { attempt, of } => {
                tracing::info!(target: "rejoin::ice_restart", attempt, of, "restarting ICE");
                self.event(Event::Reconnecting { layer: Layer::Ice, attempt, of, delay_ms: 0 });
            }
            IceOutput::Recovered { after } => {
                self.set_state(LinkState::Connected, "", now);
                self.say_back(Layer::Ice, millis(after), self.progress().bytes, 0);
            }
            IceOutput::GiveUp(reason) => self.on_dead(reason, now),
        }
    }

    /// Warns of a poor link, and has prepared what its successor needs. It never ends one that makes progress.
    pub(super) fn watch_quality(&mut self, now: Instant) {
        let verified = self.progress().bytes;
        let Some(up) = &mut self.up else { return };
        let rtt = up.health.rtt();
        match up.quality.handle_timeout(rtt, verified, up.due_since, now) {
            Some(Verdict::Poor(score)) => {
                tracing::info!(target: "rejoin::activity", score, "the link is poor");
                self.outputs.push_back(SessionOutput::Prepare);
                self.event(Event::Warning {
                    code: "link_poor".to_owned(),
                    message: "the connection is poor; it goes on, and another one is prepared"
                        .to_owned(),
                });
            }
            Some(Verdict::Good(score)) => {
                tracing::info!(target: "rejoin::activity", score, "the link is good again");
            }
            None => {}
        }
    }

    /// What our store has to do.
    pub fn handle_disk_load(&mut self, load: DiskLoad, now: Instant) {
        self.disk = load;
        self.watch_stall(now);
    }

    /// Notes since when the other side owes what does not come (FileSync PR #47): units that are due, to a receiver; to a
    /// sender, that what it sends is taken and acknowledged. Not while our own disk is at work, which is what is waited for
    /// then, nor while the path is, which has deadlines of its own. A side also notes since when its own disk keeps the
    /// other one waiting.
    pub(super) fn watch_stall(&mut self, now: Instant) {
        let (is_due, is_busy) = match &self.transfer {
            Transfer::Receiver(receiver) => {
                let is_due = receiver.is_expecting() && !receiver.is_backlogged();
                (is_due && !self.disk.is_busy(), self.disk.is_busy())
            }
            Transfer::Sender(sender) => {
                (sender.is_sending(), self.disk.is_busy() && !sender.has_frame())
            }
            Transfer::Unpaired(_) => (false, false),
        };
        let is_due = is_due && self.ice.is_steady();
        if let Some(up) = &mut self.up {
            up.due_since = is_due.then(|| up.due_since.unwrap_or(now));
            up.busy_at = is_busy.then(|| up.busy_at.unwrap_or(now + BUSY_INTERVAL));
        }
    }

    /// A side whose disk takes its time says so, now and then: the other one takes a link on which nothing comes for dead.
    pub(super) fn say_busy(&mut self, now: Instant) {
        let Some(up) = &mut self.up else { return };
        if up.busy_at.is_some_and(|at| now >= at) {
            up.busy_at = Some(now + BUSY_INTERVAL);
            self.send(Channel::Control, &Message::Busy);
        }
    }

    /// Bytes that the link's sockets have received so far: a frame counts only when it is whole.
    pub fn handle_inbound(&mut self, bytes: u64, now: Instant) {
        let Some(up) = &mut self.up else { return };
        if bytes > std::mem::replace(&mut up.received, bytes)
            && let Some(doubt) = &mut up.doubt
        {
            doubt.handle_activity(now);
        }
        // What comes to a sender is no content: it counts by what is said in it.
        if matches!(self.transfer, Transfer::Sender(_)) {
            return;
        }
        if up.due_since.is_none() || bytes >= up.inbound.saturating_add(STALL_BYTES) {
            up.due_since = up.due_since.map(|_| now);
            up.inbound = bytes;
        }
    }

    /// When the other side has owed something for too long. `--stall-timeout` is the user's bound on either side; a receiver,
    /// which asks for what is missing by a new connection, has one of its own below it.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        let most = match &self.transfer {
            Transfer::Sender(_) => Duration::MAX,
            Transfer::Receiver(_) | Transfer::Unpaired(_) => STALL_TIMEOUT,
        };
        self.up.as_ref()?.due_since?.checked_add(self.timing.stall_timeout.min(most))
    }

    /// What is wrong with a link on which nothing of what is owed comes.
    pub(super) const fn stalled(&self) -> &'static str {
        match &self.transfer {
            Transfer::Sender(_) => "nothing was acknowledged for too long",
            Transfer::Receiver(_) | Transfer::Unpaired(_) => {
                "nothing of what is due came for too long"
            }
        }
    }

    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.stalls_at().is_some_and(|at| now >= at)
    }

    pub(super) fn on_stalled(&mut self, now: Instant) {
        let reason = self.stalled();
        let is_useless = self.up.as_ref().is_some_and(|up| up.settled == self.progress().bytes);
        match &mut self.meeting {
            Meeting::Joining(joining) if is_useless => joining.handle_useless(reason, now),
            Meeting::Joining(_) | Meeting::Opening(_) => self.on_dead(reason, now),
        }
    }

    /// What went over the wire and is not known to be durable.
    pub(super) fn bytes_at_stake(&self) -> u64 {
        match &self.transfer {
            Transfer::Sender(sender) => sender.unacked_bytes(),
            Transfer::Receiver(receiver) => receiver.unsettled_bytes(),
            Transfer::Unpaired(_) => 0,
        }
    }

    fn on_evidence(&mut self, now: Instant) {
        self.outputs.push_back(SessionOutput::RetryHost);
        if let Meeting::Joining(joining) = &mut self.meeting {
            joining.handle_evidence(now);
        }
    }

    pub(super) fn ping(&mut self, now: Instant) {
        if let Some(up) = &mut self.up {
            let number = up.health.ping_now(now);
            self.send(Channel::Pulse, &Message::Ping { number });
        }
    }
}

/// A time that a user gave, for a person.
fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        1 => "1 second".to_owned(),
        seconds => format!("{seconds} seconds"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
