//! A receiver on a disk in memory, whose sender says anything; its process and its power end at any moment.
//!
//! What must hold: what the user had before stays as it was; a final name holds whole content that the sender promised;
//! nothing is written before the consent; nothing panics.

use crate::support::target_options::target_options;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use rejoin::fs::{Directory, File, FileKind};
use rejoin::store::TargetStore;
use rejoin::store::memory::{Kept, MemoryDirectory, MemoryDisk, Seen};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{OnConflict, PackedFile};
use rejoin::transfer::layout::{Layout, Segment};
use rejoin::transfer::manifest::{Chain, Entry, EntryKind, ModifiedTime, Page, PageCheck, Totals};
use rejoin::transfer::merge;
use rejoin::transfer::message::{ByeReason, Message, UnitHead, WireRanges};
use rejoin::transfer::missing::{LeftOut, MissingKind};
use rejoin::transfer::ranges::Ranges;
use rejoin::transfer::receiver::{
    Accepted, Agreement, Answer, Receiver, ReceiverConfig, ReceiverOutput,
};
use rejoin::wire::SessionId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SESSION: SessionId = SessionId([7; 16]);

/// What files hold that are promised.
fn contents() -> [Vec<u8>; 5] {
    let large = vec![5; UNIT_BYTES as usize + 9];
    [Vec::new(), b"a".to_vec(), b"mine".to_vec(), b"hello".to_vec(), large]
}

struct World {
    disk: MemoryDisk,
    store: TargetStore<MemoryDirectory>,
    receiver: Receiver,
    now: Instant,
    epoch: u64,
    /// As the user has it.
    before: BTreeMap<Vec<u8>, Seen>,
    policy: Option<OnConflict>,
    has_consent: bool,
    contents: [Vec<u8>; 5],
    pages: Vec<(Page, Vec<u8>)>,
    chain: Chain,
    totals: Totals,
    check: PageCheck,
    layouts: Vec<Layout>,
    next_unit: u64,
    is_over: bool,
}

pub(super) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(mut world) = World::new(&mut input) else { return };
    let _ = world.follow(&mut input);
    world.check();
}

fn own_file(directory: &MemoryDirectory, name: &[u8], content: &[u8]) {
    let file = directory.create_file(name, 0o600).expect("new");
    file.write_at(&[content], 0).expect("written");
    file.set_modified(TIMES[1]).expect("set");
}

const TIMES: [ModifiedTime; 3] = [
    ModifiedTime { seconds: 0, nanoseconds: 0 },
    ModifiedTime { seconds: 1_000, nanoseconds: 7 },
    ModifiedTime { seconds: 2_000, nanoseconds: 0 },
];

fn open(
    disk: &MemoryDisk,
) -> Option<(TargetStore<MemoryDirectory>, rejoin::transfer::disk::TargetState)> {
    let options = target_options(SESSION);
    TargetStore::open(disk.root(), options).ok()
}

impl World {
    fn new(input: &mut Unstructured<'_>) -> Result<Self> {
        let disk = MemoryDisk::new();
        let root = disk.root();
        root.create_directory(b"d", 0o700).expect("new");
        let below = root.open_directory(b"d").expect("there");
        own_file(&root, b"own", b"mine");
        own_file(&root, b".bashrc", b"alias");
        own_file(&below, b"kept", b"kept");
        root.create_symlink(b"link", b"own").expect("new");
        below.set_modified(TIMES[1]).expect("set");
        root.sync_file_system(rejoin::fs::SyncPoint::NewDirectories).expect("a disk in memory");
        let policy = *input.choose(&[
            Some(OnConflict::Fail),
            Some(OnConflict::Skip),
            Some(OnConflict::Rename),
            None,
        ])?;
        let has_consent = input.arbitrary()?;
        let (store, state) = open(&disk).expect("a target of ours");
        let mut world = Self {
            receiver: Receiver::new(SESSION, config(policy, has_consent), state),
            before: user_has(&disk),
            disk,
            store,
            now: Instant::now(),
            epoch: 1,
            policy,
            has_consent,
            contents: contents(),
            pages: Vec::new(),
            chain: Chain::start(SESSION),
            totals: Totals::default(),
            check: PageCheck::new(),
            layouts: Vec::new(),
            next_unit: 0,
            is_over: false,
        };
        world.receiver.handle_link_up(1, world.now);
        world.drain();
        Ok(world)
    }

