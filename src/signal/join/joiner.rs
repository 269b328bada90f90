//! The side that joins the room: role receiver. It proves first, and it always offers.

use std::fmt;

use crate::signal::capabilities::{Agreed, CARRIER, Capabilities};
use crate::signal::code::Code;
use crate::signal::keys::{JoinKeys, RoomName, Seed, ShortAuthentication, Transcript};
use crate::signal::message::{FirstPayload, Introduction, SignalMessage};
use crate::signal::pake::Side;
use crate::signal::seal::{Direction, SealedChannel};
use crate::wire::{CarrierTokens, MemberId, SessionSecret};

use super::payload::{Deposit, Hello, JoinPayload, Name, Rejection, Welcome, name};
use super::{Credential, JoinError, RUNS_MAX};

/// Joins one room until it is welcomed.
///
/// ```text
///   Idle ──deposit──► Greeted ──Welcome──► Joined         wrong proof, rejection: Refused
///                      ▲   │
///                      └───┘ a fresh deposit; at most 3 runs for a code
/// ```
pub struct Joiner {
    credential: Credential,
    capabilities: Capabilities,
    runs: u32,
    last_epoch: u64,
    state: State,
}

enum State {
    Idle,
    Greeted(Box<Greeted>),
    Joined,
    Refused(JoinError),
}

struct Greeted {
    deposit: Vec<u8>,
    theirs: Capabilities,
    keys: JoinKeys,
    channel: SealedChannel,
    epoch: u64,
    name: Name,
    hello: Vec<u8>,
}

/// What to relay to the opener.
#[derive(Clone, PartialEq, Eq)]
pub struct Greeting {
    /// To whom.
    pub to: MemberId,
    /// The encoded [`Hello`].
    pub payload: Vec<u8>,
    /// True if it is the earlier greeting once more: the host gave the same deposit again, and to repeat the same
    /// bytes is no new guess. It carries the message that was given first, not the one given now.
    pub repeated: bool,
}

/// The join succeeded. **Store [`secret`](Self::secret) and [`epoch`](Self::epoch), then seal and send
/// [`SignalMessage::Stored`].**
pub struct Admitted {
    /// The peer.
    pub member: MemberId,
    /// Epoch of this join.
    pub epoch: u64,
    /// The new session's secret; `None` if it is a session that both know already.
    pub secret: Option<SessionSecret>,
    /// What both can do.
    pub agreed: Agreed,
    /// What the carrier's datagrams begin with; `None` unless both can carry.
    pub carrier: Option<CarrierTokens>,
    /// What the peer says of itself, and the session's id.
    pub introduction: Introduction,
    /// Its first message: the answer, if it was ready.
    pub first: Option<SignalMessage>,
    /// For `--verify`.
    pub short_authentication: ShortAuthentication,
    /// For everything after.
    pub channel: SealedChannel,
}

impl Joiner {
    /// Joins by a code. `runs` is how many earlier processes used for this code.
    #[must_use]
    pub fn for_code(code: &Code, capabilities: Capabilities, runs: u32) -> Self {
        let credential = Credential::Words { room: code.room(), password: code.password() };
        Self { credential, capabilities, runs, last_epoch: 0, state: State::Idle }
    }

    /// Joins a stored session. `last_epoch` is the newest epoch stored with it.
    #[must_use]
    pub fn for_session(
        secret: &SessionSecret,
        capabilities: Capabilities,
        last_epoch: u64,
    ) -> Self {
        Self {
            credential: Credential::Secret(secret.clone()),
            capabilities,
            runs: 0,
            last_epoch,
            state: State::Idle,
        }
    }

    /// The room to join.
    #[must_use]
    pub fn room(&self) -> RoomName {
        self.credential.room()
    }

    /// Runs of the key exchange so far.
    #[must_use]
    pub const fn runs(&self) -> u32 {
        self.runs
    }

    /// The host gave the opener's deposit: on joining, or because it was renewed. `first` is the offer; `seed` is fresh.
    ///
    /// # Errors
    /// [`JoinError::TooManyRuns`] if this would be one too many; otherwise the deposit is unusable and is to be ignored.
    pub fn handle_deposit(
        &mut self,
        deposit: &[u8],
        introduction: &Introduction,
        first: Option<SignalMessage>,
        seed: &Seed,
    ) -> Result<Greeting, JoinError> {
        match &self.state {
            State::Greeted(greeted) if self.credential.is_code() && greeted.deposit == deposit => {
                return Ok(Greeting {
                    to: greeted.theirs.member,
                    payload: greeted.hello.clone(),
                    repeated: true,
                });
            }
            State::Refused(error) => return Err(error.clone()),
            // A code is good for one join, a session for as many as it takes.
            State::Joined if self.credential.is_code() => return Err(JoinError::Unexpected),
            State::Idle | State::Greeted(_) | State::Joined => {}
        }
        if self.credential.is_code() && self.runs >= RUNS_MAX {
            self.state = State::Refused(JoinError::TooManyRuns);
            return Err(JoinError::TooManyRuns);
        }
        let greeted = self.greet(deposit, introduction, first, seed)?;
        let greeting =
            Greeting { to: greeted.theirs.member, payload: greeted.hello.clone(), repeated: false };
        if self.credential.is_code() {
            self.runs += 1;
        }
        self.state = State::Greeted(Box::new(greeted));
        Ok(greeting)
    }

    /// The epoch in a deposit that a member of this session made; `None` for any other. A host can hold back and
    /// repeat deposits, it cannot make one.
    #[must_use]
    pub fn epoch_of(&self, deposit: &[u8]) -> Option<u64> {
        let opened = Deposit::decode(deposit).ok()?;
        self.credential.admits(&opened).then_some(opened.last_epoch)
    }

