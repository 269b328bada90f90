//! Where a code is written (S-10): to a file that is made for it, or into what is this user's own.
//!
//! A file is replaced by a fresh one, whole, readable by its owner only from the first byte. What cannot be replaced is
//! written to after a look at the open handle: a pipe, a terminal or the one file of a directory has to be this user's own,
//! no link leads there, and others are shut out first. What was open before this program ran is whoever started it's to answer for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rejoin::confinement::{self, Access, Row};
use rejoin::error::{Error, ErrorKind};
use tokio::sync::oneshot;

use rejoin::visible::cause;

use super::{failed, is_inherited};

/// As long as any code: whether there is room for one is asked of the disk by writing it.
const BLANK: [u8; 256] = [b' '; 256];

/// Where a code is to be written: a place that took one a moment ago.
#[derive(Debug)]
pub(crate) struct CodeOut {
    /// To the thread that writes; none where it could not be started.
    orders: Option<Arc<Orders>>,
    is_prompt: bool,
}

/// The newest code that is to be written: a pipe's reader may come after the code before it was burnt.
#[derive(Debug, Default)]
struct Orders {
    newest: Mutex<Newest>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Newest {
    order: Option<Order>,
    is_over: bool,
}

#[derive(Debug)]
struct Order {
    code: String,
    done: Done,
}

/// Where it is said whether a code was written.
type Done = oneshot::Sender<Result<(), Error>>;

#[derive(Debug)]
enum Place {
    /// A file that is replaced, whole or not at all.
    File(PathBuf),
    /// A file that is all we may write in its directory.
    Only(PathBuf),
    /// What is open already, by whatever name.
    Inherited(PathBuf),
    /// A terminal, or a device that keeps nothing.
    Device(PathBuf),
    /// A pipe: its reader may come later, or never.
    Pipe(PathBuf),
}

/// A code on its way.
#[derive(Debug)]
pub(crate) struct Writing {
    done: oneshot::Receiver<Result<(), Error>>,
}

impl CodeOut {
    /// Finds out that a code can be written to `file`, before there is one. Leaves nothing there. The thread that writes is
    /// started here, and is confined to the place where the others are not: before they are confined to theirs.
    ///
    /// # Errors
    /// It cannot: [`ErrorKind::Disk`].
    pub(crate) fn prepare(file: &Path, is_confined: bool) -> Result<Self, Error> {
        let place = find(file).map_err(|why| failed("write the code to", file, &why))?;
        let is_prompt = !matches!(place, Place::Pipe(_));
        let orders = Arc::new(Orders::default());
        let taken = Arc::clone(&orders);
        let name = file.to_owned();
        let serve = move || {
            if is_confined {
                // Where it cannot be, nothing is: the run says so.
                let _ = confinement::confine(&[place.row()]);
            }
            while taken.wait() {
                let Some((done, written)) = place.write_newest(&taken) else { continue };
                let written = written.map_err(|why| failed("write the code to", &name, &why));
                // A run that has ended does not ask.
                let _ = done.send(written);
            }
        };
        let thread = std::thread::Builder::new().name("code-out".to_owned()).spawn(serve);
        Ok(Self { orders: thread.ok().map(|_| orders), is_prompt })
    }

    /// Whether it is written at once, unless a disk stands still.
    pub(crate) const fn is_prompt(&self) -> bool {
        self.is_prompt
    }

