//! Which names a manifest may carry: the one place that decides, held by the frozen corpus in `fixtures/names/`.
//!
//! A name is one path component, as bytes. Paths are never on the wire: an entry names its parent by index, so a path
//! that climbs cannot even be written down; what is checked here is that a component is one (A-01, I-01). Whether it can be
//! held is for the disk that receives it.

use crate::visible;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

/// Longest name in bytes: what every common file system takes.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest symlink target in bytes (`PATH_MAX` of Linux, less its NUL).
pub const SYMLINK_TARGET_BYTES_MAX: usize = 4_095;

/// Deepest directory nesting of a manifest.
pub const DEPTH_MAX: usize = 1_000;

/// Longest path below the root, in bytes with its separators (`PATH_MAX` of Linux): names and depth alone would allow
/// 255,000, for each of any number of entries (S-03).
pub const PATH_BYTES_MAX: usize = 4_096;

/// The directory that holds journals and partial files, in the target and on every file system mounted below it: no
/// entry is called that at any depth.
pub const RESERVED_NAME: &[u8] = b".rejoin";

/// Marks a directory that holds the state of this program: no entry is called that, either.
pub const STATE_MARK: &[u8] = b".rejoin-state";

/// Why a name or a symlink target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("the name is . or ..")]
    Dots,
    /// Over [`NAME_BYTES_MAX`] or [`SYMLINK_TARGET_BYTES_MAX`].
    #[error("the name is too long")]
    TooLong,
    /// A slash: more than one component.
    #[error("the name holds a path separator")]
    Separator,
    /// A NUL byte.
    #[error("the name holds a NUL byte")]
    Nul,
    /// [`RESERVED_NAME`] or [`STATE_MARK`], or what some disk takes for one of them.
    #[error("the name .rejoin is reserved for unfinished transfers")]
    Reserved,
    /// A symlink that leaves the tree, or whose target climbs after it has descended.
    #[error("the symlink points out of the tree")]
    SymlinkEscapes,
}

/// Checks one path component.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_name(name: &[u8]) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == b"." || name == b".." {
        return Err(NameError::Dots);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name.contains(&b'/') {
        return Err(NameError::Separator);
    }
    if name.contains(&0) {
        return Err(NameError::Nul);
    }
    if is_reserved(name) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

/// Whether it is a name of this program's own, or one that some disk takes for that: in another case or composition, with
/// characters that a casefolding disk ignores, with what FAT drops at the end of a name, a stream of NTFS, or the short
/// name that FAT and NTFS make up.
#[must_use]
pub fn is_reserved(name: &[u8]) -> bool {
    if name.is_ascii() {
        return is_own(name);
    }
    std::str::from_utf8(name).is_ok_and(|name| is_own(folded(name).as_bytes()))
}

/// A name as disks that do not tell case and composition apart may take it, in upper case.
#[must_use]
pub fn folded(name: &str) -> String {
    let folded = name.nfkd().filter(|character| !is_ignored(*character));
    folded.flat_map(char::to_uppercase).collect()
}

fn is_own(name: &[u8]) -> bool {
    let name = name.split(|byte| *byte == b':').next().unwrap_or_default();
    let end = name.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |at| at + 1);
    let name = &name[..end];
    let is_short = || {
        let (stem, number) = name.split_at(name.len().min(6));
        let is_numbered =
            matches!(number, [b'~', digits @ ..] if is_all(digits, u8::is_ascii_digit));
        // The second form is made where the first ones are taken: two letters and a hash.
        let is_hashed = matches!(stem, [b'R' | b'r', b'E' | b'e', hash @ ..] if is_all(hash, u8::is_ascii_hexdigit));
        is_numbered && (stem.eq_ignore_ascii_case(b"rejoin") || is_hashed)
    };
    [RESERVED_NAME, STATE_MARK].iter().any(|own| name.eq_ignore_ascii_case(own)) || is_short()
}

fn is_all(bytes: &[u8], is_it: fn(&u8) -> bool) -> bool {
    !bytes.is_empty() && bytes.iter().all(is_it)
}

/// What Linux's casefolding leaves out, and the dot that a capital I may carry.
fn is_ignored(character: char) -> bool {
    character == '\u{307}' || visible::is_ignorable(character)
}

/// Checks a symlink's target: relative, `..` only in front and at most `depth` of them, where `depth` counts the
/// directories between the root and the link (0: the link lies in the root).
///
/// A `..` after a name is refused even where it looks harmless: the name may itself be a symlink, and then `name/..`
/// is not where it reads. With `..` in front only, and every link of the tree held to this rule, no chain of links
/// leaves the tree.
///
/// # Errors
/// The rule that the target breaks.
pub fn check_symlink_target(target: &[u8], depth: usize) -> Result<(), NameError> {
    if target.is_empty() {
        return Err(NameError::Empty);
    }
    if target.len() > SYMLINK_TARGET_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if target.contains(&0) {
        return Err(NameError::Nul);
    }
    if target[0] == b'/' {
        return Err(NameError::SymlinkEscapes);
    }
    let mut climbs = 0;
    let mut descended = false;
    for component in target.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if descended || climbs == depth => return Err(NameError::SymlinkEscapes),
            b".." => climbs += 1,
            _ => descended = true,
        }
    }
    Ok(())
}

/// Whether a Windows system would read more than a name, or a target inside the tree, in it: a drive prefix, a leading
/// backslash, or a climb. No rule of the manifest, which both sides judge alike: a receiver on Windows refuses such an entry
/// for itself, as its disk would.
#[must_use]
pub fn is_windows_path(name: &[u8]) -> bool {
    let has_drive = name.len() >= 2 && name[0].is_ascii_alphabetic() && name[1] == b':';
    let climbs =
        name.contains(&b'\\') && name.split(|&byte| byte == b'\\').any(|part| part == b"..");
    has_drive || name[0] == b'\\' || climbs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_look_bad_are_taken() {
        for name in [
            &b"a..b"[..],
            b"...",
            b"..a",
            b" ",
            b"a\nb",
            b"\xff\xfe",
            b"x2d\\x2d",
            "\u{1f980}".as_bytes(),
            b"-rf",
            b"C:bad",
            b"a\\..\\b",
            b"\\\\host",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
        assert_eq!(check_name(b".Rejoin"), Err(NameError::Reserved));
    }

    #[test]
    fn paths_of_windows_are_known() {
        for name in [&b"C:bad"[..], b"a\\..\\b", b"\\x", b"c:"] {
            assert!(is_windows_path(name), "{name:?}");
        }
        for name in [&b"12:30"[..], b"a\\b", b":", b"..", b"a..b"] {
            assert!(!is_windows_path(name), "{name:?}");
        }
    }

    #[test]
    fn links_stay_inside() {
        for (target, depth) in
            [(&b"a"[..], 0), (b"../a", 1), (b"./a/b", 0), (b"../../x/y", 2), (b".", 0)]
        {
            assert_eq!(check_symlink_target(target, depth), Ok(()), "{target:?}");
        }
        for (target, depth) in
            [(&b"/etc"[..], 3), (b"..", 0), (b"../..", 1), (b"a/../b", 2), (b"up/..", 3)]
        {
            assert_eq!(
                check_symlink_target(target, depth),
                Err(NameError::SymlinkEscapes),
                "{target:?}"
            );
        }
    }
}
