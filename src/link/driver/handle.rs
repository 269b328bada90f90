//! The owner's ends of a link: cheap to clone, never blocking.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::link::credit::ReceiveCredit;
use crate::link::socket::{Fragmented, LinkRuntime, SocketCounts};
use crate::link::{
    CANDIDATE_BYTES_MAX, Channel, DESCRIPTION_BYTES_MAX, FRAME_BYTES_MAX, LinkCommand, LinkError,
    LinkEvent, Unsent,
};

/// Bytes that may wait before the stack, per channel, beyond what the stack itself holds: enough to keep it fed.
pub(super) const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// Frames that may wait before the stack, per channel.
pub(super) const QUEUE_FRAMES_MAX: usize = 1024;

/// Commands that may wait: candidates that trickle in all at once, and a few more.
pub(super) const COMMANDS_MAX: usize = 256;

/// All of K-41: 3 s to deliver what was queued, 5 s for the connection, 2 s for the tasks.
pub(super) const CLOSE_BUDGET: Duration = Duration::from_secs(10);

/// One channel's outgoing side, as the handle and the pump see it.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) frames: mpsc::Sender<Bytes>,
    /// Bytes accepted and not yet handed to the stack.
    pub(super) queued: AtomicUsize,
    /// Bytes handed to the stack so far.
    pub(super) handed: AtomicU64,
    /// Bytes of them acknowledged by the peer's SCTP, as last seen.
    pub(super) acknowledged: AtomicU64,
    /// Signalled when the queue falls to half of its bound.
    pub(super) low_water: Notify,
}

impl Outgoing {
    pub(super) fn new(frames: mpsc::Sender<Bytes>) -> Self {
        Self {
            frames,
            queued: AtomicUsize::new(0),
            handed: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            low_water: Notify::new(),
        }
    }

    /// Records that a frame went from the queue to the stack.
    pub(super) fn on_handed(&self, length: usize) {
        self.handed.fetch_add(length as u64, Ordering::Relaxed);
        self.queued.fetch_sub(length, Ordering::AcqRel);
        if self.is_writable() {
            self.low_water.notify_waiters();
        }
    }

    /// Records what the stack still holds.
    pub(super) fn on_outstanding(&self, outstanding: usize) {
        let handed = self.handed.load(Ordering::Relaxed);
        self.acknowledged.fetch_max(handed.saturating_sub(outstanding as u64), Ordering::Relaxed);
    }

    pub(super) fn progress(&self) -> Progress {
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let handed = self.handed.load(Ordering::Relaxed).max(acknowledged);
        let queued = self.queued.load(Ordering::Relaxed) as u64;
        Progress { accepted: handed + queued, acknowledged }
    }

    fn is_writable(&self) -> bool {
        self.queued.load(Ordering::Acquire) <= QUEUE_BYTES_MAX / 2
            && self.frames.capacity() >= QUEUE_FRAMES_MAX / 2
    }
}

/// How far one channel's frames have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that [`LinkHandle::try_send`] took.
    pub accepted: u64,
    /// Bytes of them that the peer's SCTP acknowledged: it has them in memory, no more.
    pub acknowledged: u64,
}

/// What all handles of a link share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) closed: AtomicBool,
    /// Whether all channels are open.
    pub(super) opened: watch::Sender<bool>,
    pub(super) outgoing: [Outgoing; 3],
    /// The stack's own bound of what it holds per channel, bytes.
    pub(super) stack_limit: usize,
    /// Content that may be handed over, bytes a second; none: as much as there is, or a carrier counts.
    pub(super) content_rate: Option<u64>,
    /// The owner's bound of the same.
    pub(super) send_limit: watch::Sender<usize>,
    pub(super) runtime: Arc<LinkRuntime>,
}

impl Shared {
    pub(super) fn outgoing(&self, channel: Channel) -> &Outgoing {
        &self.outgoing[usize::from(channel.stream_id())]
    }

    /// Refuses frames from now on and releases everybody who waits to send one.
    pub(super) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        for outgoing in &self.outgoing {
            outgoing.low_water.notify_waiters();
        }
    }
}

