//! A sender's run at the edges: paths, embedded host, code, stored session, scan.

use super::entropy::Entropy;
use super::machine::Session;
use super::meeting::{Opening, OpeningConfig, Pairing};
use super::news;
use super::run::{Ended, Paired, Recorder, Relaying, RoleActions, SourceWorker, Surroundings, run};
use super::shell;
use super::surroundings::{self, State};
use super::worker::Worker;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Role, Summary};
use crate::options::SendOptions;
use crate::platform::OsDirectory;
use crate::signal::client::{Client, Targets};
use crate::signal::code::{Code, HostAddress, PORT_DEFAULT};
use crate::signal::host::{Host, HostHandle};
use crate::signal::local::PublishedRoom;
use crate::signal::room::Limits;
use crate::signal::{RoomName, address};
use crate::store::record::{CodeHash, SessionRecord, Side};
use crate::store::state::{StateDirectory, StateError};
use crate::store::{SourceError, SourceRoots, invitation};
use crate::transfer::disk::ScanReport;
use crate::ui::Ui;
use crate::wire::{MemberId, SessionId};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// News that the loop has not taken yet.
const NEWS_MAX: usize = 4;

/// Scan reports on their way to the loop.
const REPORTS_MAX: usize = 16;

/// What a returning member is told when the embedded host ends.
const HOST_BACK_AFTER: Duration = Duration::from_secs(1);

/// How long a host may take to end in a run that was stopped, of the 1.5 s that such a run has in all.
const HOST_STOP: Duration = Duration::from_millis(400);

/// Sends what `options` say.
///
/// # Errors
/// Why it did not get through.
pub async fn send(options: SendOptions, ui: Ui) -> Result<Summary, Error> {
    let chosen = chosen_code(&options)?;
    let now = Instant::now();
    let mut entropy = surroundings::entropy()?;
    let opened = surroundings::blocking({
        let options = options.clone();
        let fresh = (
            SessionId(surroundings::half(&mut entropy)),
            MemberId(surroundings::half(&mut entropy)),
        );
        let chosen = chosen.clone();
        move || open(&options, chosen.as_ref(), fresh)
    })
    .await??;
    let Opened { state, roots, mut stored, is_resumed } = opened;
    let mut options = options;
    super::relay::restore(&mut options.common, &stored.record);
    stored.record.paths = super::relay::paths(&options.common);
    let relaying = match Relaying::new(&options.common) {
        Ok(relaying) => relaying,
        Err(error) => {
            if !is_resumed {
                // Nobody will join it.
                let removed = surroundings::blocking(move || state.remove_own(stored)).await;
                tracing::debug!(target: "rejoin::store", ?removed, "unused session removed");
            }
            return Err(error);
        }
    };
    let record = stored.record.clone();
    ui.emit(Event::Session {
        id: record.session.to_string(),
        role: Role::Sender,
        resumed: is_resumed,
        kept_bytes: 0,
    })
    .await;

    let stored_port = record.listen.as_deref().and_then(|port| port.parse().ok());
    let (host, targets) = open_host(&options, stored_port).await?;
    let is_code_fixed = chosen.is_some();
    // A receiver that is not known to have the secret has only a code to come back with.
    let is_known = is_resumed && record.is_confirmed;
    // One that is known comes back by the secret; the code is for a new one, in its place.
    let invited = is_known.then(|| invited(&stored)).flatten();
    let code = chosen
        .or(invited)
        .unwrap_or_else(|| Code::unnumbered(usize::from(options.code_words), &entropy.next_seed()));
    let opening = Opening::new(
        OpeningConfig {
            session: record.session,
            member: record.member,
            capabilities: surroundings::capabilities(record.member, &options.common),
            token_key: record.token_key,
            name: surroundings::own_name(),
            code: Some(code),
            is_code_fixed,
            secret: record.secret.clone().map(|secret| (secret, record.epoch)),
            is_confirmed: record.is_confirmed,
        },
        Entropy::new(&entropy.next_bytes()),
    )?;
    let (scan, source) = start_source(&roots, stored.directory(), record.session)?;
    let (feed, news) = mpsc::channel(NEWS_MAX);
    news::watch_invitations(stored.directory().clone(), feed);
    let recorder = Recorder::new(state.clone(), is_resumed);
    let mut role = SenderRole {
        ui: ui.clone(),
        state,
        stored: Some(stored),
        published: None,
        published_session: None,
        host_port: host.as_ref().map(|host| host.local_addr().port()),
        hosts: options.common.hosts.clone(),
        resume: resume_command(&options),
        is_paired: is_resumed,
    };
    if let Some(port) = role.host_port {
        role.remember_port(port);
    }
    role.publish_session();
    if is_known {
        role.say_where(stored_port).await;
    }
    let session = Session::sender(record.session, opening, options.common.retry_for, now)
        .with_timing(options.common.timing);
    let around = Surroundings {
        ui,
        hosts: targets.addresses.clone(),
        client: Client::start_at(targets, session.first_message()),
        news: Some(news),
        link_config: surroundings::link_config(&options.common)?,
        relaying,
        recorder,
        role,
        source: Some(source),
        target: None,
        scan: Some(scan),
        peer_name: record.peer_name,
        wait_until: None,
    };
    let asked = around.ui.clone();
    let outcome = run(session, around).await;
    if let Some(host) = host {
        let shutdown = host.shutdown(HOST_BACK_AFTER);
        if asked.stop().is_some() {
            // A member that does not answer must not keep us from saying how to continue.
            let _ = tokio::time::timeout(HOST_STOP, shutdown).await;
        } else {
            shutdown.await;
        }
    }
    match outcome? {
        Ended::Done(summary) => Ok(summary),
        Ended::CodeOffered => {
            Err(Error::new(ErrorKind::Failure, "a sender was offered a code; this is a bug"))
        }
    }
}

