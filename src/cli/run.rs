//! Drives a session: forwards its events to the printer, answers its questions, and ends it when it is time.
//!
//! **A session is never left alive**: whatever ends a run, a failure of the command line's own work included, the
//! session is told to stop first and has its grace; one that does not listen is taken down while its runtime still
//! works. The runtime ends with the process, not before: work that would outlive it panics.

use std::process::ExitCode;
use std::time::Duration;

use rejoin::error::{Error, ErrorKind};
use rejoin::event::{Event, Summary};
use rejoin::ui::{self, Stop, Ui, UiPeer};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::code_file::{CodeOut, Writing};
use super::output::{Printer, PrinterHandle};
use super::prompt::{self, Consenting};
use super::stop::{Stops, Wishes};
use super::{process, usage};

/// What a session gets to wind down after a stop; a whole exit stays below 2 s (P-06). Nothing is lost beyond it:
/// the journal is always good.
const STOP_GRACE: Duration = Duration::from_millis(1500);
/// What an abandoned session gets to let go of what it holds.
const ABORT_GRACE: Duration = Duration::from_millis(100);
/// How long a code waits for its file before it is shown; a disk that stands still is told about later.
const CODE_HOLD: Duration = Duration::from_secs(1);

/// Everything around a session.
pub(crate) struct Run {
    pub(crate) printer: Printer,
    pub(crate) timeout: Option<Duration>,
    pub(crate) code_out: Option<CodeOut>,
    pub(crate) consent: Consenting,
}

/// How a session came to its end.
#[derive(Default)]
struct End {
    /// What it said; none: it was abandoned.
    result: Option<Result<Summary, Error>>,
    stop: Option<Stop>,
    /// What went wrong beside it, for which it was stopped.
    failure: Option<Error>,
    /// A second Ctrl-C.
    at_once: bool,
}

/// What a run waits for besides its session.
struct Conversation {
    /// The event that the printer has no room for yet.
    pending: Option<Event>,
    /// The code on its way into its file.
    writing: Option<Writing>,
    /// Until when the code is not shown, since its file is not there yet.
    held_until: Option<Instant>,
    stop: Option<Stop>,
    abandon_at: Instant,
    failure: Option<Error>,
}

impl Conversation {
    /// Begins the end; the first cause counts.
    fn stop(&mut self, cause: Stop, peer: &UiPeer) {
        if self.stop.is_none() {
            self.stop = Some(cause);
            self.abandon_at = Instant::now() + STOP_GRACE;
            peer.stop.send_replace(self.stop);
        }
    }

    /// The code is written, or cannot be.
    fn written(&mut self, outcome: Result<(), Error>, peer: &UiPeer) {
        (self.writing, self.held_until) = (None, None);
        if let Err(error) = outcome
            && self.stop.is_none()
        {
            self.failure = Some(error);
            // Nobody is to use a code of a run that ends.
            self.pending.take_if(|event| matches!(event, Event::Code { .. }));
            self.stop(Stop::Terminate, peer);
        }
    }
}

impl Run {
    /// Runs the session that `start` makes, to its end.
    pub(crate) fn drive<F>(self, start: impl FnOnce(Ui) -> F) -> ExitCode
    where
        F: Future<Output = Result<Summary, Error>> + Send + 'static,
    {
        let runtime = match process::runtime() {
            Ok(runtime) => runtime,
            Err(error) => return self.printer.fail(no_runtime(&error)),
        };
        let (ui, peer) = ui::pair();
        let end = {
            // Inside the runtime: a session may make sockets and timers before its first await.
            let _context = runtime.enter();
            let session = start(ui);
            runtime.block_on(self.converse(session, peer))
        };
        let at_once = end.as_ref().is_ok_and(|end| end.at_once);
        let exit = self.printer.finish(end.and_then(conclude), at_once);
        // Tasks that are left, a watcher or a connection to a host, end with the process: what they are in the middle of
        // would panic without timers and threads.
        std::mem::forget(runtime);
        exit
    }

