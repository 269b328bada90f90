//! One transfer of a campaign: a sender, a receiver and a host of real processes, and what happens to them.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::pair::{CODE, Pair};
use super::super::process::{LOOK_INTERVAL, Process};
use super::super::random::Random;
use super::super::tree::describe;
use super::Settings;
use super::faults::Kind;
use super::meter::{Meter, Usage};
use super::proxy::{Mode, Proxy};
use super::timeline::{Pace, View};

const MIB: u64 = 1 << 20;

/// Until a transfer begins, and until it ends after its last drop, beyond the time that its bytes take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is slower is worth a look at the logs.
const SLOW: Duration = Duration::from_secs(8);

/// One drop and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Drop {
    pub(crate) kind: Kind,
    /// From the fault to the moment at which network and processes were there again.
    pub(crate) outage: Duration,
    /// From that moment until the transfer was back; none: it needed a person.
    pub(crate) back: Option<Duration>,
    /// What was still missing.
    pub(crate) missing: u64,
}

/// A whole transfer.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) drops: Vec<Drop>,
    /// Bytes of its content, and what the sender handed to its connections.
    pub(crate) content: u64,
    pub(crate) sent: u64,
    pub(crate) elapsed: Duration,
    /// What must never be: a wrong byte, a wrong exit, something left behind.
    pub(crate) wrong: Vec<String>,
    /// What a person would wonder about.
    pub(crate) odd: Vec<String>,
}

pub(crate) struct Transfer<'a> {
    settings: &'a Settings,
    seed: u64,
    random: Random,
    pair: Pair,
    started: Instant,
    rate: u64,
    content: u64,
    /// A host of its own; without, the sender has one inside.
    host: Option<Host>,
    sender: Option<Process>,
    receiver: Option<Process>,
    starts: u32,
    /// What the receiver was seen to have.
    bytes: u64,
    outcome: Outcome,
}

struct Host {
    port: u16,
    process: Process,
    for_sender: Proxy,
    for_receiver: Proxy,
}

impl<'a> Transfer<'a> {
    /// Of a rate and a length that the generator chooses.
    pub(crate) fn new(settings: &'a Settings, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let rate = MIB << random.below(u64::from(settings.rate_mib_max.ilog2()) + 1);
        let seconds = 15 + random.below(20);
        Self::lasting(settings, seed, rate, seconds)
    }

    /// Of so many bytes a second, and so many seconds if nothing happens.
    pub(crate) fn lasting(settings: &'a Settings, seed: u64, rate: u64, seconds: u64) -> Self {
        let mut random = Random::new(seed.rotate_left(32));
        let pair = Pair::new();
        fs::create_dir(pair.path("logs")).unwrap();
        fs::create_dir(pair.path("tree")).unwrap();
        let mut content = random.below(MIB);
        let mut large = File::create_new(pair.path("tree/large")).unwrap();
        large.write_all(&random.bytes(content as usize)).unwrap();
        for _ in 0..seconds {
            large.write_all(&random.bytes(rate as usize)).unwrap();
            content += rate;
        }
        for number in 0..30 {
            let size = random.below(30_000);
            fs::write(pair.path(&format!("tree/small-{number}")), random.bytes(size as usize))
                .unwrap();
            content += size;
        }
        let outcome = Outcome {
            seed,
            drops: Vec::new(),
            content,
            sent: 0,
            elapsed: Duration::ZERO,
            wrong: Vec::new(),
            odd: Vec::new(),
        };
        Self {
            settings,
            seed,
            random,
            pair,
            started: Instant::now(),
            rate,
            content,
            host: None,
            sender: None,
            receiver: None,
            starts: 0,
            bytes: 0,
            outcome,
        }
    }

    /// Transfers it all, with drops as long as there are some `left`.
    pub(crate) fn run(mut self, left: &AtomicU64) -> Outcome {
        let result = self.go(left);
        self.close(result)
    }

    fn close(mut self, result: Result<(), String>) -> Outcome {
        self.outcome.wrong.extend(result.err());
        self.outcome.elapsed = self.started.elapsed();
        self.outcome.sent = self.sent();
        (self.sender, self.receiver, self.host) = (None, None, None);
        if !self.outcome.wrong.is_empty() || !self.outcome.odd.is_empty() {
            self.keep_logs();
        }
        self.outcome
    }