    /// Puts `code` there.
    pub(crate) fn write(&self, code: &str) -> Writing {
        let (done, written) = oneshot::channel();
        // Without a thread, or where a newer code takes its place, `written` says that it is not done.
        if let Some(orders) = &self.orders {
            orders.newest().order = Some(Order { code: code.to_owned(), done });
            orders.changed.notify_all();
        }
        Writing { done: written }
    }
}

impl Drop for CodeOut {
    fn drop(&mut self) {
        if let Some(orders) = &self.orders {
            orders.newest().is_over = true;
            orders.changed.notify_all();
        }
    }
}

impl Orders {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a code; `false` once there will be none.
    fn wait(&self) -> bool {
        let is_idle = |newest: &mut Newest| newest.order.is_none() && !newest.is_over;
        let newest = self.changed.wait_while(self.newest(), is_idle);
        newest.unwrap_or_else(PoisonError::into_inner).order.is_some()
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

/// What `file` is, or why no code is written there.
fn find(file: &Path) -> Result<Place, String> {
    let refused = |what: &str| Err(what.to_owned());
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    if file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return refused("that is the name of a directory");
    }
    if is_inherited(file) && file.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
        return Ok(Place::Inherited(file.to_owned()));
    }
    let path = match std::fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_dir() => return refused("it is a directory"),
        Ok(metadata) if metadata.is_symlink() => {
            return refused(
                "it is a symlink, which others may lead elsewhere; name what it leads to",
            );
        }
        Ok(metadata) if metadata.is_file() => file.to_owned(),
        #[cfg(unix)]
        Ok(metadata) => return special(file, &metadata),
        #[cfg(not(unix))]
        Ok(_) => return refused("it is no file"),
        Err(error) if absent(&error) => file.to_owned(),
        Err(error) => return refused(&cause(&error)),
    };
    match try_beside(&path) {
        Ok(()) => Ok(Place::File(path)),
        Err(beside) => match own_file(&path) {
            Ok(_) => Ok(Place::Only(path)),
            // It is not there: what kept a new one from being made is the cause.
            Err(Refusal::System(error)) if absent(&error) && absent(&beside) => {
                refused("its directory is not there")
            }
            Err(Refusal::System(_)) => refused(&cause(&beside)),
            Err(Refusal::Foreign(why)) => refused(why),
        },
    }
}

/// A pipe or a device; the handle is looked at, and again when it is written to.
#[cfg(unix)]
fn special(file: &Path, metadata: &std::fs::Metadata) -> Result<Place, String> {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = metadata.file_type();
    if kind.is_socket() {
        return Err("it is a socket".to_owned());
    }
    if kind.is_fifo() {
        // Opened for reading, which waits for nobody: others are shut out before one of them waits for a writer.
        if let Ok(pipe) = open(file, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK) {
            shut_out_others(&pipe, Kind::Pipe).map_err(Refusal::text)?;
        } else {
            check(metadata, Kind::Pipe).map_err(str::to_owned)?;
        }
        return Ok(Place::Pipe(file.to_owned()));
    }
    own_device(file).map_err(Refusal::text)?;
    Ok(Place::Device(file.to_owned()))
}

impl Place {
    /// All that whoever writes there may reach.
    fn row(&self) -> Row {
        let (path, access) = match self {
            Self::File(path) => {
                let above = path.parent().filter(|above| !above.as_os_str().is_empty());
                (above.unwrap_or(Path::new(".")), Access::Own)
            }
            Self::Only(path) => (&**path, Access::Own),
            Self::Inherited(path) | Self::Device(path) | Self::Pipe(path) => {
                (&**path, Access::Device)
            }
        };
        Row { path: path.to_owned(), access, is_needed: true }
    }

    /// Writes the newest code, as it is once the place can be written to: the reader of a pipe may come later, and wants the
    /// code that is good then. None where it was taken meanwhile.
    fn write_newest(&self, orders: &Orders) -> Option<(Done, Result<(), String>)> {
        let opened = self.open();
        let Order { code, done } = orders.newest().order.take()?;
        let line = format!("{code}\n");
        let written = opened.and_then(|opened| match opened {
            Opened::At(mut handle) => Ok(handle.write_all(line.as_bytes())?),
            Opened::Only(path) => fill(path, line.as_bytes()),
            Opened::Whole(path) => replace(path, line.as_bytes()),
        });
        Some((done, written.map_err(Refusal::text)))
    }

    /// Waits for the reader of a pipe.
    fn open(&self) -> Result<Opened<'_>, Refusal> {
        Ok(match self {
            Self::File(path) => Opened::Whole(path),
            Self::Only(path) => Opened::Only(path),
            Self::Inherited(path) => Opened::At(OpenOptions::new().append(true).open(path)?),
            #[cfg(unix)]
            Self::Device(path) => Opened::At(own_device(path)?),
            #[cfg(unix)]
            Self::Pipe(path) => Opened::At(open_pipe(path)?),
            #[cfg(not(unix))]
            Self::Device(_) | Self::Pipe(_) => return Err(Refusal::Foreign("it is no file")),
        })
    }
}

