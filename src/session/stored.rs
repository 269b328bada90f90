//! Sessions that this machine keeps: listed, continued, discarded, swept.

use super::surroundings;
use crate::error::{Error, ErrorKind};
use crate::event::{Layer, PathText, Role};
use crate::options::{CommonOptions, ReceiveLimits, ReceiveOptions, SendOptions};
use crate::platform::OsDirectory;
use crate::signal::code::Code;
use crate::store::invitation::Invitation;
use crate::store::record::{Attempt, AttemptOutcome, SessionRecord, Side};
use crate::store::state::{Listed, StateDirectory, StateError};
use crate::store::statistics::Statistics;
use crate::store::target;
use crate::wire::SessionId;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sessions that nobody used for this long are swept, with their partial files.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long an invitation is good (F-53).
pub const INVITATION_LIFETIME: Duration = Duration::from_secs(3600);

/// Room numbers of invitations: nobody waits to choose another one, so they are drawn from many.
const INVITATION_ROOMS: std::ops::Range<u32> = 1_000..100_000;

/// Digits of a session's id that are shown to a person; any beginning that is unique names a session.
pub const SHORT_ID: usize = 12;

/// Both sides of this machine's sessions.
const ROLES: [Role; 2] = [Role::Sender, Role::Receiver];

/// A stored session, as a person sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredSession {
    /// Hexadecimal.
    pub id: String,
    /// Which side this machine is.
    pub role: Role,
    /// Source paths, or the target directory.
    pub places: Vec<PathText>,
    /// The name that the other side gives itself.
    pub peer: String,
    /// Whether the two ever met: only then there is something to continue.
    pub is_paired: bool,
    /// Whether everything is there.
    pub is_complete: bool,
    /// Whether a process runs it now.
    pub is_running: bool,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub updated: u64,
    /// Connections so far.
    pub epoch: u64,
    /// The last attempts to connect, the oldest first.
    pub attempts: Vec<StoredAttempt>,
    /// STUN and TURN servers that a later run uses again.
    pub servers: Vec<String>,
    /// Why its record cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// An attempt to connect, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredAttempt {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// By which layer.
    pub layer: Layer,
    /// `connected`, `timed out`, `refused` or `failed`.
    pub outcome: &'static str,
}

/// What continues a stored session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// As its sender.
    Send(SendOptions),
    /// As its receiver.
    Receive(ReceiveOptions),
}

/// Every stored session, the newest first.
///
/// # Errors
/// The state directory cannot be used.
pub fn list(state_directory: Option<&Path>) -> Result<Vec<StoredSession>, Error> {
    let mut sessions = Vec::new();
    if surroundings::State::is_absent(state_directory) {
        return Ok(sessions);
    }
    for role in ROLES {
        let listed = open(state_directory, role)?.list().map_err(surroundings::state_error)?;
        sessions.extend(listed.into_iter().map(|listed| describe(role, listed)));
    }
    sessions.sort_by_key(|session| std::cmp::Reverse(session.updated));
    Ok(sessions)
}

/// The unfinished sessions that are received into `target`, the newest first. Nothing is made.
///
/// # Errors
/// The state directory or the target cannot be used.
pub fn unfinished_in(
    state_directory: Option<&Path>,
    target: &Path,
) -> Result<Vec<StoredSession>, Error> {
    let Ok(target) = target.canonicalize() else { return Ok(Vec::new()) };
    if !target.is_dir() || surroundings::State::is_absent(state_directory) {
        return Ok(Vec::new());
    }
    let records = unfinished(&open(state_directory, Role::Receiver)?, &target)?;
    Ok(records.into_iter().map(|listed| describe(Role::Receiver, listed)).collect())
}

