//! The peer's candidates: which are used, and those that came early.

mod early;
mod remote;

pub use early::{EARLY_CANDIDATE_LIFETIME, EARLY_CANDIDATES_MAX, EarlyCandidates};
pub use remote::{
    ADDRESS_CANDIDATES_MAX, HOST_CANDIDATES_MAX, REMOTE_CANDIDATES_MAX, RemoteCandidates,
    may_be_a_peer,
};
