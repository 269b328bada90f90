//! A receiver's run at the edges: target directory, stored session, host, consent limits.

use super::entropy::Entropy;
use super::machine::Session;
use super::meeting::{Entrance, Joining, JoiningConfig, Pairing};
use super::news::{self, News};
use super::run::{Ended, Paired, Recorder, Relaying, RoleActions, Surroundings, TargetWorker, run};
use super::shell;
use super::stored;
use super::surroundings::{self, State};
use super::worker::Worker;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Role, Summary};
use crate::options::{DirectoryNames, ReceiveOptions};
use crate::platform::{self, OsDirectory};
use crate::signal::client::{Client, Targets};
use crate::signal::code::{Code, HostAddress};
use crate::signal::{RoomName, interfaces};
use crate::store::record::{CodeHash, Paths, SessionRecord, Side};
use crate::store::state::StateDirectory;
use crate::store::target::{self, TargetLimits, TargetOptions, TargetStore};
use crate::transfer::disk::{DiskError, OnConflict, TargetReply, TargetState};
use crate::transfer::receiver::ReceiverConfig;
use crate::ui::Ui;
use crate::wire::{MemberId, SessionId};
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// News that the loop has not taken yet.
const NEWS_MAX: usize = 4;

/// Hosts kept in a record: the last ones.
const HOSTS_MAX: usize = 12;

/// Between two looks for a sender on this machine.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Receives as `options` say.
///
/// # Errors
/// Why it did not get through.
pub async fn receive(options: ReceiveOptions, ui: Ui) -> Result<Summary, Error> {
    let now = Instant::now();
    let entropy = surroundings::entropy()?;
    let code = given_code(&options)?;
    let opened = surroundings::blocking({
        let (options, code) = (options.clone(), code.clone());
        move || open(&options, code.as_ref())
    })
    .await??;
    let Opened { state, target, stored, earlier } = opened;
    let place = (state.clone(), target.clone(), stored);
    let outcome = meet(now, options.clone(), entropy, code.clone(), place, ui.clone()).await;
    let outcome = match outcome {
        Ok(Ended::Done(summary)) => Ok(summary),
        Ok(Ended::CodeOffered) => {
            let message = "the code is offered for something new; the unfinished session stays, \
                 and `rejoin resume` continues it";
            let event = Event::Warning { code: "code_reused".into(), message: message.into() };
            ui.emit(event).await;
            let (place, entropy) = ((state, target, None), surroundings::entropy()?);
            match meet(Instant::now(), options, entropy, code, place, ui.clone()).await? {
                Ended::Done(summary) => Ok(summary),
                Ended::CodeOffered => Err(stored::no_code()),
            }
        }
        Err(error) => Err(error),
    };
    outcome.map_err(|error| with_memory(error, earlier.as_deref()))
}

/// What an earlier run of a code that nobody offers now did, beside the error: it is no success of this run, which saw nothing of
/// what the sender has today.
fn with_memory(error: Error, earlier: Option<&SessionRecord>) -> Error {
    let is_nobody_there = matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Authentication);
    let Some(record) = earlier.filter(|_| is_nobody_there) else { return error };
    let ago = surroundings::ago(record.updated);
    let peer = if record.peer_name.is_empty() { "its sender" } else { &record.peer_name };
    let memory = format!(
        "a transfer with this code, from {peer}, was completed here {ago}; this run got nothing new"
    );
    let hint = if error.hint.is_empty() { memory } else { format!("{}; {memory}", error.hint) };
    error.with_hint(hint)
}

