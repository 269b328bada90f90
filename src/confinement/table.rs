//! The table: one row for each place, pure.

use std::path::{Path, PathBuf};

/// What may be done in a place. Looking at names that are known, and at what they are, is free everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Files in it are read.
    Files,
    /// It is read and listed, with all below it.
    Read,
    /// What is there is read and written: a device.
    Device,
    /// All that a directory of ours needs: files, directories and symlinks made, written, renamed within it, removed.
    Own,
}

/// A place and what may be done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The place; what is below it is meant, too.
    pub path: PathBuf,
    /// What may be done there.
    pub access: Access,
    /// Whether a run without it is none: it is not confined rather than broken.
    pub is_needed: bool,
}

/// What a run works on. Paths may be symlinks: what they lead to when the run begins is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Directories that are sent.
    pub source_directories: Vec<PathBuf>,
    /// Files that are sent.
    pub source_files: Vec<PathBuf>,
    /// Where is received.
    pub target: Option<PathBuf>,
    /// Where sessions live.
    pub state: Option<PathBuf>,
    /// Where rooms of this machine are published.
    pub runtime: Option<PathBuf>,
    /// What `/etc/resolv.conf` leads to, where it is a symlink.
    pub resolver: Option<PathBuf>,
    /// This program.
    pub program: Option<PathBuf>,
    /// Files that a test watches and counts in; only with the feature `fault-injection`.
    pub faults: Vec<PathBuf>,
}

/// Places that are the same for every run.
const SYSTEM: &[(&str, Access)] = &[
    // Names of hosts and services, the machine's id, certificates. Many of these files are replaced while a run goes on (a
    // laptop in another network), and a row for a file would not outlive that.
    ("/etc", Access::Read),
    // Libraries that a lookup of a name loads, certificates, time zones.
    ("/usr", Access::Read),
    ("/lib", Access::Read),
    ("/lib32", Access::Read),
    ("/lib64", Access::Read),
    ("/nix/store", Access::Read),
    ("/gnu/store", Access::Read),
    ("/var/lib/ca-certificates", Access::Read),
    // The boot, the interfaces, whether a process of an earlier run lives, threads. What is secret there of others is closed
    // by the kernel to whoever is confined.
    ("/proc", Access::Read),
    ("/sys/class/net", Access::Read),
    ("/sys/devices", Access::Read),
    ("/sys/fs/cgroup", Access::Read),
    ("/dev/null", Access::Device),
    ("/dev/tty", Access::Device),
    ("/dev/random", Access::Files),
    ("/dev/urandom", Access::Files),
];

/// Every place that a run of `plan` may reach, and how; nothing else.
#[must_use]
pub fn table(plan: &Plan) -> Vec<Row> {
    let needed = |path: &Path, access| Row { path: path.to_owned(), access, is_needed: true };
    let useful = |path: &Path, access| Row { path: path.to_owned(), access, is_needed: false };
    let mut rows = Vec::new();
    rows.extend(plan.source_directories.iter().map(|path| needed(path, Access::Read)));
    // Editors replace a file by another one of its name, so that its directory is what can be said.
    let above = |path: &PathBuf| Some(needed(path.parent()?, Access::Files));
    rows.extend(plan.source_files.iter().filter_map(above));
    rows.extend(plan.target.iter().map(|path| needed(path, Access::Own)));
    rows.extend(plan.state.iter().map(|path| needed(path, Access::Own)));
    rows.extend(plan.runtime.iter().map(|path| useful(path, Access::Own)));
    rows.extend(plan.resolver.iter().map(|path| useful(&resolver_place(path), Access::Read)));
    rows.extend(plan.program.iter().map(|path| useful(path, Access::Files)));
    rows.extend(SYSTEM.iter().map(|(path, access)| useful(Path::new(path), *access)));
    rows.extend(plan.faults.iter().map(|path| useful(path, Access::Own)));
    rows.sort_by(|one, other| (&one.path, one.access).cmp(&(&other.path, other.access)));
    rows.dedup_by(|later, earlier| {
        let is_same = (&later.path, later.access) == (&earlier.path, earlier.access);
        earlier.is_needed |= is_same && later.is_needed;
        is_same
    });
    rows
}

/// A service that writes the resolver's file replaces it; its own directory below `/run` has nothing else. Elsewhere the
/// file alone is meant.
fn resolver_place(file: &Path) -> PathBuf {
    let own = file.parent().filter(|above| {
        let depth = above.components().count();
        (above.starts_with("/run") && depth > 2) || (above.starts_with("/var/run") && depth > 3)
    });
    own.unwrap_or(file).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(rows: &'a [Row], path: &str) -> Vec<&'a Row> {
        rows.iter().filter(|row| row.path == Path::new(path)).collect()
    }

    #[test]
    fn a_receiver_writes_into_its_target_and_its_own_directories_only() {
        let plan = Plan {
            target: Some("/home/u/in".into()),
            state: Some("/home/u/.local/state/rejoin".into()),
            runtime: Some("/run/user/7/rejoin".into()),
            ..Plan::default()
        };
        let rows = table(&plan);
        let written: Vec<_> = rows
            .iter()
            .filter(|row| row.access == Access::Own)
            .map(|row| row.path.display().to_string())
            .collect();
        assert_eq!(written, ["/home/u/.local/state/rejoin", "/home/u/in", "/run/user/7/rejoin"]);
        let devices: Vec<_> = rows.iter().filter(|row| row.access == Access::Device).collect();
        assert!(devices.iter().all(|row| row.path.starts_with("/dev")), "{devices:?}");
        // Nothing of a home but what was named.
        let homes = rows.iter().filter(|row| row.path.starts_with("/home")).count();
        assert_eq!(homes, 2);
        assert!(!rows.iter().any(|row| row.path == Path::new("/")));
    }

    #[test]
    fn a_sender_reads_what_it_sends() {
        let plan = Plan {
            source_directories: vec!["/data/photos".into()],
            source_files: vec!["/data/a.iso".into(), "/data/b.iso".into()],
            ..Plan::default()
        };
        let rows = table(&plan);
        assert_eq!(at(&rows, "/data/photos")[0].access, Access::Read);
        // One row for two files of a directory, which is not listed.
        let above = at(&rows, "/data");
        assert_eq!((above.len(), above[0].access), (1, Access::Files));
        assert!(above[0].is_needed);
    }

    #[test]
    fn what_is_read_and_written_has_both_rows() {
        let plan = Plan {
            source_directories: vec!["/data".into()],
            state: Some("/data".into()),
            ..Plan::default()
        };
        assert_eq!(at(&table(&plan), "/data").len(), 2);
    }

    #[test]
    fn a_resolver_that_is_replaced_is_read_again() {
        let place = |path: &str| resolver_place(Path::new(path)).display().to_string();
        assert_eq!(place("/run/systemd/resolve/stub-resolv.conf"), "/run/systemd/resolve");
        assert_eq!(place("/run/resolv.conf"), "/run/resolv.conf");
        assert_eq!(place("/mnt/wsl/resolv.conf"), "/mnt/wsl/resolv.conf");
        assert_eq!(place("/home/u/resolv.conf"), "/home/u/resolv.conf");
    }
}
