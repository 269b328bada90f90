//! Every fact that a user interface may show: the only type that becomes bars or NDJSON (cli.md, "NDJSON").

use serde::Serialize;

/// A name of a file as text: itself where it is UTF-8, escaped losslessly where it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathText {
    /// The path; bytes that are not UTF-8 as `\xNN`, and then a backslash as `\\`.
    pub path: String,
    /// Present, and `true`, where `path` is escaped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub path_escaped: bool,
}

impl PathText {
    /// From the bytes of a path.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Self { path: text.to_owned(), path_escaped: false };
        }
        let mut path = String::new();
        for chunk in bytes.utf8_chunks() {
            path.push_str(&chunk.valid().replace('\\', "\\\\"));
            chunk.invalid().iter().for_each(|byte| path.push_str(&format!("\\x{byte:02x}")));
        }
        Self { path, path_escaped: true }
    }
}

/// Which side of a session this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Offers files.
    Sender,
    /// Receives them.
    Receiver,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileStatus {
    /// Verified, durable, under its final name.
    Received,
    /// Acknowledged by the receiver.
    Sent,
    /// There already.
    Unchanged,
    /// Left alone because the user asked for it.
    Skipped,
    /// Not moved; the event says why.
    Failed,
    /// Changed at the source while it was being sent.
    Changed,
    /// The sender left it out; the event says why.
    Missing,
}

/// Which layer of reconnection is at work (design §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// ICE restart in the same connection.
    Ice,
    /// The host's WebSocket.
    Host,
    /// A new connection.
    Connection,
}

/// How a link runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// Between the two machines.
    Direct,
    /// Through TURN.
    Relay,
}

/// States of a link, as W3C spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Nothing yet.
    New,
    /// Offer or answer is out.
    Connecting,
    /// The channels are open.
    Connected,
    /// Nothing heard lately.
    Disconnected,
    /// Given up.
    Failed,
    /// Ended in order.
    Closed,
}

/// The figures at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files and symlinks that are at the receiver as promised, whatever brought them there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of content that went over the wire in this run.
    pub wire_bytes: u64,
    /// Bytes that earlier runs had moved already.
    pub kept_bytes: u64,
    /// Bytes that went over the wire in this run more than once.
    pub resent_bytes: u64,
    /// Files that were there already.
    pub unchanged_files: u64,
    /// Of these, files taken for the same by size and time, without reading them.
    pub unread_files: u64,
    /// Entries left out without a failure: special files, our own, and what the receiver's user skips.
    pub skipped_files: u64,
    /// Entries that were asked for and are not there.
    pub failed_files: u64,
    /// Times that the link was lost and found.
    pub reconnections: u64,
    /// Duration of the run in milliseconds.
    pub elapsed_ms: u64,
    /// Bytes per second over the run.
    pub rate_bps: u64,
    /// Whether everything that was asked for is there, durable, and was received or compared by content in this session.
    pub verified: bool,
    /// The exit code.
    pub exit: u8,
}

/// How the other side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaveReason {
    /// By its user.
    Stopped,
    /// By its system: a signal, or its terminal is gone.
    Terminated,
    /// The time of its `--timeout` is over.
    Timeout,
    /// Its disk is full or fails.
    Disk,
    /// Its user, or a limit of its user's, refuses the transfer.
    Refused,
    /// Content could not be verified.
    Integrity,
    /// It failed.
    Failed,
    /// Without a word: killed, or its machine or network went off.
    Gone,
}

/// The code of the warning that datagrams are cut on their way, which a person sees at `-v` only: nothing is to be done.
pub const FRAGMENTED: &str = "fragmented";

