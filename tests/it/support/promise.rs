//! A tree as a sender promises it, and a receiver that asks the target's store for all of it, as the machines would.

use bytes::Bytes;
use rejoin::fs::Directory;
use rejoin::store::memory::MemoryDisk;
use rejoin::store::{SourceRoots, SourceStore, TargetStore, source};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{
    DirectoryMetadata, DiskError, FileMetadata, OnConflict, Publish, PublishKind, Published,
    ScanReport, SourceFile, SourceReply, SourceRequest, TargetReply, TargetRequest, TargetState,
    UnitContent,
};
use rejoin::transfer::layout::{Layout, Segment};
use rejoin::transfer::manifest::{
    DirectoryTable, EntryIndex, EntryKind, Page, PageCheck, RelativePath,
};
use rejoin::transfer::merge::{Value, root};
use rejoin::wire::SessionId;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const SESSION: SessionId = SessionId([0x5e; 16]);

/// Everything that a sender would send.
#[derive(Clone, Default)]
pub(crate) struct Promise {
    pub(crate) pages: Vec<Bytes>,
    pub(crate) units: Vec<Unit>,
    pub(crate) publish: BTreeMap<EntryIndex, Publish>,
    pub(crate) directories: Vec<(EntryIndex, DirectoryMetadata)>,
    pub(crate) left_out: Vec<rejoin::transfer::missing::LeftOut>,
}

#[derive(Clone)]
pub(crate) struct Unit {
    pub(crate) unit: u64,
    pub(crate) content: UnitContent,
    pub(crate) payload: Vec<Bytes>,
}

impl Unit {
    pub(crate) fn write(&self) -> TargetRequest {
        TargetRequest::Write {
            unit: self.unit,
            content: self.content.clone(),
            payload: self.payload.clone(),
        }
    }

    /// (entry, offset, value) of each piece of a file.
    pub(crate) fn pieces(&self) -> Vec<(EntryIndex, u64, Value)> {
        match &self.content {
            UnitContent::Part { entry, offset, value, .. } => vec![(*entry, *offset, *value)],
            UnitContent::Pack { files, .. } => {
                files.iter().map(|(entry, file)| (*entry, 0, file.root)).collect()
            }
        }
    }
}

/// Scans and reads all of `roots`.
pub(crate) fn promise<D: Directory>(roots: &SourceRoots<D>, session_directory: &D) -> Promise {
    let (mut scan, mut store) =
        source::open(roots, session_directory, SESSION).expect("a fresh session");
    let mut promise = Promise::default();
    let (mut check, mut table, mut next_unit) = (PageCheck::new(), DirectoryTable::new(), 0);
    while let Some(report) = scan.next_report() {
        match report {
            ScanReport::Page(stored) => {
                let page = Page::decode(&stored.encoded).expect("a page");
                let verdicts = check.check(&page).expect("a page that follows");
                assert!(verdicts.iter().all(Result::is_ok), "{verdicts:?}");
                table.add_page(&page);
                let files: BTreeMap<EntryIndex, SourceFile> = page
                    .iter()
                    .zip(&stored.stamps)
                    .filter_map(|((entry, content), stamp)| {
                        let file = SourceFile {
                            entry,
                            path: table.path(content)?,
                            stamp: (*stamp)?,
                            is_retried: false,
                        };
                        Some((entry, file))
                    })
                    .collect();
                let layout = Layout::new(&page, &verdicts, next_unit);
                next_unit = layout.end_unit;
                let mut values: BTreeMap<EntryIndex, Vec<Value>> = BTreeMap::new();
                for segment in &layout.segments {
                    for unit in read_segment(&mut store, segment, &page, &files) {
                        for (entry, _, value) in unit.pieces() {
                            values.entry(entry).or_default().push(value);
                        }
                        promise.units.push(unit);
                    }
                }
                for (index, entry) in page.iter() {
                    promise.add(index, entry, table.path(entry).expect("known"), &values);
                }
                promise.pages.push(stored.encoded);
            }
            ScanReport::LeftOut(left_out) => promise.left_out.push(left_out),
            ScanReport::End { pages, .. } => assert_eq!(pages, promise.pages.len() as u64),
            ScanReport::Failed(error) => panic!("{error}"),
        }
    }
    promise
}

