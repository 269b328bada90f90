//! A tree that comes and goes between the runs of a sender, some of which are killed between two pages.

use super::*;
use crate::fs::{ensure_directory, remove_if_present};
use crate::store::memory::{MemoryDirectory, MemoryDisk};
use crate::store::source::{self, SourceRoots, SourceStore};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What is done to the tree between two runs, at a path of at most three names.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    File(u8),
    Directory,
    Symlink(bool),
    /// Renamed out of the tree: it comes back as it was.
    Away,
    Back,
}

#[derive(Clone, Debug)]
struct Run {
    changes: Vec<(Vec<u8>, Change)>,
    page_entries: usize,
    /// Reports until it is killed.
    killed_after: Option<usize>,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let path = prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b')], 1..=3);
    let change = prop_oneof![
        Just(Change::Remove),
        (0..3_u8).prop_map(Change::File),
        Just(Change::Directory),
        any::<bool>().prop_map(Change::Symlink),
        Just(Change::Away),
        Just(Change::Back),
    ];
    let changes = prop::collection::vec((path, change), 0..6);
    let run = (changes, 1..4_usize, prop::option::of(0..12_usize)).prop_map(
        |(changes, page_entries, killed_after)| Run { changes, page_entries, killed_after },
    );
    prop::collection::vec(run, 1..8)
}

fn remove(directory: &MemoryDirectory, name: &[u8]) {
    if let Ok(below) = directory.open_directory(name) {
        below.names().expect("a directory").iter().for_each(|name| remove(&below, name));
        directory.remove_directory(name).expect("empty");
    } else {
        remove_if_present(directory, name).expect("a file");
    }
}

fn apply(root: &MemoryDirectory, path: &[u8], change: &Change) {
    let stash = root.open_directory(b"stash").expect("there");
    let (name, above) = path.split_last().expect("a name");
    let mut directory = root.open_directory(b"tree").expect("there");
    for name in above {
        if directory.open_directory(&[*name]).is_err() {
            remove(&directory, &[*name]);
        }
        directory = ensure_directory(&directory, &[*name], 0o755).expect("made").0;
    }
    let name = &[*name];
    match change {
        Change::Away => {
            remove(&stash, path);
            let _nothing_there = directory.rename(name, &stash, path);
            return;
        }
        Change::Back if stash.metadata(path).is_err() => return,
        Change::Remove
        | Change::File(_)
        | Change::Directory
        | Change::Symlink(_)
        | Change::Back => remove(&directory, name),
    }
    match change {
        Change::Remove | Change::Away => {}
        Change::Back => stash.rename(path, &directory, name).expect("back"),
        Change::File(content) => {
            let file = directory.create_file(name, 0o644).expect("new");
            file.write_at(&[&vec![b'x'; (*content).into()]], 0).expect("written");
        }
        Change::Directory => directory.create_directory(name, 0o755).expect("new"),
        Change::Symlink(to) => {
            directory.create_symlink(name, if *to { b"to" } else { b"other" }).expect("new");
        }
    }
}

/// Paths with what is there: a file by its size, a symlink by its target.
type Listing = BTreeMap<Vec<u8>, EntryKind>;

fn list(directory: &MemoryDirectory, path: &RelativePath, listing: &mut Listing) {
    for name in directory.names().expect("a directory") {
        let (path, metadata) = (path.join(&name), directory.metadata(&name).expect("there"));
        let kind = match metadata.kind {
            FileKind::Directory => {
                list(&directory.open_directory(&name).expect("there"), &path, listing);
                EntryKind::Directory
            }
            FileKind::Symlink => {
                EntryKind::Symlink { target: directory.read_symlink(&name).expect("a link") }
            }
            FileKind::File | FileKind::Other => EntryKind::File { bytes: metadata.bytes },
        };
        listing.insert(path.as_bytes().to_vec(), kind);
    }
}

