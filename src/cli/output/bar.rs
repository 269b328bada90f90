//! Progress as one line of text that fits.

use console::measure_text_width;

use super::human::Progress;
use super::units;

/// Cells of the bar itself; its share of a wide terminal is bounded, the eye needs no more.
const CELLS_MAX: usize = 30;
/// A bar of fewer cells tells nothing.
const CELLS_MIN: usize = 6;
/// Columns that a long name may take before it is cut.
const LABEL_MAX: usize = 30;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// `photos/   43% ▕██████▏ 516 MiB / 1.2 GiB  212 MiB/s  ETA 3s`, at most `columns` wide: the bar goes first where
/// there is no room, then the time, the rate and the total.
pub(super) fn line(label: &str, progress: &Progress, columns: usize) -> String {
    let label = truncated(label, LABEL_MAX);
    let head = format!("{label}  {:>3}%", percent(progress));
    let done = units::size(progress.bytes);
    let total = format!("{done} / {}", units::size(progress.total_bytes));
    let rate = format!("{total}  {}", units::rate(progress.rate_bps));
    let full = match progress.eta_s {
        Some(seconds) => format!("{rate}  ETA {}", units::remaining(seconds)),
        None => rate.clone(),
    };
    let spare = columns.saturating_sub(measure_text_width(&head) + measure_text_width(&full) + 4);
    if spare >= CELLS_MIN {
        let cells = cells(progress, spare.min(CELLS_MAX));
        return format!("{head} ▕{cells}▏ {full}");
    }
    let shorter = [&full, &rate, &total, &done].map(|tail| format!("{head} {tail}"));
    let fitting = shorter.into_iter().find(|text| measure_text_width(text) <= columns);
    fitting.unwrap_or_else(|| truncated(&head, columns))
}

/// The same without a bar, for a log.
pub(super) fn plain(label: &str, progress: &Progress) -> String {
    let eta = progress
        .eta_s
        .map_or_else(String::new, |seconds| format!(" ETA {}", units::remaining(seconds)));
    format!(
        "{label} {}% {} / {} {}{eta}",
        percent(progress),
        units::size(progress.bytes),
        units::size(progress.total_bytes),
        units::rate(progress.rate_bps),
    )
}

/// `text` in at most `columns`, its end replaced by `…` where it is longer.
pub(super) fn truncated(text: &str, columns: usize) -> String {
    if measure_text_width(text) <= columns {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut width = 0;
    for character in text.chars() {
        let next = measure_text_width(character.encode_utf8(&mut [0; 4]));
        if width + next >= columns {
            break;
        }
        width += next;
        shown.push(character);
    }
    if columns > 0 {
        shown.push('…');
    }
    shown
}

/// Whole percents, rounded down: 100 only when it is all there.
fn percent(progress: &Progress) -> u64 {
    match progress.total_bytes {
        0 => 0,
        total => (u128::from(progress.bytes.min(total)) * 100 / u128::from(total)) as u64,
    }
}

fn cells(progress: &Progress, width: usize) -> String {
    let total = u128::from(progress.total_bytes.max(1));
    let done = u128::from(progress.bytes.min(progress.total_bytes));
    let eighths = (done * width as u128 * 8 / total) as usize;
    let (full, rest) = (eighths / 8, eighths % 8);
    let empty = width - full - usize::from(rest > 0);
    format!("{}{}{}", "█".repeat(full), EIGHTHS[rest], " ".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALFWAY: Progress = Progress {
        bytes: 541_065_216,
        total_bytes: 1_258_291_200,
        rate_bps: 222_298_112,
        eta_s: Some(3),
    };

    #[test]
    fn the_line_drops_what_does_not_fit() {
        let at = |columns| line("photos/", &HALFWAY, columns);
        assert_eq!(
            at(79),
            "photos/   43% ▕███████████▏              ▏ 516 MiB / 1.2 GiB  212 MiB/s  ETA 3s"
        );
        assert_eq!(at(60), "photos/   43% ▕███    ▏ 516 MiB / 1.2 GiB  212 MiB/s  ETA 3s");
        assert_eq!(at(52), "photos/   43% 516 MiB / 1.2 GiB  212 MiB/s  ETA 3s");
        assert_eq!(at(45), "photos/   43% 516 MiB / 1.2 GiB  212 MiB/s");
        assert_eq!(at(34), "photos/   43% 516 MiB / 1.2 GiB");
        assert_eq!(at(24), "photos/   43% 516 MiB");
        assert_eq!(at(10), "photos/  …");
    }

    #[test]
    fn no_width_is_ever_exceeded() {
        for label in [
            "photos/",
            "🦀🦀🦀 with a long name that goes on and on",
            "日本語日本語日本語日本語",
            "",
        ] {
            for columns in 0..140 {
                for bytes in [0, 1, 541_065_216, u64::MAX] {
                    let progress = Progress { bytes, ..HALFWAY };
                    let text = line(label, &progress, columns);
                    assert!(measure_text_width(&text) <= columns, "{columns}: {text}");
                }
            }
        }
    }

    #[test]
    fn one_hundred_percent_is_all() {
        let at = |bytes, total_bytes| percent(&Progress { bytes, total_bytes, ..HALFWAY });
        assert_eq!(at(999, 1000), 99);
        assert_eq!(at(1000, 1000), 100);
        assert_eq!(at(0, 0), 0);
        assert_eq!(at(u64::MAX, u64::MAX), 100);
    }

    #[test]
    fn a_log_gets_the_same_figures() {
        assert_eq!(plain("photos/", &HALFWAY), "photos/ 43% 516 MiB / 1.2 GiB 212 MiB/s ETA 3s");
    }
}