/// The same, as they are listed: those that the target knows, too.
pub(super) fn unfinished(state: &surroundings::State, target: &Path) -> Result<Vec<Listed>, Error> {
    let disk =
        |error: crate::transfer::disk::DiskError| Error::new(ErrorKind::Disk, error.to_string());
    let bytes = crate::platform::path_bytes(target);
    let root = OsDirectory::open(target)
        .map_err(|error| disk(crate::store::disk_error("open", bytes, &error)))?;
    let present = target::sessions_in(&root).map_err(disk)?;
    let listed = state.list().map_err(surroundings::state_error)?.into_iter();
    let is_unfinished = |listed: &Listed| {
        listed.record.as_ref().is_ok_and(|record| {
            record.target() == Some(bytes)
                && !record.is_complete
                && present.contains(&record.session)
        })
    };
    Ok(listed.filter(is_unfinished).collect())
}

/// The session that a run without a code continues: the one that is meant, or the only one of its directory that no process
/// runs.
///
/// # Errors
/// There is none, or which of several is not known.
pub(super) fn to_continue(
    state: &surroundings::State,
    target: &Path,
    chosen: Option<SessionId>,
) -> Result<SessionRecord, Error> {
    let mut found = unfinished(state, target)?;
    if let Some(session) = chosen {
        found.retain(|listed| listed.session == session);
    } else if found.iter().any(|listed| !listed.is_running) {
        found.retain(|listed| !listed.is_running);
    }
    let records: Vec<_> = found.into_iter().filter_map(|listed| listed.record.ok()).collect();
    match <[SessionRecord; 1]>::try_from(records) {
        Ok([record]) => Ok(record),
        Err(none) if none.is_empty() => Err(no_code()),
        Err(several) => {
            let names: Vec<_> = several.iter().map(shown).collect();
            let message =
                format!("several unfinished sessions are in this directory: {}", names.join("; "));
            Err(Error::new(ErrorKind::Usage, message)
                .with_hint("rejoin resume ID continues one of them; a code begins another one"))
        }
    }
}

/// A session as a person tells it from others.
fn shown(record: &SessionRecord) -> String {
    let id: String = record.session.to_string().chars().take(SHORT_ID).collect();
    let ago = surroundings::ago(record.updated);
    if record.peer_name.is_empty() {
        return format!("{id}, {ago}");
    }
    format!("{id} from {}, {ago}", crate::visible::name(&record.peer_name))
}

/// A receiver has neither a code nor anything to continue.
#[must_use]
pub fn no_code() -> Error {
    Error::new(
        ErrorKind::Usage,
        "there is no unfinished session in this directory, and no code was given",
    )
    .with_hint("rejoin receive CODE, with the code that the sender shows")
}

/// The stored sessions whose id begins with `id`; for each role, since both sides may be here.
///
/// # Errors
/// None has it, or several different ones.
pub fn find(state_directory: Option<&Path>, id: &str) -> Result<Vec<StoredSession>, Error> {
    let found: Vec<_> = list(state_directory)?
        .into_iter()
        .filter(|session| !id.is_empty() && session.id.starts_with(&id.to_ascii_lowercase()))
        .collect();
    let Some(first) = found.first() else {
        return Err(Error::new(ErrorKind::Usage, format!("no stored session begins with {id}"))
            .with_hint("rejoin sessions list shows them"));
    };
    if found.iter().any(|session| session.id != first.id) {
        return Err(Error::new(ErrorKind::Usage, format!("several sessions begin with {id}")));
    }
    Ok(found)
}

/// Forgets a session, and removes its partial files where this machine receives it. What is complete stays.
///
/// # Errors
/// A process runs it; as the system says.
pub fn discard(state_directory: Option<&Path>, session: &StoredSession) -> Result<(), Error> {
    let state = open(state_directory, session.role)?;
    let id = parse(&session.id)?;
    let record = stored_record(&state, id);
    let seal = record.as_ref().map_or([0; 32], |record| record.seal);
    let target = record.and_then(|record| record.target().map(<[u8]>::to_vec));
    state.remove(id).map_err(surroundings::state_error)?;
    let Some(target) = target else { return Ok(()) };
    let Ok(root) = OsDirectory::open(&crate::platform::path_of(&target)) else {
        // The target is gone, and the partial files with it.
        return Ok(());
    };
    target::discard_session(&root, id, seal)
        .map_err(|error| Error::new(ErrorKind::Disk, error.to_string()))
}