/// What is opened before anything is said.
struct Opened {
    state: State,
    roots: SourceRoots<OsDirectory>,
    stored: crate::store::Session<OsDirectory>,
    is_resumed: bool,
}

/// Opens the paths and the session: the unfinished one of the same paths, or a new one.
fn open(
    options: &SendOptions,
    chosen: Option<&Code>,
    (session, member): (SessionId, MemberId),
) -> Result<Opened, Error> {
    let (state, roots) = open_sources(options)?;
    let paths = roots.paths().to_vec();
    let is_of_source = |record: &SessionRecord| record.is_of_source(&paths, "");
    // A session that nobody joined has nothing to continue; one whose code is not the code asked for is another.
    let is_wanted = |record: &SessionRecord| match chosen {
        _ if record.secret.is_none() || options.is_new || !is_of_source(record) => false,
        Some(code) => has_code(record, code),
        None => true,
    };
    if let Some(record) = state.find(is_wanted).map_err(surroundings::state_error)? {
        match state.open_session(record.session) {
            Ok(stored) => return Ok(Opened { state, roots, stored, is_resumed: true }),
            // Another process sends the same: this one is a session of its own.
            Err(StateError::Locked { .. }) => {}
            Err(error) => return Err(surroundings::state_error(error)),
        }
    }
    let forsaken = forsaken(&state, chosen, is_of_source)?;
    let side = Side::Sender { paths: paths.clone(), options: String::new() };
    let mut record = SessionRecord::new(session, member, side, surroundings::unix_time());
    match &forsaken {
        Some(forsaken) => {
            record.member = forsaken.record.member;
            record.token_key = forsaken.record.token_key;
        }
        None => record.token_key = surroundings::random()?,
    }
    record.hosts.clone_from(&options.common.hosts);
    record.paths = super::relay::paths(&options.common);
    let stored = state.create(record).map_err(surroundings::state_error)?;
    if let Some(forsaken) = forsaken {
        state.remove_own(forsaken).map_err(surroundings::state_error)?;
    }
    Ok(Opened { state, roots, stored, is_resumed: false })
}

