//! The terminal: stderr for the person, the bar at its foot, and the few lines that go to stdout.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use rejoin::environment;

use super::human::{Human, Lines};
use super::stdout::Results;
use super::style::Style;
use super::{BAR_DELAY, ColorWhen, OutputOptions, ProgressStyle};

/// Redraws a second at most.
const REDRAWS: u8 = 20;
/// Columns where the terminal does not tell.
const COLUMNS: usize = 80;

/// What the streams are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    pub(super) style: Style,
    pub(super) is_stdout_terminal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Bar,
    Plain,
    None,
}

pub(super) struct Screen {
    start: Instant,
    progress: Progress,
    traits: Traits,
    bar: Option<ProgressBar>,
    /// The question that waits for its answer.
    prompt: Option<String>,
    results: Results,
}

impl Screen {
    pub(super) fn new(options: &OutputOptions, start: Instant) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let is_dumb = environment::variable("TERM").is_some_and(|term| term == "dumb");
        let no_color = environment::variable("NO_COLOR").is_some();
        let progress = match options.progress {
            ProgressStyle::None => Progress::None,
            ProgressStyle::Auto if options.quiet || options.json => Progress::None,
            ProgressStyle::Bar if is_terminal => Progress::Bar,
            ProgressStyle::Auto if is_terminal && !is_dumb => Progress::Bar,
            ProgressStyle::Auto | ProgressStyle::Bar | ProgressStyle::Plain => Progress::Plain,
        };
        let is_colored = match options.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => is_terminal && !is_dumb && !no_color,
        };
        Self {
            start,
            progress,
            traits: Traits {
                style: Style { is_colored },
                is_stdout_terminal: std::io::stdout().is_terminal(),
            },
            bar: None,
            prompt: None,
            results: Results::new(),
        }
    }

    pub(super) const fn traits(&self) -> Traits {
        self.traits
    }

    pub(super) fn show(&mut self, lines: Lines) {
        if let Some(line) = lines.stdout {
            self.result_line(&line);
        }
        for line in lines.stderr {
            self.line(&line);
        }
    }

    /// A line on stderr, above the bar or the question. Written whole, so that two processes on one terminal do not mix.
    pub(super) fn line(&self, text: &str) {
        let text = match &self.prompt {
            Some(prompt) => format!("\n{text}\n{prompt}"),
            None => format!("{text}\n"),
        };
        above(self.bar.as_ref(), || write_stderr(&text));
    }

    /// A line on stdout.
    pub(super) fn result_line(&mut self, text: &str) {
        above(self.bar.as_ref(), || self.results.write(format!("{text}\n").as_bytes()));
    }

    pub(super) fn prompt(&mut self, text: &str) {
        self.clear();
        self.prompt = Some(text.to_owned());
        write_stderr(text);
    }

    pub(super) fn prompt_done(&mut self) {
        self.prompt = None;
    }

    /// Draws the bar as `human` has it.
    pub(super) fn bar(&mut self, human: &Human) {
        let is_due = self.bar.is_some() || self.start.elapsed() >= BAR_DELAY;
        if self.progress != Progress::Bar || self.prompt.is_some() || !is_due {
            return;
        }
        let columns = console::Term::stderr()
            .size_checked()
            .map_or(COLUMNS, |(_, columns)| usize::from(columns));
        // The last column stays free: some terminals wrap when it is written to.
        let Some(text) = human.bar(columns.saturating_sub(1)) else {
            return self.clear();
        };
        self.bar.get_or_insert_with(new_bar).set_message(text);
    }

    /// The line that stands for a bar where there is none.
    pub(super) fn plain_progress(&self, human: &mut Human) {
        if self.progress == Progress::Plain
            && self.prompt.is_none()
            && let Some(text) = human.plain_progress()
        {
            self.line(&text);
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn above(bar: Option<&ProgressBar>, write: impl FnOnce()) {
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn new_bar() -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(REDRAWS);
    let bar = ProgressBar::with_draw_target(None, target);
    // The template is a constant; where it were wrong, indicatif's own look is good enough.
    if let Ok(style) = BarStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

/// A person who reads nothing is no failure of the transfer (P-14).
fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
