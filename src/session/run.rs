//! The one event loop of a run: select, hand to the machine, carry out what it asks for.
//!
//! It decides nothing that the machine could decide. Stores work on threads of their own; everything here only waits
//! for channels, timers and sockets.

mod closing;
mod edges;
mod figures;
mod hosts;
mod questions;
mod relaying;
mod telling;
mod timeline;
mod working;

pub(super) use edges::{Paired, RoleActions, SourceWorker, Surroundings, TargetWorker};

pub(super) use relaying::Relaying;
pub(super) use telling::Recorder;

use timeline::{Step, Timeline};
use working::{Worked, Working};

use edges::{next_event, next_news, next_scan, next_source, next_target, receive, writable};

use super::ending;
use super::machine::{Session, SessionOutput};
use super::meeting::Pairing;
use super::news::News;
use super::pace::Pace;
use super::recovery::WakeWatch;
use super::relay::grant::Grant;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Summary};
use crate::link::driver::{EventReceiver, FrameReceiver};
use crate::link::interfaces::InterfaceWatch;
use crate::link::{
    CloseReason, Link, LinkConfig, LinkDriver, LinkError, LinkEvent, LinkHandle, TurnServer,
};
use crate::signal::client::{ClientEvent, HostConnection};
use crate::transfer::disk::{ScanReport, SourceReply, TargetReply};
use crate::transfer::receiver::{Accepted, Answer};
use crate::ui::{Restarts, Stop};
use crate::wire::Channel;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// Between two progress events (cli.md: at most five a second).
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Data frames handled before other events get their turn.
const DATA_BURST: usize = 32;

/// Frames that control and pulse have no room for, at most: far more than a peer that reads leaves.
const WAITING_MAX: usize = 4_096;

/// The same in bytes: ten times what one request and all buckets that are expanded at once take.
const WAITING_BYTES_MAX: usize = 24 << 20;

/// How long the reason may take when frames end: what follows an end does not wait for ever.
const REASON_MAX: Duration = Duration::from_secs(1);

/// How long the goodbye of a run that was stopped may take, of the 1.5 s that a stopped run has in all.
const STOP_CLOSE: Duration = Duration::from_millis(700);

/// How a run ended that did not fail.
pub(super) enum Ended {
    /// All is settled.
    Done(Summary),
    /// The code is for something new: nothing was done, and the stored session is as it was.
    CodeOffered,
}

/// What the user said, or why nobody could be asked.
type Answered = Result<Answer, Error>;

/// The present connection, taken apart so that each part can be waited for.
struct Connection {
    handle: LinkHandle,
    events: EventReceiver,
    control: FrameReceiver,
    pulse: FrameReceiver,
    data: FrameReceiver,
    /// Whether it takes no frames any more: its end is about to be told, and nothing waits for room until then.
    is_shut: bool,
    /// Its frames have ended: until when the event that says why may come.
    reason_by: Option<Instant>,
}

struct Runner<R> {
    session: Session,
    around: Surroundings<R>,
    host: Option<HostConnection>,
    /// Whether the host does not want us back.
    is_host_gone: bool,
    connection: Option<Connection>,
    /// Frames of control and pulse that their channel had no room for.
    waiting: VecDeque<(Channel, Bytes)>,
    /// The data frame that the channel had no room for.
    unsent: Option<Bytes>,
    answers: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    working: Working,
    pace: Pace,
    next_progress: Instant,
    last_progress: u64,
    /// Whether both sides know that all is settled.
    is_acknowledged: bool,
    interfaces: InterfaceWatch,
    restarts: Restarts,
    wake: WakeWatch,
    timeline: Timeline,
    ending: Option<Result<(), Error>>,
    /// Whether the code is for something new.
    is_replaced: bool,
}

