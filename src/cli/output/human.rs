//! What a person reads (cli.md, "Streams"): events in, lines and the bar's text out. No terminal in here.

use std::net::SocketAddr;
use std::time::Duration;

use rejoin::error::Error;
use rejoin::event::{Event, FRAGMENTED, FileStatus, Layer, LinkState, Path, Role, Summary};

use super::escape::{for_person, name_for_person};
use super::screen::Traits;
use super::{OutputOptions, Subject, bar, units};

/// Exit code of a run in which conflicts were left alone (cli.md).
const EXIT_REFUSED: u8 = 7;
/// How long the line of a lost link waits for the try that follows at once: one line tells both.
pub(super) const LOSS_HOLD: Duration = Duration::from_millis(300);
/// Files named on the screen at most; NDJSON has them all.
const FILES_SHOWN_MAX: u64 = 100;

/// What is to be printed now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) stdout: Option<String>,
    pub(super) stderr: Vec<String>,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) bytes: u64,
    pub(super) total_bytes: u64,
    pub(super) rate_bps: u64,
    pub(super) eta_s: Option<u64>,
}

pub(super) struct Human {
    subject: Subject,
    quiet: bool,
    json: bool,
    verbosity: u8,
    traits: Traits,
    peer: String,
    connected: Option<(Path, String)>,
    progress: Option<Progress>,
    /// Progress since the last plain line.
    is_fresh: bool,
    kept_bytes: u64,
    total_bytes: u64,
    /// Shown in the bar's place while the tree is still being read.
    scanning: Option<String>,
    is_offer_shown: bool,
    files_listed: u64,
    /// Whether it was said that the other side is not there.
    has_left: bool,
    loss: Loss,
}

/// Whether the person knows that the link is lost: one line for each loss.
#[derive(Debug, Default, PartialEq, Eq)]
enum Loss {
    /// There is a link, or none yet.
    #[default]
    None,
    /// Not yet: a try that follows at once says it.
    Held(String),
    Told,
}

impl Human {
    pub(super) fn new(options: &OutputOptions, subject: Subject, traits: Traits) -> Self {
        Self {
            subject,
            quiet: options.quiet || options.json,
            json: options.json,
            verbosity: options.verbosity,
            traits,
            peer: String::new(),
            connected: None,
            progress: None,
            is_fresh: false,
            kept_bytes: 0,
            total_bytes: 0,
            scanning: None,
            is_offer_shown: false,
            files_listed: 0,
            has_left: false,
            loss: Loss::None,
        }
    }

    /// Whether a line waits for [`LOSS_HOLD`].
    pub(super) const fn is_holding(&self) -> bool {
        matches!(self.loss, Loss::Held(_))
    }

    /// What waited.
    pub(super) fn release(&mut self) -> Lines {
        Lines { stdout: None, stderr: self.held() }
    }

    fn held(&mut self) -> Vec<String> {
        match &mut self.loss {
            Loss::Held(line) => {
                let line = std::mem::take(line);
                self.loss = Loss::Told;
                vec![line]
            }
            Loss::None | Loss::Told => Vec::new(),
        }
    }

    /// The bar's line, at most `columns` wide.
    pub(super) fn bar(&self, columns: usize) -> Option<String> {
        match (&self.progress, &self.scanning) {
            (Some(progress), _) => Some(bar::line(self.label(), progress, columns)),
            (None, Some(scanning)) => Some(bar::truncated(scanning, columns)),
            (None, None) => None,
        }
    }

    /// The line that stands for the bar; none where nothing has moved since the last one.
    pub(super) fn plain_progress(&mut self) -> Option<String> {
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let progress = self.progress.as_ref().filter(|_| is_fresh)?;
        Some(bar::plain(self.label(), progress))
    }

    pub(super) fn event(&mut self, event: &Event) -> Lines {
        self.remember(event);
        let mut lines = Lines::default();
        let is_back = matches!(
            event,
            Event::Link { state: LinkState::Connected, .. } | Event::Recovered { .. }
        );
        if let Event::Code { code, command, local_only, this_machine, invitation } = event {
            let for_whom = if *invitation {
                "A new receiver gets in with:"
            } else {
                "On the other machine, run:"
            };
            let reach = reach(*local_only, *this_machine);
            self.code(&mut lines, code, (for_whom, command), reach);
            return lines;
        }
        let message = self.message(event);
        // What was lost is said before what comes after it.
        if is_back || (!message.is_empty() && !matches!(event, Event::Link { .. })) {
            lines.stderr = self.held();
        }
        lines.stderr.extend(message);
        if is_back {
            self.loss = Loss::None;
        }
        lines
    }

