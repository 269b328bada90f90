//! Whole sessions against each other: real rooms, a seeded network, links by number, virtual time.
//!
//! A description names its link and, in an answer, the link that it answers; two links are one connection when each
//! took the other's description. Frames of one channel keep their order but for pulse. What a process stores survives
//! [`Pair::crash`], nothing else does.

mod path;

pub(crate) use path::Paths;

use super::model_source::ModelSource;
use super::model_target::ModelTarget;
use super::random::Random;
use super::sim::{Ending, SESSION};
use bytes::Bytes;
use rejoin::event::{Event, LinkState};
use rejoin::link::{Candidate, CloseReason, LinkCommand, LinkEvent};
use rejoin::session::entropy::Entropy;
use rejoin::session::machine::{DiskLoad, Session, SessionOutput};
use rejoin::session::meeting::{Entrance, Joining, JoiningConfig, Opening, OpeningConfig, Pairing};
use rejoin::signal::Seed;
use rejoin::signal::capabilities::{CARRIER, Capabilities, EARLY_ANSWER};
use rejoin::signal::code::Code;
use rejoin::signal::protocol::{ClientMessage, HostMessage};
use rejoin::signal::room::{Command, ConnectionId, Limits, Rooms};
use rejoin::signal::subscriber::Subscriber;
use rejoin::transfer::disk::{OnConflict, ScanReport, SourceReply, TargetReply};
use rejoin::transfer::receiver::{Accepted, Agreement, Answer, ReceiverConfig};
use rejoin::wire::{CarrierTokens, Channel, MemberId, SessionSecret};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The side that sends; every other side receives.
pub(crate) const SENDER: usize = 0;
/// The first receiver.
pub(crate) const RECEIVER: usize = 1;

/// `--retry-for` of every side.
pub(crate) const RETRY_FOR: Duration = Duration::from_secs(3_600);

/// Data frames between two ends, at most: back-pressure.
const DATA_FRAMES_MAX: usize = 64;

/// Lines kept of what happened, for the report of a failure.
const LOG_LINES_MAX: usize = 200;

enum Happening {
    HostConnect(usize, u64),
    ToHost(ConnectionId, Vec<u8>),
    FromHost(usize, ConnectionId, HostMessage),
    Link(u64, LinkEvent),
    Frame(u64, Channel, Bytes),
    Scan(u64, Box<ScanReport>),
    Source(u64, Box<SourceReply>),
    Target(usize, u64, Box<TargetReply>),
    Store(usize, u64, Box<Pairing>),
}

/// How a link comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both ends are told.
    Both,
    /// Nobody is told: frames vanish.
    Silent,
    /// Only this side is told.
    Side(usize),
}

/// What a process keeps on its disk about the session.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) secret: SessionSecret,
    pub(crate) epoch: u64,
}

pub(crate) struct Side {
    pub(crate) session: Session,
    member: MemberId,
    /// The code that a process without a session starts from.
    pub(crate) code: Code,
    pub(crate) stored: Option<Stored>,
    pub(crate) target: ModelTarget,
    pub(crate) end: Option<Ending>,
    pub(crate) events: Vec<Event>,
    pub(crate) is_code_ready: bool,
    pub(crate) is_code_spent: bool,
    /// Epochs of the joins, of all processes of this side.
    pub(crate) epochs: Vec<u64>,
    /// When links came up and went down.
    pub(crate) downs: Vec<Instant>,
    /// When it was told how to continue by hand.
    pub(crate) manuals: Vec<Instant>,
    /// When connections were started.
    pub(crate) starts: Vec<Instant>,
    /// The process dies at this many stored pairings, before or after it is durable.
    pub(crate) dies_storing: Option<bool>,
    run: u64,
    connection: Option<ConnectionId>,
    /// What it would say first on its socket, until it says something.
    first: Option<ClientMessage>,
    link: Option<u64>,
}

/// One end of a connection.
struct End {
    side: usize,
    is_carried: bool,
    tokens: Option<CarrierTokens>,
    is_offerer: bool,
    remote: Option<u64>,
    has_opened: bool,
    is_closed: bool,
    /// Bytes of the data channel that the other end has.
    delivered: u64,
    /// Frames that arrived and are not read.
    waiting: BTreeMap<Channel, VecDeque<Bytes>>,
    data_under_way: usize,
}

/// How much later than usual a message of the host reaches a side, and all after it with it.
pub(crate) type Late = Box<dyn FnMut(usize, &HostMessage) -> Duration>;

/// Changes what the host hands to a side: instead of the one message, these.
pub(crate) type Tamper = Box<dyn FnMut(&mut Random, usize, HostMessage) -> Vec<HostMessage>>;

