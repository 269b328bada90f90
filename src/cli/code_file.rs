//! Codes in files: read for `--code-file`, typed at the terminal, written for `--code-out` (`out`).
//!
//! Neither may hold up what can be interrupted: a pipe has to wait for its other end, a disk may stand still. Both work
//! on threads of their own.
//!
//! **Whose a place is, is asked of the open handle**, and never of its name: between two looks at a name others may put
//! something else there.

mod out;

pub(crate) use out::{CodeOut, Writing};

use std::fs::File;
use std::io::{self, BufRead as _, Read};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rejoin::error::{Error, ErrorKind};
use rejoin::visible::cause;

use super::output::{self, escape};

/// A code is a room, some words and a host: a file that is larger is another file.
pub(super) const CODE_BYTES_MAX: u64 = 1024;
/// How long a code may take to come before a person is told what is waited for.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The one line of `file`, or of standard input where it is `-`; `timeout` is that of the run.
pub(crate) fn read(file: &Path, timeout: Option<Duration>) -> Result<String, Error> {
    let path = file.to_owned();
    let read = on_thread(move || read_now(&path))
        .map_err(|error| failed("read the code from", file, &cause(&error)))?;
    let patience = timeout.unwrap_or(Duration::MAX);
    if let Ok(outcome) = read.recv_timeout(SILENCE_MAX.min(patience)) {
        return outcome;
    }
    output::say_early(&format!("Waiting for a code from {}.", name(file)));
    match read.recv_timeout(patience.saturating_sub(SILENCE_MAX)) {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("no code came from {} in the time of --timeout", name(file)),
        )),
    }
}

/// Asks the person at the terminal for a code; none: nobody typed one.
pub(crate) fn ask(timeout: Option<Duration>) -> Result<Option<String>, Error> {
    output::prompt_early("Code: ");
    let line = on_thread(|| {
        let mut line = String::new();
        let read = io::stdin().lock().take(CODE_BYTES_MAX).read_line(&mut line);
        read.ok().map(|_| line.trim().to_owned()).filter(|line| !line.is_empty())
    });
    let line =
        line.map_err(|error| failed("read the code from", Path::new("-"), &cause(&error)))?;
    line.recv_timeout(timeout.unwrap_or(Duration::MAX))
        .map_err(|_| Error::new(ErrorKind::Timeout, "no code was typed in the time of --timeout"))
}

/// Does `work` on a thread, which may hang: what it gives comes by the channel.
fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<mpsc::Receiver<T>> {
    let (done, outcome) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("code-file".to_owned()).spawn(move || {
        // Whoever asked may have lost patience.
        let _ = done.send(work());
    })?;
    Ok(outcome)
}

fn read_now(file: &Path) -> Result<String, Error> {
    let bytes = if file == Path::new("-") {
        read_bounded(io::stdin().lock())
    } else {
        open(file).and_then(read_bounded)
    };
    let bytes = bytes.map_err(|error| failed("read the code from", file, &cause(&error)))?;
    let wrong = |what: &str| {
        let message = format!("there is no code in {}: {what}", name(file));
        let hint = "one line with the code is expected";
        Err(Error::new(ErrorKind::Usage, message).with_hint(hint))
    };
    if bytes.len() as u64 > CODE_BYTES_MAX {
        return wrong("it is too long");
    }
    let Ok(text) = String::from_utf8(bytes) else {
        return wrong("it is no UTF-8 text");
    };
    // As some editors begin a text.
    let code = text.trim_start_matches('\u{feff}').trim();
    match code.lines().count() {
        0 => wrong("it is empty"),
        1 => Ok(code.to_owned()),
        _ => wrong("it has several lines"),
    }
}

/// Opens a file that holds a code; never one that becomes our terminal.
fn open(file: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NOCTTY.bits().cast_signed(),
    );
    let opened = options.open(file)?;
    #[cfg(unix)]
    if !is_inherited(file)
        && let Some(who) = strangers(&opened.metadata()?)
    {
        output::warn_early(&[format!("{} can write {}, and so choose the code", who, name(file))]);
    }
    Ok(opened)
}

/// Whether it is what was open before this program ran: whoever started it answers for that.
fn is_inherited(file: &Path) -> bool {
    const NAMES: [&str; 5] =
        ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"];
    NAMES.iter().any(|below| file.starts_with(below))
}

/// Who but this user and root can put something else into an open file: whoever chooses a code knows it.
#[cfg(unix)]
pub(super) fn strangers(metadata: &std::fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    const OTHERS: u32 = 0o002;
    // A terminal is whoever sits there.
    let kind = metadata.file_type();
    let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    match () {
        () if !kind.is_file() && !kind.is_fifo() => None,
        () if !is_ours => Some("another user"),
        () if metadata.mode() & OTHERS != 0 => Some("every user"),
        () => None,
    }
}

fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(CODE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn name(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        escape::os_for_person(file.as_os_str())
    }
}

fn failed(what: &str, file: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Disk, format!("cannot {what} {}: {why}", name(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_code_is_refused_and_what_editors_add_is_not_minded() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("code");
        for (content, said) in [
            (&b""[..], "empty"),
            (b" \n\n", "empty"),
            (b"a\nb\n", "several lines"),
            (b"\xff\xfea\0", "UTF-8"),
            (&[b'x'; 2000], "too long"),
        ] {
            std::fs::write(&file, content).unwrap();
            let error = read_now(&file).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage);
            assert!(error.message.contains(said), "{error}");
        }
        for content in ["\u{feff}7-a-b-c\r\n", "\n\n  7-a-b-c\n\n", "7-a-b-c"] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(read_now(&file).unwrap(), "7-a-b-c");
        }
        assert_eq!(read_now(&directory.path().join("none")).unwrap_err().kind, ErrorKind::Disk);
        assert_eq!(read_now(directory.path()).unwrap_err().kind, ErrorKind::Disk);
    }

    /// S-10: whoever can write the file chooses the code, and knows it.
    #[cfg(unix)]
    #[test]
    fn a_code_that_others_can_choose_is_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("code");
        std::fs::write(&file, "7-a-b-c").unwrap();
        for (mode, expected) in [(0o600, None), (0o644, None), (0o666, Some("every user"))] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(strangers(&std::fs::metadata(&file).unwrap()), expected, "{mode:o}");
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
            let told = strangers(&std::fs::metadata(&file).unwrap());
            assert_eq!(told, Some("another user"));
        }
    }
}
