//! Landlock (Linux 5.13): rules that a process gives itself and cannot take back.

use super::{Access, Row};
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus,
};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// The oldest that is of use (Linux 5.19): without it nothing can be renamed into another directory.
const OLDEST: ABI = ABI::V2;

/// What is said where that is not there.
const ABSENT: &str = "the kernel has no Landlock, or one before Linux 5.19";

/// The newest whose rights are known here (Linux 6.10). Later ones add rights that nothing here uses, and are not handled.
const NEWEST: ABI = ABI::V5;

/// Confines this thread to `rows`; see [`super::confine`].
pub(super) fn confine(rows: &[Row]) -> Result<(), String> {
    let rules = rules(rows)?;
    // Rules that do not go with a disk would end the run; a thread that is gone afterwards tells.
    let copy = rules.try_clone().map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        let trial = std::thread::Builder::new().spawn_scoped(scope, || {
            restrict(copy)?;
            rows.iter().filter(|row| row.is_needed).try_for_each(try_out)
        });
        let trial = trial.map_err(|error| error.to_string())?;
        trial.join().unwrap_or_else(|_| Err("it could not be tried out".to_owned()))
    })?;
    restrict(rules)
}

fn rules(rows: &[Row]) -> Result<RulesetCreated, String> {
    let failed = |error: RulesetError| {
        // What is required is not there.
        if matches!(error, RulesetError::HandleAccesses(_)) {
            ABSENT.to_owned()
        } else {
            error.to_string()
        }
    };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(OLDEST))
        .map_err(failed)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(Ruleset::create)
        .map_err(failed)?
        .set_compatibility(CompatLevel::BestEffort);
    for row in rows {
        let place = match PathFd::new(&row.path) {
            Ok(place) => place,
            Err(error) if row.is_needed => return Err(format!("{}: {error}", shown(&row.path))),
            // Not on this machine.
            Err(_) => continue,
        };
        let rights = rights(row.access, row.path.is_dir());
        let rule = PathBeneath::new(place, rights);
        match (&mut rules).add_rule(rule) {
            Ok(_) => {}
            Err(error) if row.is_needed => return Err(format!("{}: {error}", shown(&row.path))),
            Err(error) => {
                tracing::debug!(target: "rejoin::confinement", path = %shown(&row.path), %error, "no rule");
            }
        }
    }
    Ok(rules)
}

fn restrict(rules: RulesetCreated) -> Result<(), String> {
    let status = rules.restrict_self().map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("the kernel does not enforce it".to_owned()),
    }
}

/// The rights of `access`. A file has fewer than a directory.
fn rights(access: Access, is_directory: bool) -> BitFlags<AccessFs> {
    let rights = match access {
        Access::Files => AccessFs::ReadFile.into(),
        Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Access::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
        Access::Own => {
            AccessFs::ReadFile
                | AccessFs::ReadDir
                | AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::MakeSym
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                | AccessFs::Refer
        }
    };
    if is_directory { rights } else { rights & AccessFs::from_file(NEWEST) }
}

/// Opens what a run opens first; what is closed to this user anyway is no fault of a rule.
fn try_out(row: &Row) -> Result<(), String> {
    if row.access == Access::Files {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat(CWD, &row.path, flags, Mode::empty()) {
        Err(Errno::ACCESS) if may_list(&row.path) => {
            Err(format!("its rules do not hold on the disk of {}", shown(&row.path)))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether this user may list `path`, as its mode says.
fn may_list(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
}

fn shown(path: &Path) -> String {
    crate::visible::name(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Where the kernel has it, what is outside the rows is closed, and what is inside is not. On a thread of its own, as a
    /// confinement is for good.
    #[test]
    fn what_has_no_row_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let (inside, outside) = (directory.path().join("in"), directory.path().join("out"));
        for place in [&inside, &outside] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("file"), "x").unwrap();
        }
        let (read, other) = (directory.path().join("read"), directory.path().join("other"));
        fs::create_dir(&read).unwrap();
        fs::write(read.join("file"), "x").unwrap();
        fs::create_dir(&other).unwrap();
        let row = |path: &Path, access| Row { path: path.to_owned(), access, is_needed: true };
        let rows = [row(&inside, Access::Own), row(&read, Access::Read)];
        let confined = std::thread::spawn(move || {
            if let Err(reason) = confine(&rows) {
                // tests/skips.txt lists it.
                assert_eq!(reason, ABSENT);
                return;
            }
            let denied = |outcome: std::io::Result<()>| {
                assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
            };
            denied(fs::read(outside.join("file")).map(drop));
            denied(fs::write(outside.join("file"), "y"));
            denied(fs::write(outside.join("new"), "y"));
            denied(fs::remove_file(outside.join("file")));
            denied(fs::create_dir(outside.join("new")));
            denied(fs::read_dir(&other).map(drop));
            denied(fs::write(read.join("file"), "y"));
            denied(fs::remove_file(read.join("file")));
            denied(std::process::Command::new("/bin/true").status().map(drop));
            assert_eq!(fs::read(read.join("file")).unwrap(), b"x");
            assert_eq!(fs::read_dir(&read).unwrap().count(), 1);
            fs::create_dir_all(inside.join("a/b")).unwrap();
            fs::write(inside.join("a/b/c"), "y").unwrap();
            fs::rename(inside.join("a/b/c"), inside.join("moved")).unwrap();
            std::os::unix::fs::symlink("x", inside.join("link")).unwrap();
            fs::File::options().write(true).truncate(true).open(inside.join("moved")).unwrap();
            fs::remove_dir_all(inside.join("a")).unwrap();
        });
        confined.join().unwrap();
    }

    #[test]
    fn no_row_lets_anything_be_executed_or_devices_be_made() {
        for access in [Access::Files, Access::Read, Access::Device, Access::Own] {
            let never = AccessFs::Execute
                | AccessFs::MakeChar
                | AccessFs::MakeBlock
                | AccessFs::MakeFifo
                | AccessFs::MakeSock;
            assert!(!rights(access, true).intersects(never), "{access:?}");
            assert!(AccessFs::from_file(NEWEST).contains(rights(access, false)), "{access:?}");
        }
    }
}
