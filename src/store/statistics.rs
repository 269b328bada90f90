//! What recovery has done on this machine so far: one small file in the state directory, added to by every run.
//!
//! Format: as the session record's ([`super::record`]), with its own magic. Several processes add to it: each one under a lock,
//! by reading, adding and replacing, so that no one's share is lost and no half of it is ever seen. It holds sums only: it
//! does not grow with use, and names no file, no peer and no address.

use super::error::disk_error;
use super::lock::lock;
use super::state::{StateDirectory, StateError};
use crate::event::Layer;
use crate::fs::{Directory, read_file, replace_file};
use crate::wire::codec;
use bincode::{Decode, Encode};
use std::collections::BTreeMap;
use std::io;

/// Version of the format.
const VERSION: u32 = 1;

/// Largest file, in bytes: four histograms of 256 buckets and [`CAUSES_MAX`] texts.
const BYTES_MAX: usize = 64 * 1024;

/// Different causes that are told apart; what comes later counts as [`OTHER`].
const CAUSES_MAX: usize = 32;

/// Longest text of a cause, in bytes.
const CAUSE_BYTES_MAX: usize = 80;

/// Where causes beyond [`CAUSES_MAX`] go.
const OTHER: &str = "other";

const MAGIC: [u8; 8] = *b"RJNSTAT\n";
const HEAD_BYTES: usize = 8 + 4 + 4 + 32;
const NAME: &[u8] = b"statistics";
const LOCK: &[u8] = b"statistics.lock";

/// Durations, as a count per size: within an eighth of the truth, whatever their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Times {
    sum_ms: u64,
    max_ms: u64,
    /// By [`bucket`].
    buckets: BTreeMap<u8, u64>,
}

impl Times {
    /// Adds one, in milliseconds.
    pub fn add(&mut self, milliseconds: u64) {
        self.sum_ms = self.sum_ms.saturating_add(milliseconds);
        self.max_ms = self.max_ms.max(milliseconds);
        let count = self.buckets.entry(bucket(milliseconds)).or_default();
        *count = count.saturating_add(1);
    }

    fn merge(&mut self, other: &Self) {
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        for (bucket, count) in &other.buckets {
            let own = self.buckets.entry(*bucket).or_default();
            *own = own.saturating_add(*count);
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Their mean in milliseconds; none without any.
    #[must_use]
    pub fn mean_ms(&self) -> Option<u64> {
        self.sum_ms.checked_div(self.count())
    }

    /// The longest in milliseconds; none without any.
    #[must_use]
    pub fn max_ms(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.max_ms)
    }

    /// What `percent` of them do not exceed, in milliseconds; none without any.
    #[must_use]
    pub fn percentile_ms(&self, percent: u64) -> Option<u64> {
        let wanted = self.count().saturating_mul(percent).div_ceil(100).max(1);
        let mut seen: u64 = 0;
        for (bucket, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return Some(middle(*bucket).min(self.max_ms));
            }
        }
        None
    }
}

/// Eight steps up to 8, then four to each doubling.
const fn bucket(milliseconds: u64) -> u8 {
    if milliseconds < 8 {
        return milliseconds as u8;
    }
    let octave = milliseconds.ilog2();
    let quarter = (milliseconds >> (octave - 2)) & 3;
    (8 + (octave - 3) * 4) as u8 + quarter as u8
}

/// The middle of a bucket. One that no duration falls into, of a damaged file, counts as the longest.
const fn middle(bucket: u8) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (octave, quarter) = (3 + (bucket as u32 - 8) / 4, (bucket as u64 - 8) % 4);
    if octave > 63 {
        return u64::MAX;
    }
    let step = 1 << (octave - 2);
    (4 + quarter) * step + step / 2
}

/// One layer of recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LayerStatistics {
    /// Times that it was tried.
    pub attempts: u64,
    /// Times that it got the link back.
    pub successes: u64,
    /// How long it took then, from the loss.
    pub times: Times,
}

impl LayerStatistics {
    fn merge(&mut self, other: &Self) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.successes = self.successes.saturating_add(other.successes);
        self.times.merge(&other.times);
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Statistics {
    /// When it began, in seconds since 1970; 0 before anything was counted.
    pub since: u64,
    /// Runs of `send` and `receive` that are over.
    pub runs: u64,
    /// Those of them that got through.
    pub completed: u64,
    /// ICE restarts.
    pub ice: LayerStatistics,
    /// The host's socket.
    pub host: LayerStatistics,
    /// New connections.
    pub connection: LayerStatistics,
    /// Runs that went on with a stored session; their times are from the start of the process to the link.
    pub restart: LayerStatistics,
    /// Bytes of content that went over the wire.
    pub wire_bytes: u64,
    /// Bytes that did not have to, because earlier runs or connections had moved them.
    pub kept_bytes: u64,
    /// Bytes that went over it more than once.
    pub resent_bytes: u64,
    /// Why links were lost, and runs ended.
    pub causes: BTreeMap<String, u64>,
}

impl Statistics {
    /// The figures of a layer.
    pub const fn layer_mut(&mut self, layer: Layer) -> &mut LayerStatistics {
        match layer {
            Layer::Ice => &mut self.ice,
            Layer::Host => &mut self.host,
            Layer::Connection => &mut self.connection,
        }
    }

