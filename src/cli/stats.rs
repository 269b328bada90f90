//! `rejoin stats`: what recovery has done on this machine so far, as a table or as one JSON object.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use clap::builder::BoolishValueParser;
use rejoin::session::stored;
use rejoin::store::statistics::{LayerStatistics, Statistics};
use serde_json::{Value, json};

use super::Setting;
use super::output::{escape, fail_early, listing, units, warn_early};

#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// Directory where sessions are stored
    #[arg(long, value_name = "DIR", env = "REJOIN_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// One JSON object
    #[arg(long, env = "REJOIN_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

pub(crate) fn run(args: &StatsArgs, setting: &Setting) -> ExitCode {
    warn_early(&setting.warnings);
    match stored::statistics(args.state_dir.as_deref()) {
        Ok(statistics) if args.json => listing(&[object(&statistics).to_string()]),
        Ok(statistics) => {
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
            listing(&table(&statistics, now))
        }
        Err(error) => fail_early(error, args.json),
    }
}

/// The layers in the order in which they are tried, with the names that `reconnecting` has.
fn layers(statistics: &Statistics) -> [(&'static str, &'static str, &LayerStatistics); 4] {
    [
        ("ice", "ICE restart", &statistics.ice),
        ("host", "host", &statistics.host),
        ("connection", "new connection", &statistics.connection),
        ("restart", "restart from disk", &statistics.restart),
    ]
}

fn object(statistics: &Statistics) -> Value {
    let layer = |own: &LayerStatistics| {
        json!({
            "attempts": own.attempts,
            "successes": own.successes,
            "recovery_ms": {
                "count": own.times.count(),
                "mean": own.times.mean_ms(),
                "p50": own.times.percentile_ms(50),
                "p95": own.times.percentile_ms(95),
                "max": own.times.max_ms(),
            },
        })
    };
    let layers: serde_json::Map<_, _> =
        layers(statistics).map(|(key, _, own)| (key.to_owned(), layer(own))).into_iter().collect();
    json!({
        "v": 1,
        "since": (statistics.since > 0).then_some(statistics.since),
        "runs": statistics.runs,
        "completed": statistics.completed,
        "layers": layers,
        "wire_bytes": statistics.wire_bytes,
        "kept_bytes": statistics.kept_bytes,
        "resent_bytes": statistics.resent_bytes,
        "causes": statistics.causes,
    })
}

fn table(statistics: &Statistics, now: u64) -> Vec<String> {
    if statistics.since == 0 {
        return vec!["Nothing was sent or received on this machine yet.".to_owned()];
    }
    let age = units::remaining(now.saturating_sub(statistics.since));
    let mut lines = vec![
        format!(
            "{} in {age}, {} completed",
            units::count(statistics.runs, "run"),
            statistics.completed
        ),
        String::new(),
        format!(
            "{:<18}{:>9}{:>11}{:>9}{:>9}{:>9}{:>9}",
            "Recovery", "attempts", "successes", "mean", "p50", "p95", "max"
        ),
    ];
    let time = |milliseconds: Option<u64>| {
        milliseconds.map_or_else(|| "-".to_owned(), |ms| units::elapsed(Duration::from_millis(ms)))
    };
    for (_, name, own) in layers(statistics) {
        lines.push(format!(
            "{name:<18}{:>9}{:>11}{:>9}{:>9}{:>9}{:>9}",
            own.attempts,
            own.successes,
            time(own.times.mean_ms()),
            time(own.times.percentile_ms(50)),
            time(own.times.percentile_ms(95)),
            time(own.times.max_ms()),
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "{} moved, {} kept, {} sent twice",
        units::size(statistics.wire_bytes),
        units::size(statistics.kept_bytes),
        units::size(statistics.resent_bytes)
    ));
    if !statistics.causes.is_empty() {
        lines.push(String::new());
        lines.push("Why links were lost and runs ended:".to_owned());
    }
    let mut causes: Vec<_> = statistics.causes.iter().collect();
    causes.sort_by_key(|(text, count)| (std::cmp::Reverse(**count), *text));
    // The peer may have worded it.
    let cause =
        |(text, count): &(&String, &u64)| format!("{count:>6}  {}", escape::for_person(text));
    lines.extend(causes.iter().map(cause));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> Statistics {
        let mut statistics =
            Statistics { since: 100, runs: 3, completed: 2, ..Statistics::default() };
        statistics.kept_bytes = 3 << 20;
        statistics.ice.attempts = 4;
        statistics.ice.successes = 1;
        statistics.ice.times.add(2_000);
        statistics.add_cause("three pings\u{1b} were not answered");
        statistics
    }

    #[test]
    fn a_person_sees_what_there_is_and_no_more() {
        let text = table(&statistics(), 160).join("\n");
        assert!(text.starts_with("3 runs in 1m00s, 2 completed"), "{text}");
        assert!(text.contains("ICE restart               4          1     2.0s"), "{text}");
        assert!(text.contains("restart from disk         0          0        -"), "{text}");
        assert!(text.contains("3.0 MiB kept"), "{text}");
        assert!(text.contains("1  three pings\\u{1b} were"), "{text}");
        assert_eq!(table(&Statistics::default(), 160).len(), 1);
    }

    #[test]
    fn a_program_gets_one_object() {
        let found = object(&statistics());
        assert_eq!(found["layers"]["ice"]["recovery_ms"]["max"], 2_000);
        assert_eq!(found["layers"]["restart"]["recovery_ms"]["p50"], Value::Null);
        assert_eq!(found["since"], 100);
        assert_eq!(object(&Statistics::default())["since"], Value::Null);
    }
}