pub(crate) struct Pair {
    pub(crate) seed: u64,
    pub(crate) random: Random,
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) source: ModelSource,
    pub(crate) sides: Vec<Side>,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) late: Option<Late>,
    pub(crate) paths: Paths,
    /// Everything that the host was given, as bytes.
    pub(crate) host_saw: Vec<Vec<u8>>,
    /// Descriptions and candidates that links made.
    pub(crate) told: BTreeSet<String>,
    /// Candidates that links were given.
    given: BTreeSet<(u64, String)>,
    /// Whether the store of a side stands still, and what it would have said.
    stuck: [Option<Vec<Happening>>; 2],
    /// Whether new connections can open.
    pub(crate) is_network_up: bool,
    /// Whether new connections fail as soon as they are tried, instead of never opening.
    pub(crate) fails_fast: bool,
    /// A receiver that has everything ends when its sender does not come.
    pub(crate) ends_alone: bool,
    /// What its person told the receiver beforehand.
    receiver: ReceiverConfig,
    /// Questions that wait for their answer.
    pub(crate) asked: usize,
    pub(crate) is_host_up: bool,
    host: Rooms,
    connections: u64,
    agenda: BTreeMap<(Instant, u64), Happening>,
    planned: u64,
    last: BTreeMap<(u8, u64, u8), Instant>,
    links: BTreeMap<u64, End>,
    /// Links whose frames vanish.
    dead: BTreeSet<u64>,
    /// Ends of links that hear and are not heard.
    mute: BTreeSet<u64>,
    log: VecDeque<String>,
}

