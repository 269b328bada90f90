//! The side that opens the room: role sender.

use std::fmt;

use crate::signal::capabilities::{Agreed, CARRIER, Capabilities};
use crate::signal::code::Code;
use crate::signal::keys::{JoinKeys, RoomName, Seed, ShortAuthentication, Transcript};
use crate::signal::message::{FirstPayload, Introduction, SignalMessage};
use crate::signal::pake::Side;
use crate::signal::seal::{Direction, SealedChannel};
use crate::wire::{CarrierTokens, MemberId, SessionSecret};

use super::payload::{Hello, JoinPayload, Name, Rejection, Welcome, name};
use super::{Credential, JoinError, RUNS_MAX};

/// Waits for joiners at one room. For a code it pairs one member; for a session it admits its peer again and again.
///
/// ```text
///   code:     Waiting ──Hello──► Pairing ──Stored──► Spent        wrong proof: Spent (burnt)
///                ▲                  │
///                └── peer left, fewer than 3 runs (else: Spent)
///   session:  Waiting ──Hello──► Waiting, with a fresh nonce
/// ```
pub struct Opener {
    credential: Credential,
    capabilities: Capabilities,
    seed: Seed,
    deposit: Vec<u8>,
    runs: u32,
    last_epoch: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Pairing { member: MemberId },
    Spent,
}

/// A joiner that proved itself. **Store [`secret`](Self::secret) before calling [`welcome`](Self::welcome)**: once the
/// joiner has stored it, it comes back with nothing else.
pub struct Proved {
    /// The peer.
    pub member: MemberId,
    /// Epoch of this join; newer than any before, so the link of an older one is to be closed.
    pub epoch: u64,
    /// The new session's secret; `None` if it is a session that both know already.
    pub secret: Option<SessionSecret>,
    /// What both can do.
    pub agreed: Agreed,
    /// What the carrier's datagrams begin with; `None` unless both can carry.
    pub carrier: Option<CarrierTokens>,
    /// What the peer says of itself.
    pub introduction: Introduction,
    /// Its first message: the offer.
    pub first: Option<SignalMessage>,
    /// For `--verify`.
    pub short_authentication: ShortAuthentication,
    answers: Name,
    proof: [u8; 32],
    channel: SealedChannel,
}

impl Opener {
    /// Opens for a code. `runs` is how many the stored session has used already; `seed` is fresh.
    ///
    /// # Errors
    /// [`JoinError::TooManyRuns`] if none is left.
    pub fn for_code(
        code: &Code,
        capabilities: Capabilities,
        runs: u32,
        seed: Seed,
    ) -> Result<Self, JoinError> {
        if runs >= RUNS_MAX {
            return Err(JoinError::TooManyRuns);
        }
        let credential = Credential::Words { room: code.room(), password: code.password() };
        Self::new(credential, capabilities, runs, 0, seed)
    }

    /// Opens for a stored session. `last_epoch` is the newest epoch stored with it; `seed` is fresh.
    ///
    /// # Errors
    /// If the deposit has no byte form.
    pub fn for_session(
        secret: &SessionSecret,
        capabilities: Capabilities,
        last_epoch: u64,
        seed: Seed,
    ) -> Result<Self, JoinError> {
        Self::new(Credential::Secret(secret.clone()), capabilities, 0, last_epoch, seed)
    }

    fn new(
        credential: Credential,
        capabilities: Capabilities,
        runs: u32,
        last_epoch: u64,
        seed: Seed,
    ) -> Result<Self, JoinError> {
        let mut opener = Self {
            credential,
            capabilities,
            seed,
            deposit: Vec::new(),
            runs,
            last_epoch,
            state: State::Waiting,
        };
        opener.renew_deposit()?;
        Ok(opener)
    }

    /// The room to open (code) or to join (session).
    #[must_use]
    pub fn room(&self) -> RoomName {
        self.credential.room()
    }

    /// The host picked the number of the code's room. Before anybody has joined: the number is part of every proof.
    pub fn set_number(&mut self, number: u32) {
        if let Credential::Words { room, .. } = &mut self.credential {
            *room = number;
        }
    }

    /// What to leave with the host now. Ask again after every call that says it changed.
    #[must_use]
    pub fn deposit(&self) -> &[u8] {
        &self.deposit
    }

    /// Runs of the key exchange so far, to be stored with the session.
    #[must_use]
    pub const fn runs(&self) -> u32 {
        self.runs
    }

