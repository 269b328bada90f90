//! What both roles take from the machine they run on: randomness, time, names, addresses, directories.

use super::entropy::Entropy;
use super::shell;
use crate::environment;
use crate::error::{Error, ErrorKind};
use crate::link::LinkConfig;
use crate::link::config::{CarrierSettings, SERVERS_MAX};
use crate::options::{CommonOptions, PathPolicy};
use crate::platform::{self, OsDirectory};
use crate::signal::capabilities::{CARRIER, Capabilities, EARLY_ANSWER};
use crate::signal::client::Targets;
use crate::signal::code::{Code, HostAddress};
use crate::signal::interfaces;
use crate::signal::local::{LocalRooms, PublishedRoom, runtime_directory};
use crate::signal::{RoomName, address};
use crate::store::state::{StateDirectory, StateError, default_path};
use crate::wire::MemberId;
use crate::wire::frame::FRAME_BYTES_MAX;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The state directory on this machine.
pub(super) type State = StateDirectory<OsDirectory>;

/// Where rooms of this machine are published, where the environment says so.
const RUNTIME_VARIABLE: &str = "REJOIN_RUNTIME_DIR";

/// 32 bytes of the operating system's randomness.
pub(super) fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    platform::random(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Failure, error.to_string()))?;
    Ok(bytes)
}

/// A stream of randomness for one run.
pub(super) fn entropy() -> Result<Entropy, Error> {
    Ok(Entropy::new(&random()?))
}

/// 16 bytes of it.
pub(super) fn half(entropy: &mut Entropy) -> [u8; 16] {
    let bytes = entropy.next_bytes();
    std::array::from_fn(|at| bytes[at])
}

/// Runs blocking work off the loop's thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let failed = |_| Error::new(ErrorKind::Failure, "a worker thread failed; this is a bug");
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// Seconds since 1970, for records.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// How long ago a time of records was, in words.
pub(super) fn ago(time: u64) -> String {
    let seconds = unix_time().saturating_sub(time);
    let (number, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds / 60, "minute"),
        7_200..=172_799 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural} ago")
}

/// Milliseconds since 1970, for attempts.
pub(super) fn unix_millis() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// What this build can do, as far as the user lets it.
pub(super) const fn capabilities(member: MemberId, options: &CommonOptions) -> Capabilities {
    let features = if options.is_carried { CARRIER } else { 0 };
    Capabilities::new(member, FRAME_BYTES_MAX as u32, features | EARLY_ANSWER)
}

/// The name this machine gives itself.
pub(super) fn own_name() -> String {
    let name = platform::host_name();
    name[..name.floor_char_boundary(crate::signal::message::NAME_BYTES_MAX)].to_owned()
}

/// Where others reach a host of this machine that listens on `port`, the best address first; empty where this machine is
/// alone. Never loopback: no other machine gets here by that.
pub(super) fn own_host(port: u16) -> Vec<HostAddress> {
    let own = tokio::task::block_in_place(interfaces::own_addresses);
    own.usable.into_iter().map(|ip| HostAddress::of_ip(ip, port)).collect()
}

/// Whether only machines of the same network reach these addresses.
pub(super) fn are_private(addresses: &[HostAddress]) -> bool {
    addresses.iter().filter_map(HostAddress::ip).all(interfaces::is_private)
}

/// The code as others use it, and the command for the other machine: with the addresses of the host of this machine, or with
/// the hosts that the user named.
pub(super) fn invitation(code: &Code, own: Vec<HostAddress>, hosts: &[String]) -> (String, String) {
    let shown = code.clone().with_hosts(own).to_string();
    let hosts: String =
        hosts.iter().map(|host| format!(" --host {}", shell::quote(host.as_bytes()))).collect();
    let command = format!("rejoin receive {shown}{hosts}");
    (shown, command)
}

/// A code as it is remembered: without the host, which may change.
pub(super) fn canonical(code: &Code) -> String {
    code.clone().with_hosts(Vec::new()).to_string()
}

/// What a state directory that cannot be used means.
pub(super) fn state_error(error: StateError) -> Error {
    const ELSEWHERE: &str = "name another place for sessions with --state-dir or REJOIN_STATE_DIR";
    match &error {
        StateError::Locked { .. } => Error::new(ErrorKind::Refused, error.to_string()),
        StateError::NoSession(_) | StateError::Record { .. } => {
            Error::new(ErrorKind::Disk, error.to_string())
        }
        StateError::NotPrivate { .. } | StateError::NoPlace | StateError::Disk(_) => {
            Error::new(ErrorKind::Disk, error.to_string()).with_hint(ELSEWHERE)
        }
    }
}

/// The hosts that the user named.
pub(super) fn host_addresses(urls: &[String]) -> Result<Vec<HostAddress>, Error> {
    let text = urls.join(",");
    if text.is_empty() {
        return Ok(Vec::new());
    }
    address::parse_list(&text)
        .map_err(|error| Error::new(ErrorKind::Usage, format!("{text}: {error}")))
}

