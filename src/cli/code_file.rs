//! Codes in files: read for `--code-file`, written for `--code-out`.
//!
//! Neither may hold up what can be interrupted: a pipe has to wait for its other end, a disk may stand still. Both work
//! on threads of their own.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rejoin::error::{Error, ErrorKind};
use tokio::sync::oneshot;

use super::cause;
use super::output::{Printer, escape};

/// A code is a room, some words and a host: a file that is larger is another file.
const CODE_BYTES_MAX: u64 = 1024;
/// How long a code may take to come before a person is told what is waited for.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// As long as any code: whether there is room for one is asked of the disk by writing it.
const BLANK: [u8; 256] = [b' '; 256];

/// The one line of `file`, or of standard input where it is `-`; `timeout` is that of the run.
pub(crate) fn read(
    file: &Path,
    timeout: Option<Duration>,
    printer: &Printer,
) -> Result<String, Error> {
    let (done, read) = mpsc::sync_channel(1);
    let path = file.to_owned();
    let thread = std::thread::Builder::new().name("code-file".to_owned()).spawn(move || {
        // Whoever asked may have lost patience.
        let _ = done.send(read_now(&path));
    });
    thread.map_err(|error| failed("read the code from", file, &cause(&error)))?;
    let patience = timeout.unwrap_or(Duration::MAX);
    if let Ok(outcome) = read.recv_timeout(SILENCE_MAX.min(patience)) {
        return outcome;
    }
    printer.say(&format!("Waiting for a code from {}.", name(file)));
    match read.recv_timeout(patience.saturating_sub(SILENCE_MAX)) {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("no code came from {} in the time of --timeout", name(file)),
        )),
    }
}

fn read_now(file: &Path) -> Result<String, Error> {
    let bytes = if file == Path::new("-") {
        read_bounded(io::stdin().lock())
    } else {
        File::open(file).and_then(read_bounded)
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

/// Where a code is to be written: a place that took one a moment ago.
#[derive(Debug)]
pub(crate) struct CodeOut {
    place: Place,
    /// As it was typed.
    name: PathBuf,
}

#[derive(Clone, Debug)]
enum Place {
    /// A file that is replaced, whole or not at all.
    File(PathBuf),
    /// A file that is all we may write in its directory.
    Only(PathBuf),
    /// A device or what is open already: it is written to as it is.
    Stream(PathBuf),
    /// A pipe: its reader may come later, or never.
    Pipe(PathBuf),
}

/// A code on its way.
#[derive(Debug)]
pub(crate) struct Writing {
    done: oneshot::Receiver<Result<(), Error>>,
}

impl CodeOut {
    /// Finds out that a code can be written to `file`, before there is one. Leaves nothing there.
    ///
    /// # Errors
    /// It cannot: [`ErrorKind::Disk`].
    pub(crate) fn prepare(file: &Path) -> Result<Self, Error> {
        let refused = |what: &str| Err(failed("write the code to", file, what));
        let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let is_open_file = ["/dev", "/proc"].iter().any(|below| file.starts_with(below));
        if file.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return refused("that is the name of a directory");
        }
        let place = match std::fs::metadata(file) {
            Ok(metadata) if metadata.is_dir() => return refused("it is a directory"),
            Ok(metadata) if is_socket(&metadata) => return refused("it is a socket"),
            Ok(metadata) if is_pipe(&metadata) => Place::Pipe(file.to_owned()),
            // `/dev/stdout` may be a file, too; it is not to be replaced.
            Ok(metadata) if !metadata.is_file() || is_open_file => Place::Stream(file.to_owned()),
            // What a link leads to is replaced, not the link.
            Ok(_) => Place::File(file.canonicalize().unwrap_or_else(|_| file.to_owned())),
            Err(error) if absent(&error) => Place::File(file.to_owned()),
            Err(error) => return refused(&cause(&error)),
        };
        let place = match place {
            Place::File(path) => match try_beside(&path) {
                Ok(()) => Place::File(path),
                Err(_) if OpenOptions::new().write(true).open(&path).is_ok() => Place::Only(path),
                Err(error) if absent(&error) => return refused("its directory is not there"),
                Err(error) => return refused(&cause(&error)),
            },
            place @ (Place::Only(_) | Place::Stream(_) | Place::Pipe(_)) => place,
        };
        Ok(Self { place, name: file.to_owned() })
    }

    /// Whether it is written at once, unless a disk stands still.
    pub(crate) const fn is_prompt(&self) -> bool {
        !matches!(self.place, Place::Pipe(_))
    }

    /// Puts `code` there, readable by its owner only from the first byte.
    pub(crate) fn write(&self, code: &str) -> Writing {
        let (done, written) = oneshot::channel();
        let (place, name, line) = (self.place.clone(), self.name.clone(), format!("{code}\n"));
        let write = move || {
            let written = match place {
                Place::File(path) => replace(&path, line.as_bytes()),
                Place::Only(path) => fill(&path, line.as_bytes()),
                Place::Stream(path) | Place::Pipe(path) => OpenOptions::new()
                    .append(true)
                    .open(path)
                    .and_then(|mut opened| opened.write_all(line.as_bytes())),
            };
            // A run that has ended does not ask.
            let _ = done
                .send(written.map_err(|error| failed("write the code to", &name, &cause(&error))));
        };
        // Without a thread `written` says that it is not done.
        let _ = std::thread::Builder::new().name("code-out".to_owned()).spawn(write);
        Writing { done: written }
    }
}

impl Writing {
    /// Waits for its end. Cancel safe.
    pub(crate) async fn outcome(&mut self) -> Result<(), Error> {
        let lost = || {
            Error::new(ErrorKind::Failure, "the code cannot be written: no thread can be started")
        };
        (&mut self.done).await.unwrap_or_else(|_| Err(lost()))
    }
}

fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(CODE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name beside the file that is nobody's, however long the file's own is.
fn fresh_beside(file: &Path) -> PathBuf {
    file.with_file_name(format!(".rejoin-code-{}", std::process::id()))
}

fn create(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Writes as much as any code has, and takes it away again.
fn try_beside(file: &Path) -> io::Result<()> {
    let fresh = fresh_beside(file);
    let tried = create(&fresh).and_then(|mut opened| opened.write_all(&BLANK));
    // Where it could not be made there is nothing to remove.
    let removed = std::fs::remove_file(&fresh);
    tried.and(removed)
}

fn replace(file: &Path, line: &[u8]) -> io::Result<()> {
    let fresh = fresh_beside(file);
    let written = create(&fresh)
        .and_then(|mut opened| opened.write_all(line))
        .and_then(|()| std::fs::rename(&fresh, file));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&fresh);
    }
    match written {
        // A file that is mounted there, as containers have it.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => fill(file, line),
        written => written,
    }
}

/// Writes into the file that is there, closed to others before it holds the code.
fn fill(file: &Path, line: &[u8]) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).truncate(true).open(file)?;
    #[cfg(unix)]
    // Where it is not our file its owner decides who reads it.
    let _ = opened.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
    opened.write_all(line)
}