fn open(root: &MemoryDirectory) -> (Scan<MemoryDirectory>, SourceStore<MemoryDirectory>) {
    let roots = SourceRoots::from_parents([(root.clone(), vec![b"tree".to_vec()])]).expect("one");
    let session = root.open_directory(b"session").expect("there");
    source::open(&roots, &session, SessionId([1; 16])).expect("opened")
}

/// What the pages promise as of now, each path once; all of them pass one check.
fn promised(pages: &[StoredPage]) -> Listing {
    let (mut check, mut table) = (PageCheck::new(), DirectoryTable::new());
    let mut live = BTreeMap::new();
    for stored in pages {
        let page = Page::decode(&stored.encoded).expect("a page");
        assert!(check.check(&page).expect("a page that is taken").iter().all(Result::is_ok));
        table.add_page(&page);
        for (index, entry) in page.iter() {
            entry.supersedes.map(|old| live.remove(&old).expect("replaced once"));
            live.insert(index, (table.path(entry).expect("known"), entry.kind.clone()));
        }
    }
    let mut listing = Listing::new();
    for (path, kind) in live.into_values().filter(|(_, kind)| *kind != EntryKind::Gone) {
        assert_eq!(listing.insert(path.as_bytes().to_vec(), kind), None, "{path:?} twice");
    }
    listing
}

fn run(root: &MemoryDirectory, page_entries: usize, killed_after: Option<usize>) {
    let (mut scan, _store) = open(root);
    scan.page_entries = page_entries;
    let most = killed_after.unwrap_or(usize::MAX);
    let (mut pages, mut is_whole) = (Vec::new(), false);
    for report in std::iter::from_fn(|| scan.next_report()).take(most) {
        match report {
            ScanReport::Page(page) => pages.push(page),
            ScanReport::End { .. } => is_whole = true,
            ScanReport::LeftOut(_) | ScanReport::Failed(_) => panic!("{report:?}"),
        }
    }
    let promised = promised(&pages);
    if is_whole {
        let mut expected = Listing::new();
        let tree = root.open_directory(b"tree").expect("there");
        expected.insert(b"tree".to_vec(), EntryKind::Directory);
        list(&tree, &RelativePath::root().join(b"tree"), &mut expected);
        assert_eq!(promised, expected);
    }
}

fn new_root() -> MemoryDirectory {
    let root = MemoryDisk::new().root();
    for name in [&b"tree"[..], b"stash", b"session"] {
        root.create_directory(name, 0o755).expect("new");
    }
    root
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// B-Q: whatever comes, goes and comes back between the runs, and wherever a run is killed, all pages of all runs pass
    /// one check, and what they promise in the end is the tree of now.
    #[test]
    fn pages_of_any_runs_are_one_manifest_of_the_tree(runs in runs()) {
        let root = new_root();
        for Run { changes, page_entries, killed_after } in runs {
            changes.iter().for_each(|(path, change)| apply(&root, path, change));
            run(&root, page_entries, killed_after);
        }
        run(&root, 2, None);
        run(&root, 2, None);
    }
}

/// B-Q: a page that a receiver would refuse is not stored: the error names the entry, and the session goes on once its cause
/// is gone.
#[test]
fn a_bad_page_is_never_stored() {
    let root = new_root();
    apply(&root, b"ab", &Change::File(1));
    run(&root, 3, None);
    apply(&root, b"ab", &Change::File(2));
    let (mut scan, store) = open(&root);
    assert!(matches!(scan.next_report(), Some(ScanReport::Page(_))));
    // What the walk finds is compared with pages that were never stored.
    let mut known = Known::default();
    let gone = Entry { supersedes: None, ..gone(None, b"tree".to_vec(), 0) };
    known.add_page(&Page { number: 0, first_entry: 7, entries: vec![gone] }, &[None]);
    scan.known = known;
    let reports: Vec<ScanReport> = std::iter::from_fn(|| scan.next_report()).collect();
    let [ScanReport::Failed(error)] = &reports[..] else { panic!("{reports:?}") };
    assert!(error.path == "tree" && error.message.contains("--new"), "{error}");
    drop((scan, store));
    run(&root, 3, None);
}
