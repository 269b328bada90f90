//! The receiver's side of a meeting: it joins, offers, and tries again until its time is over.
//!
//! ```text
//!          offer made, deposit there        welcome            secret stored, channels open
//!   Offering ─────────────────────▶ Greeted ───────▶ Connecting ──────────────────────▶ Connected
//!      ▲                                │                │                                  │
//!      └── delay over, or evidence ── Waiting ◀──────────┴── timeout, link lost ────────────┘
//! ```

mod code_room;
mod config;
mod retry;
mod signals;
mod work;

use config::refusal;
pub use config::{Entrance, JoiningConfig, no_such_code};

use super::{ANSWER_TIMEOUT, Channel, MeetingOutput, OPEN_TIMEOUT, Pairing, Way, Work};
use crate::error::{Error, ErrorKind};
use crate::link::{LinkCommand, LinkEvent};
use crate::options::Timing;
use crate::session::entropy::Entropy;
use crate::session::recovery::Schedule;
use crate::signal::capabilities::CARRIER;
use crate::signal::join::{Admitted, JoinError, JoinPayload, Joiner, Rejection};
use crate::signal::message::{Attempt, Introduction, SignalMessage};
use crate::signal::protocol::{ClientMessage, HostMessage, RefusalReason};
use crate::signal::{MemberToken, RoomName};
use crate::time::Instant;
use crate::wire::{MemberId, SessionId, SessionSecret};
use std::collections::VecDeque;

/// What a receiver is told whose code leads nowhere.
pub const NO_SUCH_CODE: &str = "no sender has this code: it is wrong, used or expired";

/// Candidates of ours that wait for the welcome.
const CANDIDATES_MAX: usize = 100;

#[derive(Debug)]
enum Phase {
    /// Between tries; `None`: until the sender is there.
    Waiting(Option<Instant>),
    /// A connection is started; its offer, or the sender's deposit, is still missing.
    Offering(Instant),
    /// The hello is out.
    Greeted(Instant),
    /// The answer is applied.
    Connecting {
        way: Way,
        epoch: u64,
        deadline: Instant,
        is_open: bool,
    },
    Connected {
        way: Way,
    },
}

/// The receiver's meeting.
#[derive(Debug)]
pub struct Joining {
    config: JoiningConfig,
    entropy: Entropy,
    joiner: Joiner,
    session: Option<SessionId>,
    /// Whether the secret of a fresh join is still to be stored.
    owes_storing: bool,
    phase: Phase,
    /// Whether connections are built for the carrier: as the sender had it last, or as we have it ourselves.
    is_carried: bool,
    offer: Option<String>,
    deposit: Option<(MemberId, Vec<u8>)>,
    /// The deposit heard last since the last join.
    deposit_seen: Option<Vec<u8>>,
    /// The deposit that was answered last: it is good for one join.
    used_deposit: Option<Vec<u8>>,
    attempt: u64,
    schedule: Schedule,
    /// Whether host and sender are there.
    is_reachable: bool,
    /// Welcomes that were late, repeated or of another try (X2).
    stale_answers: u64,
    lost_at: Option<Instant>,
    /// What that was before the connection that is there: it counts on if that brings nothing.
    lost_before: Option<Instant>,
    was_up: bool,
    candidates: VecDeque<SignalMessage>,
    is_host_up: bool,
    /// When the code's room is taken instead of the session's.
    switch_at: Option<Instant>,
    /// Whether the host was asked for a deposit that is no news: one that was there all the time ends no wait.
    has_asked: bool,
    is_over: bool,
    /// What the host wants to be shown first.
    work: Option<Work>,
    works_in_a_row: u32,
    outputs: VecDeque<MeetingOutput>,
}