fn read_segment<D: Directory>(
    store: &mut SourceStore<D>,
    segment: &Segment,
    page: &Page,
    files: &BTreeMap<EntryIndex, SourceFile>,
) -> Vec<Unit> {
    match segment {
        Segment::File { entry, bytes, first_unit } => (*first_unit..)
            .zip((0..*bytes).step_by(UNIT_BYTES as usize))
            .map(|(unit, offset)| {
                let reply = store.handle(SourceRequest::ReadPart {
                    unit,
                    file: files[entry].clone(),
                    offset,
                    bytes: (bytes - offset).min(UNIT_BYTES),
                });
                let SourceReply::Part { content: Ok((frames, value)), .. } = reply else {
                    panic!("{reply:?}");
                };
                Unit {
                    unit,
                    content: UnitContent::Part { entry: *entry, offset, file_bytes: *bytes, value },
                    payload: payload(&frames),
                }
            })
            .collect(),
        Segment::Pack { unit, files: named } => {
            let files = named.iter().map(|(entry, _)| files[entry].clone()).collect();
            let reply = store.handle(SourceRequest::ReadPack { unit: *unit, files });
            let SourceReply::Pack { files, frames, .. } = reply else {
                panic!("{reply:?}");
            };
            let files: Vec<_> =
                files.into_iter().map(|(entry, file)| (entry, file.expect("readable"))).collect();
            let metadata = files
                .iter()
                .filter_map(|(entry, _)| page.entry(*entry))
                .map(FileMetadata::from)
                .collect();
            vec![Unit {
                unit: *unit,
                content: UnitContent::Pack { files, metadata },
                payload: payload(&frames),
            }]
        }
    }
}

pub(crate) fn payload(frames: &[Bytes]) -> Vec<Bytes> {
    frames.iter().map(|frame| frame.slice(1..)).collect()
}

impl Promise {
    fn add(
        &mut self,
        index: EntryIndex,
        entry: &rejoin::transfer::manifest::Entry,
        path: RelativePath,
        values: &BTreeMap<EntryIndex, Vec<Value>>,
    ) {
        let kind = match &entry.kind {
            EntryKind::Gone | EntryKind::Metadata { .. } => return,
            EntryKind::Directory => {
                let metadata =
                    DirectoryMetadata { path, mode: entry.mode, modified: entry.modified };
                self.directories.push((index, metadata));
                return;
            }
            EntryKind::File { bytes } => PublishKind::File {
                bytes: *bytes,
                root: root(&values[&index]).expect("it has units"),
                recheck: Vec::new(),
            },
            EntryKind::Symlink { target } => PublishKind::Symlink { target: target.clone() },
        };
        let publish = Publish {
            entry: index,
            path,
            kind,
            mode: entry.mode,
            modified: entry.modified,
            on_conflict: OnConflict::Fail,
            replaces: None,
        };
        self.publish.insert(index, publish);
    }

    /// Only these units, in this order, and what they complete.
    pub(crate) fn only(&self, units: &[u64]) -> Self {
        let mut part = self.clone();
        let unit = |number: &u64| self.units.iter().find(|unit| unit.unit == *number).cloned();
        part.units = units.iter().filter_map(unit).collect();
        let held: BTreeSet<(EntryIndex, u64)> =
            part.units.iter().flat_map(Unit::pieces).map(|piece| (piece.0, piece.1)).collect();
        let all: Vec<_> = self.units.iter().flat_map(Unit::pieces).collect();
        part.publish.retain(|entry, _| {
            all.iter()
                .filter(|piece| piece.0 == *entry)
                .all(|piece| held.contains(&(piece.0, piece.1)))
        });
        part
    }

    pub(crate) fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        for publish in self.publish.values_mut() {
            publish.on_conflict = on_conflict;
        }
        self
    }
}

/// What a run of the receiver did.
#[derive(Default, Debug)]
pub(crate) struct Run {
    /// Units that a barrier covers: acknowledged.
    pub(crate) acknowledged: BTreeSet<u64>,
    /// Units written in this run.
    pub(crate) written: Vec<u64>,
    pub(crate) published: BTreeMap<EntryIndex, Published>,
    pub(crate) rotten: Vec<(EntryIndex, u64)>,
    /// Where it runs, if it is to note when it acknowledged what.
    pub(crate) disk: Option<MemoryDisk>,
    /// Operations of the disk by then, and a unit that was acknowledged.
    pub(crate) notes: Vec<(u64, u64)>,
}

impl Run {
    fn acknowledge(&mut self, units: impl IntoIterator<Item = u64>) {
        let operations = self.disk.as_ref().map_or(0, MemoryDisk::operations);
        for unit in units {
            if self.acknowledged.insert(unit) {
                self.notes.push((operations, unit));
            }
        }
    }
}

/// Asks `store` for all that `state` lacks of `promise`, with a barrier after every `every` units.
pub(crate) fn receive<D: Directory>(
    store: &mut TargetStore<D>,
    state: &TargetState,
    promise: &Promise,
    every: usize,
    run: &mut Run,
) -> Result<(), DiskError> {
    if state.is_finished {
        return Ok(());
    }
    receive_files(store, state, promise, every, run)?;
    let directories = promise.directories.clone();
    let reply = ask(store, TargetRequest::Finish { directories, is_whole: true })?;
    assert_eq!(reply, Some(TargetReply::Finished));
    Ok(())
}

