//! Files of ours that have other names, too: a snapshot by hard links was made of them (`cp -al`), and stays as it is.

use super::log::RENEWED;
use super::payload::extents;
use crate::fs::{Access, Directory, File, Metadata, SyncPoint, read_exact_at, remove_if_present};
use std::io;

/// Bytes copied at once.
const SLICE_BYTES: u64 = 1 << 20;

/// Puts a copy in the place of a file, with its mode and time, if it has other names; `found` is what it is.
///
/// # Errors
/// As the system says; then it is as it was.
pub(super) fn unshare<D: Directory>(
    directory: &D,
    name: &[u8],
    found: &Metadata,
) -> io::Result<()> {
    if found.links < 2 {
        return Ok(());
    }
    let own = [name, RENEWED].concat();
    remove_if_present(directory, &own)?;
    let copied = (|| {
        let from = directory.open_file(name, Access::Read)?;
        let to = directory.create_file(&own, 0o600)?;
        to.set_bytes(found.bytes)?;
        copy(&from, &to, found.bytes)?;
        // What a file system does not take of these is looked at again when the file is published.
        let _ = to.set_modified(found.modified).and_then(|()| to.set_mode(found.mode & 0o777));
        to.sync_all(SyncPoint::Partial)?;
        directory.rename(&own, directory, name)
    })();
    if copied.is_err() {
        let _ = remove_if_present(directory, &own);
    }
    copied
}

/// Copies the first bytes of a file into one that is as long and holds nothing; what is zero stays a hole.
///
/// # Errors
/// As the system says; `UnexpectedEof` if there are fewer.
pub(super) fn copy<F: File>(from: &F, to: &F, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(SLICE_BYTES.min(bytes)).unwrap_or(0)];
    let mut offset = 0;
    while offset < bytes {
        let slice = &mut buffer[..usize::try_from((bytes - offset).min(SLICE_BYTES)).unwrap_or(0)];
        read_exact_at(from, slice, offset)?;
        for (range, is_data) in extents(slice) {
            if is_data {
                to.write_at(&[&slice[range.clone()]], offset + range.start as u64)?;
            }
        }
        offset += slice.len() as u64;
    }
    Ok(())
}
