//! The log: `tracing` events as lines, through the printer, so that they do not tear the bar.

use std::io;

use tokio::sync::mpsc;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Item, OutputOptions, Subject};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts the log where one is asked for: `-vv` debug, `-vvv` trace, `--log` for what is wanted of each target.
pub(super) fn start(options: &OutputOptions, subject: &Subject, items: mpsc::Sender<Item>) {
    let is_host = matches!(subject, Subject::Hosting(_));
    let level = match (options.quiet, is_host, options.verbosity) {
        (true, _, _) => "error",
        (false, true, 0) => "rejoin=info",
        (false, false, 0 | 1) => "off",
        (false, true, 1) | (false, false, 2) => "rejoin=debug",
        (false, _, _) => "rejoin=trace,webrtc=debug,rtc=debug",
    };
    let wanted = options.log.as_deref().unwrap_or(level);
    // What was typed is checked, and what is not is ours.
    let Ok(filter) = format!("{wanted},{NEVER}").parse::<Targets>() else { return };
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Lines { items });
    let layer = match subject {
        Subject::Hosting(LogFormat::Json) => layer.json().with_filter(filter).boxed(),
        Subject::Hosting(LogFormat::Text)
        | Subject::Sending(_)
        | Subject::Receiving
        | Subject::Demo => layer.with_filter(filter).boxed(),
    };
    // A second printer in one process (tests) leaves the first one's log alone.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// Checks a filter as it was typed: `LEVEL`, or `TARGET=LEVEL`, several with commas (K-26).
pub(crate) fn check_filter(text: &str) -> Result<String, String> {
    let is_directive = |directive: &str| {
        let (target, level) = directive
            .split_once('=')
            .map_or((None, directive), |(target, level)| (Some(target), level));
        let is_level = ["off", "error", "warn", "info", "debug", "trace"]
            .contains(&level.trim().to_ascii_lowercase().as_str());
        let is_ours =
            target.is_none_or(|target| TARGETS.iter().any(|known| is_within(target.trim(), known)));
        is_level && is_ours
    };
    match text.split(',').find(|directive| !is_directive(directive)) {
        None => {
            let directives = text.split(',').map(|directive| {
                let parts: Vec<&str> = directive.split('=').map(str::trim).collect();
                parts.join("=")
            });
            let text = directives.collect::<Vec<_>>().join(",");
            text.parse::<Targets>().map(|_| text).map_err(|error| error.to_string())
        }
        Some(wrong) => Err(format!(
            "`{wrong}` is not LEVEL (off, error, warn, info, debug, trace) or TARGET=LEVEL, where TARGET begins with {}",
            TARGETS.join(", ")
        )),
    }
}

/// What a bare LEVEL would have logged: every message to a host, whole, and members' tokens are among them.
const NEVER: &str = "tungstenite=off,tokio_tungstenite=off";

/// Crates that log: ours, by subject below it, and the stack's.
const TARGETS: [&str; 4] = ["rejoin", "webrtc", "rtc", "mdns"];

fn is_within(target: &str, root: &str) -> bool {
    target.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_']))
}

/// Sends each event's line to the printer; drops it where there is no room: the log may not hold up the work.
struct Lines {
    items: mpsc::Sender<Item>,
}

struct Line<'a> {
    items: &'a mpsc::Sender<Item>,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { items: &self.items, text: Vec::new() }
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let text = super::escape::for_person(text.trim_end()).into_owned();
        // Full: dropped, as said above.
        let _ = self.items.try_send(Item::Log(text));
    }
}

#[cfg(test)]
mod tests {
    use super::check_filter;

    #[test]
    fn only_what_does_something_is_taken() {
        for good in
            ["debug", "rejoin=trace", "rejoin::ice=debug,rejoin::turn=INFO,rtc_ice=warn", "off"]
        {
            assert_eq!(check_filter(good).as_deref(), Ok(good));
        }
        assert_eq!(
            check_filter(" rejoin::ice = debug , off").as_deref(),
            Ok("rejoin::ice=debug,off")
        );
        for bad in [
            "",
            "loud",
            "rejoin=loud",
            "rejoin::ice",
            "rejoins=debug",
            "debug,,",
            "x=debug",
            "rejoin[a=debug",
        ] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
