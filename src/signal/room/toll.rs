//! What a connection pays for a try at a number.

use super::tries::Price;
use super::{ConnectionId, Refused, Rooms};
use crate::signal::keys::derive;
use crate::signal::protocol::{HostMessage, RefusalReason};
use crate::signal::subscriber::Subscriber;
use crate::signal::work::{Challenge, LIFETIME};
use crate::time::Instant;

/// Makes challenges that nobody foresees.
pub(super) struct Toll {
    seed: [u8; 32],
    made: u64,
}

/// What a connection owes, or has paid: one thing at a time.
#[derive(Debug, Default)]
pub(super) enum Paid {
    #[default]
    Nothing,
    /// It was asked for work.
    Asked { number: u32, challenge: Challenge, bits: u8, since: Instant },
    /// Its next try at this number is paid for.
    Once { number: u32 },
}

impl Toll {
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, made: 0 }
    }

    fn next(&mut self) -> Challenge {
        self.made += 1;
        let made = self.made.to_le_bytes();
        Challenge(derive("rejoin 2026 v1 work challenge", &self.seed, &[&made]))
    }
}

impl Paid {
    /// Whether it is at work, for as long as that may take.
    pub(super) fn is_asked(&self, now: Instant) -> bool {
        matches!(self, Self::Asked { since, .. } if now.saturating_duration_since(*since) < LIFETIME)
    }
}

impl std::fmt::Debug for Toll {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Toll({} made)", self.made)
    }
}

impl Rooms {
    /// Counts a try at a number as a miss, until it is known to be none; whether it may go on, and counts. If work is to be
    /// shown first, the connection is asked for it.
    pub(super) fn count_number(
        &mut self,
        connection: ConnectionId,
        number: u32,
        is_room: bool,
        now: Instant,
    ) -> Result<Try, RefusalReason> {
        let Some(state) = self.connections.get_mut(&connection) else { return Ok(Try::Asked) };
        let paid = std::mem::take(&mut state.toll);
        match self.tries.price(state.from, number, is_room, &self.limits, now) {
            Price::Free => {}
            Price::Bits(_) if matches!(paid, Paid::Once { number: of } if of == number) => {}
            Price::Bits(bits) => {
                let challenge = self.toll.next();
                state.toll = Paid::Asked { number, challenge, bits, since: now };
                self.counters.work_asked += 1;
                self.send(connection, HostMessage::WorkNeeded { number, challenge, bits });
                return Ok(Try::Asked);
            }
            Price::TooMany => return Err(RefusalReason::TooManyTries),
        }
        let is_miss = self.tries.miss(state.from, number, is_room, now);
        self.counters.tries += 1;
        Ok(Try::Goes { is_miss })
    }

    /// A member shows its work. What is wrong, late, or was not asked for is worth nothing: each challenge is good for one
    /// answer.
    pub(super) fn work(
        &mut self,
        connection: ConnectionId,
        number: u32,
        nonce: u64,
        now: Instant,
    ) -> Refused {
        let Some(state) = self.connections.get_mut(&connection) else { return Ok(()) };
        match std::mem::take(&mut state.toll) {
            Paid::Asked { number: of, challenge, bits, since }
                if of == number
                    && now.saturating_duration_since(since) < LIFETIME
                    && challenge.is_solved(bits, nonce) =>
            {
                state.toll = Paid::Once { number };
                // The work took its time.
                state.since = now;
                Ok(())
            }
            Paid::Asked { .. } | Paid::Once { .. } | Paid::Nothing => {
                Err(RefusalReason::NotPermitted)
            }
        }
    }

    /// The code was used: the tries of the two were no misses.
    pub(super) fn forgive(&mut self, forgiven: Vec<Subscriber>, now: Instant) {
        for from in forgiven {
            self.tries.forgive(from, now);
        }
    }
}

/// What becomes of a try at a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Try {
    /// It goes on; whether it counts as a miss for now.
    Goes { is_miss: bool },
    /// Work was asked for; the member says it again.
    Asked,
}
