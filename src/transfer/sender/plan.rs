//! What the receiver does not need.

use super::{PageSpan, Sender};
use crate::transfer::manifest::Chain;
use crate::transfer::message::RecoveryRequest;
use crate::transfer::ranges::Ranges;

/// What a receiver wants of a page: all but these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Entries not to be sent.
    pub(super) unwanted: Ranges,
    /// Units not to be sent.
    pub(super) units: Ranges,
}

/// A checked [`RecoveryRequest`].
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    /// Pages the receiver has.
    pub(super) pages: u64,
    /// Chain value over them.
    pub(super) chain: Chain,
    /// Of those, the pages whose want is still to come.
    pub(super) undecided: Ranges,
    /// What it does not need of the others.
    pub(super) plan: Plan,
    /// Whether the answer was given.
    pub(super) is_answered: bool,
}

impl Plan {
    /// How many ranges it holds.
    pub(super) fn ranges(&self) -> usize {
        self.unwanted.as_slice().len() + self.units.as_slice().len()
    }

    /// The request's sets; `None` where one is not a set.
    pub(super) fn from_request(request: &RecoveryRequest) -> Option<Recovery> {
        Some(Recovery {
            pages: request.pages,
            chain: request.chain,
            undecided: request.undecided.to_ranges()?,
            plan: Self {
                unwanted: request.unwanted.to_ranges()?,
                units: request.units.to_ranges()?,
            },
            is_answered: false,
        })
    }
}

impl Sender {
    /// Bytes that the receiver has by its request. The units of a page count the same: their sizes are in the page,
    /// which is not loaded yet.
    pub(super) fn held_bytes(&self) -> u64 {
        let Some(recovery) = self.run.as_ref().and_then(|run| run.recovery.as_ref()) else {
            return 0;
        };
        let is_decided = |number: &u64| !recovery.undecided.contains(*number);
        let spans = (0..recovery.pages).zip(&self.spans).filter(|(number, _)| is_decided(number));
        let held = |span: &PageSpan| {
            let units = recovery.plan.units.count_in(span.first_unit..span.end_unit);
            let all = (span.end_unit - span.first_unit).max(1);
            let bytes = u128::from(span.bytes) * u128::from(units) / u128::from(all);
            u64::try_from(bytes).unwrap_or(span.bytes)
        };
        spans.map(|(_, span)| held(span)).sum()
    }
}
