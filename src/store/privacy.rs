//! What is ours alone, as far as that can be known (I-06).
//!
//! | the directory | the file system keeps modes and owners | it makes them up |
//! | --- | --- | --- |
//! | made a moment ago, and closed | used | used |
//! | made a moment ago, and open | refused: not the one that we made | used, with a warning |
//! | was there, ours and closed | used | used |
//! | was there, open or another's | refused: who prepared it may change what is in it | used if it is empty or has our mark |
//!
//! Whether modes are kept is tried with a new file, by its handle: nobody can put another one in its place. Our mark is a
//! file with a number, sealed with a key of the state directory, so that no one else can make it.

use crate::fs::{
    Directory, File, FileKind, Metadata, create_once, ensure_directory, read_file,
    remove_if_present,
};
use std::io;

/// The file that says that we made the directory that it lies in.
pub(super) const MARK: &[u8] = b"maker";

/// The file that modes are tried with.
const PROBE: &[u8] = b"probe";

const NUMBER_BYTES: usize = 16;
const MARK_BYTES: usize = NUMBER_BYTES + 32;

/// A directory of ours.
pub(super) struct Own<D> {
    pub(super) directory: D,
    /// Whether this call made it.
    pub(super) is_made: bool,
    /// Whether others can use it, whatever we do.
    pub(super) is_open: bool,
}

/// Why there is none.
pub(super) enum Refused {
    /// As the system says.
    Disk(io::Error),
    /// Owned or writable by somebody else.
    Foreign,
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Opens or makes a directory of ours; nothing is left of one that is refused.
///
/// # Errors
/// [`Refused`].
pub(super) fn own_directory<D: Directory>(
    parent: &D,
    name: &[u8],
    key: &[u8; 32],
) -> Result<Own<D>, Refused> {
    let (directory, is_made) = ensure_directory(parent, name, 0o700)?;
    let outcome = claim(&directory, name, is_made, key);
    if is_made && outcome.is_err() {
        // What is in it by now is somebody else's.
        let _ = parent.remove_directory(name);
    }
    Ok(Own { directory, is_made, is_open: outcome? })
}

/// Whether a directory that shall be ours is open to others all the same.
fn claim<D: Directory>(
    directory: &D,
    name: &[u8],
    is_made: bool,
    key: &[u8; 32],
) -> Result<bool, Refused> {
    if is_closed(&directory.own_metadata()?) {
        return Ok(false);
    }
    if is_made && directory.set_mode(0o700).is_ok() && is_closed(&directory.own_metadata()?) {
        return Ok(false);
    }
    if keeps_modes(directory).unwrap_or(true) {
        return Err(Refused::Foreign);
    }
    let is_marked = is_marked(directory, key)?;
    if !is_made && !is_marked && !directory.names()?.is_empty() {
        return Err(Refused::Foreign);
    }
    if !is_marked {
        mark(directory, name, key)?;
    }
    Ok(true)
}

const fn is_closed(metadata: &Metadata) -> bool {
    metadata.is_ours && metadata.mode & 0o022 == 0
}

/// Whether the file system keeps the modes and owners of what is made in `directory`.
///
/// # Errors
/// As the system says.
pub(super) fn keeps_modes<D: Directory>(directory: &D) -> io::Result<bool> {
    remove_if_present(directory, PROBE)?;
    let file = directory.create_file(PROBE, 0o600)?;
    let looks = |mode: u32| -> io::Result<bool> {
        let metadata = file.metadata()?;
        Ok(metadata.is_ours && metadata.mode & 0o777 == mode)
    };
    let outcome = (|| {
        if !looks(0o600)? {
            return Ok(false);
        }
        // One that refuses has at least given the mode that it was made with.
        Ok(match file.set_mode(0o640) {
            Ok(()) => looks(0o640)?,
            Err(_) => true,
        })
    })();
    remove_if_present(directory, PROBE)?;
    outcome
}

fn is_marked<D: Directory>(directory: &D, key: &[u8; 32]) -> io::Result<bool> {
    match directory.metadata(MARK) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        outcome => {
            if outcome?.kind != FileKind::File {
                return Ok(false);
            }
        }
    }
    let Ok(Some(found)) = read_file(directory, MARK, MARK_BYTES) else { return Ok(false) };
    let Some((number, seal)) = found.split_first_chunk::<NUMBER_BYTES>() else { return Ok(false) };
    // Compared in constant time.
    Ok(<[u8; 32]>::try_from(seal).is_ok_and(|seal| blake3::keyed_hash(key, number) == seal))
}

fn mark<D: Directory>(directory: &D, name: &[u8], key: &[u8; 32]) -> io::Result<()> {
    let mut number = [0; NUMBER_BYTES];
    number.copy_from_slice(&blake3::keyed_hash(key, name).as_bytes()[..NUMBER_BYTES]);
    remove_if_present(directory, MARK)?;
    let file = directory.create_file(MARK, 0o600)?;
    file.write_at(&[&number, blake3::keyed_hash(key, &number).as_bytes()], 0)
}

/// Removes what is kept in a directory of ours besides its content.
///
/// # Errors
/// As the system says.
pub(super) fn unmark<D: Directory>(directory: &D) -> io::Result<()> {
    remove_if_present(directory, PROBE)?;
    remove_if_present(directory, MARK)
}

/// The key that marks are sealed with: the one stored in `directory`, or `fresh`, which is stored then.
///
/// # Errors
/// As the system says.
pub(super) fn key<D: Directory>(
    directory: &D,
    name: &[u8],
    fresh: [u8; 32],
) -> io::Result<[u8; 32]> {
    create_once(directory, name, fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::{MemoryDisk, Nature};

    fn claimed(disk: &MemoryDisk, key: u8) -> Option<bool> {
        own_directory(&disk.root(), b".rejoin", &[key; 32]).ok().map(|own| own.is_open)
    }

    /// D: made-up modes and owners are no reason to refuse what we made, at once or in a later run.
    #[test]
    fn what_we_made_is_used_where_modes_are_made_up() {
        for nature in [
            Nature { made_up_mode: Some(0o777), ..Nature::default() },
            Nature { made_up_mode: Some(0o777), mode_error: Some(1), ..Nature::default() },
            Nature { is_foreign: true, ..Nature::default() },
        ] {
            let disk = MemoryDisk::new();
            disk.set_nature(nature);
            assert_eq!(claimed(&disk, 1), Some(true));
            let home = disk.root().open_directory(b".rejoin").expect("made");
            home.create_directory(b"session", 0o700).expect("made");
            assert_eq!(claimed(&disk, 1), Some(true), "a later run");
            assert_eq!(claimed(&disk, 2), None, "of another state directory");
            home.remove_file(MARK).expect("there");
            assert_eq!(claimed(&disk, 1), None, "prepared by somebody else");
            home.remove_directory(b"session").expect("there");
            assert_eq!(claimed(&disk, 1), Some(true), "empty");
        }
    }

    /// I-06: where modes are kept, what is open to others is theirs.
    #[test]
    fn an_open_directory_is_refused_where_modes_are_kept() {
        let disk = MemoryDisk::new();
        disk.root().create_directory(b".rejoin", 0o777).expect("made");
        assert_eq!(claimed(&disk, 1), None);
        let left: Vec<_> = disk.tree().into_keys().collect();
        assert_eq!(left, [b".rejoin/".to_vec()]);
        assert_eq!(claimed(&MemoryDisk::new(), 1), Some(false));
    }
}
