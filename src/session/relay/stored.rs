//! What the session record keeps of STUN and TURN: the URLs, where credentials come from and when they expire; never them.

use crate::options::{CommonOptions, Origin, PathPolicy, TurnSource};
use crate::store::record::{IceServer, Paths, SessionRecord};

/// Notes the servers of this run; `expires` in seconds since 1970.
pub(in crate::session) fn keep(
    record: &mut SessionRecord,
    options: &CommonOptions,
    expires: Option<u64>,
) {
    let server = |url: &String| IceServer { url: url.clone(), credentials: None, expires: None };
    let stun = options.stun.iter().map(server);
    let turn = options.turn.iter().map(|url| IceServer {
        credentials: name(&options.turn_source).map(str::to_owned),
        expires,
        ..server(url)
    });
    record.ice_servers = stun.chain(turn).collect();
}

/// Takes the servers of the earlier run where this one names none: `resume` needs no flags. Credentials are asked for
/// anew; those of the earlier run are nowhere.
pub(in crate::session) fn restore(options: &mut CommonOptions, record: &SessionRecord) {
    let stored = |is_meant: fn(&str) -> bool| {
        let servers = record.ice_servers.iter().filter(move |server| is_meant(&server.url));
        servers.map(|server| server.url.clone()).collect::<Vec<_>>()
    };
    if options.stun.is_empty() {
        options.stun = stored(|url| url.starts_with("stun"));
    }
    if options.turn.is_empty() {
        options.turn = stored(|url| url.starts_with("turn"));
    }
    if options.path_policy == PathPolicy::Any {
        options.path_policy = match record.paths {
            Paths::Any => PathPolicy::Any,
            Paths::DirectOnly => PathPolicy::DirectOnly,
            Paths::RelayOnly => PathPolicy::RelayOnly,
        };
    }
}

/// What the record keeps of `--direct-only` and `--relay-only`.
pub(in crate::session) const fn paths(options: &CommonOptions) -> Paths {
    match options.path_policy {
        PathPolicy::Any => Paths::Any,
        PathPolicy::DirectOnly => Paths::DirectOnly,
        PathPolicy::RelayOnly => Paths::RelayOnly,
    }
}

const fn name(source: &TurnSource) -> Option<&'static str> {
    match source {
        TurnSource::None => None,
        TurnSource::Fixed { origin: Origin::Environment, .. } => Some("environment"),
        TurnSource::Fixed { origin: Origin::Configuration, .. } => Some("configuration"),
        TurnSource::SharedSecret(_) => Some("secret"),
        TurnSource::Command(_) => Some("command"),
    }
}
