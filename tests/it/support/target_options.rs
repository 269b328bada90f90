//! How a test opens a target's store.

use rejoin::store::{TargetLimits, TargetOptions};
use rejoin::wire::SessionId;

/// The first boot, an ordinary mask, the usual limits, and keys that stay the same.
pub(crate) fn target_options(session: SessionId) -> TargetOptions {
    TargetOptions {
        session,
        boot: [1; 16],
        umask: 0o022,
        key: [7; 32],
        secret: [3; 32],
        limits: TargetLimits::default(),
    }
}