    /// Counts a cause, by what stands before its first colon: what follows may name an address.
    pub fn add_cause(&mut self, text: &str) {
        let text = text.split(':').next().unwrap_or_default().trim();
        let text = &text[..text.floor_char_boundary(CAUSE_BYTES_MAX)];
        self.count_cause(if text.is_empty() { OTHER } else { text }, 1);
    }

    fn count_cause(&mut self, text: &str, count: u64) {
        // One less, so that there is room for the rest.
        let is_known = self.causes.contains_key(text) || self.causes.len() < CAUSES_MAX - 1;
        let own = self.causes.entry(if is_known { text } else { OTHER }.to_owned()).or_default();
        *own = own.saturating_add(count);
    }

    /// Adds what another run counted.
    pub fn merge(&mut self, other: &Self) {
        let sum = |own: &mut u64, other: u64| *own = own.saturating_add(other);
        if self.since == 0 || other.since != 0 && other.since < self.since {
            self.since = other.since;
        }
        sum(&mut self.runs, other.runs);
        sum(&mut self.completed, other.completed);
        sum(&mut self.wire_bytes, other.wire_bytes);
        sum(&mut self.kept_bytes, other.kept_bytes);
        sum(&mut self.resent_bytes, other.resent_bytes);
        self.ice.merge(&other.ice);
        self.host.merge(&other.host);
        self.connection.merge(&other.connection);
        self.restart.merge(&other.restart);
        for (text, count) in &other.causes {
            self.count_cause(text, *count);
        }
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let body = codec::encode(self, "statistics", BYTES_MAX - HEAD_BYTES).ok()?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
        let check = check(&bytes, &body);
        bytes.extend_from_slice(check.as_bytes());
        bytes.extend_from_slice(&body);
        Some(bytes)
    }

    fn decode(bytes: &[u8]) -> Decoded {
        let Some((head, rest)) = bytes.split_at_checked(16) else { return Decoded::Damaged };
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[..8] != MAGIC {
            return Decoded::Damaged;
        }
        if number(8) > VERSION {
            return Decoded::Newer;
        }
        let Some((found, body)) = rest.split_at_checked(32) else { return Decoded::Damaged };
        let is_whole = body.len() == number(12) as usize && check(head, body) == *found;
        let decoded = is_whole.then(|| codec::decode(body, "statistics", BYTES_MAX));
        match decoded {
            Some(Ok(statistics)) => Decoded::Good(statistics),
            Some(Err(_)) | None => Decoded::Damaged,
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "one, on the stack, for the time of a match")]
enum Decoded {
    Good(Statistics),
    /// Not as it was written.
    Damaged,
    /// Written by a newer program.
    Newer,
}

fn check(head: &[u8], body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 statistics v1");
    hasher.update(head).update(body).finalize()
}

impl<D: Directory> StateDirectory<D> {
    /// What was counted so far; nothing where there is no file, or a damaged one.
    ///
    /// # Errors
    /// As the system says, and for a file of a newer version.
    pub fn statistics(&self) -> Result<Statistics, StateError> {
        let failing = |error: io::Error| disk_error("read statistics", NAME, &error);
        let bytes = match read_file(self.root(), NAME, BYTES_MAX) {
            // No file of ours is that long.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Ok(Statistics::default());
            }
            outcome => outcome.map_err(failing)?,
        };
        match bytes.as_deref().map(Statistics::decode) {
            Some(Decoded::Good(statistics)) => Ok(statistics),
            Some(Decoded::Newer) => {
                let error = io::Error::new(io::ErrorKind::Unsupported, "it is of a newer version");
                Err(failing(error).into())
            }
            Some(Decoded::Damaged) => {
                tracing::warn!(target: "rejoin::store", "the statistics are damaged and begin anew");
                Ok(Statistics::default())
            }
            None => Ok(Statistics::default()),
        }
    }

    /// Adds `share` to the file, durably; `false` where another process is at it: try again later.
    ///
    /// # Errors
    /// As [`Self::statistics`].
    pub fn add_statistics(&self, share: &Statistics) -> Result<bool, StateError> {
        let failing = |error: io::Error| disk_error("write statistics", NAME, &error);
        let Some(_lock) = lock(self.root(), LOCK).map_err(failing)? else { return Ok(false) };
        let mut statistics = self.statistics()?;
        statistics.merge(share);
        let bytes =
            statistics.encode().ok_or_else(|| failing(io::ErrorKind::FileTooLarge.into()))?;
        replace_file(self.root(), NAME, &bytes).map_err(failing)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
