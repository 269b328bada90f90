//! A session as one pure machine: meeting, health of the link, and transfer, wired together.
//!
//! It owns every decision of a run. The loop around it (`run`) carries out what it asks for, and a simulator
//! can do the same in virtual time.

mod layers;
mod leaving;
mod output;
mod state;
mod told;
mod waiting;

pub use output::SessionOutput;
pub use state::DiskLoad;

use leaving::Doubt;
use waiting::Waiting;

use super::meeting::{Joining, MeetingOutput, Opening};
use super::recovery::{IceRestart, Presence};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Layer, LinkState, Path};
use crate::link::health::{Health, HealthAction};
use crate::link::quality::Quality;
use crate::link::{LinkEvent, PathKind};
use crate::options::Timing;
use crate::signal::protocol::HostMessage;
use crate::time::Instant;
use crate::transfer::disk::{ScanReport, SourceReply, TargetReply, TargetState};
use crate::transfer::message::Message;
use crate::transfer::receiver::{Receiver, ReceiverConfig, ReceiverOutput};
use crate::transfer::sender::{Sender, SenderOutput};
use crate::wire::frame::{Assembler, Frame};
use crate::wire::{Channel, SessionId};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

#[derive(Debug)]
enum Meeting {
    Opening(Box<Opening>),
    Joining(Box<Joining>),
}

#[derive(Debug)]
enum Transfer {
    Sender(Box<Sender>),
    Receiver(Box<Receiver>),
    /// A receiver that has not met its sender yet.
    Unpaired(ReceiverConfig),
}

/// A link that is up.
#[derive(Debug)]
struct Up {
    health: Health,
    quality: Quality,
    assemblers: [Assembler; 3],
    /// Since when the other side owes something and nothing of it came.
    due_since: Option<Instant>,
    /// Bytes that were settled when it came up.
    settled: u64,
    /// Bytes of the data channel that the other end has.
    delivered: u64,
    /// Bytes received when `due_since` was set.
    inbound: u64,
    /// Bytes received so far.
    received: u64,
    doubt: Option<Doubt>,
    /// Whether a last word was said, or heard: there is no other after it.
    is_ending: bool,
    /// When a side that waits for its disk says so.
    busy_at: Option<Instant>,
}

/// The machine of one run.
#[derive(Debug)]
pub struct Session {
    meeting: Meeting,
    transfer: Transfer,
    up: Option<Up>,
    timing: Timing,
    presence: Presence,
    ice: IceRestart,
    /// Whether the user was told that datagrams are cut on their way.
    is_fragmented: bool,
    /// The name that the other side gives itself.
    peer_name: String,
    /// How the other side left, while it is waited for.
    left: Option<String>,
    /// Where this side writes, for a person.
    place: String,
    /// What our store has to do.
    disk: DiskLoad,
    /// Our end of the nominated pair.
    local: Option<IpAddr>,
    /// Addresses of this machine, as last told; none yet: nothing was.
    addresses: Vec<IpAddr>,
    /// Tries to reach the host again, and since when it is away.
    host_away: Option<(u32, Instant)>,
    /// What had to move again when the link was lost.
    at_stake: u64,
    started_at: Instant,
    link_started_at: Option<Instant>,
    lost_at: Option<Instant>,
    /// A sender's connection that is back: after how long and what moves again, until the receiver says what it kept.
    back: Option<(u64, u64)>,
    /// Since when a sender waits for a receiver that it knows.
    alone_since: Option<Instant>,
    retry_for: Duration,
    reconnections: u64,
    state: LinkState,
    /// What is wrong with the hosts, where none can be reached.
    unreachable: Option<String>,
    is_over: bool,
    outputs: VecDeque<SessionOutput>,
    waiting: Waiting,
    /// Since when the machines inside wait until there is room for what they want.
    held_at: Option<Instant>,
}

impl Session {
    /// A sender's run.
    #[must_use]
    pub fn sender(session: SessionId, opening: Opening, retry_for: Duration, now: Instant) -> Self {
        Self::new(
            Meeting::Opening(Box::new(opening)),
            Transfer::Sender(Box::new(Sender::new(session))),
            retry_for,
            now,
        )
    }