/// How a line gets there.
enum Opened<'place> {
    /// It is open.
    At(File),
    /// This file takes another content.
    Only(&'place Path),
    /// A new file takes its place.
    Whole(&'place Path),
}

/// Why nothing is written.
enum Refusal {
    System(io::Error),
    Foreign(&'static str),
}

impl Refusal {
    fn text(self) -> String {
        match self {
            Self::System(error) => cause(&error),
            Self::Foreign(why) => why.to_owned(),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// What is expected where something is opened.
#[derive(Clone, Copy)]
enum Kind {
    File,
    Pipe,
}

/// A name beside the file that nobody else knows, however long the file's own is.
fn fresh_beside(file: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(file.with_file_name(format!(".rejoin-code-{:016x}", u64::from_be_bytes(random))))
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
    let fresh = fresh_beside(file)?;
    let tried = create(&fresh).and_then(|mut opened| opened.write_all(&BLANK));
    // Where it could not be made there is nothing to remove.
    let removed = std::fs::remove_file(&fresh);
    tried.and(removed)
}

fn replace(file: &Path, line: &[u8]) -> Result<(), Refusal> {
    let fresh = fresh_beside(file)?;
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
        written => Ok(written?),
    }
}

/// Writes into the file that is there, closed to others before it holds the code.
fn fill(file: &Path, line: &[u8]) -> Result<(), Refusal> {
    let mut opened = own_file(file)?;
    opened.set_len(0)?;
    Ok(opened.write_all(line)?)
}

/// Opens what is there without ever waiting for anybody, unless `flags` do, and without following a link.
#[cfg(unix)]
fn open(file: &Path, flags: rustix::fs::OFlags) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let always = OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(open(file, flags | always, Mode::empty())?.into())
}

#[cfg(unix)]
fn own_file(file: &Path) -> Result<File, Refusal> {
    use rustix::fs::OFlags;
    let opened = open(file, OFlags::WRONLY | OFlags::NONBLOCK)?;
    shut_out_others(&opened, Kind::File)?;
    Ok(opened)
}

#[cfg(not(unix))]
fn own_file(file: &Path) -> Result<File, Refusal> {
    Ok(OpenOptions::new().write(true).open(file)?)
}

/// Opens a pipe, once it has a reader.
#[cfg(unix)]
fn open_pipe(pipe: &Path) -> Result<File, Refusal> {
    let opened = open(pipe, rustix::fs::OFlags::WRONLY)?;
    shut_out_others(&opened, Kind::Pipe)?;
    Ok(opened)
}

/// Checks that what is open is this user's own, and closes it to others.
#[cfg(unix)]
fn shut_out_others(opened: &File, kind: Kind) -> Result<(), Refusal> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    const OTHERS: u32 = 0o077;
    let metadata = opened.metadata()?;
    check(&metadata, kind).map_err(Refusal::Foreign)?;
    if metadata.mode() & OTHERS != 0 {
        let own = std::fs::Permissions::from_mode(metadata.mode() & 0o700);
        // A disk without modes closes nothing to anybody; that is said elsewhere.
        let _ = opened.set_permissions(own);
    }
    Ok(())
}

/// Whether a handle is this user's own, and what was expected.
#[cfg(unix)]
fn check(metadata: &std::fs::Metadata, kind: Kind) -> Result<(), &'static str> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let is_as_expected = match kind {
        Kind::File => metadata.is_file(),
        Kind::Pipe => metadata.file_type().is_fifo(),
    };
    if !is_as_expected {
        return Err("it is something else now");
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to another user");
    }
    // A second name may be one that others chose.
    if metadata.is_file() && metadata.nlink() > 1 {
        return Err("the file has another name, too; name one that is not there yet");
    }
    Ok(())
}

