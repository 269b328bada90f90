//! One honest machine, played by hand: the receiver with its real store, or the sender with a model's tree.

use super::model_source::{ModelSource, Node};
use super::model_target::ModelTarget;
use super::sim::SESSION;
use super::target_options::target_options;
use bytes::Bytes;
use rejoin::error::{Error, ErrorKind};
use rejoin::event::Event;
use rejoin::platform::OsDirectory;
use rejoin::store::{TargetOptions, TargetStore};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{
    Existing, OnConflict, PackedFile, ScanReport, TargetReply, TargetRequest, TargetState,
    UnitContent,
};
use rejoin::transfer::layout::{Layout, Segment};
use rejoin::transfer::manifest::{Chain, Entry, EntryKind, ModifiedTime, Page, PageCheck, Totals};
use rejoin::transfer::merge;
use rejoin::transfer::message::{Message, RecoveryRequest, UnitHead};
use rejoin::transfer::ranges::Ranges;
use rejoin::transfer::receiver::{
    Accepted, Agreement, Answer, Ask, Receiver, ReceiverConfig, ReceiverOutput,
};
use rejoin::transfer::sender::{Sender, SenderOutput};
use rejoin::wire::Channel;
use rejoin::wire::frame::{Assembler, Frame};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn entry(name: &[u8], kind: EntryKind) -> Entry {
    Entry {
        parent: None,
        name: name.to_vec(),
        kind,
        mode: 0o755,
        modified: ModifiedTime { seconds: 1_000_000_000, nanoseconds: 0 },
        supersedes: None,
    }
}

pub(crate) fn file(name: &[u8], bytes: u64) -> Entry {
    entry(name, EntryKind::File { bytes })
}

pub(crate) fn directory(name: &[u8]) -> Entry {
    entry(name, EntryKind::Directory)
}

pub(crate) fn link(name: &[u8], target: &[u8]) -> Entry {
    entry(name, EntryKind::Symlink { target: target.to_vec() })
}

/// An entry in the directory that is number `parent`.
pub(crate) fn below(parent: u64, mut entry: Entry) -> Entry {
    entry.parent = Some(parent);
    entry
}

/// Directories of this name, each in the one before: the first entries of a manifest.
pub(crate) fn chain(name: &[u8], levels: u64) -> Vec<Entry> {
    let entry = |level: u64| Entry { parent: level.checked_sub(1), ..directory(name) };
    (0..levels).map(entry).collect()
}

/// What a sender would send for an entry.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    None,
    Bytes(Vec<u8>),
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// Carries out what a receiver asks of its disk.
pub(crate) type Store = Box<dyn FnMut(TargetRequest) -> Option<TargetReply>>;

/// Up to a thousand files, of any size; what is in the way stays.
fn config(is_accepted: bool) -> ReceiverConfig {
    ReceiverConfig {
        on_conflict: Some(OnConflict::Fail),
        accepted: is_accepted.then_some(Agreement::EVERYTHING),
        by_content: false,
        bytes_max: u64::MAX,
        files_max: 1_000,
    }
}

/// What the record of a victim's session vouches with.
fn seal() -> [u8; 32] {
    target_options(SESSION).secret
}

/// A receiver with an empty directory, whose sender the test is.
pub(crate) struct Victim {
    pub(crate) receiver: Receiver,
    store: Store,
    out: tempfile::TempDir,
    now: Instant,
    /// The chain over the pages sent.
    pub(crate) chain: Chain,
    check: PageCheck,
    /// All pages that were sent.
    sent: PageCheck,
    totals: Totals,
    said: Vec<Message>,
    pub(crate) events: Vec<Event>,
    pub(crate) asked: Vec<Ask>,
    /// Whether what lay in its target was not believed.
    pub(crate) has_damage: bool,
    /// What its user agreed to.
    pub(crate) consented: Option<Agreement>,
    pub(crate) end: Option<Result<(), Error>>,
    /// Whether what it tells is forgotten.
    pub(crate) is_unheard: bool,
}

impl Victim {
    fn new(config: ReceiverConfig) -> Self {
        Self::sealed(tempfile::tempdir().unwrap(), config, seal())
    }