    fn go(&mut self, left: &AtomicU64) -> Result<(), String> {
        let is_filtered = std::env::var_os("REJOIN_TEST_CAMPAIGN_KIND").is_some();
        let has_host = is_filtered || self.random.chance(75);
        let kinds = Kind::shuffled(&mut self.random, has_host);
        self.begin(has_host)?;
        let take = |left: u64| left.checked_sub(1);
        let is_granted = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        self.disturb(&kinds, is_granted)?;
        self.finish()
    }

    /// Transfers it all under every fault that leaves the processes alive; what they took meanwhile.
    pub(crate) fn soak(mut self) -> (Outcome, Usage) {
        let mut usage = Usage::default();
        let result = self.begin(true).and_then(|()| {
            let host = self.host.as_ref().map(|host| host.process.id());
            let [sender, receiver] =
                [&self.sender, &self.receiver].map(|process| process.as_ref().map(Process::id));
            let meter = Meter::start(&[("sender", sender), ("receiver", receiver), ("host", host)]);
            let result = self.disturb(Kind::HARMLESS, || true);
            usage = meter.stop();
            result.and_then(|()| self.finish())
        });
        (self.close(result), usage)
    }

    /// Starts the processes and waits until content flows.
    fn begin(&mut self, has_host: bool) -> Result<(), String> {
        if has_host {
            self.start_host();
        }
        self.start_sender();
        self.sender.as_mut().unwrap().wait_for("code", PATIENCE)?;
        self.start_receiver();
        let begun = Instant::now();
        self.receiver.as_mut().unwrap().wait_for("connected", PATIENCE)?;
        let flows = self.wait_until_settled(begun);
        flows.map(|_| ()).ok_or_else(|| "it does not begin to flow".into())
    }

    /// One drop after the other, until the end is near or no more are granted.
    fn disturb(&mut self, kinds: &[Kind], is_granted: impl Fn() -> bool) -> Result<(), String> {
        for kind in kinds.iter().copied().cycle() {
            // Not in the last seconds: the end of a transfer has tests of its own.
            if self.bytes + 3 * self.rate > self.content || self.has_ended() {
                break;
            }
            let pause = Duration::from_millis(self.random.below(1500));
            std::thread::sleep(pause);
            if !is_granted() {
                break;
            }
            self.drop_once(kind)?;
        }
        Ok(())
    }

    /// One drop, and the wait for what comes of it. An error ends the transfer.
    fn drop_once(&mut self, kind: Kind) -> Result<(), String> {
        self.look();
        let missing = self.content.saturating_sub(self.bytes);
        let start = Instant::now();
        self.inject(kind);
        let mended = Instant::now();
        if self.pair.path("target/tree/large").exists() && !self.is_right() {
            return Err(format!("{kind:?}: wrong bytes under the final name"));
        }
        let back = self.wait_until_settled(mended);
        let drop = Drop { kind, outage: mended - start, back, missing };
        self.outcome.drops.push(drop);
        if let Some(back) = back {
            if back > SLOW {
                self.outcome.odd.push(format!("{kind:?} took {:.1} s", back.as_secs_f64()));
            }
            return Ok(());
        }
        // Now a person comes, who runs both commands again.
        let ends = [("sender", &mut self.sender), ("receiver", &mut self.receiver)]
            .map(|(name, process)| format!("{name} {:?}", process.as_mut().unwrap().ended()));
        self.outcome.odd.push(format!("{kind:?} needed a person: {}", ends.join(", ")));
        self.sender.as_mut().unwrap().kill();
        self.receiver.as_mut().unwrap().kill();
        self.start_sender();
        self.start_receiver();
        let again = Instant::now();
        match self.wait_until_settled(again) {
            Some(_) => Ok(()),
            None => Err(format!("{kind:?}: not even a person brings it back")),
        }
    }