/// What happened.
enum Happening {
    Client(Option<ClientEvent>),
    Link(Option<LinkEvent>),
    Frame(Channel, Option<Bytes>),
    Writable,
    Source(Option<SourceReply>),
    Target(Option<TargetReply>),
    Scan(Option<ScanReport>),
    Answer(Option<Answered>),
    Credentials(Result<Grant, String>),
    News(Option<News>),
    Worked(Worked),
    Stop(Stop),
    Restart,
    Addresses(Vec<IpAddr>),
    Tick,
}

/// Runs `session` to its end.
///
/// # Errors
/// Why it did not get through; what is kept continues by the command in the error.
pub(super) async fn run<R: RoleActions>(
    mut session: Session,
    around: Surroundings<R>,
) -> Result<Ended, Error> {
    let now = Instant::now();
    session.handle_begin(around.wait_until, now);
    let mut runner = Runner {
        is_acknowledged: false,
        session,
        restarts: around.ui.restarts(),
        around,
        host: None,
        is_host_gone: false,
        connection: None,
        waiting: VecDeque::new(),
        unsent: None,
        answers: mpsc::channel(1),
        working: Working::default(),
        pace: Pace::new(now),
        next_progress: now + PROGRESS_INTERVAL,
        last_progress: 0,
        interfaces: InterfaceWatch::start(),
        wake: WakeWatch::new(now, SystemTime::now()),
        timeline: Timeline::new(now),
        ending: None,
        is_replaced: false,
    };
    let outcome = runner.go().await;
    runner.close(outcome).await
}

impl<R: RoleActions> Runner<R> {
    async fn go(&mut self) -> Result<(), Error> {
        self.drive_relays().await?;
        loop {
            self.drain().await?;
            if let Some(ending) = self.ending.take() {
                return ending;
            }
            let happening = self.select().await;
            self.apply(happening).await?;
        }
    }

    async fn select(&mut self) -> Happening {
        let now = Instant::now();
        let timers = [
            self.session.poll_timeout().map(|(at, _)| at),
            Some(self.next_progress),
            self.around.relaying.poll_timeout(),
            self.reason_by(),
        ];
        let wake = timers.into_iter().flatten().min().unwrap_or(now + PROGRESS_INTERVAL);
        // Frames that come before the link counts as up wait in their channels.
        let is_up = self.session.is_up() && self.reason_by().is_none();
        let is_host_gone = self.is_host_gone;
        let takes_data = is_up && self.session.takes_data();
        let blocked = self
            .waiting
            .front()
            .map(|(channel, _)| *channel)
            .or_else(|| self.unsent.is_some().then_some(Channel::Data))
            .filter(|_| self.connection.as_ref().is_some_and(|connection| !connection.is_shut));
        let Surroundings { client, source, target, scan, news, ui, relaying, .. } =
            &mut self.around;
        let (events, control, pulse, data, handle) = match &mut self.connection {
            Some(connection) => (
                Some(&mut connection.events),
                Some(&mut connection.control),
                Some(&mut connection.pulse),
                Some(&mut connection.data),
                Some(&connection.handle),
            ),
            None => (None, None, None, None, None),
        };
        tokio::select! {
            event = client.event(), if !is_host_gone || !is_up => Happening::Client(event),
            frame = receive(control), if is_up => Happening::Frame(Channel::Control, frame),
            frame = receive(pulse), if is_up => Happening::Frame(Channel::Pulse, frame),
            event = next_event(events) => Happening::Link(event),
            frame = receive(data), if takes_data => Happening::Frame(Channel::Data, frame),
            () = writable(handle, blocked), if blocked.is_some() => Happening::Writable,
            reply = next_source(source), if source.is_some() => Happening::Source(reply),
            reply = next_target(target), if target.is_some() => Happening::Target(reply),
            report = next_scan(scan), if scan.is_some() => Happening::Scan(report),
            news = next_news(news), if news.is_some() => Happening::News(news),
            answer = self.answers.1.recv() => Happening::Answer(answer),
            worked = self.working.next(), if self.working.is_busy() => Happening::Worked(worked),
            Some(answer) = relaying.answered() => Happening::Credentials(answer),
            stop = ui.stopped() => Happening::Stop(stop),
            () = self.restarts.next() => Happening::Restart,
            addresses = self.interfaces.changed() => Happening::Addresses(addresses),
            () = tokio::time::sleep_until(wake.into()) => Happening::Tick,
        }
    }