/// Discards what nobody used for [`SESSION_LIFETIME`], and what is complete for as long; says which.
///
/// # Errors
/// The state directory cannot be used.
pub fn prune(state_directory: Option<&Path>) -> Result<Vec<StoredSession>, Error> {
    prune_others(state_directory, |_| false)
}

/// The same, without those that are `kept`.
pub(super) fn prune_others(
    state_directory: Option<&Path>,
    kept: impl Fn(&StoredSession) -> bool,
) -> Result<Vec<StoredSession>, Error> {
    let now = surroundings::unix_time();
    let is_expired = |session: &StoredSession| {
        !session.is_running && now.saturating_sub(session.updated) > SESSION_LIFETIME.as_secs()
    };
    let mut pruned = Vec::new();
    for session in list(state_directory)? {
        // A record that cannot be read says no time: it is left to a person.
        if session.damage.is_none() && is_expired(&session) && !kept(&session) {
            discard(state_directory, &session)?;
            pruned.push(session);
        }
    }
    Ok(pruned)
}

/// A one-time code for the other side of a session, and the command that uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invited {
    /// The session, hexadecimal.
    pub id: String,
    /// The code.
    pub code: String,
    /// For the other machine.
    pub command: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// Whether a process of this machine runs the session, and opens the code's room now.
    pub is_running: bool,
}

/// Invites a receiver that lost its record back into `session`, by a fresh code that is good for [`INVITATION_LIFETIME`]
/// and one use. Whoever runs the session picks it up, now or next; the secret that the receiver had is replaced.
///
/// # Errors
/// This machine is not the session's sender; there is nothing to continue; as the system says.
pub fn invite(state_directory: Option<&Path>, session: &StoredSession) -> Result<Invited, Error> {
    let refused = |text: &str, hint: &str| {
        Err(Error::new(ErrorKind::Usage, format!("session {} {text}", session.id)).with_hint(hint))
    };
    if session.role == Role::Receiver {
        let hint = "run `rejoin sessions invite` on the sending machine; if the sender lost its session, send again: \
                    what is complete here is not moved again";
        return refused("is received here, and only its sender can invite", hint);
    }
    let state = open(state_directory, session.role)?;
    let id = parse(&session.id)?;
    let Some(record) = stored_record(&state, id).filter(|record| !record.is_complete) else {
        return refused("has nothing to continue", "rejoin sessions list shows what has");
    };
    let mut entropy = surroundings::entropy()?;
    let room = INVITATION_ROOMS.start + entropy.next_u32() % (INVITATION_ROOMS.len() as u32);
    let words = usize::from(crate::options::CODE_WORDS);
    let code = Code::generate(room, words, &entropy.next_seed());
    let expires = surroundings::unix_time() + INVITATION_LIFETIME.as_secs();
    let invitation = Invitation { code: code.to_string(), expires };
    state.invite(id, &invitation).map_err(surroundings::state_error)?;
    // An embedded host listens where it did, unless somebody else took its port; `send` says so then.
    let port = record.listen.as_deref().and_then(|port| port.parse().ok());
    let own = port.filter(|_| record.hosts.is_empty()).map(surroundings::own_host);
    let (code, command) = surroundings::invitation(&code, own.unwrap_or_default(), &record.hosts);
    Ok(Invited { id: session.id.clone(), code, command, expires, is_running: session.is_running })
}

/// What recovery has done on this machine so far.
///
/// # Errors
/// The state directory cannot be used, or a newer version wrote it.
pub fn statistics(state_directory: Option<&Path>) -> Result<Statistics, Error> {
    if surroundings::State::is_absent(state_directory) {
        return Ok(Statistics::default());
    }
    open(state_directory, Role::Sender)?.statistics().map_err(surroundings::state_error)
}

