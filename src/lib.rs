//! rejoin moves files and trees between machines, directly, over WebRTC data channels, and never starts over.
//!
//! # The layers
//!
//! ```text
//!   cli (the binary): arguments, printing, exit codes; the only place that prints
//!    │
//!   session: machine, meeting, recovery (pure) · run: the one event loop · send, receive, host: the edges of each role
//!    │
//!    ├── transfer (pure): manifest, units, sender, receiver
//!    ├── signal: code, key exchange, joins, rooms (pure) · host, client, local: I/O
//!    ├── link: commands, events, health, quality, credit (pure) · driver, socket, interfaces: I/O, the only importers of webrtc
//!    │     └── carrier (pure): DTLS records over datagrams of path size, reliable and in order, between two of us
//!    ├── store: journal, session records, source, target, over `fs`: the file system as it sees it
//!    │     └── platform (I/O): what each system has of its own: files, processes, users; one module a system
//!    │
//!   wire: identifiers, frames, codec, channels        error, event: values that every layer may make · visible: text for eyes
//! ```
//!
//! A module imports only what is below it; `tests/it/architecture.rs` holds the table and who may touch sockets, files
//! and clocks. What does no I/O is built for WebAssembly, too, where there is no operating system to ask (`tests/run`).
//!
//! # How it works
//!
//! A pure machine takes inputs with the time (`handle_…(…, now)`), and is drained (`poll_output`, `poll_timeout`) after
//! each one. [`session::machine::Session`] joins the machines of a run; one loop carries out what it asks for. Hashing
//! and files are on threads of their own.
//!
//! A lost link comes back by the layers of [`session::recovery`]: an ICE restart in the same connection, or a new one by a
//! join; the host's socket has a schedule of its own ([`signal::client`]), and after a kill the same command continues
//! from disk.
//!
//! # What always holds
//!
//! - A final name holds exactly the promised bytes, or does not exist, or is the untouched older file.
//! - An acknowledgement follows a barrier: data synced, then the journal, then the word to the peer.
//! - A run begins by reading its journal; an empty journal is the special case.
//! - Nothing leaves before mutual authentication; a host relays sealed envelopes and can read, forge or swap nothing.
//! - Every limit is ours, named, and checked on encode and on decode.
//! - The receiver's side makes the offers, so that two offers never cross; a join with a newer epoch replaces a link.
//! - One attempt at a time, and only bytes of the peer count as its success; what comes late is dropped by its number.
//!
//! # What is deliberately absent
//!
//! `wire` knows no message; `transfer` knows no connection, no path of the machine and no clock; `signal` and `link` know
//! nothing of files; the library never prints and never ends the process.

// What only the edges use has nobody there.
#![cfg_attr(target_family = "wasm", allow(dead_code, unreachable_pub, unused_imports))]

pub mod carrier;
#[cfg(not(target_family = "wasm"))]
pub mod confinement;
#[cfg(not(target_family = "wasm"))]
pub mod environment;
pub mod error;
pub mod event;
pub mod fs;
#[cfg(not(target_family = "wasm"))]
pub mod helper;
pub mod link;
pub mod options;
pub mod platform;
#[cfg(not(target_family = "wasm"))]
pub mod question;
pub mod session;
pub mod signal;
pub mod store;
pub mod time;
pub mod transfer;
#[cfg(not(target_family = "wasm"))]
pub mod ui;
pub mod visible;
pub mod wire;