    fn sealed(out: tempfile::TempDir, config: ReceiverConfig, secret: [u8; 32]) -> Self {
        let options = TargetOptions { secret, ..target_options(SESSION) };
        let root = OsDirectory::open(out.path()).unwrap();
        let (mut store, state) = TargetStore::open(root, options).unwrap();
        let has_damage = store.has_damage();
        let store = Box::new(move |request| store.handle(request));
        Self { has_damage, ..Self::within(out, store, state, config) }
    }

    /// With a disk in memory: quick, and nothing of it is found.
    pub(crate) fn in_memory(is_accepted: bool) -> Self {
        let mut store = ModelTarget::default();
        let state = store.state();
        let handle = move |request| match request {
            TargetRequest::Write { unit, ref content, ref payload }
                if !is_right(content, payload) =>
            {
                Some(TargetReply::Corrupt { unit })
            }
            request => store.handle(request),
        };
        let out = tempfile::tempdir().unwrap();
        Self::within(out, Box::new(handle), state, config(is_accepted))
    }

    /// With limits of its user, on a disk that keeps nothing.
    pub(crate) fn limited(files_max: u64, bytes_max: u64) -> Self {
        let handle = |request| match request {
            TargetRequest::Survey { page, wanted, .. } => {
                let existing = wanted.iter().map(|of| (of.entry, Existing::Absent)).collect();
                Some(TargetReply::Surveyed { page, existing })
            }
            _ => None,
        };
        let out = tempfile::tempdir().unwrap();
        let config = ReceiverConfig { files_max, bytes_max, ..config(true) };
        Self::within(out, Box::new(handle), TargetState::default(), config)
    }

    fn within(
        out: tempfile::TempDir,
        store: Store,
        state: TargetState,
        config: ReceiverConfig,
    ) -> Self {
        let mut victim = Self {
            receiver: Receiver::new(SESSION, config, state),
            store,
            out,
            now: Instant::now(),
            chain: Chain::start(SESSION),
            check: PageCheck::new(),
            sent: PageCheck::new(),
            totals: Totals::default(),
            said: Vec::new(),
            events: Vec::new(),
            asked: Vec::new(),
            has_damage: false,
            consented: None,
            end: None,
            is_unheard: false,
        };
        victim.receiver.handle_link_up(1, victim.now);
        victim.drain();
        assert!(matches!(victim.said[..], [Message::RecoveryRequest(_)]));
        victim
    }

    /// The process is killed; another one reads the journal, and its request is out.
    pub(crate) fn restart(self) -> Self {
        self.killed_at(|_| ())
    }

    /// The same, and something is done to what is there while none of them runs.
    pub(crate) fn killed_at(self, meanwhile: impl FnOnce(&Path)) -> Self {
        self.after(meanwhile, config(true), seal())
    }

    fn again(self, config: ReceiverConfig, secret: [u8; 32]) -> Self {
        self.after(|_| (), config, secret)
    }

    fn after(
        self,
        meanwhile: impl FnOnce(&Path),
        config: ReceiverConfig,
        secret: [u8; 32],
    ) -> Self {
        let Self { receiver, store, out, chain, totals, sent, .. } = self;
        drop((receiver, store));
        meanwhile(out.path());
        let mut victim = Self::sealed(out, config, secret);
        (victim.chain, victim.totals, victim.sent) = (chain, totals, sent);
        victim
    }

    /// What lies in its target is found by a receiver that was paired just now, whose state directory does not know it; its
    /// user is asked.
    pub(crate) fn planted(self) -> Self {
        self.again(config(false), [4; 32])
    }

    /// The process is killed; another one asks its user, unless that was done before.
    pub(crate) fn restart_asking(self) -> Self {
        self.again(config(false), seal())
    }

    /// The process is killed; another one knows what its user agreed to, as the session's record does.
    pub(crate) fn restart_remembering(self) -> Self {
        self.restart_with(|_| {})
    }

    /// The same, by a command with other options.
    pub(crate) fn restart_with(self, change: impl FnOnce(&mut ReceiverConfig)) -> Self {
        let mut config = ReceiverConfig { accepted: self.consented.clone(), ..config(false) };
        change(&mut config);
        self.again(config, seal())
    }

    /// Accepts up to a thousand files without asking; its request is out.
    pub(crate) fn accepting() -> Self {
        Self::new(config(true))
    }

    /// Accepts so many files, and as many directories, without asking.
    pub(crate) fn accepting_up_to(files_max: u64) -> Self {
        Self::new(ReceiverConfig { files_max, ..config(true) })
    }