/// What continues `session`.
///
/// # Errors
/// It is complete, runs already, never met its other side, or cannot be read.
pub fn continuation(
    common: &CommonOptions,
    session: &StoredSession,
) -> Result<Continuation, Error> {
    let refused = |text: String| Err(Error::new(ErrorKind::Usage, text));
    if let Some(damage) = &session.damage {
        return refused(format!("session {} cannot be read: {damage}", session.id));
    }
    if session.is_complete || !session.is_paired {
        return refused(format!("session {} has nothing to continue", session.id));
    }
    let state = open(common.state_directory.as_deref(), session.role)?;
    let Some(record) = stored_record(&state, parse(&session.id)?) else {
        return refused(format!("session {} is gone", session.id));
    };
    let mut common = common.clone();
    if common.hosts.is_empty() && session.role == Role::Sender {
        common.hosts.clone_from(&record.hosts);
    }
    Ok(match record.side {
        Side::Sender { paths, .. } => Continuation::Send(SendOptions {
            common,
            sources: paths
                .iter()
                .map(|path| crate::platform::path_of(path))
                .collect::<Vec<PathBuf>>(),
            code: None,
            code_words: crate::options::CODE_WORDS,
            is_new: false,
        }),
        Side::Receiver { target } => Continuation::Receive(ReceiveOptions {
            common,
            code: None,
            session: Some(record.session),
            target: crate::platform::path_of(&target),
            limits: ReceiveLimits::default(),
            wait: None,
            checksum: false,
            on_conflict: None,
            follow_target: false,
        }),
    })
}

fn open(state_directory: Option<&Path>, role: Role) -> Result<surroundings::State, Error> {
    StateDirectory::open(state_directory, role).map_err(surroundings::state_error)
}

fn parse(id: &str) -> Result<SessionId, Error> {
    crate::store::state::parse_session(id.as_bytes())
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("{id} is no session id")))
}

fn stored_record(state: &surroundings::State, id: SessionId) -> Option<SessionRecord> {
    let listed: Result<Vec<Listed>, StateError> = state.list();
    listed.ok()?.into_iter().find(|listed| listed.session == id)?.record.ok()
}

fn describe(role: Role, listed: Listed) -> StoredSession {
    let mut session = StoredSession {
        id: listed.session.to_string(),
        role,
        places: Vec::new(),
        peer: String::new(),
        is_paired: false,
        is_complete: false,
        is_running: listed.is_running,
        created: 0,
        updated: 0,
        epoch: 0,
        attempts: Vec::new(),
        servers: Vec::new(),
        damage: None,
    };
    match listed.record {
        Ok(record) => {
            session.places = match &record.side {
                Side::Sender { paths, .. } => {
                    paths.iter().map(|path| PathText::new(path)).collect()
                }
                Side::Receiver { target } => vec![PathText::new(target)],
            };
            session.peer = record.peer_name;
            session.is_paired = record.secret.is_some();
            session.is_complete = record.is_complete;
            (session.created, session.updated) = (record.created, record.updated);
            session.epoch = record.epoch;
            session.attempts = record.attempts.iter().map(describe_attempt).collect();
            session.servers = record.ice_servers.into_iter().map(|server| server.url).collect();
        }
        Err(error) => session.damage = Some(error.to_string()),
    }
    session
}

fn describe_attempt(attempt: &Attempt) -> StoredAttempt {
    let outcome = match attempt.outcome {
        AttemptOutcome::Connected => "connected",
        AttemptOutcome::TimedOut => "timed out",
        AttemptOutcome::Refused => "refused",
        AttemptOutcome::Failed => "failed",
    };
    StoredAttempt { at_ms: attempt.at, layer: attempt.layer(), outcome }
}