    /// A receiver's run: with what its store found, where the session is known already.
    #[must_use]
    pub fn receiver(
        joining: Joining,
        config: ReceiverConfig,
        kept: Option<(SessionId, TargetState)>,
        retry_for: Duration,
        now: Instant,
    ) -> Self {
        let transfer = match kept {
            Some((session, state)) => {
                Transfer::Receiver(Box::new(Receiver::new(session, config, state)))
            }
            None => Transfer::Unpaired(config),
        };
        Self::new(Meeting::Joining(Box::new(joining)), transfer, retry_for, now)
    }

    fn new(meeting: Meeting, transfer: Transfer, retry_for: Duration, now: Instant) -> Self {
        let is_receiver = matches!(&meeting, Meeting::Joining(_));
        let is_known = matches!(&meeting, Meeting::Opening(opening) if opening.is_paired());
        let mut session = Self {
            meeting,
            transfer,
            up: None,
            timing: Timing::default(),
            presence: Presence::default(),
            ice: IceRestart::new(is_receiver, &Timing::default()),
            is_fragmented: false,
            peer_name: String::new(),
            left: None,
            place: String::new(),
            disk: DiskLoad::default(),
            local: None,
            addresses: Vec::new(),
            host_away: None,
            at_stake: 0,
            started_at: now,
            link_started_at: None,
            lost_at: None,
            back: None,
            alone_since: is_known.then_some(now),
            retry_for,
            reconnections: 0,
            state: LinkState::New,
            unreachable: None,
            is_over: false,
            outputs: VecDeque::new(),
            waiting: Waiting::default(),
            held_at: None,
        };
        session.drain(now);
        session
    }

    /// The host's socket is open.
    pub fn handle_host_up(&mut self, now: Instant) {
        self.on_host_up(now);
        match &mut self.meeting {
            Meeting::Opening(opening) => opening.handle_host_up(now),
            Meeting::Joining(joining) => joining.handle_host_up(),
        }
        self.drain(now);
    }

    /// The host's socket is gone. A link that is up goes on.
    pub fn handle_host_down(&mut self, now: Instant) {
        self.on_host_down(now);
        match &mut self.meeting {
            Meeting::Opening(opening) => opening.handle_host_down(),
            Meeting::Joining(joining) => joining.handle_host_down(),
        }
        self.drain(now);
    }

    /// The host said something.
    pub fn handle_host(&mut self, message: HostMessage, now: Instant) {
        self.waiting.hear();
        self.presence.handle_host(&message);
        self.watch_presence(&message, now);
        match &mut self.meeting {
            Meeting::Opening(opening) => opening.handle_host(message, now),
            Meeting::Joining(joining) => joining.handle_host(message, now),
        }
        self.on_presence(now);
        self.drain(now);
    }

    /// The present connection did something.
    pub fn handle_link(&mut self, event: LinkEvent, now: Instant) {
        let Some(event) = self.on_path_event(event, now) else { return self.drain(now) };
        if let LinkEvent::Path(path) = &event {
            let rtt_ms = path.rtt.map_or(0.0, |rtt| rtt.as_secs_f64() * 1e3);
            let setup =
                self.link_started_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            self.event(Event::Connected {
                path: if path.kind == PathKind::Relay { Path::Relay } else { Path::Direct },
                local: path.local.to_string(),
                remote: path.remote.to_string(),
                rtt_ms,
                setup_ms: u64::try_from(setup.as_millis()).unwrap_or(u64::MAX),
                stripes: 1,
            });
        }
        match &mut self.meeting {
            Meeting::Opening(opening) => opening.handle_link(event, now),
            Meeting::Joining(joining) => joining.handle_link(event, now),
        }
        self.drain(now);
    }

    /// A frame came in on the present connection.
    pub fn handle_frame(&mut self, channel: Channel, frame: &Bytes, now: Instant) {
        let Some(up) = &mut self.up else { return };
        up.health.handle_activity();
        if let Some(doubt) = &mut up.doubt {
            doubt.handle_activity(now);
        }
        self.ice.handle_activity(now);
        if channel == Channel::Data {
            up.due_since = None;
        }
        match up.assemblers[usize::from(channel.stream_id())].handle_frame(frame) {
            Ok(None) => {}
            Ok(Some(Frame::Body(body))) if channel == Channel::Data => match &mut self.transfer {
                Transfer::Receiver(receiver) => receiver.handle_body(body, now),
                Transfer::Sender(sender) => sender.handle_body(),
                Transfer::Unpaired(_) => {}
            },
            Ok(Some(Frame::Body(_))) => self.on_violation("content outside the data channel"),
            Ok(Some(Frame::Message(bytes))) => match Message::decode(&bytes) {
                Ok(message) => self.on_message(message, now),
                Err(error) => self.on_violation(&error.to_string()),
            },
            Err(error) => self.on_violation(&error.to_string()),
        }
        self.drain(now);
    }

