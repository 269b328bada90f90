//! How a run ends: its summary and exit code.

use super::machine::Session;
use crate::error::ErrorKind;
use crate::event::Summary;
use crate::transfer::missing::Outcome;
use std::time::Instant;

/// The summary of a run that got through.
pub(super) fn summary(session: &Session, now: Instant) -> Summary {
    let progress = session.progress();
    let outcome = progress.outcome;
    let exit = exit(&outcome);
    let elapsed = now.saturating_duration_since(session.started_at());
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Summary {
        files: outcome.files,
        bytes: outcome.bytes,
        wire_bytes: progress.wire_bytes,
        kept_bytes: progress.kept_bytes,
        resent_bytes: progress.resent_bytes,
        unchanged_files: outcome.unchanged,
        unread_files: outcome.unread,
        skipped_files: outcome.skipped,
        failed_files: outcome.failed + outcome.conflicts + outcome.corrupt,
        reconnections: session.reconnections(),
        elapsed_ms,
        rate_bps: rate(progress.wire_bytes, elapsed_ms),
        verified: outcome.is_whole() && outcome.unread == 0,
        exit,
    }
}

/// The exit code that an outcome means, at either end (cli.md): what could not be verified counts most, then what nobody
/// decided, then what failed.
const fn exit(outcome: &Outcome) -> u8 {
    let kind = if outcome.corrupt > 0 {
        ErrorKind::Integrity
    } else if outcome.conflicts > 0 {
        ErrorKind::Refused
    } else if outcome.failed > 0 {
        ErrorKind::Partial
    } else {
        return 0;
    };
    kind.exit_code()
}

/// Bytes per second.
const fn rate(bytes: u64, elapsed_ms: u64) -> u64 {
    let elapsed_ms = if elapsed_ms == 0 { 1 } else { elapsed_ms };
    (bytes as u128 * 1_000 / elapsed_ms as u128) as u64
}