#[cfg(unix)]
fn is_socket(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type())
}

#[cfg(unix)]
fn is_pipe(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_socket(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn is_pipe(_: &std::fs::Metadata) -> bool {
    false
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

    #[tokio::test]
    async fn a_code_survives_its_file_and_replaces_an_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("code");
        std::fs::write(&file, "older").unwrap();
        let out = CodeOut::prepare(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "older");
        out.write("7-crane-velvet-orbit").outcome().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "7-crane-velvet-orbit\n");
        assert_eq!(read_now(&file).unwrap(), "7-crane-velvet-orbit");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

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

    /// B-W: what cannot be written is found before there is a code, and nothing is left there.
    #[cfg(unix)]
    #[test]
    fn a_place_that_takes_no_code_is_found_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let _socket = std::os::unix::net::UnixListener::bind(place.join("socket")).unwrap();
        std::fs::write(place.join("file"), "").unwrap();
        for (name, said) in [
            (".", "directory"),
            ("", "directory"),
            ("none/code", "is not there"),
            ("new/", "directory"),
            ("file/code", "not a directory"),
            ("socket", "socket"),
        ] {
            let error = CodeOut::prepare(&place.join(name)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Disk);
            assert!(error.message.contains(said), "{name}: {error}");
        }
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 2);
    }

    /// B-W: what is open already, or a link, is written to and not replaced.
    #[cfg(unix)]
    #[tokio::test]
    async fn links_stay_and_long_names_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x".repeat(255));
        let link = directory.path().join("link");
        CodeOut::prepare(&file).unwrap().write("7-a-b-c").outcome().await.unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        CodeOut::prepare(&link).unwrap().write("8-a-b-c").outcome().await.unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "8-a-b-c\n");
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(!CodeOut::prepare(&pipe).unwrap().is_prompt());
        let full = CodeOut::prepare(Path::new("/dev/full")).unwrap();
        let error = full.write("7-a-b-c").outcome().await.unwrap_err();
        assert!(error.message.contains("no space"), "{error}");
    }
}
