//! Disk: sessions, journals, sources and targets. Synchronous; the event loop runs each store on a thread of its own.
//!
//! Everything goes through the small traits of [`crate::fs`]: [`crate::platform`] is the real implementation, [`memory`] a disk that
//! crashes on command. Under a root, paths are resolved one component after the other from open directory handles and
//! never through a symlink.
//!
//! The order of durability, for every unit: verify → write → journal `written` → barrier (data, then journal) → reply;
//! for every file: metadata → barrier → rename → directory synced → journal `published` (design §6).

mod directories;
mod error;
mod followed;
pub mod invitation;
pub mod journal;
mod known;
mod lock;
mod log;
mod made;
#[doc(hidden)]
pub mod memory;
mod own;
mod pages;
mod payload;
mod privacy;
pub mod record;
pub mod scan;
pub mod source;
pub mod state;
pub mod statistics;
pub mod target;
mod unshare;
mod values;

pub use error::{disk_error, escape};
pub(crate) use own::is_within_own;
pub use record::{CodeHash, RecordError, SessionRecord};
pub use scan::Scan;
pub use source::{SourceError, SourceRoots, SourceStore};
pub use state::{Session, StateDirectory, StateError};
pub use target::{TargetLimits, TargetOptions, TargetStore};