    /// Asks its user, who does not answer.
    pub(crate) fn asking() -> Self {
        Self::new(config(false))
    }

    /// Wants the one page that it got.
    pub(crate) fn wanting(entries: Vec<Entry>) -> Self {
        Self::accepting().want(entries)
    }

    /// Wants a page.
    pub(crate) fn want(self, entries: Vec<Entry>) -> Self {
        let mut victim = self;
        victim.recover();
        victim.page(0, 0, entries);
        assert_eq!(victim.wants(), [0]);
        victim
    }

    /// What its last request says.
    pub(crate) fn request(&self) -> &RecoveryRequest {
        let request = self.said.iter().rev().find_map(|message| match message {
            Message::RecoveryRequest(request) => Some(request),
            _ => None,
        });
        request.unwrap()
    }

    pub(crate) fn out(&self) -> &Path {
        self.out.path()
    }

    pub(crate) fn recover(&mut self) {
        self.say(Message::RecoveryAnswer { pages: 0 });
    }

    /// Its link is replaced by another, on which its request is out.
    pub(crate) fn reconnect(&mut self) {
        self.receiver.handle_link_down();
        self.receiver.handle_link_up(2, self.now);
        self.drain();
        assert!(matches!(self.said.last(), Some(Message::RecoveryRequest(_))));
    }

    /// The units that it has, as its last request or want says.
    pub(crate) fn units_there(&self) -> Ranges {
        let units = self.said.iter().rev().find_map(|message| match message {
            Message::RecoveryRequest(RecoveryRequest { units, .. })
            | Message::Want { units, .. } => units.to_ranges(),
            _ => None,
        });
        units.unwrap()
    }

    pub(crate) fn say(&mut self, message: Message) {
        self.receiver.handle_message(message, self.now);
        self.drain();
    }

    pub(crate) fn body(&mut self, content: &[u8]) {
        self.receiver.handle_body(Bytes::copy_from_slice(content), self.now);
        self.drain();
    }

    /// The disk did something.
    pub(crate) fn hear_disk(&mut self, reply: TargetReply) {
        self.receiver.handle_disk(reply, self.now);
        self.drain();
    }

    /// Over a directory that is given up with it, with a disk that the test plays.
    pub(crate) fn with_disk(is_accepted: bool, store: Store) -> Self {
        let out = tempfile::tempdir().unwrap();
        let config = ReceiverConfig { files_max: u64::MAX, ..config(is_accepted) };
        Self::within(out, store, TargetState::default(), config)
    }

    /// Time for a barrier, or a question, passes.
    pub(crate) fn tick(&mut self) {
        self.now += Duration::from_secs(2);
        self.receiver.handle_timeout(self.now);
        self.drain();
    }

    pub(crate) fn accept(&mut self) {
        self.answer(Answer::Accept(Accepted::This));
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        self.receiver.handle_answer(answer, self.now);
        self.drain();
    }

    pub(crate) fn page(&mut self, number: u64, first_entry: u64, entries: Vec<Entry>) {
        let page = Page { number, first_entry, entries };
        // What a later entry replaces counts no more.
        match self.sent.check(&page) {
            Ok(_) => self.totals = self.sent.totals(),
            Err(_) => page.entries.iter().for_each(|entry| self.totals.add(entry)),
        }
        let encoded = page.encode().unwrap();
        self.chain = self.chain.extend(&encoded);
        self.say(Message::Page { encoded });
    }

    /// So much is there in all, as the sender says.
    pub(crate) fn estimate(&mut self) {
        let totals = self.totals;
        self.say(Message::Estimate { totals, is_complete: true });
    }

    /// The end that is true of the pages sent.
    pub(crate) fn end(&mut self, pages: u64) {
        let totals = self.totals;
        self.say(Message::End { pages, totals, chain: self.chain, failed: 0, skipped: 0 });
    }

    pub(crate) fn pack(unit: u64, files: &[(u64, &[u8])]) -> Message {
        let packed = |content: &[u8]| PackedFile {
            bytes: content.len() as u64,
            root: *blake3::hash(content).as_bytes(),
        };
        let files = files.iter().map(|(entry, content)| (*entry, packed(content))).collect();
        Message::Unit { unit, head: UnitHead::Pack { files } }
    }

