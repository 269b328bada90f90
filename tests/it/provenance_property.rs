//! Whatever a sender says, in whatever order, over whatever ends of the receiver's process at whatever moment: what the user
//! has there, from before or made meanwhile, keeps content, mode and times, unless the user said overwrite.
//!
//! The sender draws pages, content and roots by chance from what is likely to meet what the user has: the same names, sizes,
//! times, texts, modes. The receiver is the machine with its real store, on a disk in memory that ends it at any operation,
//! or in a directory of the system.

use crate::support::random::Random;
use crate::support::target_options::target_options;
use rejoin::fs::{Access, Directory, File as _, FileKind, read_exact_at};
use rejoin::platform::OsDirectory;
use rejoin::store::TargetStore;
use rejoin::store::memory::{Fault, MemoryDirectory, MemoryDisk};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{OnConflict, PackedFile};
use rejoin::transfer::layout::{Layout, Segment};
use rejoin::transfer::manifest::{
    Chain, DirectoryTable, Entry, EntryIndex, EntryKind, ModifiedTime, Page, PageCheck,
};
use rejoin::transfer::merge;
use rejoin::transfer::message::{Message, RecoveryRequest, UnitHead, WireRanges};
use rejoin::transfer::ranges::Ranges;
use rejoin::transfer::receiver::{Accepted, Answer, Ask, Receiver, ReceiverConfig, ReceiverOutput};
use rejoin::wire::SessionId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

const SESSION: SessionId = SessionId([0x9a; 16]);
const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
const TIMES: [i64; 3] = [1_000, 2_000, 1_234_567_890];
const MODES: [u32; 4] = [0o600, 0o644, 0o700, 0o755];
const STEPS: u64 = 120;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: FileKind,
    content: Vec<u8>,
    mode: u32,
    modified: ModifiedTime,
}

/// A place for a target.
trait Ground {
    type D: Directory;
    fn root(&self) -> Self::D;
    /// The process ends at the operation after so many.
    fn end_after(&self, operations: u64);
    /// It has ended.
    fn restart(&self);
    /// Whether a directory keeps its time when names in it change.
    const KEEPS_TIMES: bool;
}

impl Ground for MemoryDisk {
    type D = MemoryDirectory;
    const KEEPS_TIMES: bool = true;
    fn root(&self) -> MemoryDirectory {
        Self::root(self)
    }
    fn end_after(&self, operations: u64) {
        self.fail_at(self.operations() + operations, Fault::Crash);
    }
    fn restart(&self) {
        Self::restart(self);
    }
}

impl Ground for tempfile::TempDir {
    type D = OsDirectory;
    const KEEPS_TIMES: bool = false;
    fn root(&self) -> OsDirectory {
        OsDirectory::open(self.path()).unwrap()
    }
    fn end_after(&self, _: u64) {}
    fn restart(&self) {}
}

fn time(seconds: i64) -> ModifiedTime {
    ModifiedTime { seconds, nanoseconds: 0 }
}

/// Everything below a directory but `.rejoin`.
fn look(at: &impl Directory, path: &[u8], all: &mut BTreeMap<Vec<u8>, Node>) {
    for name in at.names().unwrap() {
        let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        if below == b".rejoin" {
            continue;
        }
        let found = at.metadata(&name).unwrap();
        let mut content = Vec::new();
        match found.kind {
            FileKind::File => {
                content = vec![0; found.bytes as usize];
                let file = at.open_file(&name, Access::Read).unwrap();
                read_exact_at(&file, &mut content, 0).unwrap();
            }
            FileKind::Symlink => content = at.read_symlink(&name).unwrap(),
            FileKind::Directory => look(&at.open_directory(&name).unwrap(), &below, all),
            FileKind::Other => {}
        }
        let Metadata { kind, mode, modified } = Metadata::of(&found);
        all.insert(below, Node { kind, content, mode, modified });
    }
}

/// Of what a name stands for, what is to stay.
struct Metadata {
    kind: FileKind,
    mode: u32,
    modified: ModifiedTime,
}

impl Metadata {
    const fn of(found: &rejoin::fs::Metadata) -> Self {
        Self { kind: found.kind, mode: found.mode & 0o7777, modified: found.modified }
    }
}

/// What a run amounted to: a property of runs in which nothing happens says nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    published: usize,
    replaced: usize,
    removed: usize,
    finished: u64,
    ends: u64,
    broken: u64,
    edits: u64,
    kept: usize,
}

