//! What the scenarios share.

#[cfg(all(unix, feature = "fault-injection"))]
pub(crate) mod campaign;
#[cfg(target_os = "linux")]
pub(crate) mod coturn;
pub(crate) mod crash;
pub(crate) mod env;
pub(crate) mod faulty;
#[cfg(target_os = "linux")]
pub(crate) mod host_member;
#[cfg(target_os = "linux")]
pub(crate) mod lab;
pub(crate) mod messages;
pub(crate) mod model_source;
pub(crate) mod model_target;
pub(crate) mod pair;
pub(crate) mod process;
pub(crate) mod promise;
pub(crate) mod random;
pub(crate) mod sim;
#[cfg(all(target_os = "linux", feature = "fault-injection"))]
pub(crate) mod strangers;
pub(crate) mod target_options;
#[cfg(target_os = "linux")]
pub(crate) mod terminal;
pub(crate) mod tree;
pub(crate) mod two_sessions;
pub(crate) mod victim;
