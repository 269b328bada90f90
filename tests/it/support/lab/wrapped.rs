//! Programs that run a command in another way: with system calls that fail, or as somebody else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Here, Place, program, root};

/// The number of `nobody`.
pub(crate) const NOBODY: u32 = 65534;

/// `strace -f -e inject=WHAT` for each of `injections`, as in `fchmod,fchmodat:error=EPERM`; nothing is shown.
///
/// The command stays the child of whoever starts it, so that signals reach it.
pub(crate) fn injecting(injections: &[&str]) -> Here<Vec<OsString>> {
    let strace = program("strace")?;
    let words = ["-D", "-f", "-qqq", "-o", "/dev/null", "-e", "signal=none"].map(OsString::from);
    let injections =
        injections.iter().flat_map(|what| ["-e".into(), format!("inject={what}").into()]);
    Ok(std::iter::once(strace.into()).chain(words).chain(injections).chain(["--".into()]).collect())
}

/// As a user who is not root and in no group of root's.
pub(crate) fn as_nobody() -> Here<Vec<OsString>> {
    root()?;
    let setpriv = program("setpriv")?;
    let user = NOBODY.to_string();
    let words = ["--reuid", &user, "--regid", &user, "--clear-groups", "--"].map(OsString::from);
    Ok(std::iter::once(setpriv.into()).chain(words).collect())
}

/// Gives a directory with all that is in it to `nobody`, its links themselves.
pub(crate) fn give_to_nobody(path: &Path) {
    super::run("chown", ["-Rh".as_ref(), format!("{NOBODY}:{NOBODY}").as_ref(), path.as_os_str()]);
}

/// A program where every user can run it: itself, or a copy where a directory above it is closed.
pub(crate) fn reachable(binary: &Path) -> PathBuf {
    static COPIES: LazyLock<Place> = LazyLock::new(Place::new);
    let is_open = |directory: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(directory).is_ok_and(|metadata| metadata.mode() & 0o1 != 0)
    };
    if binary.ancestors().all(is_open) {
        return binary.to_owned();
    }
    let copy = COPIES.path().join("rejoin");
    static COPY: std::sync::Once = std::sync::Once::new();
    COPY.call_once(|| {
        std::fs::copy(binary, &copy).unwrap();
    });
    copy
}

#[test]
fn a_system_call_is_refused_and_another_user_is_another_user() {
    let home = crate::support::env::Home::new();
    let line = |words: Vec<OsString>, line: &str| home.shell(line).through(words).run();
    let refused = super::or_skip!(injecting(&["fchmodat,fchmod,chmod:error=EPERM"]));
    home.file("file", "x");
    let run = line(refused, "PATH=/usr/bin:/bin chmod 600 file");
    assert!(run.code() != 0 && run.stderr.contains("not permitted"), "{run:?}");
    let nobody = super::or_skip!(as_nobody());
    assert_eq!(line(nobody, "PATH=/usr/bin:/bin; cd /; id -u").stdout.trim(), NOBODY.to_string());
}