    /// The `index`-th unit of a large file.
    pub(crate) fn part(&mut self, entry: u64, unit: u64, index: usize, content: &[u8]) {
        let offset = index * UNIT_BYTES as usize;
        let part = &content[offset..content.len().min(offset + UNIT_BYTES as usize)];
        let value = merge::unit_value([part], offset as u64, content.len() as u64);
        self.say(Message::Unit { unit, head: UnitHead::Part { entry, value } });
        for body in part.chunks(60_000) {
            self.body(body);
        }
    }

    /// Serves one page honestly, whatever is on it, to the end.
    pub(crate) fn serve(&mut self, entries: Vec<(Entry, Content)>) {
        self.recover();
        let (entries, contents): (Vec<Entry>, Vec<Content>) = entries.into_iter().unzip();
        let page = Page { number: 0, first_entry: 0, entries: entries.clone() };
        self.page(0, 0, entries);
        let Ok(verdicts) = self.check.check(&page) else { return };
        for segment in Layout::new(&page, &verdicts, 0).segments {
            let Segment::Pack { unit, files } = segment else { panic!("only small files") };
            let files: Vec<(u64, &[u8])> = files
                .iter()
                .map(|(entry, _)| match &contents[*entry as usize] {
                    Content::Bytes(bytes) => (*entry, &bytes[..]),
                    Content::None => panic!("a file without content"),
                })
                .collect();
            let whole: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
            self.say(Self::pack(unit, &files));
            self.body(&whole);
        }
        self.end(1);
        self.tick();
    }

    /// Pages that were wanted so far.
    pub(crate) fn wants(&self) -> Vec<u64> {
        let wants = self.said.iter().filter_map(|message| match message {
            Message::Want { page, .. } => Some(*page),
            _ => None,
        });
        wants.collect()
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.receiver.is_finished()
    }

    pub(crate) fn failure(&self) -> Option<ErrorKind> {
        self.end.as_ref().and_then(|end| end.as_ref().err()).map(|error| error.kind)
    }

    #[track_caller]
    pub(crate) fn expect_protocol_error(&self, what: &str) {
        assert_eq!(self.failure(), Some(ErrorKind::Failure), "{what}: {:?}", self.end);
        let is_told = |message: &Message| matches!(message, Message::Bye { .. });
        assert!(self.said.iter().any(is_told), "{what}: the sender is not told");
        self.expect_nothing(what);
    }

    /// Nothing but directories is in the target.
    #[track_caller]
    pub(crate) fn expect_nothing(&self, what: &str) {
        let found = self.found();
        assert!(found.is_empty(), "{what}: {found:?}");
    }

    /// Every file and symlink below the target but for our own directory, with its content.
    pub(crate) fn found(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.out.path().to_path_buf()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let below = path.strip_prefix(self.out.path()).unwrap();
                let name = below.as_os_str().as_bytes().to_vec();
                let kind = path.symlink_metadata().unwrap().file_type();
                if kind.is_symlink() {
                    found.insert(
                        name,
                        fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
                    );
                } else if kind.is_file() {
                    found.insert(name, fs::read(&path).unwrap());
                } else if name != b".rejoin" {
                    open.push(path);
                }
            }
        }
        found
    }

    fn drain(&mut self) {
        while let Some(output) = self.receiver.poll_output() {
            match output {
                ReceiverOutput::Disk(request) => {
                    if let Some(reply) = (self.store)(request) {
                        self.receiver.handle_disk(reply, self.now);
                    }
                }
                ReceiverOutput::Send(_, message) => {
                    message.encode().expect("messages of ours fit");
                    self.said.push(message);
                }
                ReceiverOutput::Event(_) if self.is_unheard => {}
                ReceiverOutput::Event(event) => self.events.push(event),
                ReceiverOutput::Ask(ask) => self.asked.push(ask),
                ReceiverOutput::Consented(agreement) => self.consented = Some(agreement),
                ReceiverOutput::Finished => {}
                ReceiverOutput::Done => self.end = Some(Ok(())),
                ReceiverOutput::Failed(error) => self.end = Some(Err(error)),
            }
        }
    }
}

