//! The simplest target that can be right: files in memory, and a journal that is simply state.
//!
//! A crash of the process loses nothing here; what it checks is the machines. The store has its own crash tests.

use super::model_source::{Node, Tree};
use bytes::Bytes;
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::completed::{Completed, bucket_entries};
use rejoin::transfer::disk::*;
use rejoin::transfer::manifest::*;
use rejoin::transfer::merge::{self, Value};
use rejoin::transfer::ranges::Ranges;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct ModelTarget {
    pub(crate) tree: Tree,
    /// Files that were there before, which count as different unless the content is what is wanted.
    pub(crate) foreign: Tree,
    pages: Vec<Bytes>,
    skipped: Ranges,
    units: Ranges,
    part_values: BTreeMap<u64, Value>,
    small: BTreeMap<EntryIndex, (u64, PackedFile, Vec<u8>)>,
    parts: BTreeMap<EntryIndex, Vec<u8>>,
    complete: Ranges,
    roots: BTreeMap<EntryIndex, Value>,
    /// Buckets whose roots the receiver keeps. By default none: all of them are always loaded.
    pub(crate) open_buckets: usize,
    /// Complete files whose content or recorded root is not what was promised.
    pub(crate) wrong: BTreeSet<EntryIndex>,
    finished: bool,
    /// Whether it was asked to finish, whole or not.
    pub(crate) has_ended: bool,
    /// The next write of this unit is told to be corrupt, so often.
    pub(crate) corrupt: BTreeMap<u64, u32>,
    /// Files of earlier runs whose bytes are not what they were.
    pub(crate) rotten: BTreeSet<Vec<u8>>,
    pub(crate) writes: u64,
    pub(crate) bytes_written: u64,
}

impl ModelTarget {
    pub(crate) fn state(&self) -> TargetState {
        TargetState {
            pages: self.pages.len() as u64,
            skipped: self.skipped.clone(),
            units: self.units.clone(),
            part_values: self.part_values.iter().map(|(unit, value)| (*unit, *value)).collect(),
            unpublished: self.small.iter().map(|(entry, (_, file, _))| (*entry, *file)).collect(),
            superseded: self
                .pages
                .iter()
                .flat_map(|page| Page::decode(page).expect("kept").entries)
                .filter_map(|entry| entry.supersedes)
                .collect(),
            succession: {
                let mut succession = Succession::default();
                self.pages
                    .iter()
                    .for_each(|page| succession.add_page(&Page::decode(page).expect("kept")));
                succession
            },
            rooted: Ranges::new(),
            complete: self.complete.clone(),
            renamed: Ranges::new(),
            roots: self.completed(),
            kept_bytes: 0,
            is_finished: self.finished,
        }
    }

    fn completed(&self) -> Completed {
        let mut completed = Completed::with_open(self.open_buckets);
        self.roots.iter().for_each(|(entry, root)| completed.insert(*entry, *root));
        // As a store finds them, in order: every digest is known.
        let unknown: Vec<u64> = completed.unknown().collect();
        unknown.into_iter().for_each(|bucket| completed.load(bucket, &self.roots_of(bucket)));
        completed
    }

    pub(crate) fn roots_of(&self, bucket: u64) -> Vec<(EntryIndex, Value)> {
        let roots = self.roots.range(bucket_entries(bucket));
        roots.map(|(entry, root)| (*entry, *root)).collect()
    }

    /// A unit of small files is gone from the disk.
    pub(crate) fn lose(&mut self, unit: u64) {
        self.units.remove(unit);
        self.small.retain(|_, (of, ..)| *of != unit);
    }