    /// The last lines.
    pub(super) fn outcome(&mut self, outcome: &Result<Summary, Error>) -> Lines {
        let mut stderr = self.held();
        stderr.extend(match (outcome, &self.subject) {
            (Ok(_), Subject::Hosting(_) | Subject::Demo) => Vec::new(),
            (Ok(summary), Subject::Sending(_) | Subject::Receiving) => self.done(summary),
            (Err(error), _) => self.error(error),
        });
        Lines { stdout: None, stderr }
    }

    /// Facts that later lines need.
    fn remember(&mut self, event: &Event) {
        match event {
            Event::Session { kept_bytes, .. } => self.kept_bytes = *kept_bytes,
            // A bar that stands still tells nothing.
            Event::Left { .. } => {
                (self.progress, self.scanning, self.has_left) = (None, None, true)
            }
            Event::Link { state: LinkState::Disconnected, .. } => {
                (self.progress, self.loss) = (None, Loss::Told);
            }
            Event::Link { state: LinkState::Connected, .. } => self.has_left = false,
            Event::Peer { name, .. } => self.peer = name_for_person(name).into_owned(),
            Event::Manifest { bytes, .. } => self.total_bytes = *bytes,
            Event::Progress { bytes, durable_bytes, total_bytes, rate_bps, eta_s, .. } => {
                self.is_fresh = true;
                self.kept_bytes = *durable_bytes;
                self.total_bytes = self.total_bytes.max(*total_bytes);
                self.progress = Some(Progress {
                    bytes: *bytes,
                    total_bytes: *total_bytes,
                    rate_bps: *rate_bps,
                    eta_s: *eta_s,
                });
            }
            Event::Code { .. }
            | Event::Connected { .. }
            | Event::File { .. }
            | Event::Link { .. }
            | Event::Waiting { .. }
            | Event::Reconnecting { .. }
            | Event::Manual { .. }
            | Event::Recovered { .. }
            | Event::Warning { .. }
            | Event::Error { .. }
            | Event::Done(_) => {}
        }
    }

    /// The code line stands on stdout where that is not a terminal, and on stderr where it is.
    fn code(
        &self,
        lines: &mut Lines,
        code: &str,
        (for_whom, command): (&str, &str),
        reach: Option<&str>,
    ) {
        if self.json {
            return;
        }
        if self.traits.is_stdout_terminal {
            let code = self.traits.style.strong(code);
            lines.stderr.push(format!("Code: {code}"));
        } else {
            lines.stdout = Some(format!("Code: {code}"));
        }
        if self.quiet {
            return;
        }
        lines.stderr.extend([
            for_whom.to_owned(),
            String::new(),
            format!("    {}", self.traits.style.strong(command)),
            String::new(),
        ]);
        if let Some(reach) = reach {
            lines.stderr.extend([reach.to_owned(), String::new()]);
        }
    }