/// Whether a unit is what its head promised.
fn is_right(content: &UnitContent, payload: &[Bytes]) -> bool {
    let payload = payload.concat();
    match content {
        UnitContent::Part { offset, file_bytes, value, .. } => {
            merge::unit_value([&payload[..]], *offset, *file_bytes) == *value
        }
        UnitContent::Pack { files, .. } => {
            let mut rest = &payload[..];
            files.iter().all(|(_, file)| {
                let (content, after) = rest.split_at(file.bytes as usize);
                rest = after;
                *blake3::hash(content).as_bytes() == file.root
            })
        }
    }
}

/// A sender with a scanned tree, whose receiver the test is.
pub(crate) struct Prey {
    pub(crate) sender: Sender,
    pub(crate) source: ModelSource,
    /// Messages on the data channel.
    pub(crate) received: Vec<Message>,
    /// Messages on other channels.
    pub(crate) told: Vec<Message>,
    bodies: u64,
    pub(crate) units: u64,
    assembler: Assembler,
    pub(crate) stops_reading: bool,
    end: Option<Result<(), Error>>,
}

impl Prey {
    pub(crate) fn new(source: ModelSource) -> Self {
        let mut prey = Self {
            sender: Sender::new(SESSION),
            received: Vec::new(),
            told: Vec::new(),
            bodies: 0,
            units: 0,
            assembler: Assembler::new(),
            stops_reading: false,
            end: None,
            source,
        };
        for report in prey.source.reports() {
            prey.sender.handle_scan(report);
        }
        prey.sender.handle_link_up(false);
        prey.drain();
        prey
    }

    /// A sender that does not wait for the request.
    pub(crate) fn early(source: ModelSource) -> Self {
        let mut prey = Self::new(source);
        prey.sender.handle_link_up(true);
        prey.drain();
        prey
    }

    /// A sender whose scan is not over.
    pub(crate) fn hold_scan_end(&mut self) {
        self.sender = Sender::new(SESSION);
        for report in self.source.reports() {
            if !matches!(report, ScanReport::End { .. }) {
                self.sender.handle_scan(report);
            }
        }
        self.sender.handle_link_up(false);
        self.drain();
    }

    pub(crate) fn say(&mut self, message: Message) {
        self.sender.handle_message(message);
        self.drain();
    }

    pub(crate) fn failure(&self) -> Option<ErrorKind> {
        self.end.as_ref().and_then(|end| end.as_ref().err()).map(|error| error.kind)
    }

    /// Whether it ended, one way or the other.
    pub(crate) const fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// No more content came than the tree has, and only files of it.
    #[track_caller]
    pub(crate) fn check_received(&self) {
        let is_file = |entry: u64| {
            let files = self.source.tree.values().filter(|node| matches!(node, Node::File(_)));
            entry < self.source.totals.entries && files.count() > 0
        };
        for message in &self.received {
            match message {
                Message::Unit { head: UnitHead::Part { entry, .. }, .. } => {
                    assert!(is_file(*entry))
                }
                Message::Unit { head: UnitHead::Pack { files }, .. } => {
                    assert!(files.iter().all(|(entry, _)| is_file(*entry)));
                }
                _ => {}
            }
        }
        assert!(self.bodies <= 3 * self.source.totals.bytes, "{} bytes", self.bodies);
    }

    pub(crate) fn drain(&mut self) {
        loop {
            while let Some(output) = self.sender.poll_output() {
                match output {
                    SenderOutput::Disk(request) => {
                        let reply = self.source.handle(request);
                        self.sender.handle_disk(reply);
                    }
                    SenderOutput::Send(channel, message) => {
                        assert_ne!(channel, Channel::Data);
                        message.encode().expect("messages of ours fit");
                        self.told.push(message);
                    }
                    SenderOutput::Event(_) | SenderOutput::Answered { .. } => {}
                    SenderOutput::Done => self.end = Some(Ok(())),
                    SenderOutput::Failed(error) => self.end = Some(Err(error)),
                }
            }
            let Some(frame) = self.sender.poll_frame().filter(|_| !self.stops_reading) else {
                return;
            };
            match self.assembler.handle_frame(&frame).expect("frames of ours are good") {
                Some(Frame::Message(bytes)) => {
                    let message = Message::decode(&bytes).expect("messages of ours are good");
                    self.units += u64::from(matches!(message, Message::Unit { .. }));
                    self.received.push(message);
                }
                Some(Frame::Body(body)) => self.bodies += body.len() as u64,
                None => {}
            }
        }
    }
}