    /// What it recorded of a complete file is not what it is.
    pub(crate) fn record_wrongly(&mut self, entry: EntryIndex) {
        if let Some(root) = self.roots.get_mut(&entry)
            && self.wrong.insert(entry)
        {
            root[0] ^= 1;
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn handle(&mut self, request: TargetRequest) -> Option<TargetReply> {
        match request {
            TargetRequest::KeepPage { number, encoded } => {
                assert_eq!(number, self.pages.len() as u64, "pages are kept in order");
                self.pages.push(encoded);
                None
            }
            TargetRequest::Survey { page, wanted, .. } => {
                let existing =
                    wanted.iter().map(|wanted| (wanted.entry, self.survey(wanted))).collect();
                Some(TargetReply::Surveyed { page, existing })
            }
            TargetRequest::Decide { skipped, .. } => {
                skipped.iter().for_each(|entry| self.skipped.insert(entry));
                None
            }
            TargetRequest::Hash { page, files } => {
                let root = |path: &RelativePath| {
                    let path = path.as_bytes();
                    match self.tree.get(path).or_else(|| self.foreign.get(path)) {
                        Some(Node::File(content)) => Some(*blake3::hash(content).as_bytes()),
                        Some(Node::Directory | Node::Symlink(_)) | None => None,
                    }
                };
                let roots = files.iter().map(|(entry, path)| (*entry, root(path))).collect();
                Some(TargetReply::Hashed { page, roots })
            }
            TargetRequest::SetTimes { files } => {
                // They are as promised: from now on they are what was asked for.
                for (path, ..) in files {
                    if let Some(node) = self.foreign.remove(path.as_bytes()) {
                        self.tree.insert(path.as_bytes().to_vec(), node);
                    }
                }
                None
            }
            // It keeps no metadata.
            TargetRequest::SetMetadata { .. } => None,
            TargetRequest::CreateDirectories { directories } => {
                for (_, path, _) in directories {
                    self.tree.insert(path.as_bytes().to_vec(), Node::Directory);
                }
                Some(TargetReply::DirectoriesCreated { failed: Vec::new() })
            }
            TargetRequest::RemoveDirectories { directories } => {
                for (_, path) in directories {
                    let path = path.as_bytes();
                    let below = [path, b"/"].concat();
                    let is_empty = !self.tree.keys().any(|other| other.starts_with(&below));
                    if is_empty && self.tree.get(path) == Some(&Node::Directory) {
                        self.tree.remove(path);
                    }
                }
                None
            }
            TargetRequest::Write { unit, content, payload } => {
                Some(self.write(unit, content, &payload))
            }
            TargetRequest::Barrier { publish } => {
                let published = publish
                    .into_iter()
                    .map(|publish| (publish.entry, self.publish(publish)))
                    .collect();
                Some(TargetReply::BarrierDone { published })
            }
            TargetRequest::Discard { entry, units } => {
                self.parts.remove(&entry);
                for unit in units {
                    self.units.remove(unit);
                    self.part_values.remove(&unit);
                }
                self.complete.remove(entry);
                self.roots.remove(&entry);
                None
            }
            TargetRequest::Finish { is_whole, .. } => {
                (self.has_ended, self.finished) = (true, is_whole);
                Some(TargetReply::Finished)
            }
            TargetRequest::LoadPage { number } => {
                Some(TargetReply::Page { number, encoded: self.pages[number as usize].clone() })
            }
            TargetRequest::LoadRoots { bucket } => {
                Some(TargetReply::Roots { bucket, files: self.roots_of(bucket) })
            }
        }
    }

    fn survey(&self, wanted: &Wanted) -> Existing {
        let path = wanted.path.as_bytes();
        let is_file = matches!(self.tree.get(path), Some(Node::File(_) | Node::Symlink(_)));
        if wanted.supersedes.is_some() && is_file {
            return Existing::Superseded;
        }
        match (self.tree.get(path).or_else(|| self.foreign.get(path)), &wanted.kind) {
            (None, _) => Existing::Absent,
            (Some(Node::Directory), WantedKind::Directory) => Existing::Same,
            (Some(Node::Symlink(there)), WantedKind::Symlink { target }) if there == target => {
                Existing::Same
            }
            (Some(Node::File(_)), WantedKind::File { .. }) if self.tree.contains_key(path) => {
                Existing::Same
            }
            (Some(Node::Directory), _) | (_, WantedKind::Directory) => Existing::OtherKind,
            (Some(Node::File(content)), WantedKind::File { bytes, .. })
                if content.len() as u64 == *bytes =>
            {
                Existing::SameSize
            }
            _ => Existing::Differs { bytes: 0 },
        }
    }

    fn write(&mut self, unit: u64, content: UnitContent, payload: &[Bytes]) -> TargetReply {
        self.writes += 1;
        let whole = payload.concat();
        self.bytes_written += whole.len() as u64;
        if let Some(left) = self.corrupt.get_mut(&unit).filter(|left| **left > 0) {
            *left -= 1;
            return TargetReply::Corrupt { unit };
        }
        match content {
            UnitContent::Part { entry, offset, file_bytes, value } => {
                assert_eq!(
                    merge::unit_value([&whole[..]], offset, file_bytes),
                    value,
                    "unit {unit}"
                );
                let part = self.parts.entry(entry).or_insert_with(|| vec![0; file_bytes as usize]);
                part[offset as usize..offset as usize + whole.len()].copy_from_slice(&whole);
                self.part_values.insert(unit, value);
            }
            UnitContent::Pack { files, .. } => {
                let mut at = 0;
                for (entry, file) in files {
                    let content = whole[at..at + file.bytes as usize].to_vec();
                    at += file.bytes as usize;
                    assert_eq!(*blake3::hash(&content).as_bytes(), file.root, "small file {entry}");
                    self.small.insert(entry, (unit, file, content));
                }
                assert_eq!(at, whole.len(), "pack {unit} is its files");
            }
        }
        self.units.insert(unit);
        TargetReply::Written { unit }
    }

    fn publish(&mut self, publish: Publish) -> Published {
        let path = publish.path.as_bytes().to_vec();
        let is_kept = publish.on_conflict != OnConflict::Overwrite && publish.replaces.is_none();
        if self.foreign.contains_key(&path) && is_kept {
            return Published::Conflict;
        }
        let node = match publish.kind {
            PublishKind::Symlink { target } => Node::Symlink(target),
            PublishKind::File { recheck, .. }
                if !recheck.is_empty() && self.rotten.remove(&path) =>
            {
                if let Some((unit, ..)) = self.small.remove(&publish.entry) {
                    self.units.remove(unit);
                }
                return Published::Rotten { offsets: vec![0] };
            }
            PublishKind::File { bytes, root, recheck } => {
                for (offset, value) in recheck.iter().filter(|_| bytes > UNIT_BYTES) {
                    let part = &self.parts[&publish.entry];
                    let end = (offset + UNIT_BYTES).min(bytes) as usize;
                    assert_eq!(
                        merge::unit_value([&part[*offset as usize..end]], *offset, bytes),
                        *value
                    );
                }
                let content = match self.parts.remove(&publish.entry) {
                    Some(part) => part,
                    None => {
                        self.small
                            .remove(&publish.entry)
                            .expect("a partial of every file published")
                            .2
                    }
                };
                assert_eq!(content.len() as u64, bytes);
                assert_eq!(*blake3::hash(&content).as_bytes(), root, "published content");
                Node::File(content)
            }
        };
        let was_wrong = self.wrong.remove(&publish.entry);
        assert!(
            was_wrong == self.complete.contains(publish.entry),
            "entry {} published twice",
            publish.entry
        );
        if let Node::File(content) = &node {
            self.roots.insert(publish.entry, *blake3::hash(content).as_bytes());
        }
        self.complete.insert(publish.entry);
        self.foreign.remove(&path);
        self.tree.insert(path, node);
        Published::Done { path: publish.path }
    }
}