    /// The features that both have, as far as a deposit says; whether it says the truth, the welcome proves.
    #[must_use]
    pub fn shared_features(&self, deposit: &[u8]) -> u64 {
        let theirs = Deposit::decode(deposit)
            .and_then(|deposit| Capabilities::decode(&deposit.capabilities));
        theirs.map_or(0, |theirs| self.capabilities.intersect(&theirs).features)
    }

    /// Epoch of the last join.
    #[must_use]
    pub const fn last_epoch(&self) -> u64 {
        self.last_epoch
    }

    /// The epoch that a join by this deposit would have; 0 if the deposit is unusable.
    #[must_use]
    pub fn next_epoch(&self, deposit: &[u8]) -> u64 {
        let left = Deposit::decode(deposit).map_or(0, |deposit| deposit.last_epoch);
        self.last_epoch.max(left).checked_add(1).unwrap_or(0)
    }

    /// The opener's proof.
    ///
    /// # Errors
    /// [`JoinError::WrongCode`] for a code ends the join (exit code 3); for a session nothing is lost.
    pub fn handle_welcome(
        &mut self,
        from: MemberId,
        welcome: &Welcome,
    ) -> Result<Admitted, JoinError> {
        let State::Greeted(greeted) = &mut self.state else {
            return Err(JoinError::Unexpected);
        };
        // A stranger's, or the answer to a run that was cut off: no verdict on the code.
        if greeted.theirs.member != from {
            return Err(JoinError::WrongMember);
        }
        if greeted.name != welcome.answers {
            return Err(JoinError::Stale);
        }
        if greeted.keys.opener_proof != welcome.proof {
            let error = self.credential.wrong_proof();
            if self.credential.is_code() {
                self.state = State::Refused(error.clone());
            }
            return Err(error);
        }
        let first = FirstPayload::decode(&greeted.channel.open_bytes(&welcome.first)?)?;
        let State::Greeted(greeted) = std::mem::replace(&mut self.state, State::Joined) else {
            return Err(JoinError::Unexpected);
        };
        self.last_epoch = greeted.epoch;
        let agreed = self.capabilities.intersect(&greeted.theirs);
        let carrier = CarrierTokens {
            outgoing: greeted.keys.carrier_to_opener,
            incoming: greeted.keys.carrier_to_joiner,
        };
        Ok(Admitted {
            member: from,
            epoch: greeted.epoch,
            secret: self.credential.new_secret(&greeted.keys),
            carrier: (agreed.features & CARRIER != 0).then_some(carrier),
            agreed,
            introduction: first.introduction,
            first: first.message,
            short_authentication: greeted.keys.short_authentication,
            channel: greeted.channel,
        })
    }

    /// The opener, or a host that pretends, turned us away. A person decides what next (exit code 3).
    pub fn handle_rejection(&mut self, reason: Rejection) -> JoinError {
        let error = match reason {
            Rejection::WrongCode => JoinError::WrongCode,
            Rejection::TooManyRuns | Rejection::Spent => JoinError::Rejected(reason),
        };
        if matches!(self.state, State::Joined) {
            return JoinError::Unexpected;
        }
        self.state = State::Refused(error.clone());
        error
    }

    fn greet(
        &self,
        deposit: &[u8],
        introduction: &Introduction,
        first: Option<SignalMessage>,
        seed: &Seed,
    ) -> Result<Greeted, JoinError> {
        let opened = Deposit::decode(deposit)?;
        if !self.credential.admits(&opened) {
            return Err(JoinError::ProofRefused);
        }
        let theirs = Capabilities::decode(&opened.capabilities)?;
        if theirs.member == self.capabilities.member {
            return Err(JoinError::WrongMember);
        }
        let last = self.last_epoch.max(opened.last_epoch);
        let epoch = last.checked_add(1).ok_or(JoinError::StaleEpoch { epoch: last, last })?;
        let share = self.credential.share(Side::Joiner, seed);
        let capabilities = self.capabilities.encode()?;
        let transcript = Transcript {
            room: self.room(),
            deposit,
            joiner_share: &share,
            joiner_capabilities: &capabilities,
            epoch,
        };
        let keys = self.credential.keys(Side::Joiner, seed, &opened.share, &transcript)?;
        let mut channel = SealedChannel::new(&keys, Direction::ToOpener);
        let payload = FirstPayload { introduction: introduction.clone(), message: first };
        let first = channel.seal_bytes(&payload.encode()?)?;
        let proof = *keys.joiner_proof.as_bytes();
        let greeting = name(&share);
        let hello = JoinPayload::Hello(Hello {
            answers: name(deposit),
            share,
            capabilities,
            epoch,
            proof,
            first,
        })
        .encode()?;
        Ok(Greeted {
            deposit: deposit.to_vec(),
            theirs,
            keys,
            channel,
            epoch,
            name: greeting,
            hello,
        })
    }
}

impl fmt::Debug for Joiner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Idle => "idle",
            State::Greeted(_) => "greeted",
            State::Joined => "joined",
            State::Refused(_) => "refused",
        };
        write!(
            formatter,
            "Joiner({:?}, {state}, run {}, epoch {})",
            self.room(),
            self.runs,
            self.last_epoch
        )
    }
}

impl fmt::Debug for Greeting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Greeting(to {}, repeated {})", self.to, self.repeated)
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Admitted({}, epoch {}, {:?})", self.member, self.epoch, self.agreed)
    }
}
