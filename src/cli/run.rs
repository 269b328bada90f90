//! Drives a session: forwards its events to the printer, answers its questions, and ends it when it is time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rejoin::error::{Error, ErrorKind};
use rejoin::event::{Event, Summary};
use rejoin::ui::{self, Stop, Ui, UiPeer};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::output::{Printer, PrinterHandle};
use super::prompt::{self, Consenting};
use super::stop::{Stops, Wishes};
use super::{code_file, usage};

/// What a session gets to wind down after a stop; a whole exit stays below 2 s (P-06). Nothing is lost beyond it:
/// the journal is always good.
const STOP_GRACE: Duration = Duration::from_millis(1500);
/// What a background task of the runtime gets after that.
const RUNTIME_GRACE: Duration = Duration::from_millis(100);

/// Everything around a session.
pub(crate) struct Run {
    pub(crate) printer: Printer,
    pub(crate) timeout: Option<Duration>,
    pub(crate) code_out: Option<PathBuf>,
    pub(crate) consent: Consenting,
}

/// How a session came to its end.
struct End {
    /// What it said; none: it was abandoned.
    result: Option<Result<Summary, Error>>,
    stop: Option<Stop>,
    /// A second Ctrl-C.
    at_once: bool,
}

impl Run {
    /// Runs the session that `start` makes, to its end.
    pub(crate) fn drive<F>(self, start: impl FnOnce(Ui) -> F) -> ExitCode
    where
        F: Future<Output = Result<Summary, Error>> + Send + 'static,
    {
        let runtime = match tokio::runtime::Runtime::new() {
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
        runtime.shutdown_timeout(RUNTIME_GRACE);
        let at_once = end.as_ref().is_ok_and(|end| end.at_once);
        self.printer.finish(end.and_then(conclude), at_once)
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
        let mut pending: Option<Event> = None;
        let mut stop: Option<Stop> = None;
        let mut abandon_at = Instant::now();
        let (result, at_once) = loop {
            tokio::select! {
                biased;
                cause = stops.next() => {
                    if stop.is_some() {
                        if cause == Stop::Interrupt {
                            session.abort();
                            break (None, true);
                        }
                        continue;
                    }
                    stop = Some(cause);
                    abandon_at = Instant::now() + STOP_GRACE;
                    peer.stop.send_replace(stop);
                }
                () = wishes.next() => peer.restart.send_modify(|count| *count += 1),
                () = tokio::time::sleep_until(abandon_at), if stop.is_some() => {
                    session.abort();
                    break (None, false);
                }
                is_sent = printer.room(), if pending.is_some() => {
                    if let (Some(permit), Some(event)) = (is_sent, pending.take()) {
                        permit.send(event.into());
                    }
                }
                Some(event) = peer.events.recv(), if pending.is_none() => {
                    self.write_code(&event)?;
                    pending = Some(event);
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
        if !at_once {
            let rest = forward_rest(&printer, pending, &mut peer);
            // A reader that is slow now is not waited for twice: `finish` has its own patience.
            let _ = tokio::time::timeout(STOP_GRACE, rest).await;
        }
        Ok(End { result, stop, at_once })
    }

    fn write_code(&self, event: &Event) -> Result<(), Error> {
        match (event, &self.code_out) {
            (Event::Code { code, .. }, Some(file)) => code_file::write(file, code),
            _ => Ok(()),
        }
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
    Error::new(ErrorKind::Failure, format!("cannot start: {error}"))
}

#[cfg(test)]
mod tests {
    use rejoin::question::{Consent, Offer};

    use super::*;
    use crate::cli::output::{ColorWhen, OutputOptions, ProgressStyle, Subject};

    fn end(stop: Option<Stop>, result: Option<Result<Summary, Error>>) -> Result<Summary, Error> {
        conclude(End { result, stop, at_once: false })
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
            })
            .await;
            let consent = ui.ask_consent(Offer::default()).await?;
            assert_eq!(consent, Consent::AcceptedAll);
            Ok(Summary::default())
        });
        assert_eq!(result.await, Ok(Summary::default()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "7-a-b-c\n");
        let nowhere = Some(directory.path().join("none/code"));
        let result = outcome(None, nowhere, |ui| async move {
            let (code, command) = (String::new(), String::new());
            ui.emit(Event::Code { code, command, local_only: false, this_machine: false }).await;
            std::future::pending().await
        });
        assert_eq!(result.await.unwrap_err().kind, ErrorKind::Disk);
    }
}