struct World<G: Ground> {
    ground: G,
    random: Random,
    seen: Seen,
    /// What is the user's.
    user: BTreeMap<Vec<u8>, Node>,
    /// Content that this session ever had at a path.
    published: BTreeSet<(Vec<u8>, Vec<u8>)>,
    /// Content that the sender promised of a path.
    offered: BTreeSet<(Vec<u8>, Vec<u8>)>,
    on_conflict: Option<OnConflict>,
    consent: Option<rejoin::transfer::receiver::Agreement>,
    has_metadata: bool,
    // The sender.
    pages: Vec<(Page, Vec<u8>, Layout)>,
    check: PageCheck,
    table: DirectoryTable,
    chains: Vec<Chain>,
    content: BTreeMap<EntryIndex, Vec<u8>>,
    holders: BTreeMap<(Option<EntryIndex>, Vec<u8>), (EntryIndex, EntryKind)>,
    parents: Vec<EntryIndex>,
    superseded: BTreeSet<EntryIndex>,
    /// Pages said on this link.
    said_pages: usize,
    has_ended: bool,
    todo: VecDeque<(u64, BTreeSet<EntryIndex>)>,
    // The receiver.
    receiver: Option<Receiver>,
    store: Option<TargetStore<G::D>>,
    heard: VecDeque<Message>,
    asks: VecDeque<Ask>,
    now: Instant,
    epoch: u64,
    is_over: bool,
    buckets: Vec<u64>,
}