/// Drives a link; clones share it. When the last one is dropped the link closes.
#[derive(Debug, Clone)]
pub struct LinkHandle {
    pub(super) commands: mpsc::Sender<LinkCommand>,
    pub(super) shared: Arc<Shared>,
    pub(super) done: watch::Receiver<bool>,
}

impl LinkHandle {
    /// Asks for `command`; what comes of it is told by a [`LinkEvent`].
    ///
    /// # Errors
    ///
    /// [`LinkError::Full`] if too many wait, [`LinkError::Closed`] if the link has ended, [`LinkError::SignalTooLong`] if
    /// the peer sent more than our limits allow.
    pub fn command(&self, command: LinkCommand) -> Result<(), LinkError> {
        let fits = match &command {
            LinkCommand::Answer { offer: sdp } | LinkCommand::AcceptAnswer { answer: sdp } => {
                sdp.len() <= DESCRIPTION_BYTES_MAX
            }
            LinkCommand::AddCandidate(candidate) => {
                let mid = candidate.sdp_mid.as_ref().map_or(0, String::len);
                candidate.candidate.len() + mid <= CANDIDATE_BYTES_MAX
            }
            LinkCommand::Offer
            | LinkCommand::RestartIce
            | LinkCommand::Carry(_)
            | LinkCommand::SetTurnServers(_)
            | LinkCommand::Close
            | LinkCommand::CloseNow => true,
        };
        if !fits {
            return Err(LinkError::SignalTooLong);
        }
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(LinkError::Closed);
        }
        self.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => LinkError::Full,
            mpsc::error::TrySendError::Closed(_) => LinkError::Closed,
        })
    }

    /// Queues `frame` on `channel`. Before [`LinkEvent::Open`] frames wait in the queue.
    ///
    /// A frame that nobody else holds is sent without a copy.
    ///
    /// # Errors
    ///
    /// [`Unsent`] gives the frame back: [`LinkError::Full`] if 1 MiB or 1,024 frames wait already,
    /// [`LinkError::Closed`] if the link has ended, [`LinkError::FrameTooLong`] above [`FRAME_BYTES_MAX`].
    pub fn try_send(&self, channel: Channel, frame: Bytes) -> Result<(), Unsent> {
        let length = frame.len();
        if length > FRAME_BYTES_MAX {
            return Err(Unsent { error: LinkError::FrameTooLong, frame });
        }
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(Unsent { error: LinkError::Closed, frame });
        }
        let outgoing = self.shared.outgoing(channel);
        // Reserve first: two handles may send at once.
        let before = outgoing.queued.fetch_add(length, Ordering::AcqRel);
        let sent = if before + length > QUEUE_BYTES_MAX {
            Err(Unsent { error: LinkError::Full, frame })
        } else {
            outgoing.frames.try_send(frame).map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(frame) => Unsent { error: LinkError::Full, frame },
                mpsc::error::TrySendError::Closed(frame) => {
                    Unsent { error: LinkError::Closed, frame }
                }
            })
        };
        if sent.is_err() {
            outgoing.queued.fetch_sub(length, Ordering::AcqRel);
        }
        sent
    }

    /// Waits until `channel`'s queue is at most half full, or the link has ended.
    pub async fn writable(&self, channel: Channel) {
        let outgoing = self.shared.outgoing(channel);
        loop {
            let low_water = outgoing.low_water.notified();
            tokio::pin!(low_water);
            // Registered before the check, so that a signal in between is not lost.
            low_water.as_mut().enable();
            if outgoing.is_writable() || self.shared.closed.load(Ordering::Acquire) {
                return;
            }
            low_water.await;
        }
    }

    /// How far `channel` has come. `acknowledged` is a lower bound, at most 50 ms old.
    #[must_use]
    pub fn progress(&self, channel: Channel) -> Progress {
        self.shared.outgoing(channel).progress()
    }

    /// Bytes that `channel` took and that went into no datagram, as far as can be known: with a carrier what it has
    /// not sent, without one what the peer's SCTP has not acknowledged, and what waits before the stack.
    #[must_use]
    pub fn unsent_bytes(&self, channel: Channel) -> u64 {
        let outgoing = self.shared.outgoing(channel);
        let Progress { accepted, acknowledged } = outgoing.progress();
        let queued = outgoing.queued.load(Ordering::Relaxed) as u64;
        let stacked = accepted.saturating_sub(acknowledged + queued);
        queued + self.shared.runtime.unsent_bytes().map_or(stacked, |unsent| unsent.min(stacked))
    }

    /// Bytes accepted on all channels and not known to be acknowledged.
    #[must_use]
    pub fn outstanding_bytes(&self) -> u64 {
        let outstanding = |channel| {
            let progress = self.progress(channel);
            progress.accepted - progress.acknowledged
        };
        Channel::ALL.into_iter().map(outstanding).sum()
    }

    /// Bounds what the stack holds unacknowledged, per channel: control waits behind all of it, so on a thin link it
    /// should be what the link moves in a second.
    pub fn set_send_limit(&self, bytes: usize) {
        self.shared.send_limit.send_replace(bytes.max(FRAME_BYTES_MAX));
    }

    /// What the link's sockets have moved.
    #[must_use]
    pub fn socket_counts(&self) -> SocketCounts {
        self.shared.runtime.counts()
    }

    /// Whether datagrams are cut on their way, as far as is known.
    #[must_use]
    pub fn fragmented(&self) -> Option<Fragmented> {
        self.shared.runtime.fragmented()
    }

    /// Closes the link and waits until it has ended: delivers what is queued on control and pulse for at most 3 s, tells
    /// the peer, and returns within 10 s whatever happens (K-41).
    pub async fn close(&self) {
        self.end(LinkCommand::Close).await;
    }

    /// Closes the link without delivering what is queued: a delayed acknowledgement of the last word costs 200 ms.
    pub async fn close_now(&self) {
        self.end(LinkCommand::CloseNow).await;
    }

    async fn end(&self, command: LinkCommand) {
        let mut done = self.done.clone();
        let closed = async {
            // Full of other commands: they are carried out first. Closed: it has ended already.
            if self.commands.send(command).await.is_ok() {
                let _ = done.wait_for(|done| *done).await;
            }
        };
        if tokio::time::timeout(CLOSE_BUDGET, closed).await.is_err() {
            tracing::warn!(target: "rejoin::lifecycle", "close took too long and was abandoned");
        }
    }
}