/// Meets the sender, for a new session or a stored one, and receives.
async fn meet(
    now: Instant,
    options: ReceiveOptions,
    mut entropy: Entropy,
    code: Option<Code>,
    (state, target, stored): (State, Vec<u8>, Option<crate::store::Session<OsDirectory>>),
    ui: Ui,
) -> Result<Ended, Error> {
    let mut options = options;
    let mut stored = stored;
    if let Some(stored) = &mut stored {
        super::relay::restore(&mut options.common, &stored.record);
        stored.record.paths = super::relay::paths(&options.common);
    }
    let relaying = Relaying::new(&options.common)?;
    let mut kept = None;
    let mut worker = None;
    if let Some(stored) = &stored {
        let (opened, found) = open_target(
            &state,
            (&options.target, options.directory_names()),
            (stored.record.session, stored.record.seal),
        )
        .await?;
        worker = Some(opened);
        kept = Some((stored.record.session, found));
    }
    ui.emit(Event::Session {
        id: stored.as_ref().map(|stored| stored.record.session.to_string()).unwrap_or_default(),
        role: Role::Receiver,
        resumed: stored.is_some(),
        kept_bytes: kept.as_ref().map_or(0, |(_, state)| state.kept_bytes),
    })
    .await;

    let wait_until = options.wait.map(|wait| now + wait);
    let record = stored.as_ref().map(|stored| &stored.record);
    let rooms = rooms(record, code.as_ref());
    let stored_hosts = record.map(|record| record.hosts.clone()).unwrap_or_default();
    let targets = find_host(&options, code.as_ref(), &rooms, &stored_hosts, wait_until).await?;
    let (feed, news) = mpsc::channel(NEWS_MAX);
    // A user who names hosts means those.
    let is_watching = options.common.hosts.is_empty();
    if is_watching && stored.is_some() {
        news::watch_rooms(rooms, feed.clone());
    }
    let member = stored
        .as_ref()
        .map_or_else(|| MemberId(surroundings::half(&mut entropy)), |stored| stored.record.member);
    let token_key =
        stored.as_ref().map_or_else(|| entropy.next_bytes(), |stored| stored.record.token_key);
    let entrance = match (&stored, &code) {
        (Some(stored), _) => {
            let Some(secret) = stored.record.secret.clone() else {
                return Err(Error::new(ErrorKind::Failure, "the stored session has no secret"));
            };
            Entrance::Session { session: stored.record.session, secret, epoch: stored.record.epoch }
        }
        (None, Some(code)) => Entrance::Code(code.clone()),
        (None, None) => return Err(stored::no_code()),
    };
    let joining = Joining::new(
        JoiningConfig {
            member,
            capabilities: surroundings::capabilities(member, &options.common),
            token_key,
            name: surroundings::own_name(),
            code: code.clone().filter(|_| stored.is_some()),
            entrance,
            wait: options.wait.is_some(),
            retry_for: options.common.retry_for,
        },
        Entropy::new(&entropy.next_bytes()),
        now,
    );
    let config = ReceiverConfig {
        on_conflict: options.on_conflict.map(OnConflict::from),
        accepted: stored.as_ref().and_then(|stored| stored.record.consent.clone()),
        by_content: options.checksum,
        bytes_max: options.limits.bytes.unwrap_or(u64::MAX),
        files_max: options.limits.files.unwrap_or(u64::MAX),
    };
    let peer_name =
        stored.as_ref().map(|stored| stored.record.peer_name.clone()).unwrap_or_default();
    let recorder = Recorder::new(state.clone(), stored.is_some());
    let role = ReceiverRole {
        state,
        target,
        directory: options.target.clone(),
        names: options.directory_names(),
        hosts: targets.addresses.iter().map(HostAddress::url).collect(),
        code,
        member,
        token_key,
        resume: resume_commands(&options),
        stored,
        paths: super::relay::paths(&options.common),
        feed: is_watching.then_some(feed),
    };
    let link_config = surroundings::link_config(&options.common)?;
    let session = Session::receiver(joining, config, kept, options.common.retry_for, now)
        .with_place(crate::store::escape(platform::path_bytes(&options.target)))
        .with_timing(options.common.timing);
    let around = Surroundings {
        ui,
        hosts: targets.addresses.clone(),
        client: Client::start_at(targets, session.first_message()),
        news: Some(news),
        link_config,
        relaying,
        recorder,
        role,
        source: None,
        target: worker,
        scan: None,
        peer_name,
        wait_until,
    };
    run(session, around).await
}

struct Opened {
    state: State,
    target: Vec<u8>,
    /// The unfinished session that this run continues.
    stored: Option<crate::store::Session<OsDirectory>>,
    /// One of this code that was completed before.
    earlier: Option<Box<SessionRecord>>,
}

