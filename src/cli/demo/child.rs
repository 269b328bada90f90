//! One side of the demo: this executable as a child, its output shown as it comes.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use rejoin::environment;
use rejoin::error::{Error, ErrorKind};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cable::{CUT, MEND, VARIABLE};
use super::{CABLE_BYTES_PER_SECOND, failed};
use crate::cli::output::{PrinterHandle, escape};

/// How the sender tells what to type on the other machine.
const RECEIVE: &str = "    rejoin receive ";
/// How a side tells what it continues with: `Continuing session …: 8.0 MiB kept.`
const CONTINUING: &str = "Continuing session ";
/// How a side tells that its link is back: `Back after 0.4s; 8.0 MiB kept.`
const BACK: &str = "Back after ";

pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    /// Apart: waiting for the process would close it.
    orders: Option<ChildStdin>,
    code: watch::Receiver<Option<String>>,
    kept: watch::Receiver<Option<String>>,
    back: watch::Receiver<Option<String>>,
    readers: [JoinHandle<()>; 2],
}

impl Child {
    /// Starts `rejoin COMMAND ARGUMENTS` with its own state below `home`.
    pub(super) fn start(
        command: &'static str,
        home: &Path,
        arguments: &[&OsStr],
        printer: &PrinterHandle,
    ) -> Result<Self, Error> {
        let executable =
            std::env::current_exe().map_err(|error| failed("cannot find this program", &error))?;
        let mut process = Command::new(executable);
        for name in environment::names("REJOIN_") {
            process.env_remove(name);
        }
        let mut process = process
            .arg(command)
            .args(arguments)
            .env("REJOIN_STATE_DIR", home.join(format!("state-{command}")))
            .env("REJOIN_RUNTIME_DIR", home.join("rooms"))
            // No configuration of the user's; the platform's own place for it is below one of these.
            .env("XDG_CONFIG_HOME", home)
            .env("HOME", home)
            .env("APPDATA", home)
            .env(VARIABLE, CABLE_BYTES_PER_SECOND.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("cannot start a process", &error))?;
        let (found, code) = watch::channel(None);
        let (continued, kept) = watch::channel(None);
        let (returned, back) = watch::channel(None);
        let found = Found { code: found, kept: continued, back: returned };
        let readers = [
            read(process.stdout.take(), command, found.clone(), printer),
            read(process.stderr.take(), command, found, printer),
        ];
        let orders = process.stdin.take();
        Ok(Self { name: command, process, orders, code, kept, back, readers })
    }

    /// What the sender says to type after `rejoin receive`.
    pub(super) async fn code(&mut self) -> Result<String, Error> {
        let ended = || Error::new(ErrorKind::Failure, "the sender ended without a code");
        let code = self.code.wait_for(Option::is_some).await;
        code.ok().and_then(|code| code.clone()).ok_or_else(ended)
    }

    /// Kills it, as `kill -9` does.
    pub(super) async fn kill(&mut self) -> Result<(), Error> {
        let killed = self.process.kill().await;
        for reader in &mut self.readers {
            // A reader does nothing that fails.
            let _ = reader.await;
        }
        killed.map_err(|error| failed("cannot kill a process", &error))
    }

    /// Cuts its cable, or mends it.
    pub(super) async fn cut(&mut self, on: bool) -> Result<(), Error> {
        // What it said before is of an earlier cut.
        self.back.mark_unchanged();
        let gone = || Error::new(ErrorKind::Failure, "a process ended before it was cut");
        let orders = self.orders.as_mut().ok_or_else(gone)?;
        let order = if on { CUT } else { MEND };
        orders.write_all(&[order]).await.map_err(|error| failed("cannot cut a process", &error))
    }

    /// Waits until its link is back; what it says was kept.
    pub(super) async fn back(&mut self) -> Result<String, Error> {
        let ended = |_| Error::new(ErrorKind::Failure, "a process ended without its link back");
        self.back.changed().await.map_err(ended)?;
        Ok(self.back.borrow_and_update().clone().unwrap_or_default())
    }

    /// Waits until this side says what it kept of an earlier run.
    pub(super) async fn kept(&mut self) -> Result<String, Error> {
        let nothing = || Error::new(ErrorKind::Failure, "a process started over");
        let kept = self.kept.wait_for(Option::is_some).await;
        kept.ok().and_then(|kept| kept.clone()).filter(|kept| kept != "0 B").ok_or_else(nothing)
    }

    /// Waits for the end, which must be a good one, with everything shown.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        let status = self
            .process
            .wait()
            .await
            .map_err(|error| failed("cannot wait for a process", &error))?;
        for reader in &mut self.readers {
            // A reader does nothing that fails.
            let _ = reader.await;
        }
        if status.success() {
            return Ok(());
        }
        let message = format!("`rejoin {}` failed: {status}", self.name);
        Err(Error::new(ErrorKind::Failure, message))
    }
}

/// What is found in a child's lines.
#[derive(Clone)]
struct Found {
    code: watch::Sender<Option<String>>,
    kept: watch::Sender<Option<String>>,
    back: watch::Sender<Option<String>>,
}

/// Shows each line, and finds the code among them.
fn read(
    stream: Option<impl AsyncRead + Unpin + Send + 'static>,
    name: &'static str,
    found: Found,
    printer: &PrinterHandle,
) -> JoinHandle<()> {
    let printer = printer.clone();
    tokio::spawn(async move {
        let Some(stream) = stream else { return };
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(code) = line.strip_prefix(RECEIVE) {
                found.code.send_replace(Some(code.trim().to_owned()));
            }
            if let Some((_, kept)) =
                line.strip_prefix(CONTINUING).and_then(|rest| rest.split_once(": "))
            {
                found.kept.send_replace(Some(kept.trim_end_matches(" kept.").to_owned()));
            }
            if let Some((_, kept)) = line.strip_prefix(BACK).and_then(|rest| rest.split_once("; "))
            {
                found.back.send_replace(Some(kept.trim_end_matches(" kept.").to_owned()));
            }
            let line = escape::for_person(&line);
            printer.line(format!("  {name:<8}│ {line}")).await;
        }
    })
}