/// Opens what is sent, and the state directory.
pub(super) fn open_sources(
    options: &SendOptions,
) -> Result<(State, SourceRoots<OsDirectory>), Error> {
    let refused = |error: SourceError| Error::new(ErrorKind::Failure, error.to_string());
    // Before anything is stored for it.
    chosen_code(options)?;
    let roots = SourceRoots::open(&options.sources).map_err(refused)?;
    let state_directory = options.common.state_directory.as_deref();
    let state =
        StateDirectory::open(state_directory, Role::Sender).map_err(surroundings::state_error)?;
    let roots = roots.without(&surroundings::own_directories(state_directory)).map_err(refused)?;
    Ok((state, roots))
}

/// The code that the user chose.
fn chosen_code(options: &SendOptions) -> Result<Option<Code>, Error> {
    let chosen = options.code.as_ref().map(|code| code.expose().parse::<Code>()).transpose();
    chosen.map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))
}

/// Whether the session has the code that the user chose.
fn has_code(record: &SessionRecord, code: &Code) -> bool {
    record.code.is_some_and(|hash| hash.matches(&surroundings::canonical(code)))
}

/// What a run of the same source left that was killed before anybody joined: there is nothing in it to continue, but a host
/// that stays keeps its code for the member that opened it, and its token is the proof of being that one. The lock is taken:
/// a run that lives keeps its place.
fn forsaken(
    state: &State,
    chosen: Option<&Code>,
    is_of_source: impl Fn(&SessionRecord) -> bool,
) -> Result<Option<crate::store::Session<OsDirectory>>, Error> {
    let listed = state.list().map_err(surroundings::state_error)?.into_iter();
    let mut records: Vec<SessionRecord> = listed
        .filter(|listed| !listed.is_running)
        .filter_map(|listed| listed.record.ok())
        .filter(|record| is_of_source(record) && record.secret.is_none() && !record.is_complete)
        .collect();
    // Of several, the one that opened the code asked for; else the newest.
    records.sort_by_key(|record| !chosen.is_some_and(|code| has_code(record, code)));
    Ok(records.iter().find_map(|record| state.open_session(record.session).ok()))
}

/// The code of the invitation that waits for this run, if there is one.
fn invited(stored: &crate::store::Session<OsDirectory>) -> Option<Code> {
    let now = surroundings::unix_time();
    let found = tokio::task::block_in_place(|| invitation::read(stored.directory(), now));
    found.ok().flatten().and_then(|invitation| invitation.code.parse().ok())
}

/// Starts the embedded host, unless the user named others. Its own process needs no network to get there.
async fn open_host(
    options: &SendOptions,
    stored: Option<u16>,
) -> Result<(Option<HostHandle>, Targets), Error> {
    if !options.common.hosts.is_empty() {
        return Ok((None, surroundings::named_hosts(&options.common.hosts)?));
    }
    let local = |port: u16| HostAddress::of_ip(Ipv4Addr::LOCALHOST.into(), port);
    let mut last = None;
    for port in stored.into_iter().chain([PORT_DEFAULT, 0]) {
        for address in [
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ] {
            match Host::start(address, Limits::embedded()).await {
                Ok(host) => {
                    let own = host.local_addr().port();
                    // The receiver looks for us where we were. Whoever has that port now may be a host, too: one
                    // relays as well as another.
                    let before = stored.filter(|port| *port != own);
                    let targets = Targets {
                        addresses: before.into_iter().map(local).collect(),
                        is_in_turn: true,
                        is_seeking: false,
                        own: Some((local(own), host.own())),
                    };
                    return Ok((Some(host), targets));
                }
                Err(error) => last = Some(error.to_string()),
            }
        }
    }
    let text = format!("the embedded host cannot start: {}", last.unwrap_or_default());
    Err(Error::new(ErrorKind::Failure, text).with_hint("name a host with --host"))
}