/// What happens to a link, in order.
#[derive(Debug)]
pub struct EventReceiver {
    pub(super) events: mpsc::Receiver<LinkEvent>,
}

impl EventReceiver {
    /// The next event; `None` after [`LinkEvent::Closed`]. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }
}

/// Where the frames of a [`FrameReceiver`] come from.
pub(super) enum Source {
    /// A pump, which must go on reading whatever the owner does.
    Queue(mpsc::Receiver<Bytes>),
    /// The stack's own queue: no task and no queue in between, because bulk data would pay for both.
    Stack {
        channel: Arc<dyn DataChannel>,
        credit: ReceiveCredit,
        /// The newest grant; a pump sends it.
        grant: watch::Sender<u64>,
        is_ended: bool,
    },
}

/// Frames from the peer on one channel. They are kept from before the link opens until they are read (K-40).
pub struct FrameReceiver {
    pub(super) source: Source,
}

impl FrameReceiver {
    /// The next frame; `None` once the link has ended and all frames were read. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Bytes> {
        match &mut self.source {
            Source::Queue(frames) => frames.recv().await,
            Source::Stack { channel, credit, grant, is_ended } => {
                while !*is_ended {
                    match channel.poll().await {
                        Some(DataChannelEvent::OnMessage(message)) => {
                            if let Some(total) = credit.handle_read() {
                                grant.send_replace(total);
                            }
                            return Some(message.data.freeze());
                        }
                        Some(DataChannelEvent::OnClose) | None => *is_ended = true,
                        Some(_) => {}
                    }
                }
                None
            }
        }
    }

    /// The next frame if one is there.
    pub fn try_recv(&mut self) -> Option<Bytes> {
        self.recv().now_or_never().flatten()
    }
}

impl fmt::Debug for FrameReceiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FrameReceiver").finish_non_exhaustive()
    }
}