    async fn apply(&mut self, happening: Happening) -> Result<(), Error> {
        let now = Instant::now();
        match happening {
            Happening::Client(event) => self.on_client(event, now)?,
            Happening::Link(Some(event)) => self.on_link(event, now),
            // Its last event found no room.
            Happening::Link(None) => {
                self.on_link(LinkEvent::Closed { reason: CloseReason::Peer }, now);
            }
            Happening::Frame(channel, Some(frame)) => {
                self.timeline.reach(Step::FirstWord, now);
                self.session.handle_frame(channel, &frame, now);
                if channel == Channel::Data {
                    self.timeline.reach(Step::FirstData, now);
                    self.read_burst(now);
                }
            }
            Happening::Frame(_, None) => {
                if let Some(connection) = &mut self.connection {
                    connection.reason_by.get_or_insert(now + REASON_MAX);
                }
            }
            Happening::Writable => {}
            Happening::Source(Some(reply)) => self.session.handle_source(reply, now),
            Happening::Target(Some(reply)) => self.session.handle_target(reply, now),
            Happening::Source(None) | Happening::Target(None) => {
                return Err(Error::new(
                    ErrorKind::Failure,
                    "the store's thread ended; this is a bug",
                ));
            }
            Happening::Scan(Some(report)) => self.session.handle_scan(report, now),
            Happening::Scan(None) => self.around.scan = None,
            Happening::Answer(Some(Ok(answer))) => self.session.handle_answer(answer, now),
            Happening::Answer(Some(Err(error))) => {
                // Where nobody is there to be asked, that is a no; who went away meanwhile said nothing.
                if error.kind == ErrorKind::Refused {
                    self.session.handle_answer(Answer::Accept(Accepted::No), now);
                    // The other side is told before we go.
                    self.drain().await?;
                }
                return Err(error);
            }
            Happening::Answer(None) => {}
            Happening::Credentials(answer) => self.around.relaying.handle_answer(answer),
            Happening::News(Some(News::Host(address))) => self.on_host_found(address),
            Happening::News(Some(News::Invitation(code))) => {
                self.session.handle_invitation(code, now);
            }
            Happening::News(None) => self.around.news = None,
            Happening::Worked(Worked::Done(work, nonce)) => {
                self.session.handle_worked(&work, nonce, now);
            }
            Happening::Worked(Worked::Slow(event)) => self.tell(event).await,
            Happening::Worked(Worked::Never) => {}
            Happening::Stop(stop) => {
                let (reason, text) = closing::last_word(stop);
                self.session.handle_stop(reason, text, now);
                self.drain().await?;
                // All is verified and durable: it is only the sender that does not know.
                if self.session.is_finished() {
                    self.ending = Some(Ok(()));
                    return Ok(());
                }
                return Err(Error::new(ErrorKind::Interrupted, "stopped"));
            }
            Happening::Restart => self.session.handle_restart(now),
            Happening::Addresses(addresses) => self.session.handle_addresses(addresses, now),
            Happening::Tick => self.on_tick(now).await?,
        }
        self.measure(now);
        self.drive_relays().await
    }

    /// Takes more data frames that are there already.
    fn read_burst(&mut self, now: Instant) {
        for _ in 0..DATA_BURST {
            if !self.session.takes_data() {
                return;
            }
            let Some(frame) =
                self.connection.as_mut().and_then(|connection| connection.data.try_recv())
            else {
                return;
            };
            self.session.handle_frame(Channel::Data, &frame, now);
        }
    }

