//! The sender's side of a meeting: it opens rooms, is joined, and answers.
//!
//! ```text
//!            hello proved             answer made, secret stored        channels open
//!   Idle ─────────────────▶ Answering ─────────────────────────▶ Connecting ───────────▶ Connected
//!     ◀─────────── timeout, link closed, or a hello with a newer epoch ──────────────────────┘
//! ```

mod burnt;
mod doors;
mod ended;
mod invitation;
mod refused;
mod signals;
mod work;

use super::{ANSWER_TIMEOUT, Channel, MeetingOutput, OPEN_TIMEOUT, Pairing, Way, Work};
use crate::error::Error;
use crate::link::{LinkCommand, LinkEvent};
use crate::session::entropy::Entropy;
use crate::signal::capabilities::{Capabilities, EARLY_ANSWER};
use crate::signal::code::Code;
use crate::signal::join::{Hello, JoinError, JoinPayload, Proved};
use crate::signal::message::{Introduction, SignalMessage};
use crate::signal::protocol::{ClientMessage, HostMessage};
use crate::signal::{MemberToken, RoomName};
use crate::time::Instant;
use crate::wire::{MemberId, SessionId, SessionSecret};
use doors::{CodeDoor, SessionDoor, code_door, join_error, session_door, unusable};
use ended::RoomEnd;
use std::collections::VecDeque;
use std::time::Duration;

/// Candidates of ours that wait for the welcome they follow.
const CANDIDATES_MAX: usize = 100;

/// How long a host that did not let us in is left alone before it is asked again.
const ENTER_RETRY: Duration = Duration::from_secs(5);

/// What an opening starts from.
#[derive(Debug)]
pub struct OpeningConfig {
    /// The session.
    pub session: SessionId,
    /// Who we are.
    pub member: MemberId,
    /// What we can do.
    pub capabilities: Capabilities,
    /// From which the tokens for hosts are made.
    pub token_key: [u8; 32],
    /// The name we give ourselves.
    pub name: String,
    /// The code: of the session, or, where an earlier run had a receiver that is known to have the secret, one by which a new
    /// receiver gets in.
    pub code: Option<Code>,
    /// Whether the user chose the code: then its room is not changed.
    pub is_code_fixed: bool,
    /// The session's secret and last epoch, where an earlier run agreed on them.
    pub secret: Option<(SessionSecret, u64)>,
    /// Whether the receiver is known to have the secret too. Until then it has only the code to come back with.
    pub is_confirmed: bool,
}

/// A join that is proved and not yet welcomed.
#[derive(Debug)]
struct Answering {
    proved: Proved,
    room: RoomName,
    attempt: crate::signal::message::Attempt,
    kind: signals::OfferKind,
    answer: Option<String>,
    is_stored: bool,
    deadline: Instant,
    epoch: u64,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Answering(Box<Answering>),
    Connecting { way: Way, epoch: u64, deadline: Instant },
    Connected { way: Way },
}

/// The sender's meeting.
#[derive(Debug)]
pub struct Opening {
    config: OpeningConfig,
    entropy: Entropy,
    code: Option<CodeDoor>,
    /// Codes of before whose rooms the host still has to end.
    ended: Vec<(CodeDoor, RoomEnd)>,
    door: Option<SessionDoor>,
    phase: Phase,
    candidates: VecDeque<SignalMessage>,
    is_host_up: bool,
    /// Whether no earlier run had a receiver.
    is_new: bool,
    /// Whether the receiver of the last join may be told of the manifest before it asks.
    takes_early: bool,
    /// Whether the receiver is known to have the session's secret.
    was_paired: bool,
    /// When rooms that the host did not open are asked for again.
    enter_at: Option<Instant>,
    /// What the host wants to be shown first.
    work: Option<Work>,
    works_in_a_row: u32,
    /// Fresh codes offered so far for ones that somebody burnt.
    fresh_codes: u32,
    outputs: VecDeque<MeetingOutput>,
}

