//! The channels of a link.

/// One of the three streams of frames between the ends of a link.
///
/// They are negotiated, not announced: both ends open the same fixed stream ids, which saves a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Ordered, reliable: what decides (recovery, wants, completion).
    Control,
    /// Unordered, reliable: pings, pongs and acknowledgements, which must not wait behind data: all ordered streams of
    /// an association share one queue.
    Pulse,
    /// Ordered, reliable: pages and units. It alone may stall without stalling the others.
    Data,
}

impl Channel {
    /// Every channel, in the order of the stream ids.
    pub const ALL: [Self; 3] = [Self::Control, Self::Pulse, Self::Data];

    /// The SCTP stream both ends use for this channel.
    #[must_use]
    pub const fn stream_id(self) -> u16 {
        match self {
            Self::Control => 0,
            Self::Pulse => 1,
            Self::Data => 2,
        }
    }

    /// Whether frames arrive in the order they were sent.
    #[must_use]
    pub const fn is_ordered(self) -> bool {
        match self {
            Self::Control | Self::Data => true,
            Self::Pulse => false,
        }
    }

    /// The label of the data channel, for logs and statistics only.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Pulse => "pulse",
            Self::Data => "data",
        }
    }
}