impl<G: Ground> World<G> {
    fn new(seed: u64, ground: G) -> Self {
        let mut random = Random::new(seed);
        let policies =
            [None, Some(OnConflict::Fail), Some(OnConflict::Skip), Some(OnConflict::Rename)];
        let on_conflict = policies[random.below(4) as usize];
        let has_metadata = random.chance(50);
        let mut world = Self {
            ground,
            random,
            seen: Seen::default(),
            user: BTreeMap::new(),
            published: BTreeSet::new(),
            offered: BTreeSet::new(),
            on_conflict,
            consent: None,
            has_metadata,
            pages: Vec::new(),
            check: PageCheck::new(),
            table: DirectoryTable::new(),
            chains: vec![Chain::start(SESSION)],
            content: BTreeMap::new(),
            holders: BTreeMap::new(),
            parents: Vec::new(),
            superseded: BTreeSet::new(),
            said_pages: 0,
            has_ended: false,
            todo: VecDeque::new(),
            receiver: None,
            store: None,
            heard: VecDeque::new(),
            asks: VecDeque::new(),
            now: Instant::now(),
            epoch: 0,
            is_over: false,
            buckets: Vec::new(),
        };
        for _ in 0..world.random.below(7) {
            world.user_makes();
        }
        world.start();
        world
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len() as u64) as usize].clone()
    }

    fn tree(&self) -> BTreeMap<Vec<u8>, Node> {
        let mut all = BTreeMap::new();
        look(&self.ground.root(), b"", &mut all);
        all
    }

    // The user.

    fn directory_at(&self, path: &[u8]) -> Option<G::D> {
        let mut at = self.ground.root();
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = at.open_directory(name).ok()?;
        }
        Some(at)
    }

    /// A path with its directory, which is there.
    fn some_place(&mut self) -> (Vec<u8>, G::D, Vec<u8>) {
        let tree = self.tree();
        let is_open = |(path, node): &(&Vec<u8>, &Node)| {
            node.kind == FileKind::Directory
                && path.iter().filter(|byte| **byte == b'/').count() < 2
        };
        let mut directories: Vec<Vec<u8>> =
            tree.iter().filter(is_open).map(|(path, _)| path.clone()).collect();
        directories.push(Vec::new());
        let above = self.pick(&directories);
        let name = self.pick(&NAMES).to_vec();
        let path = if above.is_empty() { name.clone() } else { [&above[..], b"/", &name].concat() };
        (path, self.directory_at(&above).unwrap(), name)
    }

    fn remember(&mut self, path: &[u8]) {
        let node = self.tree().remove(path).unwrap();
        self.user.insert(path.to_vec(), node);
    }

    fn user_makes(&mut self) {
        let (path, above, name) = self.some_place();
        if above.metadata(&name).is_ok() {
            return;
        }
        let (mode, at) = (self.pick(&MODES), time(self.pick(&TIMES)));
        match self.random.below(4) {
            0 => {
                above.create_directory(&name, 0o700).unwrap();
                let made = above.open_directory(&name).unwrap();
                made.set_mode(mode | 0o700).unwrap();
                made.set_modified(at).unwrap();
            }
            1 => {
                let target = self.pick(&NAMES);
                above.create_symlink(&name, target).unwrap();
                above.set_symlink_modified(&name, at).unwrap();
            }
            _ => {
                let offered: Vec<_> = self.offered.iter().filter(|(of, _)| *of == path).collect();
                let promised = offered.first().map(|(_, content)| content.clone());
                let content = match promised.filter(|_| self.random.chance(50)) {
                    Some(content) => content,
                    None => self.some_content(),
                };
                if self.published.contains(&(path.clone(), content.clone())) {
                    return;
                }
                let file = above.create_file(&name, 0o600).unwrap();
                file.write_at(&[&content], 0).unwrap();
                file.set_mode(mode | 0o600).unwrap();
                file.set_modified(at).unwrap();
            }
        }
        self.remember(&path);
    }

    fn user_edits(&mut self) {
        let tree = self.tree();
        let files: Vec<_> =
            tree.iter().filter(|(_, node)| node.kind != FileKind::Directory).collect();
        if files.is_empty() {
            return;
        }
        let (path, node) = files[self.random.below(files.len() as u64) as usize];
        let (path, node) = (path.clone(), node.clone());
        let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (path[..at].to_vec(), path[at + 1..].to_vec()),
            None => (Vec::new(), path.clone()),
        };
        let above = self.directory_at(&above).unwrap();
        self.seen.edits += 1;
        match self.random.below(4) {
            0 => {
                above.remove_file(&name).unwrap();
                self.user.remove(&path);
            }
            // Other content, perhaps of the same size, and where no metadata alone is promised perhaps with the same time.
            _ if node.kind == FileKind::File => {
                let bytes = if self.random.chance(70) { node.content.len().max(1) } else { 9 };
                let mut content = self.random.bytes(bytes);
                // Perhaps a copy of something else that is there, which this session never had here.
                let copy = tree.values().rfind(|other| other.kind == FileKind::File);
                if let Some(other) = copy.filter(|_| self.random.chance(30))
                    && !self.published.contains(&(path.clone(), other.content.clone()))
                {
                    content = other.content.clone();
                }
                let is_timed = !self.has_metadata && self.random.chance(60);
                let at = if is_timed { node.modified } else { time(self.pick(&TIMES) + 7) };
                if self.random.chance(50) {
                    above.remove_file(&name).unwrap();
                    drop(above.create_file(&name, 0o600).unwrap());
                }
                let file = above.open_file(&name, Access::ReadWrite).unwrap();
                file.set_bytes(0).unwrap();
                file.write_at(&[&content], 0).unwrap();
                file.set_mode(node.mode | 0o600).unwrap();
                file.set_modified(at).unwrap();
                self.remember(&path);
            }
            _ => {
                above.remove_file(&name).unwrap();
                // Perhaps with the same text.
                let text =
                    if self.random.chance(50) { &node.content[..] } else { b"the users own" };
                above.create_symlink(&name, text).unwrap();
                above.set_symlink_modified(&name, time(self.random.below(1 << 31) as i64)).unwrap();
                self.remember(&path);
            }
        }
    }

    fn some_content(&mut self) -> Vec<u8> {
        let bytes = self.pick(&[0_usize, 5, 5, 17]);
        let fill = self.pick(b"xyz");
        vec![fill; bytes]
    }

    // The sender.

    fn new_page(&mut self) {
        let first_entry = self.pages.last().map_or(0, |(page, ..)| page.end_entry());
        let mut entries = Vec::new();
        let (holders, parents) = (self.holders.clone(), self.parents.clone());
        let mut fresh_content = Vec::new();
        for index in first_entry..first_entry + 1 + self.random.below(5) {
            let parent = match self.parents.clone() {
                parents if !parents.is_empty() && self.random.chance(45) => {
                    Some(self.pick(&parents))
                }
                _ => None,
            };
            let name = self.pick(&NAMES).to_vec();
            let key = (parent, name.clone());
            let held = self.holders.get(&key).cloned();
            let target = self.pick(&NAMES).to_vec();
            let kinds = [
                EntryKind::Directory,
                EntryKind::Symlink { target },
                EntryKind::File { bytes: 0 },
                EntryKind::File { bytes: 0 },
            ];
            let (mut kind, supersedes) = match held {
                None => (self.pick(&kinds), None),
                Some((old, EntryKind::Gone)) => (self.pick(&kinds), Some(old)),
                Some((old, EntryKind::File { .. }))
                    if self.has_metadata && self.random.chance(30) =>
                {
                    (EntryKind::Metadata { of: old }, None)
                }
                Some((old, _)) if self.random.chance(25) => (EntryKind::Gone, Some(old)),
                Some((old, EntryKind::Directory)) => (EntryKind::Directory, Some(old)),
                Some((old, _)) => {
                    let at = 1 + self.random.below(3) as usize;
                    (kinds[at].clone(), Some(old))
                }
            };
            let path = self.table.path_of(parent, &name).map(|path| path.as_bytes().to_vec());
            let there = path.as_ref().and_then(|path| self.user.get(path)).cloned();
            let mut modified = time(self.pick(&TIMES));
            if let Some(there) = &there
                && self.random.chance(60)
            {
                modified = there.modified;
            }
            if let EntryKind::File { bytes } = &mut kind {
                let mut content = self.some_content();
                if let Some(there) = there.filter(|node| node.kind == FileKind::File) {
                    if self.random.chance(40) {
                        content = there.content;
                    } else if self.random.chance(50) {
                        // As large as what is there, and something else.
                        content = vec![b'!'; there.content.len()];
                    }
                } else if self.random.chance(2) {
                    content = vec![7; UNIT_BYTES as usize + 3];
                }
                *bytes = content.len() as u64;
                fresh_content.push((index, content));
            }
            match &kind {
                EntryKind::Metadata { .. } => {}
                _ => {
                    let is_first = self
                        .holders
                        .insert(key, (index, kind.clone()))
                        .is_none_or(|(_, kind)| kind == EntryKind::Gone);
                    if kind == EntryKind::Directory && is_first {
                        self.parents.push(index);
                    }
                }
            }
            let mode = self.pick(&MODES);
            entries.push(Entry { parent, name, kind, mode, modified, supersedes });
        }
        let page = Page { number: self.pages.len() as u64, first_entry, entries };
        let mut check = self.check.clone();
        let Ok(verdicts) = check.check(&page) else {
            (self.holders, self.parents) = (holders, parents);
            return;
        };
        self.check = check;
        self.table.add_page(&page);
        for (index, content) in fresh_content {
            self.promise(&page, index, content);
        }
        self.superseded.extend(page.entries.iter().filter_map(|entry| entry.supersedes));
        let first_unit = self.pages.last().map_or(0, |(.., layout)| layout.end_unit);
        let layout = Layout::new(&page, &verdicts, first_unit);
        let encoded = page.encode().unwrap();
        let last = *self.chains.last().unwrap();
        self.chains.push(last.extend(&encoded));
        self.pages.push((page, encoded, layout));
    }

    fn promise(&mut self, page: &Page, index: EntryIndex, content: Vec<u8>) {
        let entry = page.entry(index).unwrap();
        if let Some(path) = self.table.path(entry) {
            self.offered.insert((path.as_bytes().to_vec(), content.clone()));
        }
        self.content.insert(index, content);
    }

    fn say_page(&mut self) {
        if self.has_ended || self.said_pages > self.pages.len() {
            return;
        }
        if self.said_pages == self.pages.len() {
            self.new_page();
        }
        if let Some((_, encoded, _)) = self.pages.get(self.said_pages) {
            let encoded = encoded.clone();
            self.said_pages += 1;
            self.say(Message::Page { encoded });
        }
    }

    fn say_end(&mut self) {
        if self.said_pages == self.pages.len() && !self.has_ended {
            self.has_ended = true;
            let (pages, totals) = (self.pages.len() as u64, self.check.totals());
            let chain = *self.chains.last().unwrap();
            self.say(Message::Estimate { totals, is_complete: true });
            self.say(Message::End { pages, totals, chain, failed: 0, skipped: 0 });
        }
    }

    /// Sends what a page lacks.
    fn want(&mut self, page: u64, unwanted: &Ranges, units: &Ranges) {
        let Some((.., layout)) = self.pages.get(page as usize) else { return };
        for segment in &layout.segments {
            for unit in segment.units().filter(|unit| !units.contains(*unit)) {
                self.todo.push_back((unit, unwanted.iter().collect()));
            }
        }
    }

    fn serve(&mut self) {
        let Some((unit, unwanted)) = self.todo.pop_front() else { return };
        let layouts = self.pages.iter().map(|(.., layout)| layout);
        let Some(segment) = layouts.filter_map(|layout| layout.segment(unit)).next().cloned()
        else {
            return;
        };
        let is_wanted =
            |entry: &EntryIndex| !unwanted.contains(entry) && !self.superseded.contains(entry);
        match segment {
            Segment::Pack { unit, files } => {
                let named: Vec<EntryIndex> =
                    files.iter().map(|(entry, _)| *entry).filter(is_wanted).collect();
                if named.is_empty() {
                    return;
                }
                let mut body = Vec::new();
                let mut heads = Vec::new();
                for entry in named {
                    let content = &self.content[&entry];
                    let root = *blake3::hash(content).as_bytes();
                    heads.push((entry, PackedFile { bytes: content.len() as u64, root }));
                    body.extend_from_slice(content);
                }
                if !body.is_empty() && self.random.chance(5) {
                    body[0] ^= 1;
                }
                self.say(Message::Unit { unit, head: UnitHead::Pack { files: heads } });
                self.body(&body);
            }
            Segment::File { entry, bytes, first_unit } => {
                if !is_wanted(&entry) {
                    return;
                }
                let content = self.content[&entry].clone();
                let values: Vec<_> = content
                    .chunks(UNIT_BYTES as usize)
                    .zip((0..).step_by(UNIT_BYTES as usize))
                    .map(|(part, offset)| merge::unit_value([part], offset, bytes))
                    .collect();
                let at = (unit - first_unit) as usize;
                let part = content.chunks(UNIT_BYTES as usize).nth(at).unwrap().to_vec();
                let value = values[at];
                self.say(Message::Unit { unit, head: UnitHead::Part { entry, value } });
                for part in part.chunks(60_000) {
                    self.body(part);
                }
                if !self.todo.iter().any(|(other, _)| segment.units().contains(other)) {
                    let root = merge::root(&values).unwrap();
                    self.say(Message::FileRoot { entry, root });
                }
            }
        }
    }

    /// Says of a complete file that it has other content.
    fn contradict(&mut self) {
        if self.has_ended {
            return;
        }
        if let Some(bucket) = self.buckets.pop() {
            self.say(Message::ExpandBuckets { buckets: vec![bucket] });
        }
    }

    fn on_bucket(&mut self, files: &[(EntryIndex, merge::Value)]) {
        let Some(&(entry, _)) = files.first() else { return };
        let number = self.pages.iter().position(|(page, ..)| page.entry(entry).is_some());
        let Some(number) = number.filter(|_| !self.has_ended) else { return };
        let old = self.content[&entry].clone();
        if old.is_empty() || old.len() as u64 > UNIT_BYTES {
            return;
        }
        let mut content = old;
        content[0] ^= 0x20;
        let root = *blake3::hash(&content).as_bytes();
        let page = self.pages[number].0.clone();
        self.promise(&page, entry, content);
        self.say(Message::Contradict { page: number as u64, files: vec![(entry, root)] });
    }

    // The receiver.

    fn start(&mut self) {
        let options = target_options(SESSION);
        let mut tries = 0;
        let (store, state) = loop {
            match TargetStore::open(self.ground.root(), options) {
                Ok(opened) => break opened,
                // Ended while it opened; or a child that another test has just made holds a lock until it is another program.
                Err(error) => {
                    tries += 1;
                    assert!(tries < 100_000, "{error}");
                    self.ground.restart();
                    std::thread::yield_now();
                }
            }
        };
        let config = ReceiverConfig {
            on_conflict: self.on_conflict,
            accepted: self.consent.clone(),
            by_content: false,
            bytes_max: u64::MAX,
            files_max: u64::MAX,
        };
        self.store = Some(store);
        self.receiver = Some(Receiver::new(SESSION, config, state));
        self.is_over = false;
        self.drain();
        self.connect();
    }

    fn connect(&mut self) {
        self.epoch += 1;
        (self.said_pages, self.has_ended) = (usize::MAX, false);
        self.todo.clear();
        self.heard.clear();
        if let Some(receiver) = &mut self.receiver {
            receiver.handle_link_down();
            receiver.handle_link_up(self.epoch, self.now);
        }
        self.drain();
    }

    /// The process ends, wherever it is, and another one begins.
    fn end_process(&mut self) {
        self.seen.ends += 1;
        (self.receiver, self.store) = (None, None);
        self.asks.clear();
        self.ground.restart();
        self.check_user();
        self.start();
    }

    fn say(&mut self, message: Message) {
        if let Some(receiver) = self.receiver.as_mut().filter(|_| !self.is_over) {
            receiver.handle_message(message, self.now);
        }
        self.drain();
    }

    fn body(&mut self, content: &[u8]) {
        if let Some(receiver) =
            self.receiver.as_mut().filter(|_| !self.is_over && !content.is_empty())
        {
            receiver.handle_body(bytes::Bytes::copy_from_slice(content), self.now);
        }
        self.drain();
    }

    fn tick(&mut self) {
        self.now += Duration::from_secs(2);
        if let Some(receiver) = &mut self.receiver {
            receiver.handle_timeout(self.now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        let (Some(receiver), Some(store)) = (&mut self.receiver, &mut self.store) else { return };
        while let Some(output) = receiver.poll_output() {
            match output {
                ReceiverOutput::Disk(request) => {
                    if let Some(reply) = store.handle(request) {
                        receiver.handle_disk(reply, self.now);
                    }
                }
                ReceiverOutput::Send(_, message) => self.heard.push_back(message),
                ReceiverOutput::Ask(ask) => self.asks.push_back(ask),
                ReceiverOutput::Consented(agreement) => self.consent = Some(agreement),
                ReceiverOutput::Finished => self.seen.finished += 1,
                ReceiverOutput::Event(_) => {}
                ReceiverOutput::Done => self.is_over = true,
                ReceiverOutput::Failed(error) => {
                    self.seen.broken += u64::from(error.message.contains("protocol"));
                    self.is_over = true;
                }
            }
        }
    }

    fn answer(&mut self) {
        let Some(ask) = self.asks.pop_front() else { return };
        let answer = match ask {
            Ask::Accept { .. } if self.random.chance(50) => Answer::Accept(Accepted::This),
            Ask::Accept { .. } => Answer::Accept(Accepted::Everything),
            Ask::Conflict { .. } => {
                let policy = self.pick(&[OnConflict::Fail, OnConflict::Skip, OnConflict::Rename]);
                Answer::Conflict { policy, for_all: self.random.chance(20) }
            }
        };
        if let Some(receiver) = &mut self.receiver {
            receiver.handle_answer(answer, self.now);
        }
        self.drain();
    }

    /// The sender hears what was said.
    fn hear(&mut self) {
        while let Some(message) = self.heard.pop_front() {
            let shown = format!("{message:?}");
            let ranges = |of: &WireRanges| of.to_ranges().unwrap_or_else(|| panic!("{shown}"));
            match message {
                Message::RecoveryRequest(request) => self.on_request(&request),
                Message::Want { page, unwanted, units } => {
                    self.want(page, &ranges(&unwanted), &ranges(&units));
                }
                Message::Resend { unit, unwanted } => {
                    self.todo.push_back((unit, ranges(&unwanted).iter().collect()));
                }
                Message::Compare { page, entries } => {
                    let root = |entry: EntryIndex| {
                        self.content.get(&entry).map(|content| *blake3::hash(content).as_bytes())
                    };
                    let files = ranges(&entries).iter().map(|entry| (entry, root(entry))).collect();
                    self.say(Message::Roots { page, files });
                }
                Message::BucketEntries { files, .. } => self.on_bucket(&files),
                Message::Complete { .. } if self.random.chance(50) => {
                    self.say(Message::CompleteAck)
                }
                _ => {}
            }
        }
    }

    fn on_request(&mut self, request: &RecoveryRequest) {
        let pages = request.pages as usize;
        assert_eq!(Some(&request.chain), self.chains.get(pages), "its own pages");
        self.said_pages = pages;
        self.buckets = request.digests.iter().map(|(bucket, _)| *bucket).collect();
        self.say(Message::RecoveryAnswer { pages: request.pages });
        let undecided = request.undecided.to_ranges().unwrap();
        let (unwanted, units) =
            (request.unwanted.to_ranges().unwrap(), request.units.to_ranges().unwrap());
        for page in (0..request.pages).filter(|page| !undecided.contains(*page)) {
            self.want(page, &unwanted, &units);
        }
    }

    // The promise.

    fn check_user(&mut self) {
        let tree = self.tree();
        for (path, wanted) in &self.user {
            let shown = String::from_utf8_lossy(path);
            let found = tree.get(path).unwrap_or_else(|| panic!("{shown} is gone: {wanted:?}"));
            assert_eq!(found.kind, wanted.kind, "{shown}");
            assert!(
                found.content == wanted.content,
                "{shown}: {:?} was {:?}",
                String::from_utf8_lossy(&found.content),
                String::from_utf8_lossy(&wanted.content)
            );
            assert_eq!(found.mode, wanted.mode, "mode of {shown}");
            // What was read at both ends and is the same gets the time that goes with it.
            let is_promised = self.offered.contains(&(path.clone(), wanted.content.clone()))
                && wanted.kind == FileKind::File;
            let is_timed = wanted.kind != FileKind::Directory || G::KEEPS_TIMES;
            assert!(
                found.modified == wanted.modified || is_promised || !is_timed,
                "time of {shown}: {found:?} was {wanted:?}"
            );
        }
        let user = &self.user;
        for (path, node) in tree.iter().filter(|(path, _)| !user.contains_key(*path)) {
            let is_new = self.published.insert((path.clone(), node.content.clone()));
            self.seen.published += usize::from(is_new);
        }
        self.seen.kept = self.seen.kept.max(self.user.len());
    }

    fn step(&mut self) {
        if self.is_over {
            return self.end_process();
        }
        match self.random.below(20) {
            0..=3 => self.say_page(),
            4..=8 => self.serve(),
            9..=11 => self.tick(),
            12..=13 => self.answer(),
            14 => self.user_makes_if_running(),
            15 => self.user_edits_if_running(),
            16 => self.say_end(),
            17 => self.contradict(),
            18 if self.random.chance(50) => self.connect(),
            18 => {
                let operations = self.random.below(30);
                self.ground.end_after(operations);
            }
            _ if self.random.chance(60) => self.end_process(),
            _ => self.hear(),
        }
        self.hear();
    }

    /// The disk works: a process that is to end has not yet.
    fn works(&self) -> bool {
        self.ground.root().names().is_ok()
    }

    fn user_makes_if_running(&mut self) {
        self.user_acts(Self::user_makes);
    }

    fn user_edits_if_running(&mut self) {
        self.user_acts(Self::user_edits);
    }

    /// The user's own hands end no process.
    fn user_acts(&mut self, act: impl FnOnce(&mut Self)) {
        if !self.works() {
            self.end_process();
        }
        self.ground.end_after(u64::MAX / 2);
        act(self);
    }

    fn live(mut self) -> Seen {
        for _ in 0..STEPS {
            self.step();
            if !self.works() {
                self.end_process();
            }
            self.check_user();
        }
        self.seen
    }
}

fn total(runs: impl Iterator<Item = Seen>) -> Seen {
    runs.fold(Seen::default(), |all, one| Seen {
        published: all.published + one.published,
        replaced: all.replaced + one.replaced,
        removed: all.removed + one.removed,
        finished: all.finished + one.finished,
        ends: all.ends + one.ends,
        broken: all.broken + one.broken,
        edits: all.edits + one.edits,
        kept: all.kept + one.kept,
    })
}

fn seeds(few: u64) -> u64 {
    std::env::var("REJOIN_PROVENANCE_SEEDS").map_or(few, |seeds| seeds.parse().unwrap())
}

/// S-02, S-06: on a disk in memory, ended at any operation.
#[test]
fn what_the_user_has_stays_whatever_a_sender_says() {
    let seeds = seeds(400);
    let seen = total((0..seeds).map(|seed| {
        eprintln!("seed {seed}");
        World::new(seed, MemoryDisk::new()).live()
    }));
    eprintln!("{seen:?}");
    assert!(seen.published as u64 > 3 * seeds && seen.kept as u64 > seeds, "{seen:?}");
    assert!(seen.finished > seeds / 10 && seen.ends > seeds && seen.edits > seeds, "{seen:?}");
}

/// S-02, S-06: in a directory of the system.
#[test]
fn what_the_user_has_stays_in_a_real_directory() {
    for seed in 0..seeds(60) {
        eprintln!("seed {seed}");
        World::new(1_000_000 + seed, tempfile::tempdir().unwrap()).live();
    }
}