/// Opens the target and the state, and finds the session that this run continues, if there is one.
fn open(options: &ReceiveOptions, code: Option<&Code>) -> Result<Opened, Error> {
    let (state, root, real) = open_places(options)?;
    let target = platform::path_bytes(&real).to_vec();
    let record = match code {
        Some(code) => {
            let text = surroundings::canonical(code);
            let is_ours = |record: &SessionRecord| {
                record.target() == Some(&target[..])
                    && record.code.is_some_and(|hash| hash.matches(&text))
            };
            let listed = state.list().map_err(surroundings::state_error)?;
            let records = listed.into_iter().filter_map(|listed| listed.record.ok());
            // Of a code that was used again, the unfinished one; of several, the last one used.
            records
                .filter(is_ours)
                .min_by_key(|record| (record.is_complete, std::cmp::Reverse(record.updated)))
        }
        None => Some(stored::to_continue(&state, &real, options.session)?),
    };
    let (mut stored, mut earlier) = (None, None);
    match record {
        Some(record) if record.is_complete => {
            remove_leftovers(&state, root, &record);
            earlier = Some(Box::new(record));
        }
        Some(record) => {
            stored = Some(state.open_session(record.session).map_err(surroundings::state_error)?);
        }
        None => {}
    }
    Ok(Opened { state, target, stored, earlier })
}

/// Opens the state directory and the target, which is made if it is absent; with its real path.
pub(super) fn open_places(
    options: &ReceiveOptions,
) -> Result<(State, OsDirectory, PathBuf), Error> {
    // Before anything is made for it.
    given_code(options)?;
    let state = StateDirectory::open(options.common.state_directory.as_deref(), Role::Receiver)
        .map_err(surroundings::state_error)?;
    let disk = |error: std::io::Error| {
        let text = format!(
            "cannot open {}: {error}",
            crate::store::escape(platform::path_bytes(&options.target))
        );
        Error::new(ErrorKind::Disk, text)
    };
    if crate::store::is_within_own(&options.target) {
        let text = format!(
            "cannot receive into {}: it is a directory of rejoin's own, or lies in one; name another one with --out",
            crate::store::escape(platform::path_bytes(&options.target))
        );
        return Err(Error::new(ErrorKind::Disk, text));
    }
    let root = OsDirectory::create_all(&options.target, 0o777).map_err(disk)?;
    let real = options.target.canonicalize().map_err(disk)?;
    Ok((state, root, real))
}

fn given_code(options: &ReceiveOptions) -> Result<Option<Code>, Error> {
    let code = options.code.as_ref().map(|code| code.expose().parse::<Code>()).transpose();
    code.map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))
}

/// Removes what a run that was killed at its very end left in the target.
fn remove_leftovers(state: &State, root: OsDirectory, record: &SessionRecord) {
    if !target::sessions_in(&root).is_ok_and(|present| present.contains(&record.session)) {
        return;
    }
    let removed = target_options(state, (record.session, record.seal)).and_then(|options| {
        let opened = TargetStore::open(root, options);
        opened.and_then(|(store, _)| store.cleanup()).map_err(disk)
    });
    if let Err(error) = removed {
        tracing::warn!(target: "rejoin::store", %error, "the session's files were not removed");
    }
}

fn disk(error: DiskError) -> Error {
    Error::new(ErrorKind::Disk, error.to_string())
}

/// An error of the target, with the path that the user knows.
fn located(error: DiskError, target: &[u8]) -> DiskError {
    let separator = if target.ends_with(b"/") { "" } else { "/" };
    let path = format!("{}{separator}{}", crate::store::escape(target), error.path);
    DiskError { path, ..error }
}

fn target_options(
    state: &State,
    (session, secret): (SessionId, [u8; 32]),
) -> Result<TargetOptions, Error> {
    Ok(TargetOptions {
        session,
        secret,
        key: state.mark_key(surroundings::random()?).map_err(surroundings::state_error)?,
        boot: platform::boot_id(),
        umask: platform::umask(),
        limits: TargetLimits::default(),
    })
}