impl Joining {
    /// A meeting that makes its offer while it looks for its host.
    #[must_use]
    pub fn new(config: JoiningConfig, entropy: Entropy, now: Instant) -> Self {
        let (joiner, session) = match &config.entrance {
            Entrance::Code(code) => (Joiner::for_code(code, config.capabilities, 0), None),
            Entrance::Session { session, secret, epoch } => {
                (Joiner::for_session(secret, config.capabilities, *epoch), Some(*session))
            }
        };
        // A sender that is to be met again may be gone for good; one of a code is there, or `--wait` bounds it.
        let lost_at = session.is_some().then_some(now);
        let is_carried = config.capabilities.features & CARRIER != 0;
        let mut joining = Self {
            config,
            entropy,
            joiner,
            session,
            owes_storing: false,
            phase: Phase::Waiting(None),
            is_carried,
            offer: None,
            deposit: None,
            deposit_seen: None,
            used_deposit: None,
            attempt: 0,
            schedule: Schedule::new(&Timing::default()),
            is_reachable: false,
            stale_answers: 0,
            lost_at,
            lost_before: None,
            was_up: false,
            candidates: VecDeque::new(),
            is_host_up: false,
            switch_at: None,
            has_asked: false,
            is_over: false,
            work: None,
            works_in_a_row: 0,
            outputs: VecDeque::new(),
        };
        joining.start(now);
        joining
    }

    /// The host's socket is open.
    pub fn handle_host_up(&mut self) {
        self.is_host_up = true;
        self.has_asked = false;
        self.enter();
        self.look_at_code();
    }

    /// The host's socket is gone; a link that is up goes on.
    pub fn handle_host_down(&mut self) {
        self.is_host_up = false;
        self.work = None;
        self.deposit = None;
    }

    /// The host said something.
    pub fn handle_host(&mut self, message: HostMessage, now: Instant) {
        match message {
            HostMessage::Joined { room, deposit, .. } if room == self.joiner.room() => {
                self.works_in_a_row = 0;
                let is_news = !std::mem::take(&mut self.has_asked);
                if let Some((member, deposit)) = deposit {
                    self.on_deposit(member, deposit, is_news, now);
                }
            }
            HostMessage::Joined { room, deposit: Some(_), .. }
            | HostMessage::Deposited { room, .. }
                if self.is_code_room(room) =>
            {
                self.on_code_offered(now);
            }
            HostMessage::Deposited { room, from, deposit } if room == self.joiner.room() => {
                self.on_deposit(from, deposit, true, now);
            }
            HostMessage::Relayed { room, from, payload } => {
                self.on_relayed(room, from, &payload, now)
            }
            HostMessage::Refused { reason: RefusalReason::UnknownMember, .. }
                if self.session.is_some() =>
            {
                self.on_peer_unknown(now);
            }
            HostMessage::Refused { room, reason } => self.on_refused(room, reason),
            HostMessage::WorkNeeded { number, challenge, bits } => {
                self.on_work_needed(number, challenge, bits);
            }
            HostMessage::RoomClosed { room, reason } => self.on_refused(Some(room), reason),
            HostMessage::Opened { .. }
            | HostMessage::Joined { .. }
            | HostMessage::Waiting { .. }
            | HostMessage::PeerJoined { .. }
            | HostMessage::PeerLeft { .. }
            | HostMessage::Deposited { .. }
            | HostMessage::Goodbye { .. } => {}
        }
    }

