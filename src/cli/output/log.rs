//! The log: `tracing` events as lines, through the printer, so that they do not tear the bar.

use std::io;

use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{Item, OutputOptions, Subject};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts the log where one is asked for: `-vv` debug, `-vvv` trace, `REJOIN_LOG` for what tracing calls a filter.
pub(super) fn start(options: &OutputOptions, subject: &Subject, items: mpsc::Sender<Item>) {
    let is_host = matches!(subject, Subject::Hosting(_));
    let level = match (options.quiet, is_host, options.verbosity) {
        (true, _, _) => "error",
        (false, true, 0) => "rejoin=info",
        (false, false, 0 | 1) => "off",
        (false, true, 1) | (false, false, 2) => "rejoin=debug",
        (false, _, _) => "rejoin=trace,webrtc=debug,rtc=debug",
    };
    let filter = EnvFilter::try_from_env("REJOIN_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = Lines { items };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(lines);
    // A second printer in one process (tests) leaves the first one's log alone.
    let _ = match subject {
        Subject::Hosting(LogFormat::Json) => builder.json().try_init(),
        Subject::Hosting(LogFormat::Text)
        | Subject::Sending(_)
        | Subject::Receiving
        | Subject::Demo => builder.try_init(),
    };
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