    fn message(&mut self, event: &Event) -> Vec<String> {
        let is_quiet_too = matches!(event, Event::File { .. } | Event::Manual { .. });
        if self.quiet && !is_quiet_too {
            return Vec::new();
        }
        match event {
            Event::Session { id, role, resumed: true, kept_bytes } => {
                let id: String = for_person(id).chars().take(8).collect();
                vec![match role {
                    // What is there is the receiver's to say.
                    Role::Sender => format!("Continuing session {id}."),
                    Role::Receiver => {
                        format!("Continuing session {id}: {} kept.", units::size(*kept_bytes))
                    }
                }]
            }
            Event::Waiting { peer, host } => {
                let peer = name_for_person(peer);
                let peer = if peer.is_empty() { "the receiver".into() } else { peer };
                let place = if host.is_empty() {
                    "on this machine: it has no address of a network".into()
                } else {
                    format!("at {}", for_person(host))
                };
                vec![format!("Waiting for {peer} {place}")]
            }
            Event::Manifest { files, bytes, directories, complete } => {
                self.offer(&units::tree(*files, *directories, *bytes), *complete)
            }
            Event::Connected { path, remote, rtt_ms, .. } => self.connected(*path, remote, *rtt_ms),
            Event::File { path, status, error, .. } => {
                self.file(&path.path, *status, error.as_deref())
            }
            Event::Left { name, text, waiting: true, .. } => {
                let (name, text) = (self.other(name), for_person(text));
                vec![format!("{name} {text}. Waiting for it to continue …")]
            }
            // The error says it.
            Event::Left { .. } => Vec::new(),
            // The receiver tells of each try instead.
            Event::Link { state: LinkState::Disconnected, reason, .. }
                if !self.has_left && matches!(self.subject, Subject::Sending(_)) =>
            {
                let (name, reason) = (self.other(&self.peer), for_person(reason));
                self.loss = Loss::Held(format!("Connection lost ({reason}). Waiting for {name} …"));
                Vec::new()
            }
            Event::Link { state, previous, reason } if self.verbosity > 0 => {
                let reason = for_person(reason);
                vec![format!("Link: {previous:?} to {state:?} ({reason})")]
            }
            Event::Reconnecting { layer, attempt, of, delay_ms } => {
                let is_host = matches!(layer, Layer::Host);
                // A sender's own first try after a loss that was told is no news.
                let is_sender = matches!(self.subject, Subject::Sending(_));
                if is_sender && !is_host && *attempt == 1 && self.loss == Loss::Told {
                    return Vec::new();
                }
                if !is_host && self.is_holding() {
                    self.loss = Loss::Told;
                }
                reconnecting(*layer, *attempt, *of, *delay_ms, self.loss == Loss::None)
            }
            Event::Manual { command } => vec![
                "To continue by hand, run:".to_owned(),
                String::new(),
                format!("    {}", self.traits.style.strong(command)),
                String::new(),
            ],
            Event::Recovered { layer: Layer::Host, .. } => vec!["The host is back.".to_owned()],
            Event::Recovered { after_ms, kept_bytes, .. } => vec![format!(
                "Back after {}; {} kept.",
                units::elapsed(Duration::from_millis(*after_ms)),
                units::size(*kept_bytes)
            )],
            Event::Warning { code, .. } if code == FRAGMENTED && self.verbosity == 0 => Vec::new(),
            Event::Warning { message, .. } => {
                let warning = self.traits.style.caution("warning:");
                vec![format!("{warning} {}", for_person(message))]
            }
            Event::Session { resumed: false, .. }
            | Event::Code { .. }
            | Event::Peer { .. }
            | Event::Progress { .. }
            | Event::Link { .. }
            | Event::Error { .. }
            | Event::Done(_) => Vec::new(),
        }
    }

    /// What the other side is called.
    fn other(&self, name: &str) -> String {
        match (name, &self.subject) {
            ("", Subject::Sending(_)) => "the receiver".to_owned(),
            ("", _) => "the sender".to_owned(),
            (name, _) => name_for_person(name).into_owned(),
        }
    }

    fn offer(&mut self, size: &str, complete: bool) -> Vec<String> {
        let verb = match &self.subject {
            Subject::Sending(label) => format!("Sending {label}: {size}"),
            Subject::Receiving | Subject::Hosting(_) | Subject::Demo => {
                format!("Receiving {size}")
            }
        };
        if !complete {
            self.scanning = Some(format!("{verb} so far …"));
            return Vec::new();
        }
        self.scanning = None;
        if std::mem::replace(&mut self.is_offer_shown, true) {
            return Vec::new();
        }
        vec![verb, String::new()]
    }

    fn connected(&mut self, path: Path, remote: &str, rtt_ms: f64) -> Vec<String> {
        let address = remote
            .parse::<SocketAddr>()
            .map_or_else(|_| for_person(remote).into_owned(), |remote| remote.ip().to_string());
        let now = (path, address.clone());
        // Said once, and again where it goes another way.
        if self.connected.as_ref() == Some(&now) {
            return Vec::new();
        }
        self.connected = Some(now);
        let peer = if self.peer.is_empty() { "the other side" } else { &self.peer };
        let path = match path {
            Path::Direct => "direct",
            Path::Relay => "relay",
        };
        let rtt = if rtt_ms < 1.0 { "< 1 ms".to_owned() } else { format!("{rtt_ms:.0} ms") };
        vec![format!("Connected to {peer} ({path}, {address}, {rtt})")]
    }

    fn file(&mut self, path: &str, status: FileStatus, error: Option<&str>) -> Vec<String> {
        let (word, is_listed) = match status {
            FileStatus::Failed => ("failed", true),
            FileStatus::Changed => ("changed while being read", true),
            FileStatus::Missing => ("left out by the sender", true),
            FileStatus::Skipped => ("left alone", self.verbosity > 0),
            FileStatus::Received => ("received", self.verbosity > 0),
            FileStatus::Sent => ("sent", self.verbosity > 0),
            FileStatus::Unchanged => ("unchanged", self.verbosity > 0),
        };
        if !is_listed {
            return Vec::new();
        }
        self.files_listed += 1;
        if self.verbosity == 0 && self.files_listed > FILES_SHOWN_MAX {
            let is_first = self.files_listed == FILES_SHOWN_MAX + 1;
            return if is_first {
                vec!["… and more; -v and --json name them all".to_owned()]
            } else {
                Vec::new()
            };
        }
        let reason = error.map_or_else(String::new, |error| format!(": {}", for_person(error)));
        vec![format!("{}: {word}{reason}", name_for_person(path))]
    }

