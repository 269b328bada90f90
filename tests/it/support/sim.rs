//! Two machines, a seeded network and virtual time.
//!
//! Every frame takes a random time; frames of one channel keep their order, as the stack promises. A cut loses all that
//! is in flight. Disk work takes random time too and comes back in order.

use super::model_source::ModelSource;
use super::model_target::ModelTarget;
use super::random::Random;
use bytes::Bytes;
use rejoin::error::Error;
use rejoin::event::Event;
use rejoin::transfer::disk::{ScanReport, SourceReply, TargetReply};
use rejoin::transfer::message::Message;
use rejoin::transfer::receiver::{Answer, Ask, Receiver, ReceiverConfig, ReceiverOutput};
use rejoin::transfer::sender::{Sender, SenderOutput};
use rejoin::wire::frame::{Assembler, Frame};
use rejoin::wire::{Channel, SessionId};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub(crate) const SESSION: SessionId = SessionId([7; 16]);

/// Frames on the data channel that wait to be read, at most: back-pressure.
const DATA_FRAMES_MAX: usize = 64;

enum Happening {
    ToReceiver(u64, Channel, Bytes),
    ToSender(u64, Channel, Bytes),
    Source(u64, Box<SourceReply>),
    Target(u64, Box<TargetReply>),
    LinkUp,
}

/// How a run ended on one side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ending {
    Done,
    /// A receiver that has everything, whose sender did not come to hear it.
    Alone,
    Failed(Error),
}

pub(crate) struct Sim {
    pub(crate) random: Random,
    pub(crate) now: Instant,
    pub(crate) source: ModelSource,
    pub(crate) target: ModelTarget,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    config: ReceiverConfig,
    /// Time, then order of planning.
    agenda: BTreeMap<(Instant, u64), Happening>,
    planned: u64,
    last: BTreeMap<(bool, Channel), Instant>,
    last_disk: [Instant; 2],
    epoch: u64,
    is_up: bool,
    assemblers: BTreeMap<(bool, Channel), Assembler>,
    data_waiting: VecDeque<Bytes>,
    scan: VecDeque<ScanReport>,
    runs: [u64; 2],
    pub(crate) sender_end: Option<Ending>,
    pub(crate) receiver_end: Option<Ending>,
    pub(crate) receiver_events: Vec<Event>,
    pub(crate) sender_events: Vec<Event>,
    pub(crate) requests: Vec<rejoin::transfer::message::RecoveryRequest>,
    pub(crate) units_sent: Vec<u64>,
    pub(crate) heard_by_receiver: Vec<Message>,
    pub(crate) heard_by_sender: Vec<Message>,
    pub(crate) answer: Box<dyn FnMut(Ask) -> Option<Answer>>,
    /// Whether the sender answers early on the links to come; `None`: by chance.
    pub(crate) takes_early: Option<bool>,
    /// Changes what the sender says on its way (a hostile sender).
    pub(crate) tamper: Box<dyn FnMut(Message) -> Message>,
}

impl Sim {
    pub(crate) fn new(seed: u64, source: ModelSource, config: ReceiverConfig) -> Self {
        let now = Instant::now();
        let scan = source.reports().into();
        // Either all roots of complete files are in memory, or none of them ever is.
        let mut target = ModelTarget::default();
        target.open_buckets = if seed.is_multiple_of(2) { 16 } else { 0 };
        Self {
            random: Random::new(seed),
            now,
            source,
            sender: Sender::new(SESSION),
            receiver: Receiver::new(SESSION, config.clone(), target.state()),
            target,
            config,
            agenda: BTreeMap::new(),
            planned: 0,
            last: BTreeMap::new(),
            last_disk: [now; 2],
            epoch: 0,
            is_up: false,
            assemblers: BTreeMap::new(),
            data_waiting: VecDeque::new(),
            scan,
            runs: [0; 2],
            sender_end: None,
            receiver_end: None,
            receiver_events: Vec::new(),
            sender_events: Vec::new(),
            requests: Vec::new(),
            units_sent: Vec::new(),
            heard_by_receiver: Vec::new(),
            heard_by_sender: Vec::new(),
            answer: Box::new(|ask| panic!("nobody answers {ask:?}")),
            takes_early: None,
            tamper: Box::new(|message| message),
        }
    }

