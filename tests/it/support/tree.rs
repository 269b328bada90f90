//! A tree on disk as a value: what a transfer must carry over, entry by entry.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Everything of an entry that counts, as text that a failed comparison shows well.
pub(crate) type Tree = BTreeMap<String, String>;

/// The entry at `root` and all below it.
pub(crate) fn describe(root: &Path) -> Tree {
    let mut tree = Tree::new();
    add(root, String::new(), &mut tree);
    tree
}

/// Shows only what differs.
#[track_caller]
pub(crate) fn assert_same(source: &Path, target: &Path) {
    let (here, there) = (describe(source), describe(target));
    let missing: Vec<_> =
        here.iter().filter(|(name, entry)| there.get(*name) != Some(entry)).collect();
    let foreign: Vec<_> =
        there.iter().filter(|(name, entry)| here.get(*name) != Some(entry)).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "expected {missing:#?}\nfound {foreign:#?}");
}

/// Sets the time of last modification; of a symlink, its own.
pub(crate) fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

fn add(path: &Path, name: String, tree: &mut Tree) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let time = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    let mode = metadata.mode() & 0o7777;
    let entry = if metadata.is_symlink() {
        format!("link {time} to {:?}", fs::read_link(path).unwrap())
    } else if metadata.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        entries.sort();
        for entry in entries {
            add(&path.join(&entry), format!("{name}/{}", shown(&entry)), tree);
        }
        format!("directory {mode:o} {time}")
    } else {
        let content = fs::read(path).unwrap();
        format!("file {mode:o} {time} {} bytes {}", content.len(), blake3::hash(&content))
    };
    tree.insert(name, entry);
}

fn shown(name: &OsStr) -> String {
    name.as_bytes().escape_ascii().to_string()
}

/// Names, kinds, contents and link targets alone: for a disk that keeps no modes or times.
#[track_caller]
pub(crate) fn assert_same_content(source: &Path, target: &Path) {
    let contents = |root: &Path| -> Tree {
        let without = |entry: &str| {
            let mut words = entry.split(' ');
            let kind = words.next().unwrap().to_owned();
            let skipped = if kind == "link" { 1 } else { 2 };
            words.skip(skipped).fold(kind, |text, word| format!("{text} {word}"))
        };
        describe(root).into_iter().map(|(name, entry)| (name, without(&entry))).collect()
    };
    let (here, there) = (contents(source), contents(target));
    let differ = |one: &Tree, other: &Tree| -> Vec<_> {
        let differs = |(name, entry): &(&String, &String)| other.get(*name) != Some(*entry);
        one.iter().filter(differs).map(|(name, entry)| format!("{name} {entry}")).collect()
    };
    assert_eq!(differ(&here, &there), differ(&there, &here), "source, then target");
}