    /// `Done: 3 files, 1.2 GiB in 8.1s (151 MiB/s), verified. 1 reconnection, 0 B sent twice.`
    fn done(&self, summary: &Summary) -> Vec<String> {
        let mut lines = Vec::new();
        if summary.exit == EXIT_REFUSED {
            lines.push(
                "Existing files that differ were left alone; --on-conflict skip, overwrite or rename settles them. \
                 For what else is in the way, see above."
                    .to_owned(),
            );
        }
        if self.quiet {
            return if self.json { Vec::new() } else { lines };
        }
        let style = self.traits.style;
        let word = match summary.exit {
            0 => style.good("Done:"),
            _ => style.caution("Done in part:"),
        };
        let mut text = format!(
            "{word} {}, {} in {} ({})",
            units::count(summary.files, "file"),
            units::size(summary.bytes),
            units::elapsed(Duration::from_millis(summary.elapsed_ms)),
            units::rate(summary.rate_bps),
        );
        let figures = [
            (summary.unchanged_files > 0, unchanged(summary)),
            (summary.skipped_files > 0, format!(", {} left out", summary.skipped_files)),
            (summary.failed_files > 0, format!(", {} failed", summary.failed_files)),
            (summary.kept_bytes > 0, format!(", {} kept", units::size(summary.kept_bytes))),
            (summary.verified, ", verified".to_owned()),
        ];
        for (_, figure) in figures.into_iter().filter(|(applies, _)| *applies) {
            text.push_str(&figure);
        }
        text.push('.');
        if summary.reconnections > 0 || summary.resent_bytes > 0 {
            text.push_str(&format!(
                " {}, {} sent twice.",
                units::count(summary.reconnections, "reconnection"),
                units::size(summary.resent_bytes)
            ));
        }
        lines.push(text);
        lines
    }

    /// The error, and last, where there is something to continue, what is kept and how.
    fn error(&self, error: &Error) -> Vec<String> {
        let style = self.traits.style;
        let mut lines = vec![format!("{} {}", style.bad("error:"), for_person(&error.message))];
        if !error.hint.is_empty() {
            lines.push(format!("{} {}", style.strong("hint:"), for_person(&error.hint)));
        }
        if let Some(command) = &error.resume_command {
            let of = match self.total_bytes {
                0 => String::new(),
                total => format!(" of {}", units::size(total)),
            };
            let kept = match (&self.subject, self.kept_bytes) {
                // It may be more than nothing: the receiver has not said it in this run.
                (Subject::Sending(_), 0) => "What has arrived is kept".to_owned(),
                (_, kept) => format!("{}{of} kept", units::size(kept)),
            };
            lines.extend([
                format!("{kept}. To continue, run:"),
                String::new(),
                format!("    {}", style.strong(command)),
            ]);
        }
        lines
    }

    fn label(&self) -> &str {
        match &self.subject {
            Subject::Sending(label) => label,
            Subject::Receiving | Subject::Hosting(_) | Subject::Demo => "Receiving",
        }
    }
}

/// How far the command under a code reaches, where that is not everywhere.
const fn reach(local_only: bool, this_machine: bool) -> Option<&'static str> {
    match (local_only, this_machine) {
        (_, true) => Some(
            "Only this machine can receive: it has no address of a network. --host names a place to meet.",
        ),
        (true, false) => Some("It has to be on the same network; --host reaches further."),
        (false, false) => None,
    }
}

/// Files that were there: what was not read is only as good as size and time say.
fn unchanged(summary: &Summary) -> String {
    let how = match summary.unread_files {
        0 => "",
        unread if unread == summary.unchanged_files => " (by size and time)",
        _ => " (some by size and time)",
    };
    format!(", {} unchanged{how}", summary.unchanged_files)
}

fn reconnecting(
    layer: Layer,
    attempt: u32,
    of: u32,
    delay_ms: u64,
    is_linked: bool,
) -> Vec<String> {
    // Beyond the planned tries it goes on at a slow pace, without a word each time.
    if attempt > of {
        return if attempt == of.saturating_add(1) {
            vec!["Still no connection; trying on …".to_owned()]
        } else {
            Vec::new()
        };
    }
    let what = match layer {
        Layer::Ice | Layer::Connection => "Connection lost. Reconnecting",
        Layer::Host if is_linked => "Host lost; the transfer goes on. Reconnecting",
        Layer::Host => "Host lost, too. Reconnecting",
    };
    vec![format!("{what} ({attempt}/{of}) in {} …", units::delay(delay_ms))]
}

#[cfg(test)]
#[path = "human_tests.rs"]
mod tests;
