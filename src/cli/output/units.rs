//! Sizes, rates and durations for people.

use std::time::Duration;

/// `999 B`, `1.2 KiB`, `516 MiB`: three significant digits at most, powers of 1024.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut name = "B";
    for unit in UNITS {
        value /= 1024.0;
        name = unit;
        // 1023.5 would be printed as 1024.
        if value < 1023.5 {
            break;
        }
    }
    if value < 9.95 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// Bytes per second.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// How long something took: `0.3s`, `8.1s`, `2m05s`, `3h07m`.
pub(crate) fn elapsed(duration: Duration) -> String {
    if duration < Duration::from_millis(59_950) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    clock(duration.as_secs_f64().round() as u64)
}

/// How long something will take: whole seconds, `3s`, `2m05s`, `3h07m`, `4d02h`.
pub(crate) fn remaining(seconds: u64) -> String {
    clock(seconds)
}

/// A wait that was decided: `2s`, `2.5s`, `300ms`.
pub(crate) fn delay(milliseconds: u64) -> String {
    match milliseconds {
        0 => "0s".to_owned(),
        1..1000 => format!("{milliseconds}ms"),
        _ if milliseconds % 1000 < 50 => clock(milliseconds / 1000),
        1000..60_000 => format!("{:.1}s", milliseconds as f64 / 1000.0),
        _ => clock(milliseconds / 1000),
    }
}

/// `1 file`, `3 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// `3 files, 1.2 GiB`; `1 file in 30000 directories, 1 B` where there are more directories than files: then they are what it
/// costs.
pub(crate) fn tree(files: u64, directories: u64, bytes: u64) -> String {
    let within = if directories > files.max(1) {
        format!(" in {directories} directories")
    } else {
        String::new()
    };
    format!("{}{within}, {}", count(files, "file"), size(bytes))
}

fn clock(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m{:02}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h{:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d{:02}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let table: [(u64, &str); 12] = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_188, "9.9 KiB"),
            (10_189, "10 KiB"),
            (541_065_216, "516 MiB"),
            (1_288_490_189, "1.2 GiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1023 * 1024, "1023 KiB"),
            (1 << 40, "1.0 TiB"),
            (1 << 50, "1.0 PiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, expected) in table {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
        assert_eq!(rate(158_334_976), "151 MiB/s");
    }

    #[test]
    fn durations() {
        let table: [(u64, &str); 7] = [
            (0, "0.0s"),
            (8_100, "8.1s"),
            (59_949, "59.9s"),
            (59_950, "1m00s"),
            (125_000, "2m05s"),
            (11_220_000, "3h07m"),
            (352_800_000, "4d02h"),
        ];
        for (milliseconds, expected) in table {
            assert_eq!(elapsed(Duration::from_millis(milliseconds)), expected);
        }
        assert_eq!(remaining(3), "3s");
        assert_eq!(remaining(3_599), "59m59s");
    }

    #[test]
    fn delays_and_counts() {
        let table: [(u64, &str); 6] = [
            (0, "0s"),
            (300, "300ms"),
            (2_000, "2s"),
            (2_049, "2s"),
            (2_500, "2.5s"),
            (90_000, "1m30s"),
        ];
        for (milliseconds, expected) in table {
            assert_eq!(delay(milliseconds), expected);
        }
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(tree(3, 3, 1024), "3 files, 1.0 KiB");
        assert_eq!(tree(1, 2, 0), "1 file in 2 directories, 0 B");
        assert_eq!(tree(0, 1, 0), "0 files, 0 B");
    }
}