async fn open_target(
    state: &State,
    (directory, names): (&Path, DirectoryNames),
    sealed: (SessionId, [u8; 32]),
) -> Result<(TargetWorker, TargetState), Error> {
    let (state, directory) = (state.clone(), directory.to_owned());
    surroundings::blocking(move || {
        let target = platform::path_bytes(&directory).to_vec();
        let options = target_options(&state, sealed)?;
        let root = OsDirectory::open(&directory)
            .map_err(|error| disk(crate::store::disk_error("open", &target, &error)))?;
        let (store, state) =
            TargetStore::open(root, options).map_err(|error| disk(located(error, &target)))?;
        let store = if names.is_following { store.following() } else { store };
        let store = if names.is_renaming { store.renaming() } else { store };
        let worker = Worker::start("target", store, move |store, request, answer| {
            let mut reply = store.handle(request);
            if let Some(TargetReply::Full(error) | TargetReply::Failed(error)) = &mut reply {
                *error = located(error.clone(), &target);
            }
            while let Some(warning) = store.take_warning() {
                answer(warning);
            }
            reply.into_iter().for_each(answer);
        });
        let worker = worker.map_err(|error| {
            Error::new(ErrorKind::Failure, format!("no thread can be started: {error}"))
        })?;
        Ok((worker, state))
    })
    .await?
}

/// Where a sender on this machine may be: in the session's room, or in the code's.
fn rooms(record: Option<&SessionRecord>, code: Option<&Code>) -> Vec<RoomName> {
    let session = record.and_then(|record| record.secret.as_ref()).map(RoomName::of_session);
    session.into_iter().chain(code.map(|code| RoomName::Code(code.room()))).collect()
}