/// The same without its end, so that another run may follow.
pub(crate) fn receive_files<D: Directory>(
    store: &mut TargetStore<D>,
    state: &TargetState,
    promise: &Promise,
    every: usize,
    run: &mut Run,
) -> Result<(), DiskError> {
    for (number, encoded) in (0_u64..).zip(&promise.pages).skip(state.pages as usize) {
        let encoded = encoded.clone();
        ask(store, TargetRequest::KeepPage { number, encoded })?;
    }
    let directories = promise
        .directories
        .iter()
        .map(|(entry, directory)| (*entry, directory.path.clone(), directory.mode))
        .collect();
    ask(store, TargetRequest::CreateDirectories { directories })?;
    // (entry, offset) of what is written, and whether an earlier run did it.
    let mut held: BTreeMap<(EntryIndex, u64), bool> = BTreeMap::new();
    let mut open: BTreeSet<EntryIndex> = promise.publish.keys().copied().collect();
    open.retain(|entry| !state.complete.contains(*entry));
    let mut todo: Vec<&Unit> = Vec::new();
    let mut kept = Vec::new();
    for unit in &promise.units {
        if state.units.contains(unit.unit) {
            kept.push(unit.unit);
            held.extend(unit.pieces().iter().map(|piece| ((piece.0, piece.1), true)));
        } else {
            todo.push(unit);
        }
    }
    for _ in 0..4 {
        for units in todo.chunks(every).chain([&[][..]]) {
            // Published one barrier after they are written, so that each is also made durable under its first name.
            let publish = ready(promise, &held, &open);
            for unit in units {
                let reply = ask(store, unit.write())?;
                assert_eq!(reply, Some(TargetReply::Written { unit: unit.unit }));
                run.written.push(unit.unit);
                held.extend(unit.pieces().iter().map(|piece| ((piece.0, piece.1), false)));
            }
            barrier(store, publish, &mut held, &mut open, run)?;
            run.acknowledge(units.iter().map(|unit| unit.unit).chain(kept.drain(..)));
        }
        if open.is_empty() {
            break;
        }
        let is_missing = |unit: &&Unit| {
            unit.pieces().iter().any(|(entry, offset, _)| !held.contains_key(&(*entry, *offset)))
        };
        todo = promise.units.iter().filter(is_missing).collect();
    }
    assert_eq!(open, BTreeSet::new(), "not published");
    Ok(())
}

/// What is written and not published yet.
fn ready(
    promise: &Promise,
    held: &BTreeMap<(EntryIndex, u64), bool>,
    open: &BTreeSet<EntryIndex>,
) -> Vec<Publish> {
    let mut publish = Vec::new();
    for entry in open {
        let mut one = promise.publish[entry].clone();
        let pieces: Vec<(EntryIndex, u64, Value)> =
            promise.units.iter().flat_map(Unit::pieces).filter(|piece| piece.0 == *entry).collect();
        if !pieces.iter().all(|piece| held.contains_key(&(piece.0, piece.1))) {
            continue;
        }
        if let PublishKind::File { recheck, .. } = &mut one.kind {
            *recheck = pieces
                .iter()
                .filter(|piece| held[&(piece.0, piece.1)])
                .map(|piece| (piece.1, piece.2))
                .collect();
        }
        publish.push(one);
    }
    publish
}

fn barrier<D: Directory>(
    store: &mut TargetStore<D>,
    publish: Vec<Publish>,
    held: &mut BTreeMap<(EntryIndex, u64), bool>,
    open: &mut BTreeSet<EntryIndex>,
    run: &mut Run,
) -> Result<(), DiskError> {
    let reply = ask(store, TargetRequest::Barrier { publish })?;
    let Some(TargetReply::BarrierDone { published }) = reply else {
        panic!("{reply:?}");
    };
    for (entry, outcome) in published {
        if let Published::Rotten { offsets } = &outcome {
            for offset in offsets {
                held.remove(&(entry, *offset));
                run.rotten.push((entry, *offset));
            }
        } else {
            open.remove(&entry);
        }
        run.published.insert(entry, outcome);
    }
    Ok(())
}

/// One request; a failed store is an error.
pub(crate) fn ask<D: Directory>(
    store: &mut TargetStore<D>,
    request: TargetRequest,
) -> Result<Option<TargetReply>, DiskError> {
    match store.handle(request) {
        Some(TargetReply::Full(error) | TargetReply::Failed(error)) => Err(error),
        reply => Ok(reply),
    }
}
