//! NDJSON on stdout (cli.md, "NDJSON"): one object a line, the outcome last. Lines are kept until [`Json::flush`], which
//! the printer calls once it has nothing more to say.

use std::io::Write;
use std::time::{Duration, Instant};

use rejoin::error::Error;
use rejoin::event::{Event, Summary};
use serde::Serialize;

use super::stdout::Results;

/// Version of the lines; names are added within it, never changed.
const VERSION: u8 = 1;
/// At most five `progress` a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

pub(super) struct Json<W = std::io::Stdout> {
    start: Instant,
    results: Results<W>,
    /// Lines that are not written yet.
    pending: Vec<u8>,
    progress_at: Option<Duration>,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    t: u64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Json {
    pub(super) fn new(start: Instant) -> Self {
        Self::to(std::io::stdout(), start)
    }
}

impl<W: Write> Json<W> {
    fn to(sink: W, start: Instant) -> Self {
        Self { start, results: Results::to(sink), pending: Vec::new(), progress_at: None }
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.event_at(event, self.start.elapsed());
    }

    pub(super) fn outcome(&mut self, outcome: &Result<Summary, Error>) {
        let event = match outcome {
            Ok(summary) => Event::Done(summary.clone()),
            Err(error) => Event::Error {
                code: error.kind.name().to_owned(),
                message: error.message.clone(),
                hint: error.hint.clone(),
                retryable: error.kind.is_retryable(),
                resume_command: error.resume_command.clone(),
                exit: error.kind.exit_code(),
            },
        };
        self.event(&event);
        self.flush();
    }

    /// Writes what is there to be written, at once.
    pub(super) fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.results.write(&self.pending);
        self.pending.clear();
    }

    /// Why lines are missing.
    pub(super) const fn failure(&self) -> Option<&std::io::Error> {
        self.results.failure()
    }

    fn event_at(&mut self, event: &Event, elapsed: Duration) {
        if matches!(event, Event::Progress { .. }) {
            let is_early = |last| elapsed.saturating_sub(last) < PROGRESS_EVERY;
            if self.progress_at.is_some_and(is_early) {
                return;
            }
            self.progress_at = Some(elapsed);
        }
        if self.results.is_over() {
            return;
        }
        let line =
            Line { v: VERSION, t: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), event };
        // An event is plain values, so it always has a text.
        let length = self.pending.len();
        match serde_json::to_writer(&mut self.pending, &line) {
            Ok(()) => self.pending.push(b'\n'),
            Err(_) => self.pending.truncate(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rejoin::error::ErrorKind;
    use rejoin::event::{FileStatus, PathText};
    use serde_json::Value;

    use super::*;

    fn lines(events: &[(u64, Event)]) -> Vec<Value> {
        let mut json = Json::to(Vec::new(), Instant::now());
        for (milliseconds, event) in events {
            json.event_at(event, Duration::from_millis(*milliseconds));
        }
        json.flush();
        let text = String::from_utf8(json.results.into_sink()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn file(name: &[u8]) -> Event {
        Event::File {
            path: PathText::new(name),
            bytes: 5,
            status: FileStatus::Received,
            error: None,
        }
    }

    fn progress(bytes: u64) -> Event {
        Event::Progress {
            bytes,
            durable_bytes: bytes,
            total_bytes: 100,
            files: 0,
            total_files: 1,
            rate_bps: 10,
            eta_s: None,
            rtt_ms: 0.5,
            stripes: 1,
        }
    }

    #[test]
    fn every_line_says_version_time_and_event() {
        let lines = lines(&[(17, file(b"a\nb"))]);
        assert_eq!(
            lines,
            [serde_json::json!({
                "v": 1, "t": 17, "event": "file", "path": "a\nb", "bytes": 5, "status": "received"
            })]
        );
    }

    #[test]
    fn progress_comes_five_times_a_second_at_most() {
        let events: Vec<_> = (0..100).map(|n| (n * 50, progress(n))).collect();
        let shown = lines(&events);
        assert_eq!(shown.len(), 25);
        assert_eq!(shown[1]["t"], 200);
    }

    #[test]
    fn the_outcome_names_its_exit_code() {
        let mut json = Json::to(Vec::new(), Instant::now());
        json.outcome(&Err(Error {
            resume_command: Some("rejoin receive".to_owned()),
            ..Error::new(ErrorKind::Timeout, "over").with_hint("wait")
        }));
        json.outcome(&Ok(Summary { exit: 6, ..Summary::default() }));
        let text = String::from_utf8(json.results.into_sink()).unwrap();
        let values: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(values[0]["event"], "error");
        assert_eq!(values[0]["code"], "timeout");
        assert_eq!(values[0]["exit"], 124);
        assert_eq!(values[0]["retryable"], true);
        assert_eq!(values[0]["resume_command"], "rejoin receive");
        assert_eq!(values[1]["event"], "done");
        assert_eq!(values[1]["exit"], 6);
    }

    proptest! {
        #[test]
        fn every_line_parses_whatever_the_names(name in prop::collection::vec(any::<u8>(), 0..40)) {
            let lines = lines(&[(0, file(&name))]);
            prop_assert_eq!(lines.len(), 1);
            let shown = lines[0]["path"].as_str().unwrap();
            match std::str::from_utf8(&name) {
                Ok(text) => prop_assert_eq!(shown, text),
                Err(_) => prop_assert_eq!(&lines[0]["path_escaped"], &Value::Bool(true)),
            }
        }
    }
}