    fn follow(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if input.ratio(7, 8)? {
            self.say(Message::RecoveryAnswer { pages: 0 });
        }
        while !input.is_empty() && !self.is_over {
            match input.int_in_range(0..=15)? {
                0..=2 => self.page(input)?,
                3..=5 => self.serve(input)?,
                6 => {
                    let length = input.int_in_range(0..=64)?;
                    if let Ok(message) = Message::decode(input.bytes(length.min(input.len()))?) {
                        self.say(message);
                    }
                }
                7 => {
                    let (pages, totals, chain) = (self.pages.len() as u64, self.totals, self.chain);
                    self.say(Message::End { pages, totals, chain, failed: 0, skipped: 0 });
                }
                8 | 9 => {
                    self.now += Duration::from_millis(input.int_in_range(0..=3_000)?);
                    self.receiver.handle_timeout(self.now);
                }
                10 => self.answer(input)?,
                11 => {
                    self.receiver.handle_link_down();
                    self.link_up(input)?;
                }
                12 => self.restart(input)?,
                _ => {
                    let message = self.message(input)?;
                    // What the codec refuses never reaches a machine.
                    if message.encode().is_ok() {
                        self.say(message);
                    }
                }
            }
            self.drain();
        }
        Ok(())
    }

    /// A page of entries that are new, known, the user's own, or impossible.
    fn page(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let number = self.pages.len() as u64;
        let first_entry = self.totals.entries;
        let count = input.int_in_range(1..=4)?;
        let entries = (0..count).map(|_| self.entry(input)).collect::<Result<Vec<Entry>>>()?;
        let page = Page { number, first_entry, entries };
        let Ok(encoded) = page.encode() else { return Ok(()) };
        page.entries.iter().for_each(|entry| self.totals.add(entry));
        self.chain = self.chain.extend(&encoded);
        if let Ok(verdicts) = self.check.check(&page) {
            let layout = Layout::new(&page, &verdicts, self.next_unit);
            if let Some(last) = layout.segments.last() {
                self.next_unit = last.units().end;
            }
            self.layouts.push(layout);
        }
        self.pages.push((page, encoded.clone()));
        self.say(Message::Page { encoded });
        Ok(())
    }

