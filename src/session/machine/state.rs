//! What can be asked of a session.

use super::{Meeting, Session, SessionOutput, Transfer};
use crate::signal::protocol::ClientMessage;
use crate::time::Instant;
use crate::transfer::progress::Progress;
use crate::wire::SessionId;
use std::time::Duration;

/// Work for the disk that may wait, at most; beyond, nothing is read that may make more. Twice what a receiver's backlog of
/// content is, so that the pages of an honest tree never wait for it.
const DISK_BYTES_MAX: u64 = 32 << 20;

/// The same in number: one unit, page or file each.
const DISK_REQUESTS_MAX: usize = 4_096;

/// Outputs that wait to be carried out, at most, before the machines inside wait: a page of files makes one each.
const OUTPUTS_MAX: usize = 4_096;

/// What a store has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskLoad {
    /// Requests that are not carried out.
    pub requests: usize,
    /// What they take in memory, in bytes, about.
    pub bytes: u64,
}

impl DiskLoad {
    /// Whether it is at work.
    pub(super) const fn is_busy(self) -> bool {
        self.requests > 0
    }

    const fn is_behind(self) -> bool {
        self.requests >= DISK_REQUESTS_MAX || self.bytes >= DISK_BYTES_MAX
    }
}

impl Session {
    /// What the surroundings shall do next.
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        if self.outputs.is_empty()
            && let Some(now) = self.held_at
        {
            self.drain(now);
        }
        self.outputs.pop_front()
    }

    /// What would be said first if the host's socket were open now.
    #[must_use]
    pub fn first_message(&self) -> Option<ClientMessage> {
        match &self.meeting {
            Meeting::Opening(opening) => opening.first_message(),
            Meeting::Joining(joining) => Some(joining.first_message()),
        }
    }

    /// Whether a frame waits for the data channel.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.up.is_some()
            && matches!(&self.transfer, Transfer::Sender(sender) if sender.has_frame())
    }

    /// Whether so much is to be carried out that the machines inside have to wait.
    pub(super) fn is_crowded(&self) -> bool {
        self.outputs.len() >= OUTPUTS_MAX
    }

    /// Whether the data channel may be read: not while the disk is behind, or what was heard is not carried out.
    #[must_use]
    pub fn takes_data(&self) -> bool {
        if self.disk.is_behind() || self.is_crowded() {
            return false;
        }
        match &self.transfer {
            Transfer::Receiver(receiver) => !receiver.is_backlogged(),
            Transfer::Sender(_) => true,
            Transfer::Unpaired(_) => false,
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match &self.transfer {
            Transfer::Sender(sender) => sender.progress(),
            Transfer::Receiver(receiver) => receiver.progress(),
            Transfer::Unpaired(_) => Progress::default(),
        }
    }

    /// Times that a link was lost and another found.
    #[must_use]
    pub const fn reconnections(&self) -> u64 {
        self.reconnections
    }

    /// The last round trip of the link.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.up.as_ref()?.health.rtt()
    }

    /// Whether a link is up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Whether this receiver has everything, verified and durable, that the sender said on the last link. It is asked where it
    /// matters and kept nowhere: a sender that was started again may have more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(&self.transfer, Transfer::Receiver(receiver) if receiver.is_finished())
    }

    /// Whether this receiver has everything that its sender said on any link or in an earlier run: it may have more by now.
    #[must_use]
    pub fn has_everything(&self) -> bool {
        matches!(&self.transfer, Transfer::Receiver(receiver) if receiver.has_everything())
    }

    /// The session that this receiver continues, where it is known.
    #[must_use]
    pub fn received_session(&self) -> Option<SessionId> {
        match &self.transfer {
            Transfer::Receiver(receiver) => Some(receiver.session()),
            Transfer::Sender(_) | Transfer::Unpaired(_) => None,
        }
    }

    /// Whether the other side was ever met, in this run or an earlier one.
    #[must_use]
    pub const fn is_paired(&self) -> bool {
        match (&self.transfer, &self.meeting) {
            (Transfer::Unpaired(_), _) => false,
            (_, Meeting::Opening(opening)) => opening.is_paired(),
            (_, Meeting::Joining(_)) => true,
        }
    }

    /// When the run began.
    #[must_use]
    pub const fn started_at(&self) -> Instant {
        self.started_at
    }
}