    /// The connection did something.
    pub fn handle_link(&mut self, event: LinkEvent, now: Instant) {
        let attempt = Attempt(self.attempt);
        match event {
            LinkEvent::LocalDescription { sdp, .. } => {
                self.offer = Some(sdp);
                self.greet(now);
            }
            LinkEvent::LocalCandidate(candidate) => {
                self.trickle(SignalMessage::Candidate { attempt, candidate: candidate.candidate });
            }
            LinkEvent::CandidatesEnd => self.trickle(SignalMessage::CandidatesEnd { attempt }),
            LinkEvent::Open => {
                if let Phase::Connecting { is_open, .. } = &mut self.phase {
                    *is_open = true;
                }
                self.open(now);
            }
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

    /// Nothing of what is due came on this connection, from its beginning on: for `--retry-for` it is as if it had not been, so that a
    /// sender that connects and brings nothing is not waited for without end (A-17).
    pub fn handle_useless(&mut self, reason: &str, now: Instant) {
        self.lost_at = self.lost_before.take();
        self.on_link_lost(reason, now);
    }

    /// What [`MeetingOutput::Pair`] asked for is durable: the code is spent, and the session has its own room.
    pub fn handle_stored(
        &mut self,
        session: SessionId,
        secret: &SessionSecret,
        epoch: u64,
        now: Instant,
    ) {
        self.owes_storing = false;
        self.session = Some(session);
        let message = match &mut self.phase {
            Phase::Connecting { way, .. } | Phase::Connected { way } => {
                way.seal(&SignalMessage::Stored)
            }
            Phase::Waiting(_) | Phase::Offering(_) | Phase::Greeted(_) => None,
        };
        if let Some(message) = message {
            self.host(message);
        }
        self.joiner = Joiner::for_session(secret, self.config.capabilities, epoch);
        self.deposit = None;
        self.enter();
        self.open(now);
    }

    /// A deadline of [`Self::poll_timeout`] passed, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some((deadline, _)) = self.poll_timeout() else { return };
        if now < deadline || self.is_over {
            return;
        }
        if self.switch_at.is_some_and(|at| now >= at) {
            return self.switch();
        }
        if self.is_out_of_time(now) {
            return self.give_up();
        }
        match &self.phase {
            // Without a host no offer leaves: that was this try.
            Phase::Waiting(_) if !self.is_host_up && self.session.is_some() => self.plan(now),
            Phase::Waiting(_) => self.start(now),
            Phase::Offering(_) if self.session.is_some() => {
                self.on_link_lost("the sender is not there", now);
            }
            // The sender is not there, or the host forgot to say so: the offer stays good.
            Phase::Offering(_) => self.ask_again(now),
            // A code allows few runs, so the same hello goes out once more; its offer was never answered.
            Phase::Greeted(_) if self.session.is_none() => {
                self.lost_at.get_or_insert(now);
                self.ask_again(now);
            }
            Phase::Greeted(_) => self.on_link_lost("the sender did not answer in time", now),
            Phase::Connecting { .. } => {
                self.on_link_lost("the connection did not open in time", now)
            }
            Phase::Connected { .. } => {}
        }
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let budget = self.lost_at.map(|lost| (lost + self.config.retry_for, "retry budget"));
        let phase = match &self.phase {
            Phase::Waiting(at) => at.map(|at| (at, "retry")),
            Phase::Offering(deadline) => Some((*deadline, "offer")),
            Phase::Greeted(deadline) => Some((*deadline, "answer")),
            Phase::Connecting { deadline, .. } => Some((*deadline, "open")),
            Phase::Connected { .. } => None,
        };
        let switch = self.switch_at.map(|at| (at, "the code's room"));
        phase.into_iter().chain(budget).chain(switch).min()
    }

    /// What the surroundings shall do next.
    pub fn poll_output(&mut self) -> Option<MeetingOutput> {
        self.outputs.pop_front()
    }

    /// Whether the channels are open.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. })
    }

    /// Asks the host for the sender's deposit once more, with the offer that is there.
    fn ask_again(&mut self, now: Instant) {
        self.phase = Phase::Offering(now + OPEN_TIMEOUT);
        self.enter();
    }

    fn enter(&mut self) {
        if !self.is_at_work(self.joiner.room()) {
            self.host(self.first_message());
        }
    }

    /// What is said first on a fresh socket of the host.
    #[must_use]
    pub fn first_message(&self) -> ClientMessage {
        let room = self.joiner.room();
        let token = MemberToken::for_room(&self.config.token_key, room);
        let (member, wait) = (self.config.member, self.config.wait);
        ClientMessage::Join { room, member, token, deposit: None, wait }
    }

    fn on_deposit(&mut self, member: MemberId, deposit: Vec<u8>, is_news: bool, now: Instant) {
        // A host cannot make one up; one that it held back must not end a newer link.
        let Some(epoch) = self.joiner.epoch_of(&deposit) else {
            tracing::warn!(target: "rejoin::signal", %member, "a deposit that no member made");
            return;
        };
        if self.is_up() && self.session.is_some() && epoch < self.joiner.last_epoch() {
            return;
        }
        self.switch_at = None;
        let is_new = self.deposit_seen.as_ref() != Some(&deposit);
        let was_seen = self.deposit_seen.replace(deposit.clone()).is_some();
        self.deposit = Some((member, deposit));
        match self.phase {
            // A sender renews its deposit once for every join; another one means that it started again.
            Phase::Connected { .. } if is_new && was_seen => {
                return self.on_link_lost("the sender started again", now);
            }
            // The sender is there: no reason to wait any longer.
            Phase::Waiting(Some(_)) if is_news => self.handle_evidence(now),
            // The welcome comes before the renewed deposit: this one never saw our hello.
            Phase::Greeted(_) if is_new => self.phase = Phase::Offering(now + OPEN_TIMEOUT),
            Phase::Greeted(_) => {}
            Phase::Waiting(_)
            | Phase::Offering(_)
            | Phase::Connecting { .. }
            | Phase::Connected { .. } => {}
        }
        self.greet(now);
    }