impl Opening {
    /// A meeting that waits for a host.
    ///
    /// # Errors
    /// A code or secret that cannot be used.
    pub fn new(mut config: OpeningConfig, mut entropy: Entropy) -> Result<Self, Error> {
        let code = config.code.take();
        let code = code.map(|code| code_door(code, &config, &mut entropy)).transpose();
        let door = config
            .secret
            .take()
            .map(|(secret, epoch)| session_door(secret, epoch, &config, &mut entropy))
            .transpose();
        let (mut code, door) = (code.map_err(unusable)?, door.map_err(unusable)?);
        if let Some(code) = code.as_mut().filter(|_| door.is_some() && config.is_confirmed) {
            code.is_invitation = true;
        }
        Ok(Self {
            is_new: door.is_none(),
            takes_early: false,
            was_paired: door.is_some() && config.is_confirmed,
            config,
            entropy,
            code,
            ended: Vec::new(),
            door,
            phase: Phase::Idle,
            candidates: VecDeque::new(),
            is_host_up: false,
            enter_at: None,
            work: None,
            works_in_a_row: 0,
            fresh_codes: 0,
            outputs: VecDeque::new(),
        })
    }

    /// The host's socket is open: rooms are opened and entered.
    pub fn handle_host_up(&mut self, now: Instant) {
        self.is_host_up = true;
        self.enter(now);
    }

    /// The host's socket is gone.
    pub fn handle_host_down(&mut self) {
        self.is_host_up = false;
        self.enter_at = None;
        self.work = None;
    }

    /// The host said something.
    pub fn handle_host(&mut self, message: HostMessage, now: Instant) {
        match message {
            HostMessage::Opened { number, .. } => self.on_opened(number),
            HostMessage::Relayed { room, from, payload } => {
                self.on_relayed(room, from, &payload, now)
            }
            HostMessage::PeerLeft { room: RoomName::Code(_), member } => {
                self.on_departure(member, now);
            }
            HostMessage::Refused { room, reason } => self.on_refused(room, reason, now),
            HostMessage::WorkNeeded { number, challenge, bits } => {
                self.on_work_needed(number, challenge, bits);
            }
            HostMessage::RoomClosed { room, reason } => self.on_refused(Some(room), reason, now),
            HostMessage::Joined { .. }
            | HostMessage::Waiting { .. }
            | HostMessage::PeerJoined { .. }
            | HostMessage::PeerLeft { .. }
            | HostMessage::Deposited { .. }
            | HostMessage::Goodbye { .. } => {}
        }
    }