    async fn converse<F>(&self, session: F, mut peer: UiPeer) -> Result<End, Error>
    where
        F: Future<Output = Result<Summary, Error>> + Send + 'static,
    {
        let mut stops = Stops::new(self.timeout).map_err(|error| no_runtime(&error))?;
        let mut wishes = Wishes::new().map_err(|error| no_runtime(&error))?;
        let mut session = tokio::spawn(session);
        let printer = self.printer.handle();
        let interactive = prompt::is_interactive();
        let mut now = Conversation {
            pending: None,
            writing: None,
            held_until: None,
            stop: None,
            abandon_at: Instant::now(),
            failure: None,
        };
        let (result, at_once) = loop {
            tokio::select! {
                biased;
                cause = stops.next() => match now.stop {
                    None => now.stop(cause, &peer),
                    Some(_) if cause == Stop::Interrupt => break (None, true),
                    Some(_) => {}
                },
                () = wishes.next() => peer.restart.send_modify(|count| *count += 1),
                () = tokio::time::sleep_until(now.abandon_at), if now.stop.is_some() => {
                    break (None, false);
                }
                outcome = written(&mut now.writing), if now.writing.is_some() => {
                    now.written(outcome, &peer);
                }
                () = until(now.held_until), if now.held_until.is_some() => now.held_until = None,
                is_sent = printer.room(), if now.pending.is_some() && now.held_until.is_none() => {
                    if let (Some(permit), Some(event)) = (is_sent, now.pending.take()) {
                        permit.send(event.into());
                    }
                }
                Some(event) = peer.events.recv(), if now.pending.is_none() => {
                    if let (Event::Code { code, .. }, Some(out)) = (&event, &self.code_out) {
                        now.writing = Some(out.write(code));
                        now.held_until = out.is_prompt().then(|| Instant::now() + CODE_HOLD);
                    }
                    now.pending = Some(event);
                }
                Some(question) = peer.questions.recv() => {
                    let printer = printer.clone();
                    tokio::spawn(prompt::answer(question, self.consent, printer, interactive));
                }
                result = &mut session => {
                    let panicked = |_| Err(Error::new(ErrorKind::Failure, "the program failed; this is a bug"));
                    break (Some(result.unwrap_or_else(panicked)), false);
                }
            }
        };
        if result.is_none() {
            session.abort();
            // Whoever hangs in a system call is left to the end of the process.
            let _ = tokio::time::timeout(ABORT_GRACE, session).await;
        }
        if let Some(mut writing) = now.writing.filter(|_| now.held_until.is_some() && !at_once) {
            // A session that ended all the same says how the run went.
            let _ = tokio::time::timeout(CODE_HOLD, writing.outcome()).await;
        }
        if !at_once {
            let rest = forward_rest(&printer, now.pending, &mut peer);
            // A reader that is slow now is not waited for twice: `finish` has its own patience.
            let _ = tokio::time::timeout(STOP_GRACE, rest).await;
        }
        Ok(End { result, stop: now.stop, failure: now.failure, at_once })
    }
}

