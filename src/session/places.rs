//! The places of a run, found and made before it begins, so that it can be confined to them.
//!
//! The checks are those that the run begins with: what fails here would fail there, with the same word.

use super::stored::StoredSession;
use super::surroundings;
use super::{receive, send};
use crate::confinement::Plan;
use crate::error::Error;
use crate::event::PathText;
use crate::options::{CommonOptions, ReceiveOptions, SendOptions};
use crate::store::state::default_path;
use std::path::{Path, PathBuf};

/// The places of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What it is confined to.
    pub plan: Plan,
    /// What its session is known by: one of these is in use, however old.
    own: Vec<PathText>,
}

/// What a sender works on. Its state directory is there then.
///
/// # Errors
/// As [`super::send()`] would fail, with nothing made.
pub fn of_sender(options: &SendOptions) -> Result<Places, Error> {
    let (_, roots) = send::open_sources(options)?;
    let own = roots.paths().iter().map(|path| PathText::new(path)).collect();
    let mut plan = common(&options.common);
    for path in &options.sources {
        // It was there a moment ago: what is gone is for the run to tell.
        let Ok(real) = path.canonicalize() else { continue };
        let kind =
            if real.is_dir() { &mut plan.source_directories } else { &mut plan.source_files };
        kind.push(real);
    }
    Ok(Places { plan, own })
}

/// What a receiver works on. Its state directory and its target are there then.
///
/// # Errors
/// As [`super::receive()`] would fail, with nothing more made than it would.
pub fn of_receiver(options: &ReceiveOptions) -> Result<Places, Error> {
    let (_, _, target) = receive::open_places(options)?;
    let own = vec![PathText::new(crate::platform::path_bytes(&target))];
    Ok(Places { plan: Plan { target: Some(target), ..common(&options.common) }, own })
}

/// Removes what expired on this machine, beside the run that begins: on a thread of its own, since targets of other sessions
/// are no places of this run. Whatever fails is left for `sessions prune`.
pub fn sweep(options: &CommonOptions, places: &Places) {
    let (state, own) = (options.state_directory.clone(), places.own.clone());
    let is_own = move |session: &StoredSession| session.places.iter().any(|it| own.contains(it));
    let sweeping = move || match super::stored::prune_others(state.as_deref(), is_own) {
        Ok(pruned) if pruned.is_empty() => {}
        Ok(pruned) => {
            tracing::info!(target: "rejoin::store", count = pruned.len(), "expired sessions were removed");
        }
        Err(error) => {
            tracing::info!(target: "rejoin::store", %error, "expired sessions were not removed");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("sweep".to_owned()).spawn(sweeping) {
        tracing::info!(target: "rejoin::store", %error, "expired sessions were not looked for");
    }
}

fn common(options: &CommonOptions) -> Plan {
    Plan {
        state: options.state_directory.clone().or_else(default_path).filter(|path| path.is_dir()),
        runtime: surroundings::make_runtime(),
        resolver: resolver(),
        program: std::env::current_exe().ok(),
        faults: faults(),
        ..Plan::default()
    }
}

/// Where the resolver's configuration is, if not where it is looked for.
fn resolver() -> Option<PathBuf> {
    let here = Path::new("/etc/resolv.conf");
    here.canonicalize().ok().filter(|real| real != here)
}

/// Where a test counts.
fn faults() -> Vec<PathBuf> {
    #[cfg(feature = "fault-injection")]
    return crate::link::fault::places().into_iter().collect();
    #[cfg(not(feature = "fault-injection"))]
    Vec::new()
}
