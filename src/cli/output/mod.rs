//! The only code that prints: two sinks fed with events, for a person (stderr) and for a program (NDJSON on stdout).
//!
//! The printer has a thread of its own, so a pipe that nobody reads blocks nothing but printing (P-14). What it is told
//! goes through one bounded queue, in order; the outcome comes last, always.

mod bar;
pub(crate) mod escape;
mod human;
mod json;
mod log;
mod screen;
mod shell;
pub(crate) mod stdout;
mod style;
pub(crate) mod units;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::time::{Duration, Instant};

use rejoin::error::{Error, ErrorKind};
use rejoin::event::{Event, Summary};
use tokio::sync::{mpsc, oneshot};

use human::{Human, LOSS_HOLD};
use json::Json;
pub(crate) use log::{LogFormat, check_filter};
use screen::Screen;

/// Events and lines under way to the printer.
const ITEMS_MAX: usize = 256;
/// How long the outcome may take to be read by whoever reads (K-41).
const FINISH_PATIENCE: Duration = Duration::from_secs(10);
/// The same after a second Ctrl-C.
const FINISH_AT_ONCE: Duration = Duration::from_millis(200);
/// Without a terminal, progress is one plain line this often.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// A run shorter than this shows no bar.
const BAR_DELAY: Duration = Duration::from_millis(250);

/// What the user asked for.
#[derive(Clone, Debug)]
pub(crate) struct OutputOptions {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
    pub(crate) progress: ProgressStyle,
    pub(crate) color: ColorWhen,
    /// What is wanted of the log, checked; none: what `verbosity` says.
    pub(crate) log: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    Auto,
    Bar,
    Plain,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

/// What the run is about.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// What the progress line calls it, escaped.
    Sending(String),
    Receiving,
    Hosting(LogFormat),
    Demo,
}

/// What the printer is told.
pub(crate) enum Item {
    Event(Box<Event>),
    /// A line for the person, also when quiet.
    Line(String),
    /// A warning of the command line itself.
    Warning(String),
    /// A line of the log.
    Log(String),
    /// The one line that is the result of a command: stdout.
    Result(String),
    Prompt(String),
    PromptDone,
}

impl From<Event> for Item {
    fn from(event: Event) -> Self {
        Self::Event(Box::new(event))
    }
}

type Outcome = Result<Summary, Error>;

/// What is told of results that could not be written, and the exit code for it.
type Printed = Result<(), (String, u8)>;

/// Owner of the printing thread.
pub(crate) struct Printer {
    items: mpsc::Sender<Item>,
    outcome: oneshot::Sender<Outcome>,
    is_over: blocking::Receiver<Printed>,
    /// What the thread would have had; there where it cannot be started.
    unstarted: Arc<Mutex<Option<Work>>>,
    is_json: bool,
}

/// All that the thread works with.
struct Work {
    sinks: Sinks,
    items: mpsc::Receiver<Item>,
    outcome: oneshot::Receiver<Outcome>,
}

/// A way to the printer, for tasks.
#[derive(Clone)]
pub(crate) struct PrinterHandle {
    items: mpsc::Sender<Item>,
}

