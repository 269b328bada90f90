//! The simplest source that can be right: a tree in memory, paged like a real scan.

use super::random::Random;
use bytes::Bytes;
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::*;
use rejoin::transfer::manifest::*;
use rejoin::transfer::merge;
use rejoin::transfer::missing::LeftOut;
use rejoin::wire::SessionId;
use rejoin::wire::frame::{BODY_BYTES, KIND_BODY};
use std::collections::BTreeMap;

/// A node of a tree in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;

/// A random tree: nested directories, empty and small files, some of several units.
pub(crate) fn random_tree(random: &mut Random, files: u64, large: u64) -> Tree {
    let mut tree = Tree::new();
    let mut directories = vec![Vec::new()];
    for index in 0..files + large {
        let parent = directories[random.below(directories.len() as u64) as usize].clone();
        let mut path: Vec<u8> = parent;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(format!("{:02x}-{index}", random.below(256)).as_bytes());
        let node = if index < large {
            let bytes = UNIT_BYTES + 1 + random.below(3 * UNIT_BYTES);
            Node::File(random.bytes(bytes as usize))
        } else if random.chance(12) {
            directories.push(path.clone());
            Node::Directory
        } else if random.chance(5) {
            Node::Symlink(b"somewhere".to_vec())
        } else {
            let bytes = if random.chance(20) { 0 } else { random.below(40_000) };
            Node::File(random.bytes(bytes as usize))
        };
        tree.insert(path, node);
    }
    tree
}

const STAMP_TIME: ModifiedTime = ModifiedTime { seconds: 1_700_000_000, nanoseconds: 5 };

pub(crate) struct ModelSource {
    pub(crate) tree: Tree,
    pub(crate) pages: Vec<StoredPage>,
    pub(crate) totals: Totals,
    pub(crate) chain: Chain,
    paths: BTreeMap<EntryIndex, Vec<u8>>,
    values: BTreeMap<u64, merge::Value>,
    pub(crate) roots: BTreeMap<EntryIndex, merge::Value>,
    /// Reads of these entries fail as changed.
    pub(crate) changed: Vec<Vec<u8>>,
    /// What the scan leaves out, told beside the pages.
    pub(crate) left_out: Vec<LeftOut>,
}

impl ModelSource {
    pub(crate) fn new(tree: Tree, session: SessionId, page_entries: usize) -> Self {
        let mut source = Self {
            tree: tree.clone(),
            pages: Vec::new(),
            totals: Totals::default(),
            chain: Chain::start(session),
            paths: BTreeMap::new(),
            values: BTreeMap::new(),
            roots: BTreeMap::new(),
            changed: Vec::new(),
            left_out: Vec::new(),
        };
        let mut entries: Vec<(Entry, Option<Stamp>)> = Vec::new();
        source.walk(b"", None, &mut 0, &mut entries);
        let mut first_entry = 0;
        for (number, chunk) in entries.chunks(page_entries).enumerate() {
            let page = Page {
                number: number as u64,
                first_entry,
                entries: chunk.iter().map(|(entry, _)| entry.clone()).collect(),
            };
            page.entries.iter().for_each(|entry| source.totals.add(entry));
            first_entry = page.end_entry();
            let encoded = Bytes::from(page.encode().expect("small page"));
            source.chain = source.chain.extend(&encoded);
            source.pages.push(StoredPage {
                encoded,
                stamps: chunk.iter().map(|(_, stamp)| *stamp).collect(),
            });
        }
        source
    }

