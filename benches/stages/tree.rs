//! Manifests to measure with.

use rejoin::transfer::manifest::{Entry, EntryKind, ModifiedTime, PAGE_ENTRIES_MAX, Page};

/// Entries of a directory, itself included.
const DIRECTORY_ENTRIES: u64 = 100;

/// The pages of a tree of `entries`, as a scan makes them: two levels of directories, 99 files in each of the lower ones,
/// all of `file_bytes` and named by `name`.
pub(crate) fn pages(entries: u64, file_bytes: u64, name: impl Fn(u64) -> String) -> Vec<Page> {
    let entries: Vec<Entry> = (0..entries)
        .map(|index| match index {
            0 => entry(None, "photographs".to_owned(), EntryKind::Directory),
            _ if index % DIRECTORY_ENTRIES == 1 => {
                entry(Some(0), format!("album-{index:07}"), EntryKind::Directory)
            }
            _ => {
                let directory = (index - 1) / DIRECTORY_ENTRIES * DIRECTORY_ENTRIES + 1;
                entry(Some(directory), name(index), EntryKind::File { bytes: file_bytes })
            }
        })
        .collect();
    entries
        .chunks(PAGE_ENTRIES_MAX)
        .enumerate()
        .map(|(number, entries)| Page {
            number: number as u64,
            first_entry: (number * PAGE_ENTRIES_MAX) as u64,
            entries: entries.to_vec(),
        })
        .collect()
}

/// A name of twenty bytes: a page is full by its entries long before it is by its bytes.
pub(crate) fn plain_name(index: u64) -> String {
    format!("picture-{index:08}.jpg")
}

fn entry(parent: Option<u64>, name: String, kind: EntryKind) -> Entry {
    Entry {
        parent,
        name: name.into_bytes(),
        kind,
        mode: 0o644,
        modified: ModifiedTime { seconds: 1_790_000_000, nanoseconds: 123_456_789 },
        supersedes: None,
    }
}
