//! How a run ends: its summary and exit code.

use super::machine::Session;
use crate::error::ErrorKind;
use crate::event::Summary;
use std::time::Instant;

/// The summary of a run that got through.
pub(super) fn summary(session: &Session, now: Instant) -> Summary {
    let progress = session.progress();
    let (failed, conflicts, is_corrupt) = session.failures();
    let exit = match (is_corrupt, conflicts, failed) {
        (true, ..) => ErrorKind::Integrity.exit_code(),
        (false, 1.., _) => ErrorKind::Refused.exit_code(),
        (false, 0, 1..) => ErrorKind::Partial.exit_code(),
        (false, 0, 0) => 0,
    };
    let elapsed = now.saturating_duration_since(session.started_at());
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Summary {
        files: progress.totals.files.saturating_sub(failed + conflicts),
        bytes: progress.totals.bytes,
        wire_bytes: progress.wire_bytes,
        kept_bytes: progress.kept_bytes,
        resent_bytes: progress.resent_bytes,
        unchanged_files: progress.unchanged_files,
        failed_files: failed + conflicts,
        reconnections: session.reconnections(),
        elapsed_ms,
        rate_bps: rate(progress.wire_bytes, elapsed_ms),
        verified: exit == 0,
        exit,
    }
}

/// Bytes per second.
const fn rate(bytes: u64, elapsed_ms: u64) -> u64 {
    let elapsed_ms = if elapsed_ms == 0 { 1 } else { elapsed_ms };
    (bytes as u128 * 1_000 / elapsed_ms as u128) as u64
}