/// Starts the scan and the store, each on a thread of its own.
fn start_source(
    roots: &SourceRoots<OsDirectory>,
    directory: &OsDirectory,
    session: SessionId,
) -> Result<(mpsc::Receiver<ScanReport>, SourceWorker), Error> {
    let disk =
        |error: crate::transfer::disk::DiskError| Error::new(ErrorKind::Disk, error.to_string());
    let no_thread = |error: std::io::Error| {
        Error::new(ErrorKind::Failure, format!("no thread can be started: {error}"))
    };
    let (mut scan, store) = crate::store::source::open(roots, directory, session).map_err(disk)?;
    let (reports, scanned) = mpsc::channel(REPORTS_MAX);
    std::thread::Builder::new()
        .name("scan".to_owned())
        .spawn(move || {
            while let Some(report) = scan.next_report() {
                if reports.blocking_send(report).is_err() {
                    return;
                }
            }
        })
        .map_err(no_thread)?;
    let source = Worker::start("source", store, |store, request, answer| {
        answer(store.handle(request));
    })
    .map_err(no_thread)?;
    Ok((scanned, source))
}

struct SenderRole {
    ui: Ui,
    state: State,
    stored: Option<crate::store::Session<OsDirectory>>,
    published: Option<PublishedRoom>,
    published_session: Option<PublishedRoom>,
    host_port: Option<u16>,
    hosts: Vec<String>,
    resume: String,
    is_paired: bool,
}

impl SenderRole {
    fn remember_port(&mut self, port: u16) {
        if let Some(stored) = &mut self.stored {
            stored.record.listen = Some(port.to_string());
        }
        self.save();
    }

    /// Lets receivers on this machine find the session's room, wherever the embedded host listens.
    fn publish_session(&mut self) {
        let secret = self.stored.as_ref().and_then(|stored| stored.record.secret.as_ref());
        if let (Some(secret), Some(port)) = (secret, self.host_port) {
            let local = HostAddress::of_ip(Ipv4Addr::LOCALHOST.into(), port);
            self.published_session = None;
            self.published_session = surroundings::publish(RoomName::of_session(secret), &local);
        }
    }

    /// Says for whom a continued session waits, and where; `before` is the port that the receiver knows.
    async fn say_where(&self, before: Option<u16>) {
        let own = self.host_port.map(surroundings::own_host);
        let host = own.map_or_else(|| self.hosts.join(","), |own| address::list(&own));
        if let Some(port) = self.host_port
            && let Some(before) = before.filter(|before| *before != port)
        {
            let elsewhere = if host.is_empty() {
                String::new()
            } else {
                format!(
                    "; if the other side does not find it, continue there with: rejoin receive --host {host}"
                )
            };
            let message =
                format!("port {before} is in use, so this session listens on {port}{elsewhere}");
            self.ui.emit(Event::Warning { code: "port_moved".to_owned(), message }).await;
        }
        let peer = self.stored.as_ref().map(|stored| stored.record.peer_name.clone());
        self.ui.emit(Event::Waiting { peer: peer.unwrap_or_default(), host }).await;
    }

    /// Stores the record; a failure costs at most what an earlier version lacks.
    fn save(&mut self) {
        let Some(stored) = &mut self.stored else { return };
        if let Err(error) = tokio::task::block_in_place(|| stored.save(surroundings::unix_time())) {
            tracing::warn!(target: "rejoin::store", %error, "the session record was not saved");
        }
    }
}