    /// Returns when network and processes are there again.
    fn inject(&mut self, kind: Kind) {
        let cut_for = Duration::from_millis(
            1000 + self.random.below(self.settings.cut_max.as_millis() as u64 - 1000),
        );
        let cable = self.pair.path("cut");
        match kind {
            Kind::CutUdp => {
                fs::write(&cable, "").unwrap();
                std::thread::sleep(cut_for);
                fs::remove_file(&cable).unwrap();
            }
            Kind::CutHost | Kind::CutAll => {
                let mode = if self.random.chance(50) { Mode::Refuse } else { Mode::Swallow };
                let sides = if kind == Kind::CutAll { 3 } else { 1 + self.random.below(3) };
                if kind == Kind::CutAll {
                    fs::write(&cable, "").unwrap();
                }
                let set = |mode| {
                    let Some(host) = &self.host else { return };
                    let proxies = [(1, &host.for_sender), (2, &host.for_receiver)];
                    proxies.iter().filter(|(bit, _)| sides & bit != 0).for_each(|(_, proxy)| {
                        proxy.set(mode);
                    });
                };
                set(mode);
                std::thread::sleep(cut_for);
                set(Mode::Pass);
                if kind == Kind::CutAll {
                    fs::remove_file(&cable).unwrap();
                }
            }
            Kind::KillReceiver => self.kill_and_start(&[Who::Receiver]),
            Kind::KillSender => self.kill_and_start(&[Who::Sender]),
            Kind::KillBoth => self.kill_and_start(&[Who::Receiver, Who::Sender]),
            Kind::KillHost => self.kill_and_start(&[Who::Host]),
            Kind::KillAll => self.kill_and_start(&[Who::Host, Who::Receiver, Who::Sender]),
            Kind::Stop => {
                let is_sender = self.random.chance(50);
                let side = if is_sender { &mut self.sender } else { &mut self.receiver };
                let process = side.as_mut().unwrap();
                process.signal(Signal::STOP);
                std::thread::sleep(self.settings.stop);
                process.signal(Signal::CONT);
            }
        }
    }

    /// Kills them in a moment, and starts them in an order and with gaps of the generator.
    fn kill_and_start(&mut self, who: &[Who]) {
        for who in who {
            match who {
                Who::Host => _ = self.host.as_mut().map(|host| host.process.kill()),
                Who::Sender => _ = self.sender.as_mut().map(Process::kill),
                Who::Receiver => _ = self.receiver.as_mut().map(Process::kill),
            }
        }
        let mut order = who.to_vec();
        let length = order.len() as u64;
        order.rotate_left(self.random.below(length) as usize);
        for who in order {
            std::thread::sleep(Duration::from_millis(self.random.below(2500)));
            match who {
                Who::Host => self.restart_host(),
                Who::Sender => self.start_sender(),
                Who::Receiver => self.start_receiver(),
            }
        }
    }

