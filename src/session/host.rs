//! A host that runs alone.

use crate::error::{Error, ErrorKind};
use crate::options::HostOptions;
use crate::signal::host::Host;
use crate::signal::room::Limits;
use crate::ui::Ui;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;

/// When members of a host that stops are told to come back.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// Hosts until it is stopped; says its URL by `ready`.
///
/// # Errors
/// The address cannot be listened on.
pub async fn host(
    options: HostOptions,
    ready: oneshot::Sender<String>,
    ui: Ui,
) -> Result<(), Error> {
    let resolved = tokio::net::lookup_host(&options.listen).await;
    let listen: SocketAddr =
        resolved.ok().and_then(|mut addresses| addresses.next()).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("{} is no address with a port", options.listen))
        })?;
    let mut limits = Limits::default();
    limits.rooms_max = options.max_rooms.unwrap_or(limits.rooms_max);
    // A session has a room and two members, and one whose code is new has two rooms.
    limits.connections_max =
        limits.connections_max.max(limits.rooms_max.saturating_mul(2).saturating_add(512));
    limits.members_max = options.max_members.unwrap_or(limits.members_max);
    limits.room_lease = options.room_lease.unwrap_or(limits.room_lease);
    let host = Host::start(listen, limits).await.map_err(|error| {
        Error::new(ErrorKind::Failure, error.to_string()).with_hint("choose another --listen")
    })?;
    let url = options.public_url.unwrap_or_else(|| format!("ws://{}", host.local_addr()));
    // Where nobody reads it, the host serves all the same.
    let _ = ready.send(url);
    ui.stopped().await;
    host.shutdown(BACK_AFTER).await;
    Ok(())
}