    /// The sender's scan found something.
    pub fn handle_scan(&mut self, report: ScanReport, now: Instant) {
        if let Transfer::Sender(sender) = &mut self.transfer {
            sender.handle_scan(report);
        }
        self.drain(now);
    }

    /// The sender's store did something.
    pub fn handle_source(&mut self, reply: SourceReply, now: Instant) {
        if let Transfer::Sender(sender) = &mut self.transfer {
            sender.handle_disk(reply);
        }
        self.drain(now);
    }

    /// The receiver's store did something.
    pub fn handle_target(&mut self, reply: TargetReply, now: Instant) {
        if let Transfer::Receiver(receiver) = &mut self.transfer {
            receiver.handle_disk(reply, now);
        }
        self.drain(now);
    }

    /// A deadline of [`Self::poll_timeout`] passed, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(action) = self.up.as_mut().and_then(|up| up.health.handle_timeout(now)) {
            match action {
                HealthAction::Ping(number) => self.send(Channel::Pulse, &Message::Ping { number }),
                HealthAction::Dead => self.on_dead("three pings were not answered", now),
            }
        }
        self.ice.handle_timeout(now);
        self.watch_doubt(now);
        self.watch_quality(now);
        self.say_busy(now);
        if self.is_stalled(now) {
            self.on_stalled(now);
        }
        match &mut self.meeting {
            Meeting::Opening(opening) => opening.handle_timeout(now),
            Meeting::Joining(joining) => joining.handle_timeout(now),
        }
        if let Transfer::Receiver(receiver) = &mut self.transfer {
            receiver.handle_timeout(now);
        }
        let is_alone = matches!(self.meeting, Meeting::Opening(_))
            && self.alone_since.is_some_and(|at| now >= at + self.retry_for);
        if is_alone {
            let text = "the receiver did not come back in the time of --retry-for";
            let error = self.with_reason(Error::new(ErrorKind::Interrupted, text));
            self.fail(error);
        }
        self.handle_waiting(now);
        self.drain(now);
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let meeting = match &self.meeting {
            Meeting::Opening(opening) => opening.poll_timeout(),
            Meeting::Joining(joining) => joining.poll_timeout(),
        };
        let transfer = match &self.transfer {
            Transfer::Receiver(receiver) => receiver.poll_timeout(),
            Transfer::Sender(_) | Transfer::Unpaired(_) => None,
        };
        let health = self.up.as_ref().map(|up| up.health.poll_timeout());
        let stall = self.stalls_at().map(|at| (at, "stall"));
        let ice = self.ice.poll_timeout();
        let quality = self.up.as_ref().map(|up| up.quality.poll_timeout());
        let doubt =
            self.up.as_ref().and_then(|up| up.doubt.as_ref()).map(|doubt| (doubt.at, "doubt"));
        let busy = self.up.as_ref().and_then(|up| up.busy_at).map(|at| (at, "busy"));
        let lost = self.alone_since.map(|at| (at + self.retry_for, "retry budget"));
        let waiting = self.waiting.poll_timeout();
        let times = [meeting, transfer, health, stall, ice, quality, doubt, busy, lost, waiting];
        times.into_iter().flatten().min()
    }

    /// The next frame for [`Channel::Data`]; asked for only while that channel takes more.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Bytes> {
        let Transfer::Sender(sender) = &mut self.transfer else { return None };
        self.up.as_ref()?;
        let frame = sender.poll_frame();
        if frame.is_some() {
            self.drain(now);
        }
        frame
    }

    fn on_message(&mut self, message: Message, now: Instant) {
        // A receiver's words are what a sender waits for; a pong says only that the link is there.
        if matches!(self.transfer, Transfer::Sender(_))
            && !matches!(message, Message::Ping { .. } | Message::Pong { .. })
            && let Some(up) = &mut self.up
        {
            up.due_since = None;
        }
        match message {
            Message::Ping { number } => self.send(Channel::Pulse, &Message::Pong { number }),
            Message::Pong { number } => {
                if let Some(up) = &mut self.up {
                    up.health.handle_pong(number, now);
                    up.doubt.take_if(|doubt| doubt.ping == number);
                    if let Some(rtt) = up.health.rtt() {
                        self.ice.set_rtt(rtt);
                        up.quality.handle_rtt(rtt);
                    }
                }
            }
            Message::Bye { reason, text } => self.on_bye(reason, &text, false, now),
            // It is at work, and owes what is due a while longer.
            Message::Busy => {
                if let Some(up) = &mut self.up {
                    up.due_since = None;
                }
            }
            Message::RecoveryRequest(_)
            | Message::RecoveryAnswer { .. }
            | Message::Estimate { .. }
            | Message::Page { .. }
            | Message::End { .. }
            | Message::Want { .. }
            | Message::Unit { .. }
            | Message::FileRoot { .. }
            | Message::EntryFailed { .. }
            | Message::Resend { .. }
            | Message::Ack { .. }
            | Message::Complete { .. }
            | Message::CompleteAck
            | Message::ExpandBuckets { .. }
            | Message::BucketEntries { .. }
            | Message::Contradict { .. }
            | Message::EarlyAnswer
            | Message::Gone { .. }
            | Message::LeftOut { .. }
            | Message::Missing { .. }
            | Message::Compare { .. }
            | Message::Roots { .. } => match &mut self.transfer {
                Transfer::Sender(sender) => sender.handle_message(message),
                Transfer::Receiver(receiver) => receiver.handle_message(message, now),
                Transfer::Unpaired(_) => {}
            },
        }
    }

    /// Passes on what the machines inside ask for, until they are quiet.
    fn drain(&mut self, now: Instant) {
        loop {
            let meeting = match &mut self.meeting {
                Meeting::Opening(opening) => opening.poll_output(),
                Meeting::Joining(joining) => joining.poll_output(),
            };
            if let Some(output) = meeting {
                self.apply_meeting(output, now);
                continue;
            }
            if let Some(output) = self.ice.poll_output() {
                self.apply_ice(output, now);
                continue;
            }
            let has_more = match &mut self.transfer {
                Transfer::Sender(sender) => {
                    sender.poll_output().map(|output| self.apply_sender(output))
                }
                Transfer::Receiver(receiver) => {
                    receiver.poll_output().map(|output| self.apply_receiver(output, now))
                }
                Transfer::Unpaired(_) => None,
            };
            if has_more.is_none() || self.is_crowded() {
                self.held_at = has_more.map(|()| now);
                return self.watch_stall(now);
            }
        }
    }

    fn apply_meeting(&mut self, output: MeetingOutput, now: Instant) {
        match output {
            MeetingOutput::Host(message) => self.outputs.push_back(SessionOutput::Host(message)),
            MeetingOutput::Work(work) => self.outputs.push_back(SessionOutput::Work(work)),
            MeetingOutput::StartLink { is_carried } => {
                self.link_started_at = Some(now);
                self.set_state(LinkState::Connecting, "", now);
                self.outputs.push_back(SessionOutput::StartLink { is_carried });
            }
            MeetingOutput::Link(command) => self.outputs.push_back(SessionOutput::Link(command)),
            MeetingOutput::StopLink => self.outputs.push_back(SessionOutput::StopLink),
            MeetingOutput::CodeReady(code) => {
                self.outputs.push_back(SessionOutput::CodeReady(code))
            }
            MeetingOutput::CodeSpent => self.outputs.push_back(SessionOutput::CodeSpent),
            MeetingOutput::Pair(pairing) => {
                self.waiting.meet();
                self.outputs.push_back(SessionOutput::Pair(pairing));
            }
            MeetingOutput::Peer { member, name, epoch } => {
                self.event(Event::Peer {
                    id: member.to_string(),
                    name: name.clone(),
                    verified: false,
                });
                self.peer_name.clone_from(&name);
                self.waiting.meet();
                self.outputs.push_back(SessionOutput::Peer { member, name, epoch });
            }
            MeetingOutput::LinkUp { epoch, takes_early } => {
                self.on_link_up(epoch, takes_early, now);
            }
            MeetingOutput::LinkDown { reason } => self.on_link_down(&reason, now),
            MeetingOutput::CodeOffered => {
                self.is_over = true;
                self.outputs.push_back(SessionOutput::CodeOffered);
            }
            MeetingOutput::Event(event) => self.event(event),
            MeetingOutput::Bye(word) => self.on_word(word, now),
            MeetingOutput::Restart(message) => self.on_restart(message, now),
            MeetingOutput::Manual => self.outputs.push_back(SessionOutput::Manual),
            MeetingOutput::Failed(error) => self.fail(self.with_reason(error)),
        }
    }

    fn on_link_up(&mut self, epoch: u64, takes_early: bool, now: Instant) {
        self.up = Some(Up::new(&self.timing, self.progress().bytes, now));
        self.ice.handle_link_change(now);
        self.ice.set_reachable(self.presence.is_reachable(), now);
        self.set_state(LinkState::Connected, "", now);
        // The round trip is known before it is needed.
        self.ping(now);
        let lost_at = self.lost_at.take();
        (self.alone_since, self.left) = (None, None);
        match &mut self.transfer {
            Transfer::Sender(sender) => sender.handle_link_up(takes_early),
            Transfer::Receiver(receiver) => receiver.handle_link_up(epoch, now),
            Transfer::Unpaired(_) => {}
        }
        if let Some(lost_at) = lost_at {
            self.reconnections += 1;
            let after = now.saturating_duration_since(lost_at);
            let resent_bytes = std::mem::take(&mut self.at_stake);
            self.back = Some((u64::try_from(after.as_millis()).unwrap_or(u64::MAX), resent_bytes));
            if !matches!(self.transfer, Transfer::Sender(_)) {
                self.say_recovered(self.progress().bytes);
            }
        }
    }

    fn say_recovered(&mut self, kept_bytes: u64) {
        if let Some((after_ms, resent_bytes)) = self.back.take() {
            self.say_back(Layer::Connection, after_ms, kept_bytes, resent_bytes);
        }
    }

    fn on_link_down(&mut self, reason: &str, now: Instant) {
        if self.up.take().is_none() {
            return;
        }
        self.ice.handle_link_change(now);
        self.local = None;
        self.at_stake = self.bytes_at_stake();
        self.lost_at = Some(now);
        self.alone_since = matches!(self.meeting, Meeting::Opening(_)).then_some(now);
        self.set_state(LinkState::Disconnected, reason, now);
        match &mut self.transfer {
            Transfer::Sender(sender) => sender.handle_link_down(),
            Transfer::Receiver(receiver) => receiver.handle_link_down(),
            Transfer::Unpaired(_) => {}
        }
    }

    fn apply_sender(&mut self, output: SenderOutput) {
        match output {
            SenderOutput::Disk(request) => self.outputs.push_back(SessionOutput::Source(request)),
            SenderOutput::Send(channel, message) => self.send(channel, &message),
            SenderOutput::Event(event) => self.event(event),
            SenderOutput::Answered { kept_bytes } => self.say_recovered(kept_bytes),
            SenderOutput::Done => self.end(),
            SenderOutput::Failed(error) => self.fail(error),
        }
    }

    fn apply_receiver(&mut self, output: ReceiverOutput, now: Instant) {
        match output {
            ReceiverOutput::Disk(request) => self.outputs.push_back(SessionOutput::Target(request)),
            ReceiverOutput::Send(channel, message) => self.send(channel, &message),
            ReceiverOutput::Event(event) => self.event(event),
            ReceiverOutput::Ask(ask) => self.outputs.push_back(SessionOutput::Ask(ask)),
            ReceiverOutput::Consented(of) => self.outputs.push_back(SessionOutput::Consented(of)),
            // The link may have gone while the disk was at its last work.
            ReceiverOutput::Finished if self.up.is_none() => self.begin_farewell(now),
            ReceiverOutput::Finished => {}
            ReceiverOutput::Done => self.end(),
            ReceiverOutput::Failed(error) => self.fail(error),
        }
    }

    fn send(&mut self, channel: Channel, message: &Message) {
        let Some(up) = &mut self.up else { return };
        let is_bye = matches!(message, Message::Bye { .. });
        if is_bye && std::mem::replace(&mut up.is_ending, true) {
            return;
        }
        match message.encode() {
            Ok(frames) => {
                if is_bye {
                    self.say_by_host(&frames);
                }
                if matches!(message, Message::RecoveryRequest(_)) {
                    let bytes: usize = frames.iter().map(Bytes::len).sum();
                    tracing::debug!(target: "rejoin::recovery", bytes, "recovery request");
                }
                let frames = frames.into_iter();
                self.outputs.extend(frames.map(|frame| SessionOutput::Send(channel, frame)));
            }
            Err(error) => self.fail(Error::new(ErrorKind::Failure, error.to_string())),
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(SessionOutput::Event(event));
    }
}