    /// Waits until the transfer flows again for good, or has ended well; returns when it was back, counted from `since`.
    fn wait_until_settled(&mut self, since: Instant) -> Option<Duration> {
        let unit = Duration::from_secs_f64(MIB as f64 / self.rate as f64);
        // A barrier every second, a unit now and then.
        let gap_max = Duration::from_millis(1500) + unit * 2;
        let pace = Pace { gap_max, settled: gap_max };
        let floor = self.bytes;
        let deadline = since + PATIENCE;
        loop {
            let receiver = self.receiver.as_mut().unwrap();
            let has_ended = receiver.ended();
            let view = receiver.look(|events| View::new(events, since, floor, &pace));
            self.bytes = self.bytes.max(view.bytes);
            if has_ended.is_some_and(|status| status.success()) {
                // It may have got through while its host was away.
                return Some(view.back(since).unwrap_or(Duration::ZERO));
            }
            if view.is_settled(&pace) {
                return view.back(since);
            }
            let sender = self.sender.as_mut().unwrap().ended();
            let is_gone = has_ended.is_some() || sender.is_some_and(|status| !status.success());
            if is_gone || Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn look(&mut self) {
        let newest = self.receiver.as_ref().unwrap().look(|events| {
            let bytes = |event: &serde_json::Value| event["bytes"].as_u64();
            let mut progress =
                events.iter().rev().filter(|(_, event)| event["event"] == "progress");
            progress.next().and_then(|(_, event)| bytes(event))
        });
        self.bytes = self.bytes.max(newest.unwrap_or(0));
    }

    fn has_ended(&mut self) -> bool {
        self.receiver.as_mut().unwrap().ended().is_some()
    }

    /// Waits for the end, which must be a good one.
    fn finish(&mut self) -> Result<(), String> {
        let rest = self.content.saturating_sub(self.bytes);
        let limit = PATIENCE + Duration::from_secs(rest / self.rate);
        let status = self.receiver.as_mut().unwrap().wait(limit);
        let status = status.ok_or("the receiver does not end")?;
        if status.code() != Some(0) {
            return Err(format!("the receiver ends with {status}"));
        }
        if self.sender.as_mut().unwrap().wait(Duration::from_secs(15)).is_none() {
            // The receiver's last word did not arrive, and it is gone: its command says it again.
            self.outcome.odd.push("the sender does not know that all is there".into());
            self.start_receiver();
            self.receiver.as_mut().unwrap().wait(PATIENCE);
        }
        match self.sender.as_mut().unwrap().wait(PATIENCE) {
            Some(status) if status.code() == Some(0) => {}
            Some(status) => return Err(format!("the sender ends with {status}")),
            None => return Err("the sender does not end".into()),
        }
        if describe(&self.pair.path("tree")) != describe(&self.pair.path("target/tree")) {
            return Err("the target is not the source".into());
        }
        let left: Vec<_> = fs::read_dir(self.pair.path("target"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "tree")
            .collect();
        if !left.is_empty() {
            return Err(format!("left behind: {left:?}"));
        }
        let processes = self.processes();
        let hosts = usize::from(self.host.is_some());
        if processes == hosts {
            Ok(())
        } else {
            Err(format!("{processes} processes are left, {hosts} of them a host"))
        }
    }

    /// How many processes run in this home.
    fn processes(&self) -> usize {
        let home = format!("HOME={}", self.pair.home.path().display()).into_bytes();
        let is_ours =
            |environment: &Vec<u8>| environment.split(|byte| *byte == 0).any(|e| e == home);
        let entries = fs::read_dir("/proc").unwrap().flatten();
        // Those of other users, and those that end meanwhile, cannot be read.
        let environments = entries.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        environments.filter(is_ours).count()
    }

    fn is_right(&self) -> bool {
        let read = |name: &str| fs::read(self.pair.path(name)).unwrap();
        read("tree/large") == read("target/tree/large")
    }

    /// What the sender's processes handed to their connections.
    fn sent(&self) -> u64 {
        let bytes = fs::read(self.pair.path("count")).unwrap_or_default();
        bytes.try_into().map_or(0, u64::from_le_bytes)
    }

    fn start_host(&mut self) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let (for_sender, for_receiver) = (Proxy::start(port), Proxy::start(port));
        let process = self.host_process(port);
        // A transfer that begins finds its host; only later on is it looked for.
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.host = Some(Host { port, process, for_sender, for_receiver });
    }

    fn restart_host(&mut self) {
        if let Some(port) = self.host.as_ref().map(|host| host.port) {
            let process = self.host_process(port);
            self.host.as_mut().unwrap().process = process;
        }
    }

    fn host_process(&self, port: u16) -> Process {
        let listen = format!("127.0.0.1:{port}");
        let command = self.pair.home.rejoin(["host", "--listen", &listen]).into_command();
        Process::start(command, &self.pair.path("logs"), "host")
    }

    fn start_sender(&mut self) {
        let mut arguments = vec!["--json", "--code", CODE];
        let url = self.host.as_ref().map(|host| host.for_sender.url.clone());
        arguments.extend(url.as_deref().into_iter().flat_map(|url| ["--host", url]));
        arguments.push("tree");
        let invocation = self
            .pair
            .send(&arguments)
            .env("REJOIN_FAULT_RATE", self.rate.to_string())
            .env("REJOIN_FAULT_COUNT", self.pair.path("count"));
        self.sender = Some(self.start("send", invocation));
    }

    fn start_receiver(&mut self) {
        let mut arguments = vec!["--json", "-y", "-o", "target"];
        let url = self.host.as_ref().map(|host| host.for_receiver.url.clone());
        arguments.extend(url.as_deref().into_iter().flat_map(|url| ["--host", url]));
        arguments.push(CODE);
        let invocation = self.pair.receive(&arguments);
        self.receiver = Some(self.start("receive", invocation));
    }

    fn start(&mut self, name: &str, invocation: super::super::env::Invocation) -> Process {
        self.starts += 1;
        let command = invocation
            .env("REJOIN_FAULT_CUT", self.pair.path("cut"))
            .env("REJOIN_LOG", "rejoin=debug")
            .into_command();
        Process::start(command, &self.pair.path("logs"), &format!("{name}-{:02}", self.starts))
    }

    /// For whoever looks into it; the drops are marked by their order in the report.
    fn keep_logs(&mut self) {
        let kept = self.settings.logs.join(self.seed.to_string());
        fs::create_dir_all(&kept).unwrap();
        for entry in fs::read_dir(self.pair.path("logs")).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            fs::copy(&path, kept.join(path.file_name().unwrap())).unwrap();
        }
        self.outcome.odd.push(format!("logs in {}", kept.display()));
    }
}

#[derive(Clone, Copy)]
enum Who {
    Host,
    Sender,
    Receiver,
}