    fn walk(
        &mut self,
        directory: &[u8],
        parent: Option<EntryIndex>,
        next: &mut EntryIndex,
        entries: &mut Vec<(Entry, Option<Stamp>)>,
    ) {
        let mut children: Vec<(Vec<u8>, Vec<u8>, Node)> = self
            .tree
            .iter()
            .filter_map(|(path, node)| {
                let split = path.iter().rposition(|&byte| byte == b'/');
                let (above, name) =
                    split.map_or((&b""[..], &path[..]), |at| (&path[..at], &path[at + 1..]));
                (above == directory).then(|| (name.to_vec(), path.clone(), node.clone()))
            })
            .collect();
        children.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, path, node) in children {
            let index = *next;
            *next += 1;
            self.paths.insert(index, path.clone());
            let (kind, stamp) = match &node {
                Node::Directory => (EntryKind::Directory, None),
                Node::Symlink(target) => (EntryKind::Symlink { target: target.clone() }, None),
                Node::File(content) => {
                    let bytes = content.len() as u64;
                    let stamp =
                        Stamp { bytes, modified: STAMP_TIME, changed: STAMP_TIME, inode: index };
                    (EntryKind::File { bytes }, Some(stamp))
                }
            };
            entries.push((
                Entry { parent, name, kind, mode: 0o644, modified: STAMP_TIME, supersedes: None },
                stamp,
            ));
            if node == Node::Directory {
                self.walk(&path, Some(index), next, entries);
            }
        }
    }

    /// The reports of a scan, one page at a time and then the end.
    pub(crate) fn reports(&self) -> Vec<ScanReport> {
        // The page of their directory may come after them.
        let left_out = self.left_out.iter().cloned().map(ScanReport::LeftOut);
        let pages = self.pages.iter().cloned().map(ScanReport::Page);
        let mut reports: Vec<_> = left_out.chain(pages).collect();
        let (pages, totals, chain) = (self.pages.len() as u64, self.totals, self.chain);
        reports.push(ScanReport::End { pages, totals, chain });
        reports
    }

    /// A crash that loses the cache of values.
    pub(crate) fn lose_values(&mut self) {
        self.values.clear();
        self.roots.clear();
    }

    fn read(&self, file: &SourceFile) -> Result<&[u8], ReadError> {
        assert_eq!(
            self.paths.get(&file.entry).map(Vec::as_slice),
            Some(file.path.as_bytes()),
            "path of the entry"
        );
        if self.changed.iter().any(|path| path == file.path.as_bytes()) {
            return Err(ReadError::Changed);
        }
        match self.tree.get(file.path.as_bytes()) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(ReadError::Vanished),
        }
    }

    pub(crate) fn handle(&mut self, request: SourceRequest) -> SourceReply {
        match request {
            SourceRequest::ReadPart { unit, file, offset, bytes } => {
                let content = self.read(&file).map(|content| {
                    let part = &content[offset as usize..(offset + bytes) as usize];
                    (frames(part), merge::unit_value([part], offset, content.len() as u64))
                });
                if let Ok((_, value)) = &content {
                    self.values.insert(unit, *value);
                }
                SourceReply::Part { unit, entry: file.entry, stamp: file.stamp, content }
            }
            SourceRequest::ReadPack { unit, files } => {
                let mut whole = Vec::new();
                let files: Vec<(EntryIndex, Result<PackedFile, ReadError>)> = files
                    .iter()
                    .map(|file| {
                        let read = self.read(file).map(|content| {
                            whole.extend_from_slice(content);
                            PackedFile {
                                bytes: content.len() as u64,
                                root: *blake3::hash(content).as_bytes(),
                            }
                        });
                        (file.entry, read)
                    })
                    .collect();
                for (entry, read) in &files {
                    if let Ok(file) = read {
                        self.roots.insert(*entry, file.root);
                    }
                }
                SourceReply::Pack { unit, files, frames: frames(&whole) }
            }
            SourceRequest::LoadPage { number } => {
                SourceReply::Page { page: Ok(self.pages[number as usize].clone()) }
            }
            SourceRequest::LoadValues { entry, units } => SourceReply::Values {
                entry,
                first_unit: units.start,
                values: units.map(|unit| self.values.get(&unit).copied()).collect(),
            },
            SourceRequest::LoadRoots { entries } => SourceReply::Roots {
                roots: entries.map(|entry| self.roots.get(&entry).copied()).collect(),
            },
            SourceRequest::KeepRoots { files, .. } => {
                let (kept, changed): (Vec<_>, Vec<_>) =
                    files.into_iter().partition(|(file, _)| self.read(file).is_ok());
                self.roots.extend(kept.iter().map(|(file, root)| (file.entry, *root)));
                let changed = changed.iter().map(|(file, _)| file.entry).collect();
                SourceReply::RootsKept { changed }
            }
            SourceRequest::Look { file } => {
                let stamp = self.read(&file).map(|_| file.stamp);
                SourceReply::Looked { entry: file.entry, stamp }
            }
            // What changed here changes for ever: it has no version that could be offered.
            SourceRequest::LookAgain { files, .. } => SourceReply::LookedAgain {
                page: Ok(None),
                failed: files
                    .iter()
                    .filter_map(|doubted| {
                        Some((doubted.file.entry, self.read(&doubted.file).err()?))
                    })
                    .collect(),
            },
        }
    }
}

fn frames(content: &[u8]) -> Vec<Bytes> {
    content
        .chunks(BODY_BYTES)
        .map(|piece| Bytes::from([&[KIND_BODY][..], piece].concat()))
        .collect()
}
