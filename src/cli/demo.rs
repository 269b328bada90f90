//! `rejoin demo`: the main job on this machine in a few seconds, with real processes: both are killed half-way, started
//! again, and the result is checked.
//!
//! What runs is this executable, as a user would run it, with state of its own in a temporary directory. Every wait is
//! bounded: a hang becomes an error. Children end with the demo and the directory goes, however it ends.

mod child;
mod tree;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rejoin::error::{Error, ErrorKind};
use rejoin::event::Summary;
use tokio::time::Instant;

use super::args::VerbosityArgs;
use super::output::{Printer, PrinterHandle, Subject, escape, units};
use super::prompt::Consenting;
use super::run::Run;

use child::Child;

/// Until the sender shows its code.
const CODE_MAX: Duration = Duration::from_secs(15);
/// Until enough is there to be cut.
const CUT_MAX: Duration = Duration::from_secs(20);
/// Until both sides have ended; it takes about a second where all is well.
const TRANSFER_MAX: Duration = Duration::from_secs(30);
/// Between two looks at how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// A journal of this size knows of about a third of the tree; where exactly it is cut does not matter.
const CUT_JOURNAL_BYTES: u64 = 700;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    let run = Run {
        printer: Printer::new(&args.verbosity.to_options(), Subject::Demo),
        timeout: None,
        code_out: None,
        consent: Consenting::default(),
    };
    let printer = run.printer.handle();
    run.drive(|ui| async move {
        tokio::select! {
            shown = show(&printer) => shown.map(|()| Summary::default()),
            // Dropping `show` ends the children and removes the directory.
            _ = ui.stopped() => Err(Error::new(ErrorKind::Interrupted, "stopped")),
        }
    })
}

async fn show(printer: &PrinterHandle) -> Result<(), Error> {
    let start = Instant::now();
    let home = Home::new().map_err(|error| failed("cannot make a directory", &error))?;
    let source = home.path.join("photos");
    let target = home.path.join("received");
    let bytes = blocking({
        let (source, target) = (source.clone(), target.clone());
        move || {
            std::fs::create_dir(&target)?;
            tree::create(&source)
        }
    })
    .await?;
    printer.line(format!("Two processes, one tree of {}.\n", units::size(bytes))).await;

    let send = [source.as_os_str()];
    printer.line("$ rejoin send photos".to_owned()).await;
    let mut sender = Child::start("send", &home.path, &send, printer)?;
    let code = within(CODE_MAX, "the sender shows no code", sender.code()).await?;
    let shown = format!("$ rejoin receive {} -y", escape::for_person(&code));
    printer.line(shown.clone()).await;
    let receive = [OsStr::new("-y"), OsStr::new("--out"), target.as_os_str(), code.as_ref()];
    let mut receiver = Child::start("receive", &home.path, &receive, printer)?;
    let both = async {
        tokio::select! {
            ended = receiver.end() => ended.and(Err(Error::new(ErrorKind::Failure, "it ended before it was cut"))),
            cut = wait_for_part(&target) => cut,
        }
    };
    within(CUT_MAX, "the transfer does not get on", both).await?;
    sender.kill().await?;
    receiver.kill().await?;

    printer.line("\nBoth were killed half-way. The same commands continue:\n".to_owned()).await;
    printer.line("$ rejoin send photos".to_owned()).await;
    let mut sender = Child::start("send", &home.path, &send, printer)?;
    printer.line(shown).await;
    let mut receiver = Child::start("receive", &home.path, &receive, printer)?;
    let both = async { tokio::try_join!(sender.end(), receiver.end()) };
    within(TRANSFER_MAX, "the transfer does not end", both).await?;

    let entries = blocking(move || tree::compare(&source, &target.join("photos"))).await?;
    printer
        .line(format!(
            "\nVerified: {entries} entries, {}, the same on both sides, byte for byte, in {}. {} of it were kept.",
            units::size(bytes),
            units::elapsed(start.elapsed()),
            escape::for_person(&receiver.kept()?)
        ))
        .await;
    Ok(())
}

/// Waits until the receiver has some of the tree, by the size of its journal.
async fn wait_for_part(target: &Path) -> Result<(), Error> {
    loop {
        let target = target.to_owned();
        if blocking(move || Ok(journal_bytes(&target))).await? >= CUT_JOURNAL_BYTES {
            return Ok(());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Zero where there is none yet.
fn journal_bytes(target: &Path) -> u64 {
    let sessions = std::fs::read_dir(target.join(".rejoin")).into_iter().flatten().flatten();
    let journals = sessions.map(|session| session.path().join("journal").metadata());
    journals.flatten().map(|metadata| metadata.len()).max().unwrap_or(0)
}

/// The result of `work`, or an error that says what took too long.
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = |_| {
        let limit = units::elapsed(limit);
        Err(Error::new(ErrorKind::Failure, format!("{what} within {limit}")))
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(late)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let result = tokio::task::spawn_blocking(work).await;
    result
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(|error| failed("the demo's tree", &error))
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Failure, format!("{what}: {error}"))
}

/// A directory of our own that goes when the demo ends.
struct Home {
    path: PathBuf,
}

impl Home {
    fn new() -> std::io::Result<Self> {
        let name = format!("rejoin-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A child that was killed a moment ago may still make a file; then one more time.
        let _ = remove(&self.path).or_else(|_| remove(&self.path));
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(path)
}