impl RoleActions for SenderRole {
    async fn on_code_ready(&mut self, code: &Code, host: Option<&HostAddress>) {
        // The code of an invitation is not the one that the session began with.
        if let Some(stored) = self.stored.as_mut().filter(|stored| !stored.record.is_confirmed)
            && let Ok(salt) = surroundings::random()
        {
            stored.record.code = Some(CodeHash::new(&surroundings::canonical(code), salt));
        }
        self.save();
        // Where the room is: at our own host, or at the one that has our port.
        let port = self.host_port.map(|own| host.map_or(own, HostAddress::port));
        let own = port.map(surroundings::own_host).unwrap_or_default();
        if let Some(port) = port {
            let local = HostAddress::of_ip(Ipv4Addr::LOCALHOST.into(), port);
            self.published = surroundings::publish(RoomName::Code(code.room()), &local);
        }
        let this_machine = port.is_some() && own.is_empty();
        let local_only = port.is_some() && !own.is_empty() && surroundings::are_private(&own);
        let (code, command) = surroundings::invitation(code, own, &self.hosts);
        let invitation = self.stored.as_ref().is_some_and(|stored| stored.record.is_confirmed);
        self.ui.emit(Event::Code { code, command, local_only, this_machine, invitation }).await;
    }

    fn on_code_spent(&mut self) {
        self.published = None;
        let Some(stored) = &mut self.stored else { return };
        stored.record.is_confirmed = true;
        let removed = tokio::task::block_in_place(|| invitation::remove(stored.directory()));
        if let Err(error) = removed {
            tracing::warn!(target: "rejoin::store", %error, "an invitation was not removed");
        }
        self.save();
    }

    async fn on_pair(&mut self, pairing: &Pairing) -> Result<Option<Paired>, Error> {
        let Some(stored) = &mut self.stored else { return Ok(None) };
        // The receiver answers that it stored it, too; whatever one was there before is locked out.
        stored.record.secret = Some(pairing.secret.clone());
        stored.record.is_confirmed = false;
        stored.record.peer = Some(pairing.peer);
        stored.record.peer_name.clone_from(&pairing.name);
        stored.record.epoch = stored.record.epoch.max(pairing.epoch);
        let saved = tokio::task::block_in_place(|| stored.save(surroundings::unix_time()));
        saved.map_err(surroundings::state_error)?;
        self.is_paired = true;
        self.publish_session();
        Ok(None)
    }

    fn on_peer(&mut self, member: MemberId, name: &str, epoch: u64, _host: Option<&HostAddress>) {
        if let Some(stored) = &mut self.stored {
            stored.record.peer = Some(member);
            name.clone_into(&mut stored.record.peer_name);
            if epoch > stored.record.epoch {
                stored.record.epoch = epoch;
                self.save();
            }
        }
    }

    fn note(&mut self, change: impl FnOnce(&mut SessionRecord)) {
        if let Some(stored) = &mut self.stored {
            change(&mut stored.record);
            self.save();
        }
    }

    fn resume_command(&self) -> Option<String> {
        self.is_paired.then(|| self.resume.clone())
    }

    async fn on_done(&mut self, _is_whole: bool) {
        self.forget().await;
    }

    async fn forget(&mut self) {
        let (state, stored) = (self.state.clone(), self.stored.take());
        let removed = surroundings::blocking(move || {
            stored.map_or(Ok(()), |stored| state.remove_own(stored))
        })
        .await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(target: "rejoin::store", %error, "the session was not removed");
        }
    }
}

impl Drop for SenderRole {
    /// A session that nobody joined leaves nothing behind.
    fn drop(&mut self) {
        if !self.is_paired
            && let Some(stored) = self.stored.take()
            && let Err(error) = tokio::task::block_in_place(|| self.state.remove_own(stored))
        {
            tracing::debug!(target: "rejoin::store", %error, "an unused session was not removed");
        }
    }
}

/// What continues, from whatever directory.
fn resume_command(options: &SendOptions) -> String {
    let paths: String = options
        .sources
        .iter()
        .map(|path: &PathBuf| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!(" {}", shell::quote(crate::platform::path_bytes(&path)))
        })
        .collect();
    format!("rejoin send{paths}{}", surroundings::common_arguments(&options.common))
}
