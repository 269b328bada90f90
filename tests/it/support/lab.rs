//! Real file systems, real networks and refused system calls for tests, as this machine has them.
//!
//! What a machine lacks is an [`Absent`], and the test that needs it says so and passes ([`or_skip`]). Where `CI` is set, only what
//! `tests/skips.txt` lists may be lacking. Everything made here is taken away when it is dropped; what a killed run of the tests left
//! behind is taken away by the next one.

pub(crate) mod disk;
pub(crate) mod network;
pub(crate) mod outcome;
pub(crate) mod wrapped;

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What this machine lacks, in the words that `tests/skips.txt` may list.
#[derive(Debug)]
pub(crate) struct Absent(pub(crate) String);

/// What a test needs, or why it cannot have it here.
pub(crate) type Here<T> = Result<T, Absent>;

/// What names of this run begin with; the number of the process follows.
const PREFIX: &str = "rejoin-lab-";

/// One line for each mount of a run, so that another run can take it away.
const MOUNTS: &str = "mounts";

/// The value of a [`Here`]; where it is absent, the test is over, and says why.
macro_rules! or_skip {
    ($needed:expr) => {
        match $needed {
            Ok(value) => value,
            Err(absent) => {
                $crate::support::lab::skip(&absent);
                return;
            }
        }
    };
}
pub(crate) use or_skip;

/// Tells that the test of this thread is skipped; fails it where that is not allowed.
#[track_caller]
pub(crate) fn skip(absent: &Absent) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the capture of the test harness: a skip is seen although the test passes.
    let line = format!("skipped {test}: {}\n", absent.0);
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    let is_strict = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!is_strict || is_listed(&absent.0), "not in tests/skips.txt: {}", absent.0);
}

fn is_listed(why: &str) -> bool {
    let list = std::fs::read_to_string(crate::root().join("tests/skips.txt")).unwrap();
    list.lines().any(|line| line == why)
}

/// A directory of this run, for one thing.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let path = RUN.join(unique().to_string());
        std::fs::create_dir(&path).unwrap();
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is still mounted there is not ours to delete.
        if !mounted_below(&self.path) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Where everything of this run is; the first use sweeps away what other runs left.
static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
    let run = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
    sweep();
    std::fs::create_dir_all(&run).unwrap();
    // Other users look at what is below.
    std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    run
});

/// A number that nothing else of this run has.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A name that nothing else on this machine has.
pub(crate) fn unique_name() -> String {
    LazyLock::force(&RUN);
    format!("{PREFIX}{}-{}", std::process::id(), unique())
}

/// The full path of an installed program.
pub(crate) fn program(name: &str) -> Here<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|path| path.exists())
        .ok_or_else(|| Absent(format!("the program {name} is not installed")))
}

/// Mounts, namespaces and other users are root's, and not of root in every container.
pub(crate) fn root() -> Here<()> {
    /// `CAP_SYS_ADMIN`, as a bit.
    const ADMINISTRATION: u64 = 1 << 21;
    let capabilities = super::process::status(std::process::id(), "CapEff");
    let capabilities = capabilities.and_then(|text| u64::from_str_radix(&text, 16).ok());
    match rustix::process::geteuid().is_root() {
        false => Err(Absent("not run as root".into())),
        true if capabilities.is_none_or(|bits| bits & ADMINISTRATION == 0) => {
            Err(Absent("root may not mount here (CAP_SYS_ADMIN)".into()))
        }
        true => Ok(()),
    }
}

/// Whether a process can confine itself here; a thread that is gone afterwards tries.
#[cfg(target_os = "linux")]
pub(crate) fn landlock() -> Here<()> {
    let tried = std::thread::spawn(|| rejoin::confinement::confine(&[]));
    tried.join().unwrap().map_err(Absent)
}

/// Lets this process, and what it starts, have `count` files open beside those of other tests.
pub(crate) fn open_files(count: u64) -> Here<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    /// What everything else of the process has open, with much to spare.
    const OTHERS: u64 = 500;
    let mut limit = getrlimit(Resource::Nofile);
    let needed = count + OTHERS;
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(Absent(format!("a process may not have {needed} files open")));
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|error| Absent(format!("setrlimit: {error}")))
}

/// Whether the kernel has a file system by itself; as a module it is loaded first.
pub(crate) fn kernel_has(file_system: &str) -> Here<()> {
    let has = || {
        let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        list.lines().any(|line| line.split_whitespace().last() == Some(file_system))
    };
    if !has()
        && let Ok(modprobe) = program("modprobe")
    {
        let _ = quiet(modprobe).args(["-q", file_system]).status();
    }
    if has() { Ok(()) } else { Err(Absent(format!("the kernel has no {file_system}"))) }
}

fn quiet(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs a program to its end; what it said when it fails is part of the report.
#[track_caller]
pub(crate) fn run<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) {
    if let Err(said) = try_run(name, arguments) {
        panic!("{said}");
    }
}

/// Runs a program to its end, or says what it said.
pub(crate) fn try_run<A: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Result<String, String> {
    let program = program(name).map_err(|absent| absent.0)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(said(&output.stdout));
    }
    Err(format!("{command:?}: {}\n{}{}", output.status, said(&output.stdout), said(&output.stderr)))
}

/// Remembers a mount for the next run, before it is made.
fn note_mount(path: &Path) {
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(0);
    let file = std::fs::File::options().create(true).append(true).open(RUN.join(MOUNTS));
    file.unwrap().write_all(&line).unwrap();
}

fn unmount(path: &Path) {
    let busy = try_run("umount", [path]);
    // A process that was killed may still hold it, and lets go of it in its own time.
    if busy.is_err() {
        let _ = try_run("umount", [OsStr::new("-l"), path.as_os_str()]);
    }
}

/// Whether anything is mounted at or below a directory.
fn mounted_below(directory: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .any(|mount| Path::new(mount).starts_with(directory))
}

/// Takes away what runs left that were killed.
fn sweep() {
    let is_gone = |name: &str| {
        let number = name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok()?;
        Some(!Path::new("/proc").join(number.to_string()).exists())
    };
    let names = |directory: &Path| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    for name in names(Path::new("/run/netns")) {
        if is_gone(&name) == Some(true) {
            let _ = try_run("ip", ["netns", "del", &name]);
        }
    }
    let temporary = std::env::temp_dir();
    for name in names(&temporary) {
        if is_gone(&name) != Some(true) {
            continue;
        }
        let directory = temporary.join(name);
        let noted = std::fs::read(directory.join(MOUNTS)).unwrap_or_default();
        let noted = noted.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        for path in noted.collect::<Vec<_>>().into_iter().rev() {
            let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
            if mounted_below(&path) {
                let _ = try_run("umount", [OsStr::new("-l"), path.as_os_str()]);
            }
        }
        if !mounted_below(&directory) {
            let _ = std::fs::remove_dir_all(&directory);
        }
    }
}

#[test]
fn a_skip_is_told_apart_from_a_test_that_may_not_be_skipped() {
    assert!(is_listed("the kernel has no vfat"));
    assert!(!is_listed("the program no-such-program is not installed"));
    let absent = program("no-such-program").unwrap_err();
    assert_eq!(absent.0, "the program no-such-program is not installed");
}
