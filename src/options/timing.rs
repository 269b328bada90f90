//! What may be tuned about staying connected (S-17): each field is an option, an environment variable and a key of the configuration.

use std::time::Duration;

/// Intervals, tries and limits of a link and of its reconnection. The defaults are those of design §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two pings (S-01).
    pub ping_interval: Duration,
    /// Pings without any sign of life after which a link is dead (X12).
    pub ping_misses: u32,
    /// How long ICE may be `disconnected` before it is restarted (V-04, K-36).
    pub ice_grace: Duration,
    /// ICE restarts in one connection (X8); 0: none, a new connection at once.
    pub ice_tries: u32,
    /// Before the second ICE restart; doubled for each one after it, up to 60 s (K-08).
    pub ice_delay: Duration,
    /// Tries of a new connection before the slow pace begins (F-08).
    pub reconnect_tries: u32,
    /// Before the first of them; doubled for each one after it, up to 60 s (F-09).
    pub reconnect_delay: Duration,
    /// Nothing of what is due comes for this long although the link is there: a new connection (cli.md, `--stall-timeout`).
    pub stall_timeout: Duration,
    /// Bytes that may wait in the stack to be sent (S-04).
    pub buffer_limit: u64,
}

/// A kind of network, for which several are set at once (K-31).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Most networks.
    #[default]
    Default,
    /// Firewalls and proxies: paths that are let go when idle, servers that are slow to answer.
    Corporate,
    /// Paths that change and pause under way.
    Mobile,
    /// Short paths without loss.
    LowLatency,
}

impl Timing {
    /// What suits a kind of network.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let base = Self::default();
        match profile {
            Profile::Default => base,
            // More patience before a path is called dead, since inspection holds packets up; more tries.
            Profile::Corporate => Self {
                ping_misses: 5,
                ice_grace: Duration::from_secs(10),
                reconnect_tries: 8,
                ..base
            },
            // A cell change takes seconds and is over: try early and often, and queue little on a thin link.
            Profile::Mobile => Self {
                ping_interval: Duration::from_secs(3),
                ping_misses: 5,
                ice_grace: Duration::from_secs(3),
                ice_tries: 4,
                ice_delay: Duration::from_secs(2),
                reconnect_tries: 10,
                reconnect_delay: Duration::from_secs(1),
                buffer_limit: 1024 * 1024,
                ..base
            },
            // Silence of three seconds is a fact on such a path.
            Profile::LowLatency => Self {
                ping_interval: Duration::from_secs(1),
                ice_grace: Duration::from_secs(2),
                ice_delay: Duration::from_secs(1),
                reconnect_delay: Duration::from_secs(1),
                ..base
            },
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(5),
            ping_misses: 3,
            // Windows reports a path as disconnected while it changes networks (V-04).
            ice_grace: Duration::from_secs(if cfg!(windows) { 10 } else { 5 }),
            ice_tries: 3,
            ice_delay: Duration::from_secs(5),
            reconnect_tries: 5,
            reconnect_delay: Duration::from_secs(2),
            stall_timeout: Duration::from_secs(60),
            buffer_limit: 4 * 1024 * 1024,
        }
    }
}