impl Printer {
    /// Starts printing, and logging as far as asked for.
    pub(crate) fn new(options: &OutputOptions, subject: Subject) -> Self {
        let (items, queue) = mpsc::channel(ITEMS_MAX);
        let (outcome, outcome_comes) = oneshot::channel();
        let (over, is_over) = blocking::sync_channel(1);
        log::start(options, &subject, items.clone());
        let sinks = Sinks::new(options, subject);
        let work = Work { sinks, items: queue, outcome: outcome_comes };
        let unstarted = Arc::new(Mutex::new(Some(work)));
        let taken = Arc::clone(&unstarted);
        let thread = std::thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let printed =
                take(&taken).map_or(Ok(()), |work| work.sinks.serve(work.items, work.outcome));
            // Whoever waited has left.
            let _ = over.send(printed);
        });
        // Where the system has no more threads, all that will be told is how the run ended.
        let unstarted = if thread.is_ok() { Arc::default() } else { unstarted };
        Self { items, outcome, is_over, unstarted, is_json: options.json }
    }

    pub(crate) fn handle(&self) -> PrinterHandle {
        PrinterHandle { items: self.items.clone() }
    }

    /// Warns, before anything runs.
    pub(crate) fn warn(&self, message: &str) {
        // The queue is empty at that time.
        let _ = self.items.try_send(Item::Warning(message.to_owned()));
    }

    /// Tells something, before anything runs.
    pub(crate) fn say(&self, message: String) {
        // As above.
        let _ = self.items.try_send(Item::Line(message));
    }

    /// Ends a run that did not start.
    pub(crate) fn fail(self, error: Error) -> ExitCode {
        self.finish(Err(error), false)
    }

    /// Prints the outcome as the last thing, and returns the exit code.
    pub(crate) fn finish(self, outcome: Outcome, at_once: bool) -> ExitCode {
        let exit_of_run = match &outcome {
            Ok(summary) => summary.exit,
            Err(error) => error.kind.exit_code(),
        };
        let printed = match take(&self.unstarted) {
            Some(work) => work.sinks.end(outcome),
            None => {
                self.print_last(outcome, if at_once { FINISH_AT_ONCE } else { FINISH_PATIENCE })
            }
        };
        match printed {
            // What was asked for includes what was to be said.
            Err((text, exit)) if exit_of_run == 0 => {
                say_unless_stuck(&text);
                ExitCode::from(exit)
            }
            _ => ExitCode::from(exit_of_run),
        }
    }

    fn print_last(self, outcome: Outcome, patience: Duration) -> Printed {
        // Where the thread is gone, the exit code still tells.
        let _ = self.outcome.send(outcome);
        match self.is_over.recv_timeout(patience) {
            Ok(printed) => printed,
            Err(blocking::RecvTimeoutError::Disconnected) => Ok(()),
            Err(blocking::RecvTimeoutError::Timeout) if !self.is_json => Ok(()),
            Err(blocking::RecvTimeoutError::Timeout) => {
                let text =
                    format!("error: nobody reads what is written, for {} s", patience.as_secs());
                Err((text, ErrorKind::Failure.exit_code()))
            }
        }
    }
}

fn take(work: &Mutex<Option<Work>>) -> Option<Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl PrinterHandle {
    /// Waits for room; none: the printer is gone.
    pub(crate) async fn room(&self) -> Option<mpsc::Permit<'_, Item>> {
        self.items.reserve().await.ok()
    }

    /// A line for the person, also when quiet.
    pub(crate) async fn line(&self, text: String) {
        self.tell(Item::Line(text)).await;
    }

    /// The line that is the result: stdout.
    pub(crate) async fn result_line(&self, text: String) {
        self.tell(Item::Result(text)).await;
    }

    /// Shows a prompt and holds the bar back.
    pub(crate) async fn prompt(&self, text: String) {
        self.tell(Item::Prompt(text)).await;
    }

    /// The prompt is answered.
    pub(crate) async fn prompt_done(&self) {
        self.tell(Item::PromptDone).await;
    }

    async fn tell(&self, item: Item) {
        // Without a printer there is nobody to tell.
        let _ = self.items.send(item).await;
    }

    /// A handle whose printer is gone.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self { items: mpsc::channel(1).0 }
    }
}

/// Prints an error where no printer could be made yet.
pub(crate) fn fail_early(error: Error, json: bool) -> ExitCode {
    let options = OutputOptions {
        json,
        quiet: false,
        verbosity: 0,
        progress: ProgressStyle::None,
        color: ColorWhen::Auto,
        log: None,
    };
    Printer::new(&options, Subject::Receiving).fail(error)
}

/// Warns on stderr where a command needs no printer.
pub(crate) fn warn_early(messages: &[String]) {
    use std::io::Write as _;
    let mut stderr = std::io::stderr().lock();
    for message in messages {
        // Without a stderr there is nobody to warn.
        let _ = writeln!(stderr, "warning: {message}");
    }
}