/// The code's way into its file is over. Cancel safe.
async fn written(writing: &mut Option<Writing>) -> Result<(), Error> {
    match writing {
        Some(writing) => writing.outcome().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Runs a host until it is stopped; its URL goes to stdout when it is ready.
pub(crate) fn serve<F>(
    printer: Printer,
    start: impl FnOnce(oneshot::Sender<String>, Ui) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (ready, is_ready) = oneshot::channel();
    let announcing = printer.handle();
    let run = Run { printer, timeout: None, code_out: None, consent: Consenting::default() };
    run.drive(|ui| {
        tokio::spawn(async move {
            if let Ok(url) = is_ready.await {
                announcing.result_line(url).await;
            }
        });
        let host = start(ready, ui);
        async { host.await.map(|()| Summary::default()) }
    })
}

async fn forward_rest(printer: &PrinterHandle, pending: Option<Event>, peer: &mut UiPeer) {
    let mut next = pending;
    while let Some(event) = next.or_else(|| peer.events.try_recv().ok()) {
        next = None;
        if let Some(permit) = printer.room().await {
            permit.send(event.into());
        }
    }
}

/// What the run amounts to: a stop that was asked for names the exit code, unless the session got to a better end, or
/// to a worse one that the user has to know of.
fn conclude(end: End) -> Result<Summary, Error> {
    if let Some(failure) = end.failure {
        let resume_command =
            end.result.and_then(Result::err).and_then(|error| error.resume_command);
        return Err(Error { resume_command, ..failure });
    }
    let (cause, failure) = match (end.stop, end.result) {
        (None, result) => {
            return result.unwrap_or_else(|| Err(usage("ended without a reason")));
        }
        (Some(_), Some(Ok(summary))) => return Ok(summary),
        (Some(cause), Some(Err(error))) => (cause, error),
        (Some(cause), None) => (cause, Error::new(ErrorKind::Interrupted, "")),
    };
    match failure.kind {
        ErrorKind::Interrupted | ErrorKind::Failure | ErrorKind::Unreachable => {}
        ErrorKind::Usage
        | ErrorKind::Authentication
        | ErrorKind::Partial
        | ErrorKind::Refused
        | ErrorKind::Disk
        | ErrorKind::Integrity
        | ErrorKind::Timeout
        | ErrorKind::SignalInterrupt
        | ErrorKind::SignalTerminate => return Err(failure),
    }
    let (kind, message) = match cause {
        Stop::Interrupt => (ErrorKind::SignalInterrupt, "interrupted"),
        Stop::Terminate => (ErrorKind::SignalTerminate, "terminated"),
        Stop::Hangup => (ErrorKind::SignalTerminate, "the terminal is gone"),
        Stop::Timeout => (ErrorKind::Timeout, "the time given by --timeout is over"),
    };
    Err(Error {
        kind,
        message: message.to_owned(),
        hint: String::new(),
        resume_command: failure.resume_command,
    })
}

fn no_runtime(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Failure, format!("cannot start: {}", rejoin::visible::cause(error)))
        .with_hint(
            "the limits of open files, threads and memory are those of `ulimit -n`, `-u` and `-v`",
        )
}

#[cfg(test)]
mod tests {
    use rejoin::question::{Consent, Offer};
    use std::path::PathBuf;

    use super::*;
    use crate::cli::output::{ColorWhen, OutputOptions, ProgressStyle, Subject};

    fn end(stop: Option<Stop>, result: Option<Result<Summary, Error>>) -> Result<Summary, Error> {
        conclude(End { result, stop, ..End::default() })
    }

    #[test]
    fn a_stop_names_the_exit_code_and_keeps_the_way_back() {
        let interrupted = Error {
            resume_command: Some("rejoin receive".to_owned()),
            ..Error::new(ErrorKind::Interrupted, "stopped")
        };
        let table = [
            (Stop::Interrupt, 130),
            (Stop::Terminate, 143),
            (Stop::Hangup, 143),
            (Stop::Timeout, 124),
        ];
        for (stop, exit) in table {
            let error = end(Some(stop), Some(Err(interrupted.clone()))).unwrap_err();
            assert_eq!(error.kind.exit_code(), exit);
            assert_eq!(error.resume_command, interrupted.resume_command);
            assert_eq!(end(Some(stop), None).unwrap_err().kind.exit_code(), exit);
        }
        assert_eq!(end(None, Some(Err(interrupted.clone()))), Err(interrupted));
    }

    #[test]
    fn what_is_better_or_worse_than_the_stop_is_told() {
        let summary = Summary::default();
        let done = end(Some(Stop::Interrupt), Some(Ok(summary.clone())));
        assert_eq!(done, Ok(summary));
        let corrupt = Error::new(ErrorKind::Integrity, "differs");
        let told = end(Some(Stop::Interrupt), Some(Err(corrupt.clone())));
        assert_eq!(told, Err(corrupt));
    }

    /// Runs `session` under the real loop; the time of `timeout` is virtual.
    async fn outcome<F>(
        timeout: Option<Duration>,
        code_out: Option<PathBuf>,
        session: impl FnOnce(Ui) -> F,
    ) -> Result<Summary, Error>
    where
        F: Future<Output = Result<Summary, Error>> + Send + 'static,
    {
        let options = OutputOptions {
            json: false,
            quiet: true,
            verbosity: 0,
            progress: ProgressStyle::None,
            color: ColorWhen::Never,
            log: None,
        };
        let code_out = code_out.map(|file| CodeOut::prepare(&file, false).unwrap());
        let run = Run {
            printer: Printer::new(&options, Subject::Receiving),
            timeout,
            code_out,
            consent: Consenting { yes: true, on_conflict: None },
        };
        let (ui, peer) = ui::pair();
        let end = run.converse(session(ui), peer);
        // Virtual too, where the clock is: a loop that hangs fails at once.
        let end = tokio::time::timeout(Duration::from_secs(600), end).await;
        end.unwrap().and_then(conclude)
    }

    const SOON: Option<Duration> = Some(Duration::from_secs(30));

    #[tokio::test(start_paused = true)]
    async fn a_timeout_ends_a_session_that_listens() {
        let result = outcome(SOON, None, |ui| async move {
            assert_eq!(ui.stopped().await, Stop::Timeout);
            Err(Error {
                resume_command: Some("again".to_owned()),
                ..Error::new(ErrorKind::Interrupted, "stopped")
            })
        });
        let error = result.await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert_eq!(error.resume_command.as_deref(), Some("again"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_does_not_listen_is_left_behind_in_time() {
        let start = Instant::now();
        let result = outcome(SOON, None, |_| std::future::pending()).await;
        assert_eq!(result.unwrap_err().kind, ErrorKind::Timeout);
        assert_eq!(start.elapsed(), Duration::from_secs(30) + STOP_GRACE);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_not_the_end_of_the_program() {
        let result = outcome(None, None, |_| async { panic!("a bug") }).await;
        assert_eq!(result.unwrap_err().kind, ErrorKind::Failure);
    }

    #[tokio::test]
    async fn questions_are_answered_and_the_code_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("code");
        let result = outcome(None, Some(file.clone()), |ui| async move {
            ui.emit(Event::Code {
                code: "7-a-b-c".to_owned(),
                command: "rejoin receive 7-a-b-c".to_owned(),
                local_only: false,
                this_machine: false,
                invitation: false,
            })
            .await;
            let consent = ui.ask_consent(Offer::default()).await?;
            assert_eq!(consent, Consent::AcceptedAll);
            Ok(Summary::default())
        });
        assert_eq!(result.await, Ok(Summary::default()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "7-a-b-c\n");
        // What was writable at the start and is not later.
        let gone = Some(directory.path().join("gone/code"));
        std::fs::create_dir(directory.path().join("gone")).unwrap();
        let removed = directory.path().join("gone");
        let result = outcome(None, gone, |ui| async move {
            std::fs::remove_dir(removed).unwrap();
            let (code, command) = (String::new(), String::new());
            let (local_only, this_machine, invitation) = (false, false, false);
            ui.emit(Event::Code { code, command, local_only, this_machine, invitation }).await;
            assert_eq!(ui.stopped().await, Stop::Terminate, "the session is told");
            Err(Error::new(ErrorKind::Interrupted, "stopped"))
        });
        assert_eq!(result.await.unwrap_err().kind, ErrorKind::Disk);
    }
}
