//! Intervals, tries and limits of staying connected, as options (S-17), and the profiles that set several at once (K-31).

use std::time::Duration;

use clap::{Args, ValueEnum};
use rejoin::options::{Profile, Timing};

use super::value;

/// What may be tuned. Long help only: nobody needs it on the first day.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tuning")]
pub(crate) struct TuningArgs {
    /// Intervals and tries for a kind of network; the options below override it
    #[arg(
        long,
        value_name = "NAME",
        env = "REJOIN_PROFILE",
        default_value = "default",
        hide_short_help = true
    )]
    profile: ProfileArg,
    /// Between two pings (1s to 5m) [default: 5s]
    #[arg(long, value_name = "DUR", env = "REJOIN_PING_INTERVAL", hide_short_help = true, value_parser = ping_interval)]
    ping_interval: Option<Duration>,
    /// Pings without any sign of life after which the link is dead (1 to 100) [default: 3]
    #[arg(long, value_name = "N", env = "REJOIN_PING_MISSES", hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..=100))]
    ping_misses: Option<u32>,
    /// How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]
    #[arg(long, value_name = "DUR", env = "REJOIN_ICE_GRACE", hide_short_help = true, value_parser = short)]
    ice_grace: Option<Duration>,
    /// ICE restarts in one connection, 0 for none (0 to 100) [default: 3]
    #[arg(long, value_name = "N", env = "REJOIN_ICE_TRIES", hide_short_help = true, value_parser = clap::value_parser!(u32).range(0..=100))]
    ice_tries: Option<u32>,
    /// Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]
    #[arg(long, value_name = "DUR", env = "REJOIN_ICE_DELAY", hide_short_help = true, value_parser = delay)]
    ice_delay: Option<Duration>,
    /// Tries of a new connection before the slow pace begins (1 to 100) [default: 5]
    #[arg(long, value_name = "N", env = "REJOIN_RECONNECT_TRIES", hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..=100))]
    reconnect_tries: Option<u32>,
    /// Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]
    #[arg(long, value_name = "DUR", env = "REJOIN_RECONNECT_DELAY", hide_short_help = true, value_parser = delay)]
    reconnect_delay: Option<Duration>,
    /// A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]
    #[arg(long, value_name = "DUR", env = "REJOIN_STALL_TIMEOUT", hide_short_help = true, value_parser = stall_timeout)]
    stall_timeout: Option<Duration>,
    /// Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]
    #[arg(long, value_name = "SIZE", env = "REJOIN_BUFFER_LIMIT", hide_short_help = true, value_parser = buffer_limit)]
    buffer_limit: Option<u64>,
    /// Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]
    #[arg(long, value_name = "BYTES", env = "REJOIN_DATAGRAM_BYTES", hide_short_help = true, value_parser = clap::value_parser!(u16).range(1200..=65_000))]
    datagram_bytes: Option<u16>,
    /// Plain WebRTC packets, as browsers send them: slower, and no match for loss
    #[arg(long, env = "REJOIN_PLAIN", hide_short_help = true, value_parser = clap::builder::BoolishValueParser::new())]
    plain: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileArg {
    /// For most networks
    Default,
    /// Firewalls that let go of idle paths early, and relays that are slow to answer
    Corporate,
    /// Networks that change under way: notices early, tries often
    Mobile,
    /// Paths without loss and delay: notices a loss within three seconds
    LowLatency,
}

impl TuningArgs {
    pub(crate) const fn is_carried(&self) -> bool {
        !self.plain
    }

    pub(crate) const fn datagram_bytes(&self) -> Option<u16> {
        self.datagram_bytes
    }

    pub(crate) fn to_timing(&self) -> Timing {
        let base = Timing::of(match self.profile {
            ProfileArg::Default => Profile::Default,
            ProfileArg::Corporate => Profile::Corporate,
            ProfileArg::Mobile => Profile::Mobile,
            ProfileArg::LowLatency => Profile::LowLatency,
        });
        Timing {
            ping_interval: self.ping_interval.unwrap_or(base.ping_interval),
            ping_misses: self.ping_misses.unwrap_or(base.ping_misses),
            ice_grace: self.ice_grace.unwrap_or(base.ice_grace),
            ice_tries: self.ice_tries.unwrap_or(base.ice_tries),
            ice_delay: self.ice_delay.unwrap_or(base.ice_delay),
            reconnect_tries: self.reconnect_tries.unwrap_or(base.reconnect_tries),
            reconnect_delay: self.reconnect_delay.unwrap_or(base.reconnect_delay),
            stall_timeout: self.stall_timeout.unwrap_or(base.stall_timeout),
            buffer_limit: self.buffer_limit.unwrap_or(base.buffer_limit),
        }
    }
}

fn ping_interval(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_secs(1))
}

fn delay(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_millis(100))
}

fn short(text: &str) -> Result<Duration, String> {
    within(text, Duration::ZERO)
}

/// A second is more than any round trip; who means an hour means never.
fn stall_timeout(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(3600));
    let duration = value::duration(text)?;
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    Err("expected 1s to 1h".to_owned())
}

/// Five minutes at most: what waits longer has given up.
fn within(text: &str, least: Duration) -> Result<Duration, String> {
    let most = Duration::from_secs(300);
    let duration = value::duration(text)?;
    if (least..=most).contains(&duration) {
        return Ok(duration);
    }
    Err(format!("expected {least:?} to 5m"))
}

/// One frame at least, or nothing could ever be sent.
fn buffer_limit(text: &str) -> Result<u64, String> {
    let bytes = value::size(text)?;
    if (64 << 10..=64 << 20).contains(&bytes) {
        return Ok(bytes);
    }
    Err("expected 64k to 64M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        tuning: TuningArgs,
    }

    fn timing(words: &[&str]) -> Result<Timing, String> {
        let words = std::iter::once("x").chain(words.iter().copied());
        let parsed = Alone::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(parsed.tuning.to_timing())
    }

    #[test]
    fn flags_override_the_profile() {
        assert_eq!(timing(&[]), Ok(Timing::default()));
        let mobile = timing(&["--profile", "mobile"]).unwrap();
        assert_eq!(mobile, Timing::of(Profile::Mobile));
        let mixed = timing(&["--profile", "mobile", "--ping-misses", "9"]).unwrap();
        assert_eq!(mixed, Timing { ping_misses: 9, ..mobile });
    }

    #[test]
    fn every_tunable_is_taken_and_bounded() {
        let table = [
            ("--ping-interval", "2s", "0"),
            ("--ping-misses", "7", "0"),
            ("--ice-grace", "0", "6m"),
            ("--ice-tries", "0", "101"),
            ("--ice-delay", "100ms", "99ms"),
            ("--reconnect-tries", "9", "0"),
            ("--reconnect-delay", "1s", "1h"),
            ("--stall-timeout", "1s", "61m"),
            ("--buffer-limit", "64k", "63k"),
        ];
        for (flag, good, bad) in table {
            assert_ne!(timing(&[flag, good]), Ok(Timing::default()), "{flag} does nothing");
            let message = timing(&[flag, bad]).unwrap_err();
            assert!(message.contains(flag) && message.contains(bad), "{message}");
        }
        assert!(timing(&["--profile", "fast"]).is_err());
    }
}
