//! Other names under `--on-conflict rename`: numbered where the name is taken, spelled otherwise where the disk refuses it.
//!
//! A name that the disk refuses (`EINVAL`, `EILSEQ`, `ENAMETOOLONG`) is tried again with these replaced by `_`, one for one:
//! control characters, `" * / : < > ? \ |`, bytes that are no UTF-8, and dots and spaces at the end; `_` follows the stem of
//! a name that Windows keeps for a device (`con`, `nul.txt`). If that is refused, too, everything that is not ASCII is
//! replaced as well, and the stem is cut so that the whole has at most [`SHORT_BYTES`]. The disk decides: a name that it
//! takes is never changed.

use super::TargetStore;
use crate::fs::Directory;
use crate::store::error::{disk_error, is_name_refused};
use crate::transfer::disk::{DiskError, OnConflict, Publish};
use crate::transfer::manifest::RelativePath;
use crate::transfer::name::NAME_BYTES_MAX;
use std::collections::HashSet;
use std::io;

/// What every common file system takes: eCryptfs takes the least.
const SHORT_BYTES: usize = 143;

/// Paths of other spellings remembered at most.
const GIVEN_MAX: usize = 65_536;

/// Paths that entries got under another spelling in this run: what is there is another entry, though its content is the same.
#[derive(Debug, Default)]
pub(super) struct Given(HashSet<RelativePath>);

impl Given {
    pub(super) fn insert(&mut self, path: RelativePath) {
        if self.0.len() < GIVEN_MAX {
            self.0.insert(path);
        }
    }

    pub(super) fn contains(&self, path: &RelativePath) -> bool {
        self.0.contains(path) || self.0.len() >= GIVEN_MAX
    }
}

/// Spellings to try, best first; the first one is the name itself.
pub(super) fn spellings(name: &[u8]) -> Vec<Vec<u8>> {
    let mut spellings = vec![name.to_vec()];
    for other in [replaced(name), numbered(&ascii(&replaced(name)), 0, SHORT_BYTES)] {
        if !spellings.contains(&other) {
            spellings.push(other);
        }
    }
    spellings
}

/// Without what common disks refuse.
fn replaced(name: &[u8]) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            let is_refused = character.is_control() || "\"*/:<>?\\|".contains(character);
            let character = if is_refused { '_' } else { character };
            spelled.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        spelled.resize(spelled.len() + chunk.invalid().len(), b'_');
    }
    for byte in spelled.iter_mut().rev().take_while(|byte| matches!(byte, b'.' | b' ')) {
        *byte = b'_';
    }
    let stem = spelled.iter().position(|byte| *byte == b'.').unwrap_or(spelled.len());
    if is_device(&spelled[..stem]) {
        spelled.insert(stem, b'_');
    }
    spelled
}

/// Whether Windows keeps a stem for a device.
fn is_device(stem: &[u8]) -> bool {
    let stem = stem.to_ascii_lowercase();
    matches!(&stem[..], b"con" | b"prn" | b"aux" | b"nul")
        || matches!(&stem[..], [b'c', b'o', b'm', b'1'..=b'9'] | [b'l', b'p', b't', b'1'..=b'9'])
}

/// With `_` for each character that is not ASCII.
fn ascii(name: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(name);
    text.chars().map(|character| u8::try_from(character).ok()).map(plain).collect()
}

fn plain(byte: Option<u8>) -> u8 {
    byte.filter(u8::is_ascii).unwrap_or(b'_')
}

/// `name (1).ext` and so on; 0 is the name itself. A stem is cut where the whole would be longer than `most` bytes.
fn numbered(name: &[u8], number: u32, most: usize) -> Vec<u8> {
    let dot =
        name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let suffix = if number == 0 { String::new() } else { format!(" ({number})") };
    // An extension of that length is none.
    let (stem, extension) =
        if suffix.len() + extension.len() < most { (stem, extension) } else { (name, &b""[..]) };
    let mut cut = most.saturating_sub(suffix.len() + extension.len()).min(stem.len());
    // Not within a character.
    while cut > 0 && cut < stem.len() && stem[cut] & 0xc0 == 0x80 {
        cut -= 1;
    }
    [&stem[..cut], suffix.as_bytes(), extension].concat()
}