    fn on_link(&mut self, event: LinkEvent, now: Instant) {
        if let Some(step) = Step::of(&event) {
            self.timeline.reach(step, now);
        }
        if let LinkEvent::Closed { reason } = &event {
            tracing::info!(target: "rejoin::link", %reason, "the link ended");
            // What came before the end is heard first: the last word may be in it.
            if let Some(mut connection) = self.connection.take() {
                while let Some(frame) = connection.control.try_recv() {
                    self.session.handle_frame(Channel::Control, &frame, now);
                }
                let handle = connection.handle;
                tokio::spawn(async move { handle.close().await });
            }
        }
        self.around.relaying.handle_link(&event);
        self.session.handle_link(event, now);
    }

    fn reason_by(&self) -> Option<Instant> {
        self.connection.as_ref()?.reason_by
    }

    async fn on_tick(&mut self, now: Instant) -> Result<(), Error> {
        if let Some(away) = self.wake.handle_tick(now, SystemTime::now()) {
            self.session.handle_wake(away, now);
        }
        if self.reason_by().is_some_and(|at| now >= at) {
            self.on_link(LinkEvent::Closed { reason: CloseReason::Peer }, now);
        }
        self.session.handle_timeout(now);
        self.around.relaying.handle_timeout(now);
        self.record(now).await;
        if now >= self.next_progress {
            self.next_progress = now + PROGRESS_INTERVAL;
            self.tell_progress(now).await;
        }
        Ok(())
    }

    /// Carries out what the machine asks for, and sends what it has ready.
    async fn drain(&mut self) -> Result<(), Error> {
        loop {
            while let Some(output) = self.session.poll_output() {
                self.carry_out(output).await?;
            }
            self.send_waiting();
            if !self.send_data() {
                return Ok(());
            }
        }
    }

    /// Sends data frames while the channel takes them; `false` where nothing new was asked for.
    fn send_data(&mut self) -> bool {
        let Some(connection) = self.connection.as_mut() else {
            self.unsent = None;
            return false;
        };
        if connection.is_shut {
            return false;
        }
        let mut has_sent = false;
        loop {
            let Some(frame) =
                self.unsent.take().or_else(|| self.session.poll_frame(Instant::now()))
            else {
                return has_sent;
            };
            match connection.handle.try_send(Channel::Data, frame) {
                Ok(()) => has_sent = true,
                Err(unsent) => {
                    connection.is_shut = unsent.error == LinkError::Closed;
                    self.unsent = Some(unsent.frame);
                    return has_sent;
                }
            }
        }
    }

    fn send_waiting(&mut self) {
        let Some(connection) = self.connection.as_mut() else {
            self.waiting.clear();
            return;
        };
        while let Some((channel, frame)) = self.waiting.pop_front() {
            if let Err(unsent) = connection.handle.try_send(channel, frame) {
                connection.is_shut = unsent.error == LinkError::Closed;
                self.waiting.push_front((channel, unsent.frame));
                return;
            }
        }
    }

