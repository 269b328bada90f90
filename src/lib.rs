//! rejoin moves files and trees between machines over WebRTC data channels, and never starts over.

pub mod error;
pub mod event;
pub mod link;
pub mod options;
pub mod question;
pub mod session;
pub mod signal;
pub mod store;
pub mod time;
pub mod transfer;
pub mod ui;
pub mod wire;