/// Where the sender is to be met: as the user says, as the code says, on this machine, as the last run did.
///
/// An address in the code that is this machine's own may be another machine's as well (a bridge to containers), and then
/// leads to whatever runs here: it is tried last, unless all of them are ours and the sender is here.
async fn find_host(
    options: &ReceiveOptions,
    code: Option<&Code>,
    rooms: &[RoomName],
    stored: &[String],
    wait_until: Option<Instant>,
) -> Result<Targets, Error> {
    if !options.common.hosts.is_empty() {
        let named = surroundings::named_hosts(&options.common.hosts)?;
        return Ok(Targets { is_seeking: true, ..named });
    }
    let named = code.map(Code::hosts).unwrap_or_default();
    let stored = surroundings::host_addresses(stored)?;
    loop {
        let rooms = rooms.to_vec();
        let (here, own) = surroundings::blocking(move || {
            let found = |room: RoomName| Some((room, surroundings::find_published(room)?));
            let here: Vec<_> = rooms.into_iter().filter_map(found).collect();
            (here, interfaces::all())
        })
        .await?;
        let addresses = in_order(named, &here, &stored, &own);
        if !addresses.is_empty() {
            return Ok(Targets { addresses, is_seeking: true, ..Targets::default() });
        }
        if code.is_none() {
            return Err(stored::no_code());
        }
        if wait_until.is_none_or(|until| Instant::now() >= until) {
            let hint =
                "add @ADDRESS as the sender shows it, or --host, or --wait if it is not there yet";
            let trouble = surroundings::blocking(surroundings::rooms_trouble).await?;
            let hint =
                trouble.map_or_else(|| hint.to_owned(), |trouble| format!("{hint}; {trouble}"));
            return Err(Error::new(
                ErrorKind::Unreachable,
                "no sender on this machine has this code",
            )
            .with_hint(hint));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The addresses to try, each once. `named`: those in the code; `here`: hosts of rooms that processes of this machine
/// publish; `stored`: where the sender was met; `own`: the addresses of this machine.
fn in_order(
    named: &[HostAddress],
    here: &[(RoomName, HostAddress)],
    stored: &[HostAddress],
    own: &[IpAddr],
) -> Vec<HostAddress> {
    let is_ours = |address: &&HostAddress| {
        address.ip().is_some_and(|ip| ip.is_loopback() || own.contains(&ip))
    };
    let mut addresses = Vec::new();
    // The name of a session's room is the session's alone; the number of a code's room is many codes'.
    let is_session = |room: &RoomName| matches!(room, RoomName::Session(_));
    let of_session = here.iter().filter(|(room, _)| is_session(room));
    addresses.extend(of_session.map(|(_, address)| address));
    let of_code = || here.iter().filter(|(room, _)| !is_session(room)).map(|(_, address)| address);
    if named.iter().all(|address| is_ours(&address)) {
        addresses.extend(of_code());
    }
    addresses.extend(named.iter().filter(|address| !is_ours(address)));
    addresses.extend(named.iter().filter(is_ours));
    if !stored.is_empty() {
        addresses.extend(of_code());
    }
    addresses.extend(stored);
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    addresses.into_iter().cloned().collect()
}

struct ReceiverRole {
    state: State,
    /// The target, canonical.
    target: Vec<u8>,
    /// The target, as given.
    directory: std::path::PathBuf,
    names: DirectoryNames,
    hosts: Vec<String>,
    code: Option<Code>,
    member: MemberId,
    token_key: [u8; 32],
    /// What continues the only session of the directory, and one of several, but for its id.
    resume: [String; 2],
    stored: Option<crate::store::Session<OsDirectory>>,
    paths: Paths,
    /// Where what others leave on this machine is told; `None` where the user named the hosts.
    feed: Option<mpsc::Sender<News>>,
}

impl RoleActions for ReceiverRole {
    async fn on_code_ready(&mut self, _code: &Code, _host: Option<&HostAddress>) {}

    fn on_code_spent(&mut self) {}

    async fn on_pair(&mut self, pairing: &Pairing) -> Result<Option<Paired>, Error> {
        let side = Side::Receiver { target: self.target.clone() };
        let mut record =
            SessionRecord::new(pairing.session, self.member, side, surroundings::unix_time());
        record.secret = Some(pairing.secret.clone());
        record.token_key = self.token_key;
        record.peer = Some(pairing.peer);
        record.peer_name.clone_from(&pairing.name);
        record.hosts.clone_from(&self.hosts);
        record.paths = self.paths;
        record.epoch = pairing.epoch;
        record.is_confirmed = true;
        if let Some(code) = &self.code {
            record.code =
                Some(CodeHash::new(&surroundings::canonical(code), surroundings::random()?));
        }
        // Of this record alone: what lies in the target already, from whomever, is none of ours. But what an earlier pairing of the
        // same session in the same target made, by a record that is here, is.
        let (state, target, session) = (self.state.clone(), self.target.clone(), pairing.session);
        let known = surroundings::blocking(move || state.seal_of(session, &target)).await?;
        record.seal = match known.map_err(surroundings::state_error)? {
            Some(seal) => seal,
            None => surroundings::random()?,
        };
        // The target first: a record without it would be found by its code and have nothing to continue.
        let sealed = (pairing.session, record.seal);
        let (worker, state) =
            open_target(&self.state, (&self.directory, self.names), sealed).await?;
        let store = self.state.clone();
        let stored = surroundings::blocking(move || store.create(record)).await?;
        let stored = stored.map_err(surroundings::state_error)?;
        if let Some(feed) = &self.feed {
            news::watch_rooms(rooms(Some(&stored.record), None), feed.clone());
        }
        self.stored = Some(stored);
        let Pairing { session, secret, epoch, .. } = pairing.clone();
        Ok(Some(Paired { session, secret, epoch, worker, state }))
    }

    fn on_peer(&mut self, _member: MemberId, name: &str, epoch: u64, host: Option<&HostAddress>) {
        let Some(stored) = &mut self.stored else { return };
        if let Some(host) = host.map(HostAddress::url) {
            // Where it was met last is where it is looked for first.
            stored.record.hosts.retain(|known| *known != host);
            stored.record.hosts.insert(0, host);
            stored.record.hosts.truncate(HOSTS_MAX);
        }
        name.clone_into(&mut stored.record.peer_name);
        if epoch > stored.record.epoch {
            stored.record.epoch = epoch;
            if let Err(error) =
                tokio::task::block_in_place(|| stored.save(surroundings::unix_time()))
            {
                tracing::warn!(target: "rejoin::store", %error, "the session record was not saved");
            }
        }
    }

    fn note(&mut self, change: impl FnOnce(&mut SessionRecord)) {
        let Some(stored) = &mut self.stored else { return };
        change(&mut stored.record);
        if let Err(error) = tokio::task::block_in_place(|| stored.save(surroundings::unix_time())) {
            tracing::warn!(target: "rejoin::store", %error, "the session record was not saved");
        }
    }

    fn resume_command(&self) -> Option<String> {
        let id = self.stored.as_ref()?.record.session;
        let target = platform::path_of(&self.target);
        let unfinished = tokio::task::block_in_place(|| stored::unfinished(&self.state, &target));
        let [only, one] = &self.resume;
        let has_others = unfinished.is_ok_and(|unfinished| unfinished.len() > 1);
        Some(if has_others { format!("rejoin resume {id}{one}") } else { only.clone() })
    }

    async fn on_done(&mut self, is_whole: bool) {
        let Some(mut stored) = self.stored.take() else { return };
        // What failed or was in conflict is not here: the same command again must not say that it is.
        if !is_whole {
            let state = self.state.clone();
            let removed = surroundings::blocking(move || state.remove_own(stored)).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(target: "rejoin::store", %error, "the session was not removed");
            }
            return;
        }
        let saved = surroundings::blocking(move || {
            stored.record.is_complete = true;
            stored.record.secret = None;
            stored.save(surroundings::unix_time())
        })
        .await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(target: "rejoin::store", %error, "the finished session was not marked");
        }
    }

    async fn forget(&mut self) {
        let (state, stored) = (self.state.clone(), self.stored.take());
        let removed =
            surroundings::blocking(move || stored.map_or(Ok(()), |own| state.remove_own(own)))
                .await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(target: "rejoin::store", %error, "the session was not removed");
        }
    }
}