    /// Whether nobody can join any more.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.state == State::Spent
    }

    /// A joiner's proof. `seed` is fresh and is kept only if the deposit has to change: in a session join it has, after
    /// success, so deposit again, *after* sending the welcome.
    ///
    /// # Errors
    /// See [`JoinError`]. Only [`JoinError::WrongCode`] ends the opener: tell the host to burn the room.
    pub fn handle_hello(
        &mut self,
        from: MemberId,
        hello: &Hello,
        seed: Seed,
    ) -> Result<Proved, JoinError> {
        match self.state {
            State::Waiting => {}
            State::Pairing { .. } => return Err(JoinError::Busy),
            State::Spent => return Err(JoinError::Spent),
        }
        if hello.answers != name(&self.deposit) {
            return Err(JoinError::Stale);
        }
        let keys = self.keys(hello)?;
        if keys.joiner_proof != hello.proof {
            if self.credential.is_code() {
                self.state = State::Spent;
            }
            return Err(self.credential.wrong_proof());
        }
        // From here on the joiner's own words are believed.
        let theirs = Capabilities::decode(&hello.capabilities)?;
        if theirs.member != from || from == self.capabilities.member {
            return Err(JoinError::WrongMember);
        }
        if hello.epoch <= self.last_epoch {
            return Err(JoinError::StaleEpoch { epoch: hello.epoch, last: self.last_epoch });
        }
        let mut channel = SealedChannel::new(&keys, Direction::ToJoiner);
        let first = FirstPayload::decode(&channel.open_bytes(&hello.first)?)?;
        self.last_epoch = hello.epoch;
        if self.credential.is_code() {
            self.runs += 1;
            self.state = State::Pairing { member: from };
        } else {
            self.seed = seed;
            self.renew_deposit()?;
        }
        let agreed = self.capabilities.intersect(&theirs);
        let carrier =
            CarrierTokens { outgoing: keys.carrier_to_joiner, incoming: keys.carrier_to_opener };
        Ok(Proved {
            member: from,
            epoch: hello.epoch,
            secret: self.credential.new_secret(&keys),
            carrier: (agreed.features & CARRIER != 0).then_some(carrier),
            agreed,
            introduction: first.introduction,
            first: first.message,
            short_authentication: keys.short_authentication,
            answers: name(&hello.share),
            proof: *keys.opener_proof.as_bytes(),
            channel,
        })
    }

    /// The joiner said [`SignalMessage::Stored`], or came back with the new secret. True if the code's room is to be
    /// locked now; false if there is nothing to do.
    pub fn handle_stored(&mut self, member: MemberId) -> bool {
        let paired = self.state == State::Pairing { member };
        if paired {
            self.state = State::Spent;
        }
        paired
    }

    /// A member's connection to the host is gone. True if the deposit changed and must be handed to the host: the
    /// member being paired may run again, with a fresh element.
    ///
    /// # Errors
    /// [`JoinError::TooManyRuns`] once all runs are used up: burn the room and ask a person.
    pub fn handle_departure(&mut self, member: MemberId, seed: Seed) -> Result<bool, JoinError> {
        if self.state != (State::Pairing { member }) {
            return Ok(false);
        }
        if self.runs >= RUNS_MAX {
            self.state = State::Spent;
            return Err(JoinError::TooManyRuns);
        }
        self.seed = seed;
        // Nobody stored what the broken run agreed on, or they come back with it and not with the code.
        self.last_epoch = 0;
        self.renew_deposit()?;
        self.state = State::Waiting;
        Ok(true)
    }

    /// The payload that tells a joiner why it is turned away.
    ///
    /// # Errors
    /// Never in practice: the payload is of fixed size.
    pub fn rejection(reason: Rejection) -> Result<Vec<u8>, JoinError> {
        Ok(JoinPayload::Rejected(reason).encode()?)
    }

    fn keys(&self, hello: &Hello) -> Result<JoinKeys, JoinError> {
        let transcript = Transcript {
            room: self.room(),
            deposit: &self.deposit,
            joiner_share: &hello.share,
            joiner_capabilities: &hello.capabilities,
            epoch: hello.epoch,
        };
        self.credential.keys(Side::Opener, &self.seed, &hello.share, &transcript)
    }

    fn renew_deposit(&mut self) -> Result<(), JoinError> {
        self.deposit = self.credential.deposit(&self.seed, &self.capabilities, self.last_epoch)?;
        Ok(())
    }
}

impl Proved {
    /// The answer to the joiner, and the channel for everything after it. `introduction` names the session.
    ///
    /// # Errors
    /// If `first` or `introduction` exceeds a limit.
    pub fn welcome(
        mut self,
        introduction: &Introduction,
        first: Option<SignalMessage>,
    ) -> Result<(Vec<u8>, SealedChannel), JoinError> {
        let payload = FirstPayload { introduction: introduction.clone(), message: first };
        let first = self.channel.seal_bytes(&payload.encode()?)?;
        let welcome =
            JoinPayload::Welcome(Welcome { answers: self.answers, proof: self.proof, first })
                .encode()?;
        Ok((welcome, self.channel))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Opener({:?}, {:?}, run {}, epoch {})",
            self.room(),
            self.state,
            self.runs,
            self.last_epoch
        )
    }
}

impl fmt::Debug for Proved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proved({}, epoch {}, {:?})", self.member, self.epoch, self.agreed)
    }
}
