//! How a run ends: its summary and exit code.

use super::machine::Session;
use crate::error::ErrorKind;
use crate::event::Summary;
use crate::time::Instant;
use crate::transfer::missing::Outcome;
use crate::transfer::progress::Progress;

/// The summary of a run that got through.
pub(super) fn summary(session: &Session, now: Instant) -> Summary {
    let elapsed = now.saturating_duration_since(session.started_at());
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    summary_of(&session.progress(), session.reconnections(), elapsed_ms)
}

fn summary_of(progress: &Progress, reconnections: u64, elapsed_ms: u64) -> Summary {
    let outcome = progress.outcome;
    let exit = exit(&outcome);
    Summary {
        files: outcome.files,
        bytes: outcome.bytes,
        wire_bytes: progress.wire_bytes,
        kept_bytes: progress.kept_bytes,
        resent_bytes: progress.resent_bytes,
        unchanged_files: outcome.unchanged,
        unread_files: outcome.unread,
        skipped_files: outcome.skipped,
        failed_files: outcome.lost(),
        reconnections,
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
    let rate = bytes as u128 * 1_000 / elapsed_ms as u128;
    if rate > u64::MAX as u128 { u64::MAX } else { rate as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::Totals;

    /// S-08: whatever figures a peer said, a run that ends has a summary, and one that is JSON.
    #[test]
    fn a_summary_of_any_figures_is_one() {
        for figure in [0, 1, u64::MAX - 1, u64::MAX] {
            for other in [0, 1, u64::MAX] {
                let outcome = Outcome {
                    files: figure,
                    bytes: other,
                    unchanged: figure,
                    unread: other,
                    skipped: figure,
                    failed: other,
                    conflicts: figure,
                    corrupt: other,
                };
                let totals =
                    Totals { entries: figure, files: other, bytes: figure, directories: other };
                let progress = Progress {
                    bytes: figure,
                    moving_bytes: figure,
                    files: other,
                    totals,
                    is_complete: true,
                    wire_bytes: figure,
                    resent_bytes: other,
                    kept_bytes: figure,
                    outcome,
                };
                for elapsed_ms in [0, 1, u64::MAX] {
                    let summary = summary_of(&progress, u64::MAX, elapsed_ms);
                    assert!(serde_json::to_string(&summary).is_ok());
                    assert_eq!(summary.exit == 0, outcome.is_whole(), "{outcome:?}");
                    assert!(summary.failed_files >= outcome.conflicts.max(outcome.corrupt));
                }
            }
        }
    }
}