    fn plan(&mut self, delay: Duration, happening: Happening) -> Instant {
        let at = self.now + delay;
        self.planned += 1;
        self.agenda.insert((at, self.planned), happening);
        at
    }

    fn delay(&mut self, most_us: u64) -> Duration {
        Duration::from_micros(1 + self.random.below(most_us))
    }

    pub(crate) fn connect_after(&mut self, delay: Duration) {
        self.plan(delay, Happening::LinkUp);
    }

    /// The link dies with all that is in flight.
    pub(crate) fn cut(&mut self) {
        self.is_up = false;
        self.epoch += 1;
        self.data_waiting.clear();
        self.assemblers.clear();
        self.last.clear();
        self.sender.handle_link_down();
        self.receiver.handle_link_down();
        self.drain();
    }

    /// The receiver's process dies; a new one reads the journal.
    pub(crate) fn crash_receiver(&mut self) {
        self.cut();
        self.runs[1] += 1;
        self.receiver_end = None;
        self.receiver = Receiver::new(SESSION, self.config.clone(), self.target.state());
        self.drain();
    }

    /// The sender's process dies; a new one has the stored pages.
    pub(crate) fn crash_sender(&mut self, loses_values: bool) {
        self.cut();
        self.runs[0] += 1;
        self.sender_end = None;
        if loses_values {
            self.source.lose_values();
        }
        self.sender = Sender::new(SESSION);
        self.scan = self.source.reports().into();
        self.drain();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.sender_end.is_some() && self.receiver_end.is_some()
    }

    /// One thing happens; `false` where nothing is left to happen.
    pub(crate) fn step(&mut self) -> bool {
        if self.random.chance(30)
            && let Some(report) = self.scan.pop_front()
        {
            self.sender.handle_scan(report);
            self.drain();
            return true;
        }
        let timeout = self.receiver.poll_timeout().map(|(at, _)| at);
        let next = self.agenda.keys().next().map(|(at, _)| *at);
        if let Some(at) = timeout.filter(|at| next.is_none_or(|next| *at < next)) {
            self.now = self.now.max(at);
            self.receiver.handle_timeout(self.now);
            self.drain();
            return true;
        }
        let Some(((at, _), happening)) = self.agenda.pop_first() else {
            if let Some(report) = self.scan.pop_front() {
                self.sender.handle_scan(report);
                self.drain();
                return true;
            }
            return false;
        };
        self.now = self.now.max(at);
        self.happen(happening);
        self.drain();
        true
    }