/// A terminal of this user's own, or a device that keeps nothing.
#[cfg(unix)]
fn own_device(file: &Path) -> Result<File, Refusal> {
    use rustix::fs::OFlags;
    use std::io::IsTerminal as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    // Ours by what it is: it leads to whatever this process has.
    const CONTROLLING: &str = "/dev/tty";
    /// Numbers of `null`, `zero` and `full` among the devices of memory.
    const EMPTY: [u32; 3] = [3, 5, 7];
    let opened = open(file, OFlags::WRONLY | OFlags::NONBLOCK)?;
    let metadata = opened.metadata()?;
    if !metadata.file_type().is_char_device() {
        return Err(Refusal::Foreign("it is a device"));
    }
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    let is_terminal = opened.is_terminal() && (is_own || file == Path::new(CONTROLLING));
    let number = metadata.rdev();
    let is_empty = rustix::fs::major(number) == 1 && EMPTY.contains(&rustix::fs::minor(number));
    if !is_terminal && !is_empty {
        return Err(Refusal::Foreign("it is a device, or a terminal of another user"));
    }
    // A terminal that is stopped is waited for.
    rustix::fs::fcntl_setfl(&opened, OFlags::empty()).map_err(io::Error::from)?;
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_code_survives_its_file_and_replaces_an_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("code");
        std::fs::write(&file, "older").unwrap();
        let out = CodeOut::prepare(&file, false).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "older");
        out.write("7-crane-velvet-orbit").outcome().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "7-crane-velvet-orbit\n");
        assert_eq!(crate::cli::code_file::read_now(&file).unwrap(), "7-crane-velvet-orbit");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
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
            let error = CodeOut::prepare(&place.join(name), false).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Disk);
            assert!(error.message.contains(said), "{name}: {error}");
        }
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn long_names_are_taken_and_full_devices_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x".repeat(255));
        CodeOut::prepare(&file, false).unwrap().write("7-a-b-c").outcome().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "7-a-b-c\n");
        let full = CodeOut::prepare(Path::new("/dev/full"), false).unwrap();
        let error = full.write("7-a-b-c").outcome().await.unwrap_err();
        assert!(error.message.contains("no space"), "{error}");
    }

    /// S-10: a link leads where somebody else wants, whoever made it.
    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        std::fs::write(place.join("file"), "mine").unwrap();
        for (link, target) in [("link", "file"), ("new", "none"), ("null", "/dev/null")] {
            std::os::unix::fs::symlink(target, place.join(link)).unwrap();
            let error = CodeOut::prepare(&place.join(link), false).unwrap_err();
            assert!(error.message.contains("symlink"), "{link}: {error}");
        }
        assert_eq!(std::fs::read_to_string(place.join("file")).unwrap(), "mine");
        assert!(!place.join("none").exists());
    }

    /// S-10: a pipe of this user's own is closed to others before the code is in it, and waits for its reader.
    #[cfg(unix)]
    #[tokio::test]
    async fn an_own_pipe_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o644))
            .unwrap();
        let out = CodeOut::prepare(&pipe, false).unwrap();
        assert!(!out.is_prompt());
        let mode = std::fs::metadata(&pipe).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut writing = out.write("7-a-b-c");
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe));
        writing.outcome().await.unwrap();
        assert_eq!(read.await.unwrap().unwrap(), "7-a-b-c\n");
    }

    /// A code that was burnt before the reader came is not what it reads.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_late_reader_of_a_pipe_gets_the_newest_code() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let out = CodeOut::prepare(&pipe, false).unwrap();
        drop((out.write("7-a-b-c"), out.write("8-a-b-c")));
        let mut writing = out.write("9-a-b-c");
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe));
        writing.outcome().await.unwrap();
        assert_eq!(read.await.unwrap().unwrap(), "9-a-b-c\n");
    }

    /// S-10, as root: what somebody else made, in place of the file or after it was looked at, gets nothing.
    #[cfg(unix)]
    #[tokio::test]
    async fn what_belongs_to_others_gets_no_code() {
        use rustix::fs::{CWD, Mode, OFlags};
        use std::io::Read as _;
        const OTHER: Option<u32> = Some(65_534);
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let foreign = |path: &Path| {
            rustix::fs::mkfifoat(CWD, path, Mode::from_raw_mode(0o666)).unwrap();
            std::os::unix::fs::chown(path, OTHER, None).unwrap();
        };
        foreign(&pipe);
        let error = CodeOut::prepare(&pipe, false).unwrap_err();
        assert!(error.message.contains("another user"), "{error}");
        // Exchanged between the look and the code.
        std::fs::remove_file(&pipe).unwrap();
        rustix::fs::mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        let out = CodeOut::prepare(&pipe, false).unwrap();
        std::fs::remove_file(&pipe).unwrap();
        foreign(&pipe);
        let mut reader = open(&pipe, OFlags::RDONLY | OFlags::NONBLOCK).unwrap();
        let error = out.write("7-a-b-c").outcome().await.unwrap_err();
        assert!(error.message.contains("another user"), "{error}");
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "");
        // A file that cannot be replaced, since it is mounted: it is written to only if it is ours.
        let file = directory.path().join("file");
        std::fs::write(&file, "theirs").unwrap();
        std::os::unix::fs::chown(&file, OTHER, None).unwrap();
        assert!(matches!(fill(&file, b"7-a-b-c"), Err(Refusal::Foreign(_))));
        std::os::unix::fs::chown(&file, Some(0), None).unwrap();
        std::fs::hard_link(&file, directory.path().join("second")).unwrap();
        assert!(matches!(fill(&file, b"7-a-b-c"), Err(Refusal::Foreign(_))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs");
    }
}
