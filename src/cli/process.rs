//! What this process was given by whoever started it: a umask, and limits of threads.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Runtime;
#[cfg(target_os = "linux")]
use tokio::signal::unix::SignalKind;

/// Threads beside those of the runtime: the printer, the stores, the scan, what blocks, and those that a test of a limit may
/// find taken a moment later.
#[cfg(unix)]
const SPARE: usize = 8;
/// What a transfer of a small tree maps, stacks of its threads included; with less the allocator ends the process.
#[cfg(unix)]
const ADDRESS_SPACE_MIN: u64 = 128 << 20;
/// A file would grow beyond the limit of this process (signal(7)).
#[cfg(target_os = "linux")]
const SIGXFSZ: i32 = 25;
/// Descriptors of a runtime: its poll, its wakers, its signals; with some to spare.
#[cfg(unix)]
const DESCRIPTORS: usize = 10;
/// A limit of processes above this is no limit for us.
#[cfg(unix)]
const PLENTY: u64 = 4096;

/// Keeps what is in memory, codes and keys, out of core dumps, and away from other processes of this user: they can neither
/// attach to this one nor read its environment. Root can.
pub(super) fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // It cannot fail for a process itself.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Lets this process use what it makes: a umask that takes from us what we create would make files of our own that we
/// cannot open. What others may do stays as it is.
pub(super) fn own_what_is_made() {
    #[cfg(unix)]
    {
        const OURS: u32 = 0o700;
        let mask = rejoin::platform::umask();
        if mask & OURS != 0 {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & !OURS));
        }
    }
}

/// Under a limit of address space (`ulimit -v`, batch systems) glibc's allocator would reserve 64 MiB of it for every
/// thread until none is left, and then end the process. How many it may is read before `main`: this starts the program
/// anew, in the same process, with that said. Nothing happens where there is no limit.
pub(super) fn spare_address_space() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt as _;
        const ARENAS: &str = "MALLOC_ARENA_MAX";
        if address_space().is_none() || rejoin::environment::variable(ARENAS).is_some() {
            return;
        }
        let mut words = std::env::args_os();
        if let (Ok(program), Some(name)) = (std::env::current_exe(), words.next()) {
            // It returns only where it failed; then it goes on as it is.
            let _ =
                std::process::Command::new(program).arg0(name).args(words).env(ARENAS, "1").exec();
        }
    }
}

/// The runtime of a run.
///
/// # Errors
/// The system gives no more descriptors, threads or memory. They are asked for first, all at the same time, threads only
/// where a limit is set: a runtime that does not get them panics.
pub(super) fn runtime() -> io::Result<Runtime> {
    #[cfg(unix)]
    {
        if address_space().is_some_and(|limit| limit < ADDRESS_SPACE_MIN) {
            let least = ADDRESS_SPACE_MIN >> 20;
            return Err(io::Error::other(format!("at least {least} MiB of memory are needed")));
        }
        probe_descriptors()?;
        if is_limited() {
            let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            probe_threads(workers + SPARE)?;
        }
    }
    Runtime::new()
}

/// Makes of a file at its limit (`ulimit -f`) a write that fails, not the end. Handled once is handled for good; the runtime
/// for it has no thread. What it needs and does not get is told by [`runtime`].
pub(super) fn survive_full_files() {
    #[cfg(target_os = "linux")]
    {
        if probe_descriptors().is_err() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() {
            let _context = runtime.enter();
            // As above.
            let _ = tokio::signal::unix::signal(SignalKind::from_raw(SIGXFSZ));
        }
    }
}

/// The limit of address space in bytes, where there is one.
#[cfg(unix)]
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

#[cfg(unix)]
fn is_limited() -> bool {
    use rustix::process::{Resource, getrlimit};
    let processes = getrlimit(Resource::Nproc).current;
    processes.is_some_and(|most| most < PLENTY) || address_space().is_some()
}

/// Has as many descriptors as a runtime takes at one moment, and closes them.
#[cfg(unix)]
fn probe_descriptors() -> io::Result<()> {
    let stderr = io::stderr();
    let mut held = Vec::with_capacity(DESCRIPTORS);
    for _ in 0..DESCRIPTORS {
        held.push(rustix::io::fcntl_dupfd_cloexec(&stderr, 0)?);
    }
    Ok(())
}

/// Starts so many threads, has them all at one moment, and ends them.
#[cfg(unix)]
fn probe_threads(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    std::thread::scope(|scope| {
        let _closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = || drop(gate.lock());
        (0..count).try_for_each(|_| std::thread::Builder::new().spawn_scoped(scope, pass).map(drop))
    })
}
