//! What a host allows, each with its reason.

use std::time::Duration;

use crate::signal::work::BITS_BASE;

/// Files that a process has open beside the sockets of its host.
const FILES_SPARE: usize = 256;

/// Limits of one host. None is taken from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms at once (K-27): 4096 of them with full queues stay below [`queued_bytes_max`](Self::queued_bytes_max).
    pub rooms_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address; a team behind one NAT has tens.
    pub connections_per_address_max: usize,
    /// Sockets beyond the connections: health checks must still get through to a full host.
    pub sockets_spare: usize,
    /// Members of a code room, strangers included: a few people mistyping must not keep the right one out.
    pub members_max: usize,
    /// Rooms one connection is in at once: a sender with several receivers has one each.
    pub rooms_per_connection_max: usize,
    /// From connecting to being in a room (H-13).
    pub join_deadline: Duration,
    /// How long a member whose connection is gone is kept, with what was relayed to it (F-25).
    pub absence: Duration,
    /// Messages kept for an absent member, the newest (V-22).
    pub queue_messages_max: usize,
    /// Bytes kept for all absent members together.
    pub queued_bytes_max: usize,
    /// How long a room without any connected member stays (K-29).
    pub room_lease: Duration,
    /// How long a code may wait to be used (F-53); `None` for as long as its opener stays.
    pub code_lifetime: Option<Duration>,
    /// How long a spent, burnt or expired number is remembered and not given out again.
    pub tombstone_lifetime: Duration,
    /// Remembered numbers; the oldest goes first.
    pub tombstones_max: usize,
    /// Members waiting for rooms that are not there yet, in all.
    pub waiters_max: usize,
    /// How long one waits before it has to ask again.
    pub waiter_lifetime: Duration,
    /// Messages of one connection: tokens at once. One costs a token, and another one for each whole KiB of it, so that large
    /// ones are as few as they are dear. A hundred candidates and as many descriptions fit.
    pub messages_burst: u32,
    /// Messages of one connection per second, in the long run.
    pub messages_per_second: u32,
    /// Rooms at once that one address opened first; each transfer has two.
    pub rooms_per_address_max: usize,
    /// Members of one address in a code room: one address does not fill it.
    pub members_per_address_max: usize,
    /// Members of one address that wait for rooms.
    pub waiters_per_address_max: usize,
    /// Tries at rooms from one address (H-13, H-14): tokens at once. All connections of an address may come back at once.
    pub tries_burst: u32,
    /// Tries at rooms from one address per minute, in the long run.
    pub tries_per_minute: u32,
    /// Misses of one address within some ten minutes before a try costs work; with each as many more it doubles.
    pub misses_free: u32,
    /// Misses of one address within some ten minutes; beyond it tries are refused.
    pub misses_max: u32,
    /// Misses of all within a minute; from then on a try costs everybody work, doubling with the rate.
    pub misses_of_all_per_minute: u32,
    /// Bits of the lowest price.
    pub work_bits: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms_max: 4096,
            connections_max: 4096,
            connections_per_address_max: 256,
            sockets_spare: 64,
            members_max: 8,
            rooms_per_connection_max: 16,
            join_deadline: Duration::from_secs(10),
            absence: Duration::from_secs(60),
            queue_messages_max: 30,
            queued_bytes_max: 64 * 1024 * 1024,
            room_lease: Duration::from_secs(30 * 60),
            code_lifetime: Some(Duration::from_secs(60 * 60)),
            tombstone_lifetime: Duration::from_secs(60 * 60),
            tombstones_max: 4096,
            waiters_max: 1024,
            waiter_lifetime: Duration::from_secs(5 * 60),
            messages_burst: 400,
            messages_per_second: 50,
            rooms_per_address_max: 128,
            members_per_address_max: 4,
            waiters_per_address_max: 16,
            tries_burst: 512,
            tries_per_minute: 256,
            misses_free: 5,
            misses_max: 30,
            misses_of_all_per_minute: 600,
            work_bits: BITS_BASE,
        }
    }
}

impl Limits {
    /// Those of a host within `send`, which takes sockets and memory from the transfer itself: one code, its receivers, and
    /// whoever else comes by.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            rooms_max: 64,
            rooms_per_address_max: 16,
            connections_max: 128,
            connections_per_address_max: 32,
            sockets_spare: 16,
            queued_bytes_max: 8 * 1024 * 1024,
            tombstones_max: 256,
            waiters_max: 32,
            ..Self::default()
        }
    }

    /// As many connections as fit into `open_files`, which the rest of the process needs some of.
    #[must_use]
    pub(in crate::signal) fn within(mut self, open_files: usize) -> Self {
        let most = open_files.saturating_sub(FILES_SPARE.min(open_files / 2) + self.sockets_spare);
        if self.connections_max > most {
            tracing::warn!(target: "rejoin::host", connections = most, "fewer connections: the limit of open files");
            self.connections_max = most;
        }
        self
    }

    /// Sockets at once, in all.
    #[must_use]
    pub(in crate::signal) const fn sockets_max(&self) -> usize {
        self.connections_max.saturating_add(self.sockets_spare)
    }
}