    /// The connection did something.
    pub fn handle_link(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::LocalDescription { sdp, .. } => {
                if let Phase::Answering(answering) = &mut self.phase {
                    answering.answer = Some(sdp);
                }
                self.welcome(now);
            }
            LinkEvent::LocalCandidate(candidate) => {
                if let Some(attempt) = self.attempt() {
                    self.trickle(SignalMessage::Candidate {
                        attempt,
                        candidate: candidate.candidate,
                    });
                }
            }
            LinkEvent::CandidatesEnd => {
                if let Some(attempt) = self.attempt() {
                    self.trickle(SignalMessage::CandidatesEnd { attempt });
                }
            }
            LinkEvent::Open => self.on_open(),
            LinkEvent::Closed { reason } => self.on_link_lost(&reason.to_string(), now),
            LinkEvent::Ice(_)
            | LinkEvent::Secured
            | LinkEvent::Path(_)
            | LinkEvent::Allocation { .. } => {}
        }
    }

    /// The link is known to be dead by other means (no pongs, no progress).
    pub fn handle_dead(&mut self, reason: &str, now: Instant) {
        self.on_link_lost(reason, now);
    }

    /// What [`MeetingOutput::Pair`] asked for is durable.
    pub fn handle_stored(&mut self, now: Instant) {
        if let Phase::Answering(answering) = &mut self.phase {
            answering.is_stored = true;
        }
        self.welcome(now);
    }

    /// The run ends: a code that nobody used is given back, so that its number is free and who waits for it is told. One
    /// that a receiver may come back with, or that is no use without the session, keeps its room.
    pub fn handle_end(&mut self) {
        let is_unused = |door: &&CodeDoor| door.is_open && !door.is_invitation && !door.was_used;
        if self.door.is_none()
            && let Some(door) = self.code.as_ref().filter(is_unused)
        {
            let room = RoomName::Code(door.code.room());
            self.code = None;
            self.host(ClientMessage::Leave { room });
        }
    }

    /// A deadline of [`Self::poll_timeout`] passed, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.enter_at.is_some_and(|at| now >= at) {
            self.enter(now);
        }
        let deadline = match &self.phase {
            Phase::Answering(answering) => Some(answering.deadline),
            Phase::Connecting { deadline, .. } => Some(*deadline),
            Phase::Idle | Phase::Connected { .. } => None,
        };
        if deadline.is_some_and(|deadline| now >= deadline) {
            self.on_link_lost("the connection did not open in time", now);
        }
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let phase = match &self.phase {
            Phase::Answering(answering) => Some((answering.deadline, "answer")),
            Phase::Connecting { deadline, .. } => Some((*deadline, "open")),
            Phase::Idle | Phase::Connected { .. } => None,
        };
        let enter = self.enter_at.map(|at| (at, "rooms"));
        phase.into_iter().chain(enter).min()
    }

    /// What the surroundings shall do next.
    pub fn poll_output(&mut self) -> Option<MeetingOutput> {
        self.outputs.pop_front()
    }

    /// Whether a receiver is known to be paired with this session.
    #[must_use]
    pub const fn is_paired(&self) -> bool {
        self.was_paired
    }

    /// Asks for every room, and again where the host says nothing (V-03: an answer that never comes is none).
    fn enter(&mut self, now: Instant) {
        self.enter_at = None;
        if !self.is_host_up {
            return;
        }
        self.open_code();
        self.enter_session();
        self.enter_ended();
        if self.code.as_ref().is_some_and(|door| !door.is_open) {
            self.enter_at = Some(now + ENTER_RETRY);
        }
    }

    /// What is said first on a fresh socket of the host.
    #[must_use]
    pub fn first_message(&self) -> Option<ClientMessage> {
        self.code_message().or_else(|| self.session_message())
    }

    fn open_code(&mut self) {
        if self.work.is_none()
            && let Some(message) = self.code_message()
        {
            self.host(message);
        }
    }

    fn enter_session(&mut self) {
        if let Some(message) = self.session_message() {
            self.host(message);
        }
    }

    fn code_message(&self) -> Option<ClientMessage> {
        Some(self.open_message(self.code.as_ref()?, self.config.is_code_fixed))
    }

    fn open_message(&self, door: &CodeDoor, again: bool) -> ClientMessage {
        let token = MemberToken::for_room(&self.config.token_key, door.token_room);
        let (member, deposit) = (self.config.member, door.opener.deposit().to_vec());
        ClientMessage::Open { number: door.code.number(), member, token, deposit, again }
    }

    fn session_message(&self) -> Option<ClientMessage> {
        let door = self.door.as_ref()?;
        let room = door.opener.room();
        let token = MemberToken::for_room(&self.config.token_key, room);
        let (member, deposit) = (self.config.member, Some(door.opener.deposit().to_vec()));
        Some(ClientMessage::Join { room, member, token, deposit, wait: false })
    }

    fn on_opened(&mut self, number: u32) {
        self.works_in_a_row = 0;
        if self.end_opened(number) {
            return;
        }
        let is_ours = |door: &&mut CodeDoor| {
            !door.is_open && door.code.number().is_none_or(|ours| ours == number)
        };
        if let Some(door) = self.code.as_mut().filter(is_ours) {
            door.set_number(number);
            door.is_open = true;
            self.enter_at = None;
            let code = door.code.clone();
            self.outputs.push_back(MeetingOutput::CodeReady(code));
        }
    }

    /// Whether somebody may have the session's secret.
    fn has_peer(&self) -> bool {
        self.was_paired || self.code.as_ref().is_some_and(|door| door.was_used)
    }

    fn on_departure(&mut self, member: MemberId, now: Instant) {
        let Some(door) = &mut self.code else { return };
        let room = RoomName::Code(door.code.room());
        match door.opener.handle_departure(member, self.entropy.next_seed()) {
            Ok(true) => {
                let deposit = door.opener.deposit().to_vec();
                self.host(ClientMessage::Deposit { room, deposit });
            }
            Ok(false) => {}
            Err(_) if self.has_peer() => self.on_runs_used_up(now),
            Err(error) => self.fail(join_error(&error)),
        }
    }

    fn on_relayed(&mut self, room: RoomName, from: MemberId, payload: &[u8], now: Instant) {
        match JoinPayload::decode(payload) {
            Ok(JoinPayload::Hello(hello)) => self.on_hello(room, from, &hello, now),
            Ok(JoinPayload::Sealed(envelope)) => {
                let way = match &mut self.phase {
                    Phase::Connecting { way, .. } | Phase::Connected { way } => way,
                    Phase::Idle | Phase::Answering(_) => return,
                };
                if way.peer != from {
                    return;
                }
                let attempt = way.attempt;
                match way.channel.0.open(&envelope) {
                    Ok(message) => self.on_signal(message, attempt, from),
                    Err(error) => {
                        tracing::warn!(target: "rejoin::signal", %error, "an envelope was refused");
                    }
                }
            }
            Ok(JoinPayload::Welcome(_) | JoinPayload::Rejected(_)) | Err(_) => {
                tracing::warn!(target: "rejoin::signal", %from, "a payload that no receiver sends");
            }
        }
    }

    fn on_hello(&mut self, room: RoomName, from: MemberId, hello: &Hello, now: Instant) {
        let seed = self.entropy.next_seed();
        let is_code = matches!(room, RoomName::Code(_));
        let opener = if is_code {
            self.code.as_mut().map(|door| &mut door.opener)
        } else {
            self.door.as_mut().map(|door| &mut door.opener)
        };
        let Some(opener) = opener.filter(|opener| opener.room() == room) else { return };
        match opener.handle_hello(from, hello, seed) {
            Ok(proved) => self.on_proved(room, proved, now),
            Err(JoinError::WrongCode) => self.on_wrong_code(room, from, now),
            Err(error) => {
                tracing::info!(target: "rejoin::signal", %error, %from, "a join was refused");
            }
        }
    }

    fn on_proved(&mut self, room: RoomName, mut proved: Proved, now: Instant) {
        let Some((attempt, sdp, kind)) =
            signals::offered(proved.first.take(), &self.config, proved.epoch)
        else {
            return;
        };
        if matches!(self.phase, Phase::Connected { .. }) {
            let reason = "a newer connection of the receiver replaces it".to_owned();
            self.outputs.push_back(MeetingOutput::LinkDown { reason });
        }
        let (member, name, epoch) = (proved.member, proved.introduction.name.clone(), proved.epoch);
        let (is_stored, carrier) = (proved.secret.is_none(), proved.carrier);
        self.takes_early = self.is_new && proved.agreed.features & EARLY_ANSWER != 0;
        if let Some(secret) = proved.secret.clone() {
            match session_door(secret.clone(), epoch, &self.config, &mut self.entropy) {
                Ok(door) => self.door = Some(door),
                Err(error) => return self.fail(unusable(error)),
            }
            if let Some(door) = &mut self.code {
                door.was_used = true;
            }
            let pairing = Pairing {
                session: self.config.session,
                secret,
                peer: member,
                name: name.clone(),
                epoch,
            };
            self.outputs.push_back(MeetingOutput::Pair(Box::new(pairing)));
            self.enter_session();
        } else {
            // It has the secret, so the code did its work; an invitation is for a member that has not.
            if self.code.as_ref().is_none_or(|door| !door.is_invitation || door.was_used) {
                self.spend_code(member);
            }
        }
        self.outputs.push_back(MeetingOutput::Peer { member, name, epoch });
        self.candidates.clear();
        let deadline = now + ANSWER_TIMEOUT;
        let answering =
            Answering { proved, room, attempt, kind, answer: None, is_stored, deadline, epoch };
        self.phase = Phase::Answering(Box::new(answering));
        self.outputs.push_back(MeetingOutput::StartLink { is_carried: carrier.is_some() });
        if let Some(tokens) = carrier {
            self.outputs.push_back(MeetingOutput::Link(LinkCommand::Carry(tokens)));
        }
        self.outputs.push_back(MeetingOutput::Link(LinkCommand::Answer { offer: sdp }));
    }

    /// Sends the welcome once there is an answer and the secret is stored.
    fn welcome(&mut self, now: Instant) {
        let is_ready = |answering: &Answering| answering.is_stored && answering.answer.is_some();
        if !matches!(&self.phase, Phase::Answering(answering) if is_ready(answering)) {
            return;
        }
        let Phase::Answering(answering) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        let Answering { proved, room, attempt, kind, answer, epoch, .. } = *answering;
        let introduction =
            Introduction { name: self.config.name.clone(), session: Some(self.config.session) };
        let peer = proved.member;
        let answer = answer.map(|sdp| kind.answer(attempt, sdp));
        match proved.welcome(&introduction, answer) {
            Ok((payload, channel)) => {
                self.host(ClientMessage::Relay { room, to: peer, payload });
                self.renew_deposit(room);
                let way = Way { room, peer, channel: Channel(channel), attempt };
                self.phase = Phase::Connecting { way, epoch, deadline: now + OPEN_TIMEOUT };
                for message in std::mem::take(&mut self.candidates) {
                    self.trickle(message);
                }
            }
            Err(error) => self.on_link_lost(&error.to_string(), now),
        }
    }

    fn spend_code(&mut self, keep: MemberId) {
        self.was_paired = true;
        if let Some(door) = self.code.take() {
            self.end_room(door, RoomEnd::Lock(keep));
            self.outputs.push_back(MeetingOutput::CodeSpent);
        }
    }

    fn on_open(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Connecting { way, epoch, .. } => {
                let by_secret = matches!(way.room, RoomName::Session(_)).then_some(way.peer);
                self.phase = Phase::Connected { way };
                // The one who is known is back: nobody else is invited any more.
                if let Some(peer) = by_secret {
                    self.spend_code(peer);
                }
                self.outputs
                    .push_back(MeetingOutput::LinkUp { epoch, takes_early: self.takes_early });
            }
            other @ (Phase::Idle | Phase::Answering(_) | Phase::Connected { .. }) => {
                self.phase = other
            }
        }
    }

    fn on_link_lost(&mut self, reason: &str, now: Instant) {
        let was_connected = matches!(self.phase, Phase::Connected { .. });
        let joined = match &self.phase {
            Phase::Answering(answering) => {
                let room = answering.room;
                let member = answering.proved.member;
                self.renew_deposit(room);
                Some((room, member))
            }
            Phase::Connecting { way, .. } | Phase::Connected { way } => Some((way.room, way.peer)),
            Phase::Idle => None,
        };
        if joined.is_some() {
            self.outputs.push_back(MeetingOutput::StopLink);
        }
        self.phase = Phase::Idle;
        // A receiver that never stored the secret has only the code to come back with.
        if let Some((RoomName::Code(_), member)) = joined {
            self.on_departure(member, now);
        }
        if was_connected {
            self.outputs.push_back(MeetingOutput::LinkDown { reason: reason.to_owned() });
        }
    }

    /// Leaves the next deposit of the session's room: after the welcome to the join that used the last one, so that the
    /// receiver never takes it for a sign that its hello was lost.
    fn renew_deposit(&mut self, room: RoomName) {
        if let (RoomName::Session(_), Some(door)) = (room, &self.door) {
            let deposit = door.opener.deposit().to_vec();
            self.host(ClientMessage::Deposit { room, deposit });
        }
    }

    const fn attempt(&self) -> Option<crate::signal::message::Attempt> {
        match &self.phase {
            Phase::Answering(answering) => Some(answering.attempt),
            Phase::Connecting { way, .. } | Phase::Connected { way } => Some(way.attempt),
            Phase::Idle => None,
        }
    }

    /// Sends a candidate, or keeps it until the welcome is out.
    fn trickle(&mut self, message: SignalMessage) {
        let sealed = match &mut self.phase {
            Phase::Connecting { way, .. } | Phase::Connected { way } => way.seal(&message),
            Phase::Answering(_) if self.candidates.len() < CANDIDATES_MAX => {
                self.candidates.push_back(message);
                None
            }
            Phase::Answering(_) | Phase::Idle => None,
        };
        if let Some(message) = sealed {
            self.host(message);
        }
    }

    fn host(&mut self, message: ClientMessage) {
        if self.is_host_up {
            self.outputs.push_back(MeetingOutput::Host(message));
        }
    }

    fn fail(&mut self, error: Error) {
        self.outputs.push_back(MeetingOutput::Failed(error));
    }
}