/// What continues, from whatever directory, without the code: the target knows the session; where it knows several, its id.
fn resume_commands(options: &ReceiveOptions) -> [String; 2] {
    let target = std::path::absolute(&options.target).unwrap_or_else(|_| options.target.clone());
    let target = shell::quote(platform::path_bytes(&target));
    let mut arguments = surroundings::common_arguments(&options.common);
    let policy = match options.on_conflict {
        Some(crate::options::OnConflict::Skip) => " --on-conflict skip",
        Some(crate::options::OnConflict::Overwrite) => " --on-conflict overwrite",
        Some(crate::options::OnConflict::Rename) => " --on-conflict rename",
        // What happens without a word, or is asked.
        Some(crate::options::OnConflict::Fail) | None => "",
    };
    arguments.push_str(policy);
    for (is_given, flag) in
        [(options.checksum, " --checksum"), (options.follow_target, " --follow-target")]
    {
        arguments.push_str(if is_given { flag } else { "" });
    }
    [format!("rejoin receive -o {target}{arguments}"), arguments]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<HostAddress> {
        crate::signal::address::parse_list(text).unwrap()
    }

    fn shown(found: &[HostAddress]) -> String {
        crate::signal::address::list(found)
    }

    /// B-G: a bridge with the same address on both machines.
    #[test]
    fn what_is_ours_is_tried_last_unless_the_sender_is_here() {
        let own: Vec<IpAddr> = ["172.17.0.1", "192.0.2.9"].map(|ip| ip.parse().unwrap()).into();
        let here = [(RoomName::Code(7), addresses("127.0.0.1").remove(0))];
        let named = addresses("172.17.0.1,192.0.2.7");
        assert_eq!(shown(&in_order(&named, &here, &[], &own)), "192.0.2.7,172.17.0.1");
        let named = addresses("172.17.0.1,192.0.2.9");
        let found = in_order(&named, &here, &[], &own);
        assert_eq!(shown(&found), "127.0.0.1,172.17.0.1,192.0.2.9");
        assert_eq!(shown(&in_order(&[], &here, &[], &own)), "127.0.0.1");
    }

    #[test]
    fn a_session_that_runs_here_is_met_here() {
        let session = (RoomName::Session([1; 16]), addresses("127.0.0.1:81").remove(0));
        let stored = addresses("192.0.2.7:80,127.0.0.1:81");
        let found = in_order(&addresses("192.0.2.8:80"), &[session], &stored, &[]);
        assert_eq!(shown(&found), "127.0.0.1:81,192.0.2.8:80,192.0.2.7:80");
    }
}
