//! What lies in a target, damaged by anything: it opens as what it is or not at all, and nothing of it is believed that
//! would cost memory.

use crate::support::target_options::target_options;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use rejoin::fs::{Directory, read_file, replace_file};
use rejoin::store::TargetStore;
use rejoin::store::memory::MemoryDisk;
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{TargetRequest, UnitContent};
use rejoin::transfer::manifest::{Entry, EntryKind, ModifiedTime, Page};
use rejoin::transfer::merge;
use rejoin::wire::SessionId;
use std::cell::RefCell;

const SESSION: SessionId = SessionId([7; 16]);

thread_local! {
    /// A target with a page and a unit of a large file, made once.
    static BEGUN: RefCell<Option<MemoryDisk>> = const { RefCell::new(None) };
}

fn begun() -> MemoryDisk {
    BEGUN.with_borrow_mut(|begun| begun.get_or_insert_with(begin).fork())
}

fn begin() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut store, _) =
        TargetStore::open(disk.root(), target_options(SESSION)).expect("an empty target");
    let kind = EntryKind::File { bytes: UNIT_BYTES + 9 };
    let modified = ModifiedTime { seconds: 5, nanoseconds: 0 };
    let entry =
        Entry { parent: None, name: b"f".to_vec(), kind, mode: 0o644, modified, supersedes: None };
    let page = Page { number: 0, first_entry: 0, entries: vec![entry] };
    let encoded = Bytes::from(page.encode().expect("small"));
    store.handle(TargetRequest::KeepPage { number: 0, encoded });
    let content = vec![3; UNIT_BYTES as usize];
    let value = merge::unit_value([&content[..]], 0, UNIT_BYTES + 9);
    let unit = UnitContent::Part { entry: 0, offset: 0, file_bytes: UNIT_BYTES + 9, value };
    let payload = vec![Bytes::from(content)];
    store.handle(TargetRequest::Write { unit: 0, content: unit, payload });
    store.handle(TargetRequest::Barrier { publish: Vec::new() });
    disk
}

pub(super) fn run(data: &[u8]) {
    let _ = follow(&mut Unstructured::new(data));
}

fn follow(input: &mut Unstructured<'_>) -> Result<()> {
    let disk = begun();
    let home = disk
        .root()
        .open_directory(b".rejoin")
        .and_then(|directory| directory.open_directory(SESSION.to_string().as_bytes()))
        .expect("the session's directory");
    let mut names: Vec<Vec<u8>> = disk
        .tree()
        .into_keys()
        .filter_map(|path| {
            let prefix = format!(".rejoin/{SESSION}/");
            path.strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec)
        })
        .filter(|name| !name.is_empty() && !name.contains(&b'/'))
        .collect();
    names.sort();
    let name = names[input.choose_index(names.len())?].clone();
    let mut content = read_file(&home, &name, usize::MAX).expect("there").expect("there");
    for _ in 0..input.int_in_range(1..=4)? {
        damage(input, &mut content)?;
    }
    replace_file(&home, &name, &content).expect("a disk in memory");

    disk.restart();
    if let Ok((_, state)) = TargetStore::open(disk.root(), target_options(SESSION)) {
        assert!(state.pages <= 2, "{} pages", state.pages);
        assert!(state.units.as_slice().len() <= 8, "{:?}", state.units);
        // A second look is as good as the first.
        let (units, pages) = (state.units.clone(), state.pages);
        disk.restart();
        let (_, again) =
            TargetStore::open(disk.root(), target_options(SESSION)).expect("opened a moment ago");
        assert_eq!((again.units, again.pages), (units, pages));
    }
    Ok(())
}

fn damage(input: &mut Unstructured<'_>, content: &mut Vec<u8>) -> Result<()> {
    let at = input.choose_index(content.len() + 1)?;
    match input.int_in_range(0..=4)? {
        0 => {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= input.int_in_range(1..=255)?;
            }
        }
        1 => content.truncate(at),
        2 => {
            let length = input.int_in_range(0..=64)?;
            let more = input.bytes(length.min(input.len()))?;
            content.splice(at..at, more.iter().copied());
        }
        3 => {
            // A piece of it again, somewhere else.
            let from = input.choose_index(content.len() + 1)?;
            let to = content.len().min(from + input.int_in_range(0..=128)?);
            let piece = content[from..to].to_vec();
            content.splice(at..at, piece);
        }
        _ => {
            let length = input.int_in_range(0..=64)?;
            content.resize(content.len() + length, 0);
        }
    }
    Ok(())
}