/// Tells something on stderr where there is no printer yet.
pub(crate) fn say_early(message: &str) {
    use std::io::Write as _;
    // Without a stderr there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

/// Begins a line on stderr, for an answer.
pub(crate) fn prompt_early(text: &str) {
    use std::io::Write as _;
    let mut stderr = std::io::stderr().lock();
    // As above.
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// Tells something on stderr, unless that could take for ever.
fn say_unless_stuck(message: &str) {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stderr = rustix::stdio::stderr();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A pipe that is writable takes a whole line.
        if !matches!(poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&at_once)), Ok(1)) {
            return;
        }
    }
    say_early(message);
}

/// The NDJSON line of an error that clap has told the person already.
pub(crate) fn json_error(error: &Error) {
    Json::new(Instant::now()).outcome(&Err(error.clone()));
}

/// What a listing command lists, on stdout, and its exit code.
pub(crate) fn listing(lines: &[String]) -> ExitCode {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(stdout, "{line}"));
    stdout::exit(written.and_then(|()| stdout.flush()))
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Sinks {
    human: Human,
    json: Option<Json>,
    screen: Screen,
}

impl Sinks {
    fn new(options: &OutputOptions, subject: Subject) -> Self {
        let start = Instant::now();
        let screen = Screen::new(options, start);
        Self {
            human: Human::new(options, subject, screen.traits()),
            json: options.json.then(|| Json::new(start)),
            screen,
        }
    }

    fn serve(
        mut self,
        mut items: mpsc::Receiver<Item>,
        mut outcome: oneshot::Receiver<Outcome>,
    ) -> Printed {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let Ok(runtime) = runtime else {
            // How it ends is told at least.
            return outcome.blocking_recv().map_or(Ok(()), |outcome| self.end(outcome));
        };
        let outcome = runtime.block_on(async {
            let mut release_at = None;
            let mut plain = tokio::time::interval(PLAIN_EVERY);
            plain.reset();
            let mut batch = Vec::with_capacity(ITEMS_MAX);
            loop {
                tokio::select! {
                    biased;
                    1.. = items.recv_many(&mut batch, ITEMS_MAX) => {
                        batch.drain(..).for_each(|item| self.item(item));
                        self.flush();
                        let at = release_at.unwrap_or_else(|| tokio::time::Instant::now() + LOSS_HOLD);
                        release_at = self.human.is_holding().then_some(at);
                    }
                    () = until(release_at), if release_at.is_some() => {
                        release_at = None;
                        let lines = self.human.release();
                        self.screen.show(lines);
                    }
                    outcome = &mut outcome => break outcome,
                    _ = plain.tick() => self.screen.plain_progress(&mut self.human),
                }
            }
        });
        // A printer that was dropped has nothing left to say.
        outcome.map_or(Ok(()), |outcome| self.end(outcome))
    }

    /// Prints the outcome, and says whether a program that reads NDJSON has all of it.
    fn end(mut self, outcome: Outcome) -> Printed {
        self.outcome(outcome);
        self.json.as_ref().and_then(Json::failure).map(stdout::told).map_or(Ok(()), Err)
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Event(event) => self.event(&event),
            Item::Line(text) => self.screen.line(&text),
            Item::Log(text) => self.screen.line(&text),
            Item::Result(text) => {
                self.flush();
                self.screen.result_line(&text);
            }
            Item::Prompt(text) => {
                self.flush();
                self.screen.prompt(&text);
            }
            Item::PromptDone => self.screen.prompt_done(),
            Item::Warning(message) => {
                self.event(&Event::Warning { code: "command_line".to_owned(), message })
            }
        }
    }

    fn flush(&mut self) {
        if let Some(json) = &mut self.json {
            json.flush();
        }
    }

    fn event(&mut self, event: &Event) {
        if let Some(json) = &mut self.json {
            json.event(event);
        }
        let lines = self.human.event(event);
        self.screen.show(lines);
        self.screen.bar(&self.human);
    }

    fn outcome(&mut self, mut outcome: Outcome) {
        // The session knows whether there is something to continue; what continues it is what was typed.
        if let Err(error) = &mut outcome
            && let Some(command) = &mut error.resume_command
            // Of several in one directory it names the one.
            && !command.starts_with("rejoin resume ")
        {
            *command = shell::command_line();
        }
        self.screen.clear();
        let lines = self.human.outcome(&outcome);
        self.screen.show(lines);
        if let Some(json) = &mut self.json {
            json.outcome(&outcome);
        }
    }
}