    /// Says hello once there is an offer and a fresh deposit.
    fn greet(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Offering(_)) {
            return;
        }
        let (Some(sdp), Some((_, deposit))) = (&self.offer, &self.deposit) else { return };
        if self.session.is_some() && self.used_deposit.as_ref() == Some(deposit) {
            return;
        }
        // A connection is built for one kind of packets, so what was begun in hope is begun anew.
        let is_carried = self.joiner.shared_features(deposit) & CARRIER != 0;
        if is_carried != self.is_carried {
            self.is_carried = is_carried;
            return self.build(now);
        }
        let attempt = Attempt(self.attempt);
        let offer = match self.session {
            Some(session) if self.was_up || self.schedule.tries() > 0 => {
                let epoch = self.joiner.next_epoch(deposit);
                SignalMessage::ReconnectOffer { session, epoch, attempt, sdp: sdp.clone() }
            }
            Some(_) | None => SignalMessage::Offer { attempt, sdp: sdp.clone() },
        };
        let introduction = Introduction { name: self.config.name.clone(), session: self.session };
        let deposit = deposit.clone();
        let seed = self.entropy.next_seed();
        match self.joiner.handle_deposit(&deposit, &introduction, Some(offer), &seed) {
            Ok(greeting) => {
                self.used_deposit = Some(deposit);
                self.phase = Phase::Greeted(now + ANSWER_TIMEOUT);
                let room = self.joiner.room();
                self.host(ClientMessage::Relay {
                    room,
                    to: greeting.to,
                    payload: greeting.payload,
                });
            }
            Err(error) => self.on_join_error(&error),
        }
    }

    fn on_relayed(&mut self, room: RoomName, from: MemberId, payload: &[u8], now: Instant) {
        match JoinPayload::decode(payload) {
            Ok(JoinPayload::Welcome(welcome)) if matches!(self.phase, Phase::Greeted(_)) => {
                match self.joiner.handle_welcome(from, &welcome) {
                    Ok(admitted) => self.on_admitted(room, admitted, now),
                    Err(JoinError::Stale) => self.on_stale_answer(from),
                    Err(error) => self.on_join_error(&error),
                }
            }
            Ok(JoinPayload::Rejected(reason)) if matches!(self.phase, Phase::Greeted(_)) => {
                self.on_rejected(reason);
            }
            Ok(JoinPayload::Sealed(envelope)) => {
                let way = match &mut self.phase {
                    Phase::Connecting { way, .. } | Phase::Connected { way } => way,
                    Phase::Waiting(_) | Phase::Offering(_) | Phase::Greeted(_) => return,
                };
                if way.peer != from {
                    return;
                }
                let attempt = way.attempt;
                match way.channel.0.open(&envelope) {
                    Ok(message) => self.on_signal(message, attempt),
                    Err(error) => {
                        tracing::warn!(target: "rejoin::signal", %error, "an envelope was refused");
                    }
                }
            }
            Ok(JoinPayload::Welcome(_)) => self.on_stale_answer(from),
            Ok(JoinPayload::Hello(_) | JoinPayload::Rejected(_)) | Err(_) => {
                tracing::warn!(target: "rejoin::signal", %from, "a payload that is not awaited");
            }
        }
    }

    fn on_admitted(&mut self, room: RoomName, admitted: Admitted, now: Instant) {
        let Admitted { member, epoch, secret, introduction, first, channel, carrier, .. } =
            admitted;
        let Some((attempt, sdp)) = signals::answered(first, self.session, epoch) else {
            return self.on_link_lost("the sender answered without a description", now);
        };
        // An answer to an earlier offer of ours would describe another connection (X2).
        if attempt != Attempt(self.attempt) {
            return self.on_stale_answer(member);
        }
        let name = introduction.name;
        if let Some(secret) = secret {
            let Some(session) = introduction.session else {
                return self.fail(Error::new(ErrorKind::Failure, "the sender names no session"));
            };
            self.owes_storing = true;
            let pairing = Pairing { session, secret, peer: member, name: name.clone(), epoch };
            self.outputs.push_back(MeetingOutput::Pair(Box::new(pairing)));
        }
        self.deposit_seen = None;
        self.outputs.push_back(MeetingOutput::Peer { member, name, epoch });
        if let Some(tokens) = carrier {
            self.outputs.push_back(MeetingOutput::Link(LinkCommand::Carry(tokens)));
        }
        self.outputs.push_back(MeetingOutput::Link(LinkCommand::AcceptAnswer { answer: sdp }));
        let way = Way { room, peer: member, channel: Channel(channel), attempt };
        self.phase = Phase::Connecting { way, epoch, deadline: now + OPEN_TIMEOUT, is_open: false };
        for message in std::mem::take(&mut self.candidates) {
            self.trickle(message);
        }
    }

    /// The link counts as up when its channels are open and nothing is left to be stored.
    fn open(&mut self, now: Instant) {
        if self.owes_storing || !matches!(self.phase, Phase::Connecting { is_open: true, .. }) {
            return;
        }
        if let Phase::Connecting { way, epoch, .. } =
            std::mem::replace(&mut self.phase, Phase::Waiting(None))
        {
            self.phase = Phase::Connected { way };
            self.schedule.handle_up(now);
            self.lost_before = self.lost_at.take();
            self.was_up = true;
            self.outputs.push_back(MeetingOutput::LinkUp { epoch, takes_early: false });
        }
    }

    fn on_link_lost(&mut self, reason: &str, now: Instant) {
        if self.is_over {
            return;
        }
        let was_connected = self.is_up();
        if matches!(self.phase, Phase::Greeted(_)) {
            // Perhaps the hello never came: then the deposit is good still.
            self.used_deposit = None;
        }
        self.outputs.push_back(MeetingOutput::StopLink);
        self.lost_at.get_or_insert(now);
        if was_connected {
            self.outputs.push_back(MeetingOutput::LinkDown { reason: reason.to_owned() });
        }
        if self.is_out_of_time(now) {
            return self.give_up();
        }
        self.plan(now);
        // Asks for the sender's present deposit, in case the one we know was used.
        self.has_asked = self.is_host_up;
        self.enter();
    }

    fn on_refused(&mut self, room: Option<RoomName>, reason: RefusalReason) {
        if room.is_some_and(|room| room != self.joiner.room()) || self.is_up() {
            return;
        }
        if self.session.is_some() {
            // A session that is stored outlives whatever a host says; the room is asked for again in a while.
            tracing::warn!(target: "rejoin::signal", %reason, "the host refused the session's room");
            return;
        }
        // A host remembers who waits for a few minutes only, and a sender may end before anybody was there: how long to wait
        // for the next one is the user's to say.
        if matches!(reason, RefusalReason::NoSuchRoom | RefusalReason::Expired) && self.config.wait
        {
            self.deposit = None;
            return self.enter();
        }
        // The sender is briefly away: it is waited for.
        if reason != RefusalReason::UnknownMember {
            self.fail(refusal(reason));
        }
    }

    fn on_rejected(&mut self, reason: Rejection) {
        let error = self.joiner.handle_rejection(reason);
        // Not authenticated: it may end a first join, never a session that is stored.
        if self.session.is_none() {
            self.on_join_error(&error);
        }
    }

    fn on_join_error(&mut self, error: &JoinError) {
        let is_final = matches!(
            error,
            JoinError::WrongCode
                | JoinError::TooManyRuns
                | JoinError::Spent
                | JoinError::Rejected(_)
        );
        if is_final && self.session.is_none() {
            let failed = Error::new(ErrorKind::Authentication, error.to_string());
            return self.fail(
                failed.with_hint("ask the sender for a fresh code; each is good for one guess"),
            );
        }
        tracing::warn!(target: "rejoin::signal", %error, "a join message was refused");
    }

    /// Sends a candidate, or keeps it until the welcome came.
    fn trickle(&mut self, message: SignalMessage) {
        let sealed = match &mut self.phase {
            Phase::Connecting { way, .. } | Phase::Connected { way } => way.seal(&message),
            Phase::Waiting(_) | Phase::Offering(_) | Phase::Greeted(_) => {
                if self.candidates.len() < CANDIDATES_MAX {
                    self.candidates.push_back(message);
                }
                None
            }
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
        if !self.is_over {
            self.is_over = true;
            self.outputs.push_back(MeetingOutput::Failed(error));
        }
    }
}