    fn entry(&self, input: &mut Unstructured<'_>) -> Result<Entry> {
        let known = self.totals.entries;
        let old = |input: &mut Unstructured<'_>| -> Result<Option<u64>> {
            Ok(match input.int_in_range(0..=3)? {
                0 if known > 0 => Some(input.int_in_range(0..=known.saturating_sub(1).min(20))?),
                1 => Some(known + input.int_in_range(0..=3)?),
                _ => None,
            })
        };
        let names: [&[u8]; 10] =
            [b"own", b".bashrc", b"d", b"link", b"kept", b"a", b"b", b"A", b".rejoin", b".."];
        let name = if input.ratio(15, 16)? {
            input.choose(&names)?.to_vec()
        } else {
            let length = input.int_in_range(0..=20)?;
            input.bytes(length.min(input.len()))?.to_vec()
        };
        let kind = match input.int_in_range(0..=9)? {
            0..=2 => EntryKind::Directory,
            3..=6 => {
                let at = input.choose_index(self.contents.len())?;
                EntryKind::File { bytes: self.contents[at].len() as u64 }
            }
            7 => {
                let targets: [&[u8]; 4] = [b"own", b"a", b"../x", b"/etc"];
                EntryKind::Symlink { target: input.choose(&targets)?.to_vec() }
            }
            8 => EntryKind::Gone,
            _ => EntryKind::Metadata { of: input.int_in_range(0..=known.min(20))? },
        };
        Ok(Entry {
            parent: old(input)?,
            name,
            kind,
            mode: *input.choose(&[0o644, 0o755, 0o700, 0o600, 0, 0o7777])?,
            modified: *input.choose(&TIMES)?,
            supersedes: old(input)?,
        })
    }

    /// A unit of what was promised, right or not quite.
    fn serve(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if self.layouts.is_empty() {
            return Ok(());
        }
        let layout = &self.layouts[input.choose_index(self.layouts.len())?];
        if layout.segments.is_empty() {
            return Ok(());
        }
        let is_wrong = input.ratio(1, 8)?;
        match layout.segments[input.choose_index(layout.segments.len())?].clone() {
            Segment::Pack { unit, files } => {
                let mut whole = Vec::new();
                let mut packed = Vec::new();
                for (entry, bytes) in files {
                    let content = self.content(bytes);
                    let mut root = *blake3::hash(content).as_bytes();
                    root[0] ^= u8::from(is_wrong);
                    packed.push((entry, PackedFile { bytes, root }));
                    whole.extend_from_slice(content);
                }
                self.say(Message::Unit { unit, head: UnitHead::Pack { files: packed } });
                self.body(&whole);
            }
            Segment::File { entry, bytes, first_unit } => {
                let content = self.content(bytes).to_vec();
                let index = input.int_in_range(0..=bytes / UNIT_BYTES)?;
                let offset = (index * UNIT_BYTES) as usize;
                let end = content.len().min(offset + UNIT_BYTES as usize);
                let part = &content[offset..end];
                if part.is_empty() {
                    return Ok(());
                }
                let mut value = merge::unit_value([part], offset as u64, bytes);
                value[0] ^= u8::from(is_wrong);
                let head = UnitHead::Part { entry, value };
                self.say(Message::Unit { unit: first_unit + index, head });
                for body in part.chunks(60_000) {
                    self.body(body);
                }
                if input.arbitrary()? {
                    let root = *blake3::hash(&content).as_bytes();
                    self.say(Message::FileRoot { entry, root });
                }
            }
        }
        Ok(())
    }

    /// The content of that size; where there are two, the first.
    fn content(&self, bytes: u64) -> &[u8] {
        let found = self.contents.iter().find(|content| content.len() as u64 == bytes);
        found.expect("a size of ours")
    }

    fn answer(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let answer = match input.int_in_range(0..=4)? {
            0 => Answer::Accept(Accepted::No),
            1 => Answer::Accept(Accepted::This),
            2 => Answer::Accept(Accepted::Everything),
            3 => Answer::Conflict { policy: OnConflict::Skip, for_all: input.arbitrary()? },
            _ => Answer::Conflict { policy: OnConflict::Fail, for_all: input.arbitrary()? },
        };
        if matches!(answer, Answer::Accept(Accepted::This | Accepted::Everything)) {
            self.has_consent = true;
        }
        self.receiver.handle_answer(answer, self.now);
        Ok(())
    }

    fn link_up(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        self.epoch += 1;
        self.receiver.handle_link_up(self.epoch, self.now);
        self.drain();
        if input.ratio(7, 8)? {
            let pages = if input.ratio(7, 8)? { self.pages.len() as u64 } else { 0 };
            self.say(Message::RecoveryAnswer { pages });
        }
        Ok(())
    }

    /// Its process ends, or the power; it comes back.
    fn restart(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if input.arbitrary()? {
            let keeps = input.arbitrary::<u64>()?;
            self.disk.lose_power(|change| {
                if keeps >> (change % 64) & 1 == 0 { Kept::Lost } else { Kept::Whole }
            });
        } else {
            self.disk.restart();
        }
        self.check();
        let Some((store, state)) = open(&self.disk) else {
            self.is_over = true;
            return Ok(());
        };
        self.store = store;
        // A consent that was kept with the session's record, as a run that comes back has it.
        self.receiver = Receiver::new(SESSION, config(self.policy, self.has_consent), state);
        self.link_up(input)
    }

    fn message(&self, input: &mut Unstructured<'_>) -> Result<Message> {
        let small = |input: &mut Unstructured<'_>| input.int_in_range(0..=12_u64);
        Ok(match input.int_in_range(0..=13)? {
            0 => Message::EntryFailed {
                entry: small(input)?,
                kind: *input.choose(&[MissingKind::Changed, MissingKind::Vanished])?,
                reason: "gone".to_owned(),
            },
            1 => Message::FileRoot { entry: small(input)?, root: [input.arbitrary()?; 32] },
            2 => Message::RecoveryAnswer { pages: small(input)? },
            3 => Message::EarlyAnswer,
            4 => Message::Estimate { totals: self.totals, is_complete: input.arbitrary()? },
            5 => Message::LeftOut {
                entries: vec![LeftOut {
                    parent: input.arbitrary::<bool>()?.then_some(small(input)?),
                    name: b"left".to_vec(),
                    kind: MissingKind::Unreadable,
                    reason: String::new(),
                }],
            },
            6 => {
                let root = *blake3::hash(input.choose(&self.contents[..4])?).as_bytes();
                Message::Contradict { page: small(input)?, files: vec![(small(input)?, root)] }
            }
            7 => {
                let root = *blake3::hash(input.choose(&self.contents[..4])?).as_bytes();
                let root = input.arbitrary::<bool>()?.then_some(root);
                Message::Roots { page: small(input)?, files: vec![(small(input)?, root)] }
            }
            8 => Message::ExpandBuckets { buckets: vec![small(input)?] },
            9 => {
                let mut entries = Ranges::new();
                entries.insert(small(input)?);
                Message::Gone { entries: WireRanges::from(&entries) }
            }
            10 => Message::CompleteAck,
            11 => Message::Busy,
            12 => Message::Bye { reason: ByeReason::Stopped, text: String::new() },
            _ => {
                let (unit, files) = (
                    small(input)?,
                    vec![(
                        small(input)?,
                        PackedFile { bytes: 1, root: *blake3::hash(b"a").as_bytes() },
                    )],
                );
                Message::Unit { unit, head: UnitHead::Pack { files } }
            }
        })
    }

    fn say(&mut self, message: Message) {
        self.receiver.handle_message(message, self.now);
        self.drain();
    }

    fn body(&mut self, content: &[u8]) {
        self.receiver.handle_body(Bytes::copy_from_slice(content), self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.receiver.poll_output() {
            match output {
                ReceiverOutput::Disk(request) => {
                    if let Some(reply) = self.store.handle(request) {
                        self.receiver.handle_disk(reply, self.now);
                    }
                }
                ReceiverOutput::Send(_, message) => {
                    message.encode().expect("messages of ours fit");
                }
                ReceiverOutput::Event(_)
                | ReceiverOutput::Ask(_)
                | ReceiverOutput::Consented(_)
                | ReceiverOutput::Finished => {}
                ReceiverOutput::Done | ReceiverOutput::Failed(_) => self.is_over = true,
            }
        }
    }

    fn check(&self) {
        let now = user_has(&self.disk);
        for (path, seen) in &self.before {
            let found = now.get(path);
            let is_directory = path.ends_with(b"/");
            assert!(
                // A directory's time changes when something is made in it.
                found.is_some_and(
                    |found| found.mode == seen.mode && (is_directory || *found == *seen)
                ),
                "{}: {found:?} instead of {seen:?}",
                path.escape_ascii()
            );
        }
        for (path, seen) in now {
            if self.before.contains_key(&path) {
                continue;
            }
            assert!(self.has_consent, "{} before the consent", path.escape_ascii());
            if seen.kind == FileKind::File {
                let content = seen.content.to_vec();
                assert!(
                    self.contents.contains(&content),
                    "{} has {} bytes that nobody promised",
                    path.escape_ascii(),
                    content.len()
                );
            }
        }
    }
}

/// All but our own directory.
fn user_has(disk: &MemoryDisk) -> BTreeMap<Vec<u8>, Seen> {
    let mut seen = disk.seen();
    seen.retain(|path, _| !path.starts_with(b".rejoin/"));
    seen
}

fn config(on_conflict: Option<OnConflict>, is_accepted: bool) -> ReceiverConfig {
    ReceiverConfig {
        on_conflict,
        accepted: is_accepted.then_some(Agreement::EVERYTHING),
        by_content: false,
        bytes_max: u64::MAX,
        files_max: 1_000,
    }
}
