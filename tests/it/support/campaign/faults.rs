//! What may happen to a transfer.

use super::super::random::Random;

/// A kind of drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// No datagram comes through.
    CutUdp,
    /// The host's socket of one side or both ends, or falls silent.
    CutHost,
    /// Both at once: the network is away.
    CutAll,
    KillReceiver,
    KillSender,
    KillBoth,
    KillHost,
    /// Sender, receiver and host.
    KillAll,
    /// One side's process does nothing, as a machine that sleeps.
    Stop,
}

impl Kind {
    /// Those after which every process is still the same.
    pub(crate) const HARMLESS: &[Self] =
        &[Self::CutUdp, Self::CutHost, Self::CutUdp, Self::CutAll, Self::Stop];

    const ALL: [Self; 9] = [
        Self::CutUdp,
        Self::CutHost,
        Self::CutAll,
        Self::KillReceiver,
        Self::KillSender,
        Self::KillBoth,
        Self::KillHost,
        Self::KillAll,
        Self::Stop,
    ];

    /// All kinds, in an order of the generator; without those that need a host of its own where there is none.
    pub(crate) fn shuffled(random: &mut Random, has_host: bool) -> Vec<Self> {
        let needs_host =
            |kind: &Self| matches!(kind, Self::CutHost | Self::CutAll | Self::KillHost);
        let mut kinds: Vec<Self> = match std::env::var("REJOIN_TEST_CAMPAIGN_KIND") {
            Ok(name) => Self::ALL.into_iter().filter(|kind| format!("{kind:?}") == name).collect(),
            Err(_) => Self::ALL.into(),
        };
        kinds.retain(|kind| has_host || !needs_host(kind));
        for index in (1..kinds.len()).rev() {
            kinds.swap(index, random.below(index as u64 + 1) as usize);
        }
        kinds
    }
}