    async fn carry_out(&mut self, output: SessionOutput) -> Result<(), Error> {
        match output {
            SessionOutput::Host(message) => {
                if let Some(host) = &self.host
                    && let Err(error) = host.send(message)
                {
                    tracing::debug!(target: "rejoin::signal", %error, "a message was not sent");
                }
            }
            SessionOutput::Work(work) => self.working.begin(work),
            SessionOutput::StartLink { is_carried } => self.begin_link(is_carried).await?,
            SessionOutput::Link(command) => self.command(command),
            SessionOutput::StopLink => self.stop_link(),
            SessionOutput::Send(channel, frame) => self.queue(channel, frame),
            SessionOutput::CodeReady(code) => {
                let host = self.host.as_ref().map(HostConnection::address);
                self.around.role.on_code_ready(&code, host).await;
            }
            SessionOutput::CodeSpent => self.around.role.on_code_spent(),
            SessionOutput::Pair(pairing) => self.pair(&pairing).await?,
            SessionOutput::Peer { member, name, epoch } => {
                self.timeline.reach(Step::PeerMet, Instant::now());
                self.around.peer_name.clone_from(&name);
                let host = self.host.as_ref().map(HostConnection::address);
                self.around.role.on_peer(member, &name, epoch, host);
            }
            SessionOutput::Source(request) => {
                if let Some(source) = &mut self.around.source {
                    source.ask(request);
                }
            }
            SessionOutput::Target(request) => {
                if let Some(target) = &mut self.around.target {
                    target.ask(request);
                }
            }
            SessionOutput::Event(event) => self.tell(event).await,
            SessionOutput::HostPace(pace) => self.around.client.set_pace(pace),
            SessionOutput::KeepAttempts => self.keep_attempts(),
            SessionOutput::RetryHost => self.around.client.retry_now(),
            SessionOutput::SendLimit(bytes) => {
                if let Some(connection) = &self.connection {
                    connection.handle.set_send_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
                }
            }
            SessionOutput::Prepare => self.around.relaying.renew(),
            SessionOutput::Manual => {
                if let Some(command) = self.around.role.resume_command() {
                    self.around.ui.emit(Event::Manual { command }).await;
                }
            }
            SessionOutput::Ask(ask) => self.ask(ask),
            SessionOutput::Consented(agreement) => {
                self.around.role.note(|record| record.consent = Some(agreement));
            }
            SessionOutput::EndAlone => self.ending = Some(self.end_alone()),
            SessionOutput::CodeOffered => {
                self.is_replaced = true;
                self.ending = Some(Ok(()));
            }
            SessionOutput::Done => {
                self.timeline.reach(Step::Done, Instant::now());
                self.is_acknowledged = true;
                // A receiver that is killed from here on finds in its next run that all was settled.
                if self.around.target.is_some() {
                    let is_whole = ending::summary(&self.session, Instant::now()).exit == 0;
                    self.around.role.on_done(is_whole).await;
                }
                self.ending = Some(Ok(()));
            }
            SessionOutput::Failed(error) => self.ending = Some(Err(error)),
        }
        Ok(())
    }

    /// Queues a frame for control or pulse. A peer that asks and never reads the answers is cut off.
    fn queue(&mut self, channel: Channel, frame: Bytes) {
        let bytes: usize = self.waiting.iter().map(|(_, frame)| frame.len()).sum();
        if self.waiting.len() < WAITING_MAX && bytes + frame.len() <= WAITING_BYTES_MAX {
            return self.waiting.push_back((channel, frame));
        }
        self.stop_link();
        let reason = CloseReason::Violation("it does not read what it asks for");
        self.session.handle_link(LinkEvent::Closed { reason }, Instant::now());
    }

    async fn start_link(
        &mut self,
        turn_servers: Vec<TurnServer>,
        is_carried: bool,
    ) -> Result<(), Error> {
        let mut config = LinkConfig { turn_servers, ..self.around.link_config.clone() };
        config.carrier = config.carrier.filter(|_| is_carried);
        let Link { handle, events, control, pulse, data } =
            LinkDriver::start(config).await.map_err(|error| {
                Error::new(ErrorKind::Failure, format!("no connection can be started: {error}"))
            })?;
        self.timeline.reach(Step::LinkStarted, Instant::now());
        self.connection = Some(Connection {
            handle,
            events,
            control,
            pulse,
            data,
            is_shut: false,
            reason_by: None,
        });
        Ok(())
    }

    async fn pair(&mut self, pairing: &Pairing) -> Result<(), Error> {
        let paired = self.around.role.on_pair(pairing).await?;
        self.keep_relays();
        let now = Instant::now();
        match paired {
            Some(Paired { session, secret, epoch, worker, state }) => {
                self.around.target = Some(worker);
                self.session.handle_paired(session, &secret, epoch, state, now);
            }
            None => self.session.handle_stored(now),
        }
        Ok(())
    }
}