/// Where the hosts that the user named are: several hosts by their URLs, or the addresses of one.
pub(super) fn named_hosts(urls: &[String]) -> Result<Targets, Error> {
    let is_in_turn = urls.iter().any(|url| url.contains("://"));
    Ok(Targets { addresses: host_addresses(urls)?, is_in_turn, ..Targets::default() })
}

/// The link's settings.
pub(super) fn link_config(options: &CommonOptions) -> Result<LinkConfig, Error> {
    if options.stun.len() + options.turn.len() > SERVERS_MAX {
        return Err(Error::new(ErrorKind::Usage, "too many STUN and TURN servers"));
    }
    // Its TURN servers come when a connection is built, with credentials of that moment.
    Ok(LinkConfig {
        stun_urls: options.stun.clone(),
        path_policy: match options.path_policy {
            PathPolicy::Any => crate::link::PathPolicy::All,
            PathPolicy::DirectOnly => crate::link::PathPolicy::DirectOnly,
            PathPolicy::RelayOnly => crate::link::PathPolicy::RelayOnly,
        },
        carrier: carrier_settings(options),
        rate_bytes_per_second_max: options.rate_limit,
        send_buffer_bytes: usize::try_from(options.timing.buffer_limit).unwrap_or(usize::MAX),
        ..LinkConfig::default()
    })
}

/// How links are carried, where the user lets them.
fn carrier_settings(options: &CommonOptions) -> Option<CarrierSettings> {
    let usual = CarrierSettings::default();
    let most = options.datagram_bytes_max.map_or(usual.datagram_bytes_max, usize::from);
    options.is_carried.then_some(CarrierSettings { datagram_bytes_max: most, ..usual })
}

/// The arguments of a command that continues, as far as both roles have them.
pub(super) fn common_arguments(options: &CommonOptions) -> String {
    let mut arguments = String::new();
    let add = |arguments: &mut String, flag: &str, value: &[u8]| {
        arguments.push_str(&format!(" {flag} {}", shell::quote(value)));
    };
    options.hosts.iter().for_each(|host| add(&mut arguments, "--host", host.as_bytes()));
    options.stun.iter().for_each(|url| add(&mut arguments, "--stun", url.as_bytes()));
    options.turn.iter().for_each(|url| add(&mut arguments, "--turn", url.as_bytes()));
    match options.path_policy {
        PathPolicy::Any => {}
        PathPolicy::DirectOnly => arguments.push_str(" --direct-only"),
        PathPolicy::RelayOnly => arguments.push_str(" --relay-only"),
    }
    if let Some(directory) = &options.state_directory {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
        add(&mut arguments, "--state-dir", platform::path_bytes(&directory));
    }
    arguments
}

/// The rooms of this machine.
fn rooms() -> Option<LocalRooms> {
    LocalRooms::open(&runtime())
        .inspect_err(|error| tracing::info!(target: "rejoin::signal", %error, "rooms of this machine are not known"))
        .ok()
}

/// Why senders and receivers of this machine cannot find each other, and what to do; `None` where they can.
pub(super) fn rooms_trouble() -> Option<String> {
    let error = LocalRooms::open(&runtime()).err()?;
    Some(format!("senders of this machine cannot be found: {error}; set {RUNTIME_VARIABLE}"))
}

/// The directory of the rooms of this machine, made if it can be.
pub(super) fn make_runtime() -> Option<PathBuf> {
    rooms().map(|_| runtime())
}

/// Where rooms of this machine are.
fn runtime() -> PathBuf {
    let chosen = environment::variable(RUNTIME_VARIABLE);
    let runtime = environment::variable("XDG_RUNTIME_DIR");
    runtime_directory(
        chosen.as_deref().map(Path::new),
        runtime.as_deref().map(Path::new),
        &environment::temporary_directory(),
    )
}

/// Directories of our own, which are never content: the state in use, the user's default one, and the rooms, made here
/// so that a scan knows them.
pub(super) fn own_directories(state: Option<&Path>) -> Vec<PathBuf> {
    drop(rooms());
    let states = state.map(Path::to_path_buf).into_iter().chain(default_path());
    states.chain([runtime()]).collect()
}

/// Publishes a room for receivers on this machine; without it they need the address in the code.
pub(super) fn publish(room: RoomName, address: &HostAddress) -> Option<PublishedRoom> {
    let published = tokio::task::block_in_place(|| rooms()?.publish(room, address).ok());
    if published.is_none() {
        tracing::info!(target: "rejoin::signal", "the room is not published on this machine");
    }
    published
}

/// The host of a room that a process of this machine published.
pub(super) fn find_published(room: RoomName) -> Option<HostAddress> {
    rooms()?.find(room)
}
