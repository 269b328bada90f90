//! The demo's tree: a bit of everything that trees hold, and the comparison of two of them.

use std::fs;
use std::io;
use std::path::Path;

/// Large enough to be killed half-way, small enough for a second.
const LARGE_BYTES: usize = 32 << 20;

/// Makes the tree at `root`; returns the bytes in its files.
pub(super) fn create(root: &Path) -> io::Result<u64> {
    for directory in ["", "holiday", "holiday/beach", "empty"] {
        fs::create_dir(root.join(directory))?;
    }
    let files: [(&str, Vec<u8>); 5] = [
        ("holiday/large.raw", noise(LARGE_BYTES)),
        ("holiday/beach/🦀 crab.txt", b"sideways\n".to_vec()),
        ("holiday/beach/wave.jpg", noise(70_001)),
        ("notes.txt", b"read me\n".repeat(100)),
        ("nothing", Vec::new()),
    ];
    let mut bytes = 0;
    for (name, content) in files {
        fs::write(root.join(name), &content)?;
        bytes += content.len() as u64;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("notes.txt", root.join("latest"))?;
    Ok(bytes)
}

/// Entries below `source`, all of which are the same below `target`, which has no others.
pub(super) fn compare(source: &Path, target: &Path) -> io::Result<u64> {
    let names = names(source)?;
    if names != self::names(target)? {
        return Err(differs(target));
    }
    let mut entries = 0;
    for name in names {
        let (here, there) = (source.join(&name), target.join(&name));
        let (kind, other) = (fs::symlink_metadata(&here)?, fs::symlink_metadata(&there)?);
        if kind.file_type() != other.file_type() {
            return Err(differs(&there));
        }
        entries += 1;
        if kind.is_dir() {
            entries += compare(&here, &there)?;
        } else if kind.is_symlink() {
            if fs::read_link(&here)? != fs::read_link(&there)? {
                return Err(differs(&there));
            }
        } else if fs::read(&here)? != fs::read(&there)? {
            return Err(differs(&there));
        }
    }
    Ok(entries)
}

fn names(directory: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let names = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn differs(path: &Path) -> io::Error {
    io::Error::other(format!("{} is not what was sent", path.display()))
}

/// Bytes that do not compress, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(b"rejoin demo").finalize_xof().fill(&mut noise);
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        assert_eq!(create(&one).unwrap(), create(&other).unwrap());
        (directory, one, other)
    }

    #[test]
    fn a_tree_equals_itself() {
        let (_directory, one, other) = pair();
        let expected = if cfg!(unix) { 9 } else { 8 };
        assert_eq!(compare(&one, &other).unwrap(), expected);
    }

    #[test]
    fn every_difference_is_found() {
        let changes: [fn(&Path) -> io::Result<()>; 5] = [
            |root| fs::write(root.join("holiday/beach/wave.jpg"), b"x"),
            |root| fs::write(root.join("more"), b""),
            |root| fs::remove_dir(root.join("empty")),
            |root| {
                fs::remove_file(root.join("nothing"))
                    .and_then(|()| fs::create_dir(root.join("nothing")))
            },
            |root| {
                let large = root.join("holiday/large.raw");
                let mut content = fs::read(&large)?;
                content[LARGE_BYTES - 1] ^= 1;
                fs::write(large, content)
            },
        ];
        for change in changes {
            let (_directory, one, other) = pair();
            change(&other).unwrap();
            assert!(compare(&one, &other).is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_elsewhere_is_found() {
        let (_directory, one, other) = pair();
        fs::remove_file(other.join("latest")).unwrap();
        std::os::unix::fs::symlink("nothing", other.join("latest")).unwrap();
        assert!(compare(&one, &other).is_err());
    }
}
