//! The channels of a link.

/// A data channel of a link, agreed beforehand on both sides with a fixed id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Ordered, reliable: what decides (recovery, wants, completion).
    Control,
    /// Unordered, reliable: ping, pong and acknowledgements, which must not wait behind data: all ordered streams of
    /// an association share one queue.
    Pulse,
    /// Ordered, reliable: pages and units.
    Data,
}

impl Channel {
    /// Every channel, in the order of their ids.
    pub const ALL: [Self; 3] = [Self::Control, Self::Pulse, Self::Data];

    /// The id agreed for it.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Control => 0,
            Self::Pulse => 1,
            Self::Data => 2,
        }
    }
}