/// The `number`th name of a spelling; `is_short`: it was cut, and stays so.
pub(super) fn numbered_spelling(spelling: &[u8], number: u32) -> Vec<u8> {
    if number == 0 {
        return spelling.to_vec();
    }
    let most = if spelling.len() <= SHORT_BYTES { SHORT_BYTES } else { NAME_BYTES_MAX };
    numbered(spelling, number, most)
}

/// Why an entry is not there, if it is for its name.
pub(super) fn name_error(
    operation: &'static str,
    path: &RelativePath,
    error: &io::Error,
) -> DiskError {
    let mut told = disk_error(operation, path.as_bytes(), error);
    if is_name_refused(error) {
        told.message = format!("this disk does not take the name ({})", told.message);
    }
    told
}

impl<D: Directory> TargetStore<D> {
    /// What an error of giving a name in `parent`, at `above`, means. exFAT's FUSE driver says of a name that it refuses that it
    /// is not there, as systems say of a directory that is gone.
    pub(super) fn about_name(
        &self,
        error: io::Error,
        above: &RelativePath,
        parent: &D,
    ) -> io::Error {
        if error.kind() != io::ErrorKind::NotFound {
            return error;
        }
        let identity = |of: &D| of.own_metadata().map(|of| (of.device, of.inode)).ok();
        let root = self.directories.root().clone();
        let above = self.directories.real(above);
        let there = above.components().try_fold(root, |at, name| at.open_directory(name));
        let is_there = there.is_ok_and(|there| identity(&there) == identity(parent));
        if is_there { crate::platform::name_refused() } else { error }
    }

    /// Whether what has another spelling of a name stands for another entry of the session.
    pub(super) fn is_anothers(
        &mut self,
        publish: &Publish,
        path: &RelativePath,
        is_spelled_otherwise: bool,
    ) -> io::Result<bool> {
        if publish.on_conflict != OnConflict::Rename {
            return Ok(false);
        }
        if self.given.contains(path) {
            return Ok(true);
        }
        match path.split_last() {
            Some((_, name)) if is_spelled_otherwise => self.is_named(publish.entry, name),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(name: &[u8], number: u32) -> Vec<u8> {
        numbered_spelling(name, number)
    }

    #[test]
    fn second_names_keep_their_extension_and_fit() {
        assert_eq!(second(b"a.txt", 1), b"a (1).txt");
        assert_eq!(second(b"a.tar.gz", 12), b"a.tar (12).gz");
        assert_eq!(second(b".bashrc", 1), b".bashrc (1)");
        assert_eq!(second(b"a", 0), b"a");
        let long = second(&"\u{e9}".repeat(127).into_bytes(), 3);
        assert!(long.len() <= NAME_BYTES_MAX && std::str::from_utf8(&long).is_ok());
    }

    /// B-I: what replaces what, and that the name itself comes first.
    #[test]
    fn refused_names_have_other_spellings() {
        let cases: [(&[u8], &[&[u8]]); 9] = [
            (b"plain.txt", &[]),
            (b"a:b", &[b"a_b"]),
            (b"what?", &[b"what_"]),
            (b"dots. .", &[b"dots___"]),
            (b"new\nline\x7f", &[b"new_line_"]),
            (b"latin \xe9\xff", &[b"latin __"]),
            (b"con", &[b"con_"]),
            (b"NUL.tar.gz", &[b"NUL_.tar.gz"]),
            ("caf\u{e9}".as_bytes(), &[b"caf_"]),
        ];
        for (name, others) in cases {
            let found = spellings(name);
            assert_eq!(found[0], name);
            assert_eq!(&found[1..], others, "{}", name.escape_ascii());
        }
        let long = [&[b'n'; 240][..], b".jpeg"].concat();
        let short = [&[b'n'; SHORT_BYTES - 5][..], b".jpeg"].concat();
        assert_eq!(spellings(&long), [long.clone(), short.clone()]);
        assert_eq!(second(&short, 7).len(), SHORT_BYTES);
        assert_eq!(spellings(&[b'.'; 200])[1], [b'_'; 200]);
    }
}