    /// Steps until both ended; fails instead of hanging.
    pub(crate) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            if self.is_over() {
                return;
            }
            assert!(self.step(), "nothing left to happen: {:#?} {:#?}", self.sender, self.receiver);
        }
        panic!("not over after {steps} steps");
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::LinkUp if self.sender_end.is_none() && self.receiver_end.is_none() => {
                if self.is_up {
                    self.cut();
                }
                self.epoch += 1;
                self.is_up = true;
                // A sender that was started again knows better than to do so; here it does.
                let takes_early = self.takes_early.unwrap_or_else(|| self.random.chance(50));
                self.sender.handle_link_up(takes_early);
                self.receiver.handle_link_up(self.epoch, self.now);
            }
            Happening::LinkUp => {}
            Happening::Source(run, reply) => {
                if run == self.runs[0] {
                    self.sender.handle_disk(*reply);
                }
            }
            Happening::Target(run, reply) => {
                if run == self.runs[1] {
                    self.receiver.handle_disk(*reply, self.now);
                }
            }
            Happening::ToSender(epoch, channel, frame) => {
                if epoch == self.epoch {
                    let frame =
                        self.assemblers.entry((true, channel)).or_default().handle_frame(&frame);
                    match frame.expect("frames of ours are good") {
                        Some(Frame::Message(bytes)) => {
                            let message =
                                Message::decode(&bytes).expect("messages of ours are good");
                            if let Message::RecoveryRequest(request) = &message {
                                self.requests.push(request.clone());
                            }
                            self.heard_by_sender.push(message.clone());
                            self.sender.handle_message(message);
                        }
                        Some(Frame::Body(_)) => self.sender.handle_body(),
                        None => {}
                    }
                }
            }
            Happening::ToReceiver(epoch, Channel::Data, frame) => {
                if epoch == self.epoch {
                    self.data_waiting.push_back(frame);
                }
            }
            Happening::ToReceiver(epoch, channel, frame) => {
                if epoch == self.epoch {
                    self.receive(channel, &frame);
                }
            }
        }
    }

    fn receive(&mut self, channel: Channel, frame: &Bytes) {
        let frame = self.assemblers.entry((false, channel)).or_default().handle_frame(frame);
        match frame.expect("frames of ours are good") {
            Some(Frame::Message(bytes)) => {
                let message = Message::decode(&bytes).expect("messages of ours are good");
                if let Message::Unit { unit, .. } = &message {
                    self.units_sent.push(*unit);
                }
                let message = (self.tamper)(message);
                self.heard_by_receiver.push(message.clone());
                self.receiver.handle_message(message, self.now);
            }
            Some(Frame::Body(body)) => self.receiver.handle_body(body, self.now),
            None => {}
        }
    }

    /// Carries out what the machines ask for.
    fn drain(&mut self) {
        loop {
            let mut is_idle = true;
            while let Some(output) = self.sender.poll_output() {
                is_idle = false;
                self.apply_sender(output);
            }
            while let Some(output) = self.receiver.poll_output() {
                is_idle = false;
                self.apply_receiver(output);
            }
            while !self.receiver.is_backlogged()
                && let Some(frame) = self.data_waiting.pop_front()
            {
                is_idle = false;
                self.receive(Channel::Data, &frame);
            }
            if self.is_up
                && self.data_waiting.len() < DATA_FRAMES_MAX
                && let Some(frame) = self.sender.poll_frame()
            {
                is_idle = false;
                self.transmit(false, Channel::Data, frame);
            }
            if is_idle {
                return;
            }
        }
    }

    fn transmit(&mut self, to_sender: bool, channel: Channel, frame: Bytes) {
        if !self.is_up {
            return;
        }
        let mut delay = self.delay(20_000);
        if channel != Channel::Pulse {
            let last = self.last.get(&(to_sender, channel)).copied().unwrap_or(self.now);
            delay = delay.max(last.saturating_duration_since(self.now));
        }
        let epoch = self.epoch;
        let happening = if to_sender {
            Happening::ToSender(epoch, channel, frame)
        } else {
            Happening::ToReceiver(epoch, channel, frame)
        };
        let at = self.plan(delay, happening);
        self.last.insert((to_sender, channel), at);
    }

    fn apply_sender(&mut self, output: SenderOutput) {
        match output {
            SenderOutput::Disk(request) => {
                let reply = Box::new(self.source.handle(request));
                let delay = self.disk_delay(0);
                let run = self.runs[0];
                self.last_disk[0] = self.plan(delay, Happening::Source(run, reply));
            }
            SenderOutput::Send(channel, message) => {
                for frame in message.encode().expect("messages of ours fit") {
                    self.transmit(false, channel, frame);
                }
            }
            SenderOutput::Event(event) => self.sender_events.push(event),
            SenderOutput::Answered { .. } => {}
            SenderOutput::Done => self.sender_end = Some(Ending::Done),
            SenderOutput::Failed(error) => self.sender_end = Some(Ending::Failed(error)),
        }
    }

    fn apply_receiver(&mut self, output: ReceiverOutput) {
        match output {
            ReceiverOutput::Disk(request) => {
                if let Some(reply) = self.target.handle(request) {
                    let delay = self.disk_delay(1);
                    let run = self.runs[1];
                    self.last_disk[1] = self.plan(delay, Happening::Target(run, Box::new(reply)));
                }
            }
            ReceiverOutput::Send(channel, message) => {
                for frame in message.encode().expect("messages of ours fit") {
                    self.transmit(true, channel, frame);
                }
            }
            ReceiverOutput::Event(event) => self.receiver_events.push(event),
            ReceiverOutput::Ask(ask) => {
                if let Some(answer) = (self.answer)(ask) {
                    self.receiver.handle_answer(answer, self.now);
                }
            }
            ReceiverOutput::Consented(agreement) => self.config.accepted = Some(agreement),
            ReceiverOutput::Finished => {}
            ReceiverOutput::Done => self.receiver_end = Some(Ending::Done),
            ReceiverOutput::Failed(error) => self.receiver_end = Some(Ending::Failed(error)),
        }
    }

    fn disk_delay(&mut self, side: usize) -> Duration {
        let delay = self.delay(5_000);
        delay.max(self.last_disk[side].saturating_duration_since(self.now))
    }
}