fn secret_bytes(seed: u64, which: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&which.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// Whether the receiver takes early answers.
pub(crate) const fn takes_early(seed: u64) -> bool {
    seed >> 2 & 1 == 0
}

fn member(side: usize) -> MemberId {
    MemberId([side as u8 + 1; 16])
}

pub(crate) fn accept_all() -> ReceiverConfig {
    ReceiverConfig {
        on_conflict: Some(OnConflict::Fail),
        accepted: Some(Agreement::EVERYTHING),
        by_content: false,
        bytes_max: u64::MAX,
        files_max: u64::MAX,
    }
}

impl Pair {
    /// A sender of `source` and a receiver that has its code and takes whatever comes.
    pub(crate) fn new(seed: u64, source: ModelSource) -> Self {
        Self::with(seed, source, accept_all())
    }

    /// The same, and the receiver asks its person, who does not answer by itself.
    pub(crate) fn asking(seed: u64, source: ModelSource) -> Self {
        Self::with(seed, source, ReceiverConfig { accepted: None, ..accept_all() })
    }

    fn with(seed: u64, source: ModelSource, receiver: ReceiverConfig) -> Self {
        let now = Instant::now();
        let mut pair = Self {
            seed,
            receiver,
            asked: 0,
            random: Random::new(seed ^ 0x9a12),
            now,
            start: now,
            source,
            sides: Vec::new(),
            tamper: None,
            late: None,
            paths: Paths::default(),
            host_saw: Vec::new(),
            told: BTreeSet::new(),
            given: BTreeSet::new(),
            stuck: [None, None],
            is_network_up: true,
            fails_fast: false,
            ends_alone: false,
            is_host_up: true,
            host: Rooms::new(Limits::default(), secret_bytes(seed, 3), now),
            connections: 0,
            agenda: BTreeMap::new(),
            planned: 0,
            last: BTreeMap::new(),
            links: BTreeMap::new(),
            dead: BTreeSet::new(),
            mute: BTreeSet::new(),
            log: VecDeque::new(),
        };
        let code = Code::generate(7, 3, &Seed::new(secret_bytes(seed, 1)));
        pair.add(code.clone(), Duration::ZERO);
        pair.add(code, Duration::from_millis(200));
        pair
    }

    /// One more process, which reaches the host after `delay`.
    pub(crate) fn add(&mut self, code: Code, delay: Duration) -> usize {
        let side = self.sides.len();
        let session = self.make_session(side, &code, None, &ModelTarget::default());
        self.sides.push(Side {
            session,
            member: member(side),
            code,
            stored: None,
            target: ModelTarget::default(),
            end: None,
            events: Vec::new(),
            is_code_ready: false,
            is_code_spent: false,
            epochs: Vec::new(),
            downs: Vec::new(),
            manuals: Vec::new(),
            starts: Vec::new(),
            dies_storing: None,
            run: 0,
            connection: None,
            first: None,
            link: None,
        });
        self.begin(side, delay);
        side
    }

    /// By seed, either side has a carrier or not, and the receiver takes early answers or not.
    fn features(&self, side: usize) -> u64 {
        let carrier = if self.seed >> side & 1 == 0 { CARRIER } else { 0 };
        let is_early = side == SENDER || takes_early(self.seed);
        carrier | if is_early { EARLY_ANSWER } else { 0 }
    }

    fn make_session(
        &mut self,
        side: usize,
        code: &Code,
        stored: Option<&Stored>,
        target: &ModelTarget,
    ) -> Session {
        let which = self.random.next();
        let entropy = Entropy::new(&secret_bytes(self.seed, which));
        let capabilities = Capabilities::new(member(side), 65_536, self.features(side));
        let token_key = secret_bytes(self.seed, 1_000 + side as u64);
        let name = format!("laptop-of-side-{side}");
        if side == SENDER {
            let is_confirmed =
                self.sides.get(side).is_some_and(|side| side.is_code_spent) && stored.is_some();
            let config = OpeningConfig {
                session: SESSION,
                member: member(side),
                capabilities,
                token_key,
                name,
                code: (!is_confirmed).then(|| code.clone()),
                is_code_fixed: true,
                is_confirmed,
                secret: stored.map(|stored| (stored.secret.clone(), stored.epoch)),
            };
            let opening = Opening::new(config, entropy).expect("a usable code");
            return Session::sender(SESSION, opening, RETRY_FOR, self.now);
        }
        let entrance = match stored {
            Some(Stored { secret, epoch }) => {
                Entrance::Session { session: SESSION, secret: secret.clone(), epoch: *epoch }
            }
            None => Entrance::Code(code.clone()),
        };
        let kept = stored.map(|_| (SESSION, target.state()));
        let config = JoiningConfig {
            member: member(side),
            capabilities,
            token_key,
            name,
            entrance,
            code: None,
            wait: true,
            retry_for: RETRY_FOR,
        };
        let joining = Joining::new(config, entropy, self.now);
        Session::receiver(joining, self.receiver.clone(), kept, RETRY_FOR, self.now)
    }

    fn begin(&mut self, side: usize, delay: Duration) {
        let run = self.sides[side].run;
        if side == SENDER {
            let mut wait = Duration::ZERO;
            for report in self.source.reports() {
                wait += self.delay(3_000);
                self.plan(wait, Happening::Scan(run, Box::new(report)));
            }
        }
        let wait = delay + self.delay(50_000);
        self.plan(wait, Happening::HostConnect(side, run));
        self.drain();
    }

    /// The receiver's person answers.
    pub(crate) fn accept(&mut self) {
        self.asked = 0;
        let answer = Answer::Accept(Accepted::Everything);
        self.sides[RECEIVER].session.handle_answer(answer, self.now);
        self.drain();
    }

    /// What is kept for tests to look at is forgotten, but for what is told apart by the number of a connection.
    pub(crate) fn forget_the_past(&mut self) {
        for side in &mut self.sides {
            side.events.clear();
            side.epochs.clear();
            side.downs.clear();
            side.starts.clear();
            side.manuals.clear();
        }
        self.host_saw.clear();
    }

    /// The store of a side stands still; it is at work, as its session may be told.
    pub(crate) fn stick_disk(&mut self, side: usize, is_told: bool) {
        self.note(format!("the disk of side {side} stands still"));
        self.stuck[side].get_or_insert_with(Vec::new);
        if is_told {
            self.sides[side].session.handle_disk_load(DiskLoad { requests: 1, bytes: 0 }, self.now);
        }
    }

    /// It goes on.
    pub(crate) fn free_disk(&mut self, side: usize) {
        for happening in self.stuck[side].take().unwrap_or_default() {
            self.plan(Duration::ZERO, happening);
        }
        self.sides[side].session.handle_disk_load(DiskLoad::default(), self.now);
    }

    /// The process dies; another starts from what is stored after `delay`. The other end of its link is told, or not.
    pub(crate) fn crash(&mut self, side: usize, is_told: bool, delay: Duration) {
        self.note(format!("side {side} crashes (told: {is_told})"));
        if let Some(link) = self.sides[side].link.take() {
            self.end_link(link, is_told);
        }
        self.drop_host_connection(side);
        let (code, stored) = (self.sides[side].code.clone(), self.sides[side].stored.clone());
        let target = std::mem::take(&mut self.sides[side].target);
        let session = self.make_session(side, &code, stored.as_ref(), &target);
        let state = &mut self.sides[side];
        state.session = session;
        state.target = target;
        state.run += 1;
        state.end = None;
        self.begin(side, delay);
    }

    /// The live link is cut.
    pub(crate) fn cut(&mut self, cut: Cut) {
        self.note(format!("cut {cut:?}"));
        let reason = || CloseReason::Transport("cut".to_owned());
        for side in [SENDER, RECEIVER] {
            let Some(link) = self.sides[side].link else { continue };
            self.dead.insert(link);
            if cut == Cut::Both || cut == Cut::Side(side) {
                self.plan(
                    Duration::ZERO,
                    Happening::Link(link, LinkEvent::Closed { reason: reason() }),
                );
            }
        }
        self.drain();
    }

    /// What `side` sends on the live link vanishes from now on; what it is sent arrives.
    pub(crate) fn mute(&mut self, side: usize) {
        self.note(format!("side {side} is not heard"));
        self.mute.extend(self.sides[side].link);
    }

    /// The socket of `side` to the host breaks with all that is in flight; it comes back by itself.
    pub(crate) fn lose_host(&mut self, side: usize, for_how_long: Duration) {
        self.note(format!("side {side} loses the host for {for_how_long:?}"));
        self.drop_host_connection(side);
        self.sides[side].session.handle_host_down(self.now);
        let run = self.sides[side].run;
        self.plan(for_how_long, Happening::HostConnect(side, run));
        self.drain();
    }

    /// The host is attacked: whoever tries a number shows work first, little of it here.
    pub(crate) fn attack_host(&mut self) {
        let limits =
            Limits { misses_free: 0, misses_max: u32::MAX, work_bits: 4, ..Limits::default() };
        self.host = Rooms::new(limits, secret_bytes(self.seed, 3), self.now);
    }

    /// How often the host asked for work.
    pub(crate) const fn works_asked(&self) -> u64 {
        self.host.counters().work_asked
    }

    /// The host's process is replaced by one that knows nothing.
    pub(crate) fn restart_host(&mut self, after: Duration) {
        self.note("the host restarts".to_owned());
        self.host = Rooms::new(Limits::default(), secret_bytes(self.seed, 3), self.now);
        for side in 0..self.sides.len() {
            let delay = after + self.delay(500_000);
            self.lose_host(side, delay);
        }
    }

    fn drop_host_connection(&mut self, side: usize) {
        if let Some(connection) = self.sides[side].connection.take() {
            self.host.handle_disconnected(connection, self.now);
        }
    }

    pub(crate) fn is_up(&self, side: usize) -> bool {
        self.sides[side].session.is_up()
    }

    pub(crate) fn reconnections(&self, side: usize) -> u64 {
        self.sides[side].session.reconnections()
    }

    /// The host hands `side` a message of its own making.
    pub(crate) fn feed(&mut self, side: usize, message: HostMessage) {
        if let Some(connection) = self.sides[side].connection {
            self.plan(Duration::from_millis(1), Happening::FromHost(side, connection, message));
        }
    }

    /// Whether all of it is there, and the sender knows.
    pub(crate) fn is_done(&self) -> bool {
        self.sides[SENDER].end == Some(Ending::Done) && self.sides[RECEIVER].target.is_finished()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Steps until `is_over`; fails when it takes longer than `budget` of virtual time.
    #[track_caller]
    pub(crate) fn run_until(&mut self, budget: Duration, is_over: impl Fn(&Self) -> bool) {
        let end = self.now + budget;
        let mut steps = 0;
        while !is_over(self) {
            steps += 1;
            let is_live = self.now <= end && steps < 2_000_000 && self.step();
            if !is_live {
                self.fail(&format!("not over within {budget:?} ({steps} steps)"));
            }
        }
    }

    /// Steps for this much virtual time.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    #[track_caller]
    pub(crate) fn check_done(&self) {
        if !self.is_done() {
            self.fail("not done");
        }
        let (found, sent) = (&self.sides[RECEIVER].target.tree, &self.source.tree);
        if found != sent {
            let paths = found.keys().chain(sent.keys());
            let wrong: BTreeSet<_> =
                paths.filter(|path| found.get(*path) != sent.get(*path)).collect();
            let what = |path: &Vec<u8>| (found.get(path).is_some(), sent.get(path).is_some());
            let wrong: Vec<_> = wrong
                .into_iter()
                .map(|path| (String::from_utf8_lossy(path).into_owned(), what(path)))
                .collect();
            let events = &self.sides[RECEIVER].events;
            self.fail(&format!("not the tree that was sent: {wrong:?} (there, sent)\n{events:#?}"));
        }
    }

    #[track_caller]
    pub(crate) fn fail(&self, what: &str) -> ! {
        let log: Vec<_> = self.log.iter().map(String::as_str).collect();
        let ends: Vec<_> = self.sides.iter().map(|side| &side.end).collect();
        panic!("seed {}: {what}\n{}\nends {ends:?}", self.seed, log.join("\n"));
    }

    pub(crate) fn note(&mut self, line: String) {
        if self.log.len() == LOG_LINES_MAX {
            self.log.pop_front();
        }
        self.log.push_back(format!("{:>9.3} {line}", self.elapsed().as_secs_f64()));
    }

    fn plan(&mut self, delay: Duration, happening: Happening) {
        self.planned += 1;
        self.agenda.insert((self.now + delay, self.planned), happening);
    }

    /// As [`Self::plan`], never before what was planned for the same stream.
    fn plan_in_order(&mut self, stream: (u8, u64, u8), delay: Duration, happening: Happening) {
        // Never at the same time: what is held back at its time and freed at once comes before the next all the same.
        let next = self.last.get(&stream).map_or(self.now, |last| *last + Duration::from_nanos(1));
        let at = (self.now + delay).max(next);
        self.last.insert(stream, at);
        self.plan(at - self.now, happening);
    }

    fn delay(&mut self, most_us: u64) -> Duration {
        Duration::from_micros(1 + self.random.below(most_us))
    }

    fn next_at(&self) -> Option<Instant> {
        let alive = self.sides.iter().filter(|side| side.end.is_none());
        let timers = alive.filter_map(|side| side.session.poll_timeout()).map(|(at, _)| at);
        timers
            .chain(self.host.poll_timeout())
            .chain(self.agenda.keys().next().map(|(at, _)| *at))
            .min()
    }

    /// One thing happens; `false` where nothing is left to happen.
    pub(crate) fn step(&mut self) -> bool {
        let Some(at) = self.next_at() else { return false };
        self.now = self.now.max(at);
        if self.agenda.keys().next().is_some_and(|(planned, _)| *planned <= self.now) {
            if let Some((_, happening)) = self.agenda.pop_first() {
                self.happen(happening);
            }
        } else {
            self.host.handle_timeout(self.now);
            for side in &mut self.sides {
                let is_due = side.session.poll_timeout().is_some_and(|(due, _)| due <= self.now);
                if side.end.is_none() && is_due {
                    side.session.handle_timeout(self.now);
                }
            }
        }
        self.drain();
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::HostConnect(side, run) => self.connect_host(side, run),
            Happening::ToHost(connection, bytes) => {
                let random = self.random.next() as u32;
                self.host.handle_message(connection, &bytes, random, self.now);
            }
            Happening::FromHost(side, connection, message) => {
                if self.sides[side].connection == Some(connection) && self.sides[side].end.is_none()
                {
                    self.note(format!("host → {side}: {}", short(&message)));
                    self.sides[side].session.handle_host(message, self.now);
                }
            }
            Happening::Link(link, event) => self.on_link_event(link, event),
            Happening::Frame(link, channel, frame) => {
                let from = self.links.get(&link).and_then(|end| end.remote);
                let is_mute = from.is_some_and(|from| self.mute.contains(&from));
                let is_dead = is_mute || self.dead.contains(&link);
                if let Some(end) =
                    self.links.get_mut(&link).filter(|end| !end.is_closed && !is_dead)
                {
                    end.waiting.entry(channel).or_default().push_back(frame);
                }
            }
            Happening::Scan(run, report) => {
                if self.sides[SENDER].run == run {
                    self.sides[SENDER].session.handle_scan(*report, self.now);
                }
            }
            Happening::Source(..) if self.stuck[SENDER].is_some() => {
                self.stuck[SENDER].as_mut().expect("it stands still").push(happening);
            }
            Happening::Target(side, ..)
                if self.stuck.get(side).is_some_and(|stuck| stuck.is_some()) =>
            {
                self.stuck[side].as_mut().expect("it stands still").push(happening);
            }
            Happening::Source(run, reply) => {
                if self.sides[SENDER].run == run {
                    self.sides[SENDER].session.handle_source(*reply, self.now);
                }
            }
            Happening::Target(side, run, reply) => {
                if self.sides[side].run == run {
                    self.sides[side].session.handle_target(*reply, self.now);
                }
            }
            Happening::Store(side, run, pairing) => self.store(side, run, &pairing),
        }
    }

    fn connect_host(&mut self, side: usize, run: u64) {
        let state = &self.sides[side];
        if state.run != run || state.connection.is_some() || state.end.is_some() {
            return;
        }
        if !self.is_host_up {
            self.plan(Duration::from_secs(1), Happening::HostConnect(side, run));
            return;
        }
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let from = Subscriber::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.host.handle_connected(connection, from, self.now);
        self.sides[side].connection = Some(connection);
        self.note(format!("side {side} reaches the host"));
        let first = self.sides[side].session.first_message();
        self.sides[side].session.handle_host_up(self.now);
        self.sides[side].first = first;
    }

    fn store(&mut self, side: usize, run: u64, pairing: &Pairing) {
        if self.sides[side].run != run || self.sides[side].end.is_some() {
            return;
        }
        let stored = Stored { secret: pairing.secret.clone(), epoch: pairing.epoch };
        match self.sides[side].dies_storing.take() {
            Some(is_durable) => {
                if is_durable {
                    self.sides[side].stored = Some(stored);
                }
                self.crash(side, true, Duration::from_secs(1));
            }
            None => {
                self.sides[side].stored = Some(stored);
                let state = &mut self.sides[side];
                if side == SENDER {
                    state.session.handle_stored(self.now);
                } else {
                    let kept = state.target.state();
                    let Pairing { session, secret, epoch, .. } = pairing;
                    state.session.handle_paired(*session, secret, *epoch, kept, self.now);
                }
            }
        }
    }

    fn on_link_event(&mut self, link: u64, event: LinkEvent) {
        let is_dead = self.dead.contains(&link);
        let Some(end) = self.links.get_mut(&link).filter(|end| !end.is_closed) else { return };
        let side = end.side;
        match &event {
            LinkEvent::Open if is_dead => return,
            LinkEvent::Open => end.has_opened = true,
            LinkEvent::Closed { .. } => {
                // What came before the end is heard first.
                for frame in end.waiting.remove(&Channel::Control).unwrap_or_default() {
                    self.sides[side].session.handle_frame(Channel::Control, &frame, self.now);
                }
                self.end_link(link, false);
            }
            _ => {}
        }
        if self.sides[side].link != Some(link) && !matches!(event, LinkEvent::Closed { .. }) {
            return;
        }
        self.note(format!("link {link} of {side}: {}", short(&event)));
        if matches!(event, LinkEvent::Closed { .. }) && self.sides[side].link == Some(link) {
            self.sides[side].link = None;
        }
        self.sides[side].session.handle_link(event, self.now);
    }

    /// This end is closed; the other end hears of it, or not.
    fn end_link(&mut self, link: u64, is_told: bool) {
        let Some(end) = self.links.get_mut(&link) else { return };
        if std::mem::replace(&mut end.is_closed, true) {
            return;
        }
        end.waiting.clear();
        // What it had on the wire holds nobody else up.
        self.paths.busy_until = [None; 2];
        let remote = end.remote.filter(|_| end.has_opened);
        let is_dead = self.dead.contains(&link) || self.is_path_lost(link);
        if let Some(remote) = remote.filter(|_| is_told && !is_dead) {
            // After what was sent before it on any channel.
            let last = Channel::ALL.iter().filter_map(|channel| {
                self.last.get(&(1, remote, channel.stream_id() as u8)).copied()
            });
            let at = last.max().unwrap_or(self.now).max(self.now + Duration::from_millis(1));
            let reason = CloseReason::Peer;
            self.plan(at - self.now, Happening::Link(remote, LinkEvent::Closed { reason }));
        }
    }

    /// Carries out what the machines and the host ask for.
    fn drain(&mut self) {
        loop {
            let mut is_idle = true;
            while let Some(command) = self.host.poll_command() {
                is_idle = false;
                self.on_host_command(command);
            }
            for side in 0..self.sides.len() {
                while let Some(output) = self.sides[side].session.poll_output() {
                    is_idle = false;
                    if self.sides[side].end.is_none() {
                        self.carry_out(side, output);
                    }
                }
                is_idle &= !self.read_frames(side) & !self.send_data(side);
            }
            if is_idle {
                return;
            }
        }
    }

    fn on_host_command(&mut self, command: Command) {
        let (connection, message) = match command {
            Command::Send { connection, message } => (connection, message),
            Command::Close { connection, reason } => (connection, HostMessage::Goodbye { reason }),
        };
        let Some(side) = self.sides.iter().position(|side| side.connection == Some(connection))
        else {
            return;
        };
        if let HostMessage::Goodbye { reason } = message {
            self.note(format!("the host closes the connection of {side}: {reason}"));
            self.sides[side].connection = None;
            self.sides[side].session.handle_host_down(self.now);
            let (run, wait) = (self.sides[side].run, Duration::from_secs(10));
            self.plan(wait, Happening::HostConnect(side, run));
            return;
        }
        let messages = match &mut self.tamper {
            Some(tamper) => tamper(&mut self.random, side, message),
            None => vec![message],
        };
        for message in messages {
            let delay = self.delay(20_000);
            let late = self.late.as_mut().map_or(Duration::ZERO, |late| late(side, &message));
            let stream = (0, connection.0, 1);
            self.plan_in_order(
                stream,
                delay + late,
                Happening::FromHost(side, connection, message),
            );
        }
    }

    /// Hands a side the frames that arrived, once its link counts as up.
    fn read_frames(&mut self, side: usize) -> bool {
        let mut has_read = false;
        while let Some(link) = self.sides[side].link
            && self.sides[side].end.is_none()
            && self.sides[side].session.is_up()
        {
            let takes_data = self.sides[side].session.takes_data();
            let Some(end) = self.links.get_mut(&link) else { break };
            let next = Channel::ALL
                .into_iter()
                .filter(|channel| takes_data || *channel != Channel::Data)
                .find_map(|channel| Some((channel, end.waiting.get_mut(&channel)?.pop_front()?)));
            let Some((channel, frame)) = next else { break };
            if channel == Channel::Data
                && let Some(remote) = end.remote
                && let Some(remote) = self.links.get_mut(&remote)
            {
                remote.data_under_way = remote.data_under_way.saturating_sub(1);
                remote.delivered += frame.len() as u64;
                let (delivered, other) = (remote.delivered, remote.side);
                self.sides[other].session.handle_delivery(delivered, false, self.now);
            }
            has_read = true;
            self.sides[side].session.handle_frame(channel, &frame, self.now);
            while let Some(output) = self.sides[side].session.poll_output() {
                if self.sides[side].end.is_none() {
                    self.carry_out(side, output);
                }
            }
        }
        has_read
    }

    fn send_data(&mut self, side: usize) -> bool {
        let mut has_sent = false;
        while let Some(link) = self.sides[side].link
            && self.sides[side].end.is_none()
            && let Some(end) = self.links.get_mut(&link)
            && end.data_under_way < DATA_FRAMES_MAX
            && let Some(frame) = self.sides[side].session.poll_frame(self.now)
        {
            end.data_under_way += 1;
            has_sent = true;
            self.transmit(link, Channel::Data, frame);
        }
        has_sent
    }

    fn transmit(&mut self, link: u64, channel: Channel, frame: Bytes) {
        let Some(end) = self.links.get(&link) else { return };
        let Some(remote) = end.remote.filter(|_| !end.is_closed && end.has_opened) else { return };
        if self.dead.contains(&link) || self.dead.contains(&remote) {
            return;
        }
        if self.paths.does_lose_data && channel == Channel::Data {
            return;
        }
        let loses = &mut self.paths.loses_next[end.side];
        if *loses > 0 && channel == Channel::Control {
            *loses -= 1;
            return;
        }
        if self.is_path_lost(link) {
            return self.hold(link, channel, frame);
        }
        let side = end.side;
        let delay = self.delay(15_000) + self.wire_time(side, channel, frame.len());
        let happening = Happening::Frame(remote, channel, frame);
        if channel.is_ordered() {
            self.plan_in_order((1, remote, channel.stream_id() as u8), delay, happening);
        } else {
            self.plan(delay, happening);
        }
    }

    fn carry_out(&mut self, side: usize, output: SessionOutput) {
        match output {
            SessionOutput::Host(message) => self.tell_host(side, &message),
            SessionOutput::Work(work) => {
                let nonce = work.challenge.solve(work.bits, &AtomicBool::new(false)).unwrap();
                self.sides[side].session.handle_worked(&work, nonce, self.now);
            }
            SessionOutput::StartLink { is_carried } => {
                // One that was begun for a carrier that the peer has not was never offered to anybody.
                let mut is_first = true;
                if let Some(link) = self.sides[side].link.take() {
                    is_first = is_carried || !self.links[&link].is_carried;
                    self.end_link(link, true);
                }
                let link = self.links.len() as u64 + 1;
                self.paths.links += u64::from(is_first);
                self.sides[side].starts.push(self.now);
                self.links.insert(
                    link,
                    End {
                        side,
                        is_carried,
                        tokens: None,
                        is_offerer: false,
                        remote: None,
                        has_opened: false,
                        is_closed: false,
                        delivered: 0,
                        waiting: BTreeMap::new(),
                        data_under_way: 0,
                    },
                );
                self.sides[side].link = Some(link);
            }
            SessionOutput::StopLink => {
                if let Some(link) = self.sides[side].link.take() {
                    self.end_link(link, true);
                }
            }
            SessionOutput::Link(command) => {
                if let Some(link) = self.sides[side].link {
                    self.on_link_command(side, link, command);
                }
            }
            SessionOutput::Send(channel, frame) => {
                if let Some(link) = self.sides[side].link {
                    self.transmit(link, channel, frame);
                }
            }
            SessionOutput::CodeReady(_) => self.sides[side].is_code_ready = true,
            SessionOutput::CodeSpent => self.sides[side].is_code_spent = true,
            SessionOutput::Pair(pairing) => {
                // Another secret has epochs of its own.
                self.sides[side].epochs.clear();
                let (run, delay) = (self.sides[side].run, self.delay(5_000));
                self.plan(delay, Happening::Store(side, run, pairing));
            }
            SessionOutput::Peer { epoch, .. } => {
                let state = &mut self.sides[side];
                state.epochs.push(epoch);
                if let Some(stored) = &mut state.stored {
                    stored.epoch = stored.epoch.max(epoch);
                }
                self.note(format!("side {side} met its peer, epoch {epoch}"));
            }
            SessionOutput::Source(request) => {
                let reply = Box::new(self.source.handle(request));
                let (run, delay) = (self.sides[side].run, self.delay(3_000));
                self.plan_in_order((2, side as u64, 0), delay, Happening::Source(run, reply));
            }
            SessionOutput::Target(request) => {
                if let Some(reply) = self.sides[side].target.handle(request) {
                    let (run, delay) = (self.sides[side].run, self.delay(3_000));
                    let happening = Happening::Target(side, run, Box::new(reply));
                    self.plan_in_order((2, side as u64, 0), delay, happening);
                }
            }
            SessionOutput::Event(event) => {
                if let Event::Link { state, .. } = &event {
                    self.note(format!("side {side} is {state:?}"));
                    if *state == LinkState::Disconnected {
                        self.sides[side].downs.push(self.now);
                    }
                }
                self.sides[side].events.push(event);
            }
            SessionOutput::Ask(_) if self.receiver.accepted.is_none() => self.asked += 1,
            SessionOutput::Ask(ask) => self.fail(&format!("nobody answers {ask:?}")),
            SessionOutput::CodeOffered => self.fail("no side names a code beside its session"),
            SessionOutput::Consented(_)
            | SessionOutput::HostPace(_)
            | SessionOutput::KeepAttempts => {}
            // A test that says so looks at what comes of it; to others a receiver that waits on is the harder case.
            SessionOutput::EndAlone if self.ends_alone => self.finish(side, Ending::Alone),
            SessionOutput::EndAlone => {}
            SessionOutput::Manual => self.sides[side].manuals.push(self.now),
            SessionOutput::RetryHost => {
                let run = self.sides[side].run;
                self.plan(Duration::ZERO, Happening::HostConnect(side, run));
            }
            SessionOutput::SendLimit(_) | SessionOutput::Prepare => {}
            SessionOutput::Done => self.finish(side, Ending::Done),
            SessionOutput::Failed(error) => self.finish(side, Ending::Failed(error)),
        }
    }

    /// The run is over: its link says goodbye, its socket closes.
    fn finish(&mut self, side: usize, end: Ending) {
        self.note(format!("side {side} ends: {end:?}"));
        self.sides[side].end = Some(end);
        if let Some(link) = self.sides[side].link.take() {
            self.end_link(link, true);
        }
        // What was said before is still carried, as a real socket does that lingers.
        if let Some(connection) = self.sides[side].connection.take() {
            let last = self.last.get(&(0, connection.0, 0)).copied().unwrap_or(self.now);
            self.run_host_until(last);
            self.host.handle_disconnected(connection, self.now);
        }
    }

    /// Gives the host what is on its way to it, up to `until`.
    fn run_host_until(&mut self, until: Instant) {
        let due: Vec<_> = self
            .agenda
            .range(..=(until, u64::MAX))
            .filter(|(_, happening)| matches!(happening, Happening::ToHost(..)))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            if let Some(happening) = self.agenda.remove(&key) {
                self.happen(happening);
            }
        }
    }

    fn tell_host(&mut self, side: usize, message: &ClientMessage) {
        // A socket's request may have said it already.
        if self.sides[side].first.take().is_some_and(|first| first != *message) {
            self.fail(&format!("side {side} does not begin with what it would begin with"));
        }
        let bytes = message.encode().expect("messages of ours are within their limits");
        self.note(format!("{side} → host: {}", short(message)));
        self.host_saw.push(bytes.clone());
        if let Some(connection) = self.sides[side].connection {
            let delay = self.delay(20_000);
            self.plan_in_order((0, connection.0, 0), delay, Happening::ToHost(connection, bytes));
        }
    }

    fn on_link_command(&mut self, side: usize, link: u64, command: LinkCommand) {
        let describe = |pair: &mut Self, sdp: String| {
            pair.told.insert(sdp.clone());
            let ice_restart = sdp.contains("restart");
            let round = pair.paths.restarts;
            let candidate = format!("candidate:{link} {round} udp 1 192.0.2.{side} 9 typ srflx");
            pair.told.insert(candidate.clone());
            let candidate = Candidate { candidate, sdp_mid: None, sdp_mline_index: None };
            let events = [
                LinkEvent::LocalDescription { sdp, ice_restart },
                LinkEvent::LocalCandidate(candidate),
                LinkEvent::CandidatesEnd,
            ];
            for event in events {
                let delay = pair.delay(2_000);
                pair.plan_in_order((3, link, 0), delay, Happening::Link(link, event));
            }
        };
        match command {
            LinkCommand::Offer => {
                assert_ne!(side, SENDER, "the offerer is always the receiver");
                self.links.get_mut(&link).expect("it was started").is_offerer = true;
                describe(self, format!("v=0 fingerprint-of-{link} offer"));
            }
            LinkCommand::Answer { offer } => {
                assert_eq!(side, SENDER, "the sender always answers");
                self.check_told(&offer);
                let remote = number_after(&offer, "fingerprint-of-");
                if offer.contains("restart") {
                    assert_eq!(self.links[&link].remote, Some(remote), "of another connection");
                    return describe(
                        self,
                        format!("v=0 fingerprint-of-{link} answers-{remote} restart"),
                    );
                }
                self.links.get_mut(&link).expect("it was started").remote = Some(remote);
                describe(self, format!("v=0 fingerprint-of-{link} answers-{remote} answer"));
            }
            LinkCommand::AcceptAnswer { answer } => {
                self.check_told(&answer);
                assert_eq!(
                    number_after(&answer, "answers-"),
                    link,
                    "seed {}: an answer to another offer was accepted",
                    self.seed
                );
                let remote = number_after(&answer, "fingerprint-of-");
                if answer.contains("restart") {
                    return self.restart_path(link, remote);
                }
                self.links.get_mut(&link).expect("it was started").remote = Some(remote);
                self.open(link, remote);
            }
            LinkCommand::AddCandidate(candidate) => {
                self.check_told(&candidate.candidate);
                // Each was sealed once, so whatever the host repeats is opened once.
                if !self.given.insert((link, candidate.candidate.clone())) {
                    self.fail(&format!("link {link} was given {:?} twice", candidate.candidate));
                }
            }
            LinkCommand::RestartIce => {
                assert_ne!(side, SENDER, "only the receiver restarts ICE");
                self.paths.restarts += 1;
                let restarts = self.paths.restarts;
                describe(self, format!("v=0 fingerprint-of-{link} restart {restarts}"));
            }
            LinkCommand::Carry(tokens) => {
                self.links.get_mut(&link).expect("it was started").tokens = Some(tokens);
            }
            LinkCommand::SetTurnServers(_) => {}
            LinkCommand::Close | LinkCommand::CloseNow => self.end_link(link, true),
        }
    }

    /// Both ends of a connection are built for the same kind of packets, and what one sends the other knows.
    fn check_carried(&self, link: u64, remote: u64) {
        let (Some(near), Some(far)) = (self.links.get(&link), self.links.get(&remote)) else {
            return;
        };
        let both = self.features(near.side) & self.features(far.side) & CARRIER != 0;
        let crossed = far.tokens.map(|tokens| (tokens.incoming, tokens.outgoing));
        let tokens = near.tokens.map(|tokens| (tokens.outgoing, tokens.incoming));
        let is_right = [near, far].iter().all(|end| end.is_carried == both)
            && tokens.is_some() == both
            && tokens == crossed;
        if !is_right {
            self.fail("the ends of a connection disagree about the carrier");
        }
    }

    /// Both took the other's description: the channels open, unless the network is down.
    fn open(&mut self, link: u64, remote: u64) {
        self.check_carried(link, remote);
        let is_mutual = self.links.get(&remote).is_some_and(|end| {
            end.remote == Some(link) && !end.is_closed && self.sides[end.side].link == Some(remote)
        });
        if self.fails_fast {
            let reason = CloseReason::Transport("unreachable".to_owned());
            self.plan(
                Duration::from_millis(20),
                Happening::Link(link, LinkEvent::Closed { reason }),
            );
        }
        if !is_mutual || !self.is_network_up || self.fails_fast {
            return;
        }
        for end in [link, remote] {
            let delay = Duration::from_millis(5) + self.delay(30_000);
            self.plan_in_order((3, end, 0), delay, Happening::Link(end, LinkEvent::Open));
        }
    }

    /// A description or candidate reached a link: one that a link of ours made, byte for byte.
    fn check_told(&self, text: &str) {
        if !self.told.contains(text) {
            self.fail(&format!("a link was given {text:?}, which no link made"));
        }
    }

    /// The member that a side is.
    pub(crate) fn member(&self, side: usize) -> MemberId {
        self.sides[side].member
    }
}

fn number_after(text: &str, mark: &str) -> u64 {
    let digits = text.split_once(mark).map_or("", |(_, rest)| rest);
    digits.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn short(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take(90).collect()
}
