//! `rejoin demo`: the main job on this machine in a few seconds, with real processes: their link is cut, each of them is
//! killed and started again, and the result is checked.
//!
//! What runs is this executable, as a user would run it, with state of its own in a temporary directory. Every wait is
//! bounded: a hang becomes an error. Children end with the demo and the directory goes, however it ends.

mod cable;
mod child;
mod tree;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rejoin::environment;
use rejoin::error::{Error, ErrorKind};
use rejoin::event::Summary;
use rejoin::visible::cause;
use tokio::time::Instant;

use super::Setting;
use super::args::VerbosityArgs;
use super::output::{Printer, PrinterHandle, Subject, escape, units};
use super::prompt::Consenting;
use super::run::Run;

pub(super) use cable::follow;

use child::Child;

/// Until the sender shows its code.
const CODE_MAX: Duration = Duration::from_secs(15);
/// Until enough is there to be cut.
const CUT_MAX: Duration = Duration::from_secs(20);
/// Until both sides have ended; it takes about a second where all is well.
const TRANSFER_MAX: Duration = Duration::from_secs(30);
/// Between two looks at how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Until a side is back.
const BACK_MAX: Duration = Duration::from_secs(20);
/// How long the cable is cut: until both sides have noticed.
const CUT: Duration = Duration::from_millis(1500);
/// As thin as it takes to do all that while a small tree moves.
const CABLE_BYTES_PER_SECOND: u64 = 8 << 20;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

pub(crate) fn run(args: &DemoArgs, setting: &Setting) -> ExitCode {
    let run = Run {
        printer: Printer::new(&args.verbosity.to_options(), Subject::Demo),
        timeout: None,
        code_out: None,
        consent: Consenting::default(),
    };
    setting.warnings.iter().for_each(|warning| run.printer.warn(warning));
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
    let mut show = Show::new(printer.clone()).await?;
    let kept = show.cut_link().await?;
    let first = format!("the link was cut for {}: {kept} kept", units::elapsed(CUT));
    let kept = show.kill_receiver().await?;
    let second = format!("the receiver was killed: {kept} kept");
    let kept = show.kill_sender().await?;
    let third = format!("the sender was killed: {kept} kept");
    let entries = show.end().await?;
    let bytes = units::size(show.bytes);
    let elapsed = units::elapsed(start.elapsed());
    printer
        .line(format!(
            "\nVerified: {entries} entries, {bytes}, the same on both sides, byte for byte, in {elapsed}.\n\
             What was kept of it each time:\n  {}",
            [first, second, third].map(|line| escape::for_person(&line).into_owned()).join("\n  ")
        ))
        .await;
    Ok(())
}

/// The two processes and what they have to do.
struct Show {
    printer: PrinterHandle,
    home: Home,
    source: PathBuf,
    target: PathBuf,
    bytes: u64,
    code: String,
    sender: Child,
    receiver: Child,
}

impl Show {
    /// Starts both.
    async fn new(printer: PrinterHandle) -> Result<Self, Error> {
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
        let size = units::size(bytes);
        let rate = units::size(CABLE_BYTES_PER_SECOND);
        printer.line(format!("Two processes, one tree of {size}, a cable of {rate}/s.\n")).await;
        let mut sender = start_sender(&printer, &home, &source).await?;
        let code = within(CODE_MAX, "the sender shows no code", sender.code()).await?;
        let receiver = start_receiver(&printer, &home, &target, &code).await?;
        Ok(Self { printer, home, source, target, bytes, code, sender, receiver })
    }

    /// Cuts the cable of both and mends it; what was kept.
    async fn cut_link(&mut self) -> Result<String, Error> {
        self.get_to(1).await?;
        self.say("The cable is cut.").await;
        self.sender.cut(true).await?;
        self.receiver.cut(true).await?;
        tokio::time::sleep(CUT).await;
        self.say("The cable is mended. Nobody has to do anything:").await;
        self.sender.cut(false).await?;
        self.receiver.cut(false).await?;
        within(BACK_MAX, "the link does not come back", self.receiver.back()).await
    }

    async fn kill_receiver(&mut self) -> Result<String, Error> {
        self.get_to(2).await?;
        self.receiver.kill().await?;
        self.say("The receiver was killed (-9). The same command continues:").await;
        self.receiver = start_receiver(&self.printer, &self.home, &self.target, &self.code).await?;
        within(BACK_MAX, "the receiver does not continue", self.receiver.kept()).await
    }

    async fn kill_sender(&mut self) -> Result<String, Error> {
        self.get_to(3).await?;
        self.sender.kill().await?;
        self.say("The sender was killed (-9). The same command continues:").await;
        self.sender = start_sender(&self.printer, &self.home, &self.source).await?;
        within(BACK_MAX, "the link does not come back", self.receiver.back()).await
    }

    /// Waits for the end of both; how many entries are the same on both sides.
    async fn end(&mut self) -> Result<u64, Error> {
        let both = async { tokio::try_join!(self.sender.end(), self.receiver.end()) };
        within(TRANSFER_MAX, "the transfer does not end", both).await?;
        let (source, received) = (self.source.clone(), self.target.join("photos"));
        blocking(move || tree::compare(&source, &received)).await
    }

    /// Waits until so many quarters of the tree are there.
    async fn get_to(&mut self, quarter: u64) -> Result<(), Error> {
        let wanted = self.bytes / 4 * quarter;
        let early = || Err(Error::new(ErrorKind::Failure, "it ended before it was cut"));
        let both = async {
            tokio::select! {
                ended = self.receiver.end() => ended.and_then(|()| early()),
                there = wait_for_part(&self.target, wanted) => there,
            }
        };
        within(CUT_MAX, "the transfer does not get on", both).await
    }

    async fn say(&self, text: &str) {
        self.printer.line(format!("\n{text}\n")).await;
    }
}

async fn start_sender(printer: &PrinterHandle, home: &Home, source: &Path) -> Result<Child, Error> {
    printer.line("$ rejoin send photos".to_owned()).await;
    Child::start("send", &home.path, &[source.as_os_str()], printer)
}

async fn start_receiver(
    printer: &PrinterHandle,
    home: &Home,
    target: &Path,
    code: &str,
) -> Result<Child, Error> {
    printer.line(format!("$ rejoin receive {} -y", escape::for_person(code))).await;
    let arguments = [OsStr::new("-y"), OsStr::new("--out"), target.as_os_str(), code.as_ref()];
    Child::start("receive", &home.path, &arguments, printer)
}

/// Waits until the receiver has written so many bytes.
async fn wait_for_part(target: &Path, bytes: u64) -> Result<(), Error> {
    loop {
        let target = target.to_owned();
        if blocking(move || Ok(written_bytes(&target))).await? >= bytes {
            return Ok(());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// What its files take on the disk.
fn written_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => written_bytes(&entry.path()),
        Ok(metadata) => allocated_bytes(&metadata),
        Err(_) => 0,
    });
    sizes.sum()
}

/// A partial file has its final size from the beginning, and holes where nothing is yet.
#[cfg(unix)]
fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
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
        let path = environment::temporary_directory().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| {
            let shown = escape::os_for_person(path.as_os_str());
            io::Error::other(format!("{shown}: {} (TMPDIR names another place)", cause(&error)))
        })?;
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