/// A fact.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The session of this run.
    Session {
        /// Hexadecimal.
        id: String,
        /// Which side we are.
        role: Role,
        /// Whether it was begun by an earlier run.
        resumed: bool,
        /// What earlier runs moved.
        kept_bytes: u64,
    },
    /// The code to give to the other side.
    Code {
        /// The code.
        code: String,
        /// The whole command for the other machine.
        command: String,
        /// Whether that machine must be on the same network (all our addresses are private).
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        local_only: bool,
        /// Whether no other machine can get here: it has no address of a network.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        this_machine: bool,
        /// Whether the session has a receiver that comes back without a code: this one lets a new one in, in its place.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        invitation: bool,
    },
    /// A continued session waits for its other side.
    Waiting {
        /// The name it gives itself.
        peer: String,
        /// Where this side is to be met: its addresses, with commas; empty where no other machine can get here.
        host: String,
    },
    /// The other side proved who it is.
    Peer {
        /// Its member id, hexadecimal.
        id: String,
        /// The name it gives itself.
        name: String,
        /// Whether a person compared the authentication strings.
        verified: bool,
    },
    /// The link is up.
    Connected {
        /// Direct or relayed.
        path: Path,
        /// Our address.
        local: String,
        /// Theirs.
        remote: String,
        /// Round trip in milliseconds.
        rtt_ms: f64,
        /// From the first signal to the open channels, in milliseconds.
        setup_ms: u64,
        /// Peer connections.
        stripes: u32,
    },
    /// What the sender promised, so far or in all.
    Manifest {
        /// Files and symlinks.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Directories.
        directories: u64,
        /// Whether the scan is done.
        complete: bool,
    },
    /// How far it is; at most five a second.
    Progress {
        /// Bytes there: durable at the receiver, or kept, or arrived and about to be. The last may have to come again after
        /// a drop, so that it may become less.
        bytes: u64,
        /// Of these, bytes that are durable at the receiver, or kept: what the next run need not move.
        durable_bytes: u64,
        /// Bytes in all, as far as known.
        total_bytes: u64,
        /// Files there.
        files: u64,
        /// Files in all, as far as known.
        total_files: u64,
        /// Bytes per second, lately.
        rate_bps: u64,
        /// Seconds left at that rate.
        #[serde(skip_serializing_if = "Option::is_none")]
        eta_s: Option<u64>,
        /// Round trip in milliseconds.
        rtt_ms: f64,
        /// Peer connections.
        stripes: u32,
    },
    /// What became of one file.
    File {
        /// Which.
        #[serde(flatten)]
        path: PathText,
        /// Its size.
        bytes: u64,
        /// What became of it.
        status: FileStatus,
        /// Why, where it did not arrive.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The link changed its state.
    Link {
        /// Now.
        state: LinkState,
        /// Before.
        previous: LinkState,
        /// Why.
        reason: String,
    },
    /// A reconnection is about to be tried.
    Reconnecting {
        /// By which layer.
        layer: Layer,
        /// Counted from 1.
        attempt: u32,
        /// Planned tries.
        of: u32,
        /// Until it is tried, in milliseconds.
        delay_ms: u64,
    },
    /// The other side ended, or is gone.
    Left {
        /// The name it gives itself.
        name: String,
        /// How.
        reason: LeaveReason,
        /// The same in words, to follow its name.
        text: String,
        /// Whether this side waits for it to continue; else it ends, too.
        waiting: bool,
    },
    /// How a person continues by hand.
    Manual {
        /// The command.
        command: String,
    },
    /// The link is back.
    Recovered {
        /// By which layer.
        layer: Layer,
        /// Since it was lost, in milliseconds.
        after_ms: u64,
        /// Bytes that need not be moved again.
        kept_bytes: u64,
        /// Bytes that must.
        resent_bytes: u64,
    },
    /// Something the user should know.
    Warning {
        /// Stable name.
        code: String,
        /// Sentence.
        message: String,
    },
    /// The run failed; always the last line.
    Error {
        /// Stable name.
        code: String,
        /// Sentence.
        message: String,
        /// What to do.
        hint: String,
        /// Whether the same command may succeed later.
        retryable: bool,
        /// The command that continues, where there is something to continue.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume_command: Option<String>,
        /// The exit code.
        exit: u8,
    },
    /// The run ended; always the last line.
    Done(Summary),
}
