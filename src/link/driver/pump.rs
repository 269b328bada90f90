//! The tasks that move frames between the owner's queues and the stack's channels, one per channel and direction.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::handle::{
    COMMANDS_MAX, EventReceiver, FrameReceiver, LinkHandle, Outgoing, QUEUE_FRAMES_MAX,
    ReceiveGate, Shared,
};
use super::handler::StackEvent;
use super::{Channels, Link};
use crate::link::config::LinkConfig;
use crate::link::credit::{self, DATA_WINDOW, ReceiveCredit, SendCredit};
use crate::link::socket::LinkRuntime;
use crate::link::{Channel, CloseReason, FRAME_BYTES_MAX, LinkCommand, LinkEvent};

/// Frames of control or pulse that may wait for the owner. Beyond it the stack stops reading all channels.
const INCOMING_FRAMES_MAX: usize = 1024;

/// Events that may wait for the owner: a set-up has about 30, and an owner that reads none of them has stopped.
const EVENTS_MAX: usize = 1024;

/// How long a sender waits for room before it looks again. The stack signals room by an edge of *packetised* bytes,
/// which is not seen if acknowledgements overtake packetising; the stack's own senders use the same backstop.
const ROOM_BACKSTOP: Duration = Duration::from_millis(50);

/// What the actor needs of the pumps.
pub(super) struct Pumps {
    pub(super) commands: mpsc::Receiver<LinkCommand>,
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) done: watch::Sender<bool>,
    pub(super) shared: Arc<Shared>,
    pub(super) channels: Arc<[Arc<dyn DataChannel>; 3]>,
    pub(super) tasks: Vec<AbortHandle>,
}

/// Starts the pumps of a link.
pub(super) fn start(
    config: &LinkConfig,
    channels: &Channels,
    runtime: &Arc<LinkRuntime>,
    stack: &mpsc::Sender<StackEvent>,
) -> (Link, Pumps) {
    let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
    let (events, event_receiver) = mpsc::channel(EVENTS_MAX);
    let (done, done_receiver) = watch::channel(false);

    let queues: [_; 3] = std::array::from_fn(|_| mpsc::channel(QUEUE_FRAMES_MAX));
    let outgoing = std::array::from_fn(|index| Outgoing::new(queues[index].0.clone()));
    let shared = Arc::new(Shared {
        closed: AtomicBool::new(false),
        outgoing,
        send_limit: watch::Sender::new(config.send_buffer_bytes),
        runtime: Arc::clone(runtime),
    });
    let send_gate = Arc::new(SendGate::default());
    let receive_gate = Arc::new(ReceiveGate {
        credit: Mutex::new(ReceiveCredit::default()),
        grant: watch::Sender::new(DATA_WINDOW),
    });

    let mut tasks = Vec::new();
    let mut receivers = Vec::new();
    for (channel, (_, queue)) in Channel::ALL.into_iter().zip(queues) {
        let wires = Wires {
            channel,
            data_channel: Arc::clone(&channels.frames[usize::from(channel.stream_id())]),
            shared: Arc::clone(&shared),
            stack: stack.clone(),
            opened: Arc::new(watch::Sender::new(false)),
            room: Arc::new(Notify::new()),
        };
        let is_data = channel == Channel::Data;
        let capacity = if is_data {
            credit::FRAMES_MAX
        } else {
            INCOMING_FRAMES_MAX
        };
        let (frames, incoming) = mpsc::channel(capacity);
        receivers.push(FrameReceiver {
            frames: incoming,
            gate: is_data.then(|| Arc::clone(&receive_gate)),
        });
        let send_gate = is_data.then(|| Arc::clone(&send_gate));
        let receive_gate = is_data.then(|| Arc::clone(&receive_gate));
        tasks
            .push(tokio::spawn(receive_frames(wires.clone(), frames, receive_gate)).abort_handle());
        tasks.push(tokio::spawn(send_frames(wires, queue, send_gate)).abort_handle());
    }
    let grants = receive_gate.grant.subscribe();
    tasks.push(tokio::spawn(send_grants(Arc::clone(&channels.credit), grants)).abort_handle());
    let take = receive_grants(Arc::clone(&channels.credit), send_gate, stack.clone());
    tasks.push(tokio::spawn(take).abort_handle());

    let handle = LinkHandle {
        commands: command_sender,
        shared: Arc::clone(&shared),
        done: done_receiver,
    };
    let mut receivers = receivers.into_iter();
    let mut next = || {
        receivers
            .next()
            .expect("one receiver was pushed per channel")
    };
    let link = Link {
        handle,
        events: EventReceiver {
            events: event_receiver,
        },
        control: next(),
        pulse: next(),
        data: next(),
    };
    let channels = Arc::new(channels.frames.clone());
    (
        link,
        Pumps {
            commands,
            events,
            done,
            shared,
            channels,
            tasks,
        },
    )
}

/// What both pumps of a channel share.
#[derive(Clone)]
struct Wires {
    channel: Channel,
    data_channel: Arc<dyn DataChannel>,
    shared: Arc<Shared>,
    stack: mpsc::Sender<StackEvent>,
    opened: Arc<watch::Sender<bool>>,
    /// Signalled when the stack has sent enough of what it held.
    room: Arc<Notify>,
}

impl Wires {
    fn outgoing(&self) -> &Outgoing {
        self.shared.outgoing(self.channel)
    }

    async fn end(&self, reason: CloseReason) {
        // Fails only when the actor has gone, and then the link has ended.
        let _ = self.stack.send(StackEvent::Ended(reason)).await;
    }
}

/// The sender's half of [`credit`]: waits until the peer has room for a frame.
#[derive(Default)]
struct SendGate {
    credit: Mutex<SendCredit>,
    granted: Notify,
}

impl SendGate {
    async fn take(&self, length: usize) {
        // One taker, so `notify_one` and its stored permit suffice.
        while !self.lock().try_take(length) {
            self.granted.notified().await;
        }
    }

    fn handle_grant(&self, total: u64) -> bool {
        let sane = self.lock().handle_grant(total);
        self.granted.notify_one();
        sane
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SendCredit> {
        self.credit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queue to stack.
async fn send_frames(wires: Wires, mut queue: mpsc::Receiver<Bytes>, gate: Option<Arc<SendGate>>) {
    let mut opened = wires.opened.subscribe();
    if opened.wait_for(|opened| *opened).await.is_err() {
        return;
    }
    let mut limit = wires.shared.send_limit.subscribe();
    let mut room = 0;
    while let Some(frame) = queue.recv().await {
        let length = frame.len();
        if let Some(gate) = &gate {
            gate.take(length).await;
        }
        if room < length || limit.has_changed().unwrap_or(false) {
            room = match wait_for_room(&wires, &mut limit, length).await {
                Ok(room) => room,
                Err(error) => return wires.end(CloseReason::Transport(error.to_string())).await,
            };
        }
        // Without a copy if nobody else holds the frame.
        if let Err(error) = wires.data_channel.send(BytesMut::from(frame)).await {
            return wires.end(CloseReason::Transport(error.to_string())).await;
        }
        room = room.saturating_sub(length);
        wires.outgoing().on_handed(length);
    }
}

/// Waits until the stack holds little enough to take `length` more bytes; returns how many it may take in all.
async fn wait_for_room(
    wires: &Wires,
    limit: &mut watch::Receiver<usize>,
    length: usize,
) -> Result<usize, webrtc::error::Error> {
    loop {
        let limit_changed = limit.has_changed().unwrap_or(false);
        let bound = *limit.borrow_and_update();
        if limit_changed {
            set_low_threshold(&*wires.data_channel, bound).await?;
        }
        let outstanding = wires.data_channel.outstanding_bytes().await?;
        wires.outgoing().on_outstanding(outstanding);
        if outstanding == 0 || outstanding + length <= bound {
            return Ok(bound.saturating_sub(outstanding).max(length));
        }
        tokio::select! {
            () = wires.room.notified() => {}
            () = tokio::time::sleep(ROOM_BACKSTOP) => {}
        }
    }
}

/// Has the stack signal when a quarter of `bound` has room: wakes few, and never an empty pipe.
async fn set_low_threshold(
    channel: &dyn DataChannel,
    bound: usize,
) -> Result<(), webrtc::error::Error> {
    let threshold = u32::try_from(bound / 4 * 3).unwrap_or(u32::MAX);
    channel.set_buffered_amount_low_threshold(threshold).await
}

/// Stack to queue. `frames` is dropped at the end, which ends the owner's [`FrameReceiver`].
async fn receive_frames(wires: Wires, frames: mpsc::Sender<Bytes>, gate: Option<Arc<ReceiveGate>>) {
    let reason = loop {
        match wires.data_channel.poll().await {
            Some(DataChannelEvent::OnMessage(message)) => {
                let frame = message.data.freeze();
                if frame.len() > FRAME_BYTES_MAX {
                    break CloseReason::Violation("frame too long");
                }
                if gate
                    .as_ref()
                    .is_some_and(|gate| !gate.handle_frame(frame.len()))
                {
                    break CloseReason::Violation("data beyond its credit");
                }
                // An owner that dropped its receiver does not want the frames.
                let _ = frames.send(frame).await;
            }
            Some(DataChannelEvent::OnOpen) => {
                let bound = *wires.shared.send_limit.borrow();
                if let Err(error) = set_low_threshold(&*wires.data_channel, bound).await {
                    break CloseReason::Transport(error.to_string());
                }
                wires.opened.send_replace(true);
                let _ = wires
                    .stack
                    .send(StackEvent::Opened(Some(wires.channel)))
                    .await;
            }
            Some(DataChannelEvent::OnBufferedAmountLow) => wires.room.notify_one(),
            Some(DataChannelEvent::OnClosing | DataChannelEvent::OnClose) | None => {
                break CloseReason::Peer;
            }
            Some(DataChannelEvent::OnError) => {
                tracing::warn!(target: "rejoin::link::lifecycle", channel = wires.channel.label(), "channel error");
            }
            Some(_) => {}
        }
    };
    wires.end(reason).await;
}

/// The newest grant to the peer, whenever it grows.
async fn send_grants(channel: Arc<dyn DataChannel>, mut grants: watch::Receiver<u64>) {
    while grants.changed().await.is_ok() {
        let total = *grants.borrow_and_update();
        let sent = channel
            .send(BytesMut::from(&credit::encode_grant(total)[..]))
            .await;
        if sent.is_err() {
            // The frame pumps report the end of the link.
            return;
        }
    }
}

/// Grants from the peer.
async fn receive_grants(
    channel: Arc<dyn DataChannel>,
    gate: Arc<SendGate>,
    stack: mpsc::Sender<StackEvent>,
) {
    while let Some(event) = channel.poll().await {
        let event = match event {
            DataChannelEvent::OnOpen => StackEvent::Opened(None),
            DataChannelEvent::OnMessage(message) => {
                let sane = credit::decode_grant(&message.data)
                    .is_some_and(|total| gate.handle_grant(total));
                if sane {
                    continue;
                }
                StackEvent::Ended(CloseReason::Violation("grant out of range"))
            }
            DataChannelEvent::OnClose => StackEvent::Ended(CloseReason::Peer),
            _ => continue,
        };
        let _ = stack.send(event).await;
    }
}

/// Waits until nothing of `channel` is queued or unacknowledged.
pub(super) async fn drained(channel: &dyn DataChannel, outgoing: &Outgoing) {
    /// A goodbye takes a round trip; looking this often adds nothing to it.
    const LOOK_AGAIN: Duration = Duration::from_millis(2);
    loop {
        let queued = outgoing.queued.load(Ordering::Acquire);
        match channel.outstanding_bytes().await {
            Ok(0) if queued == 0 => return,
            Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
            Err(_) => return,
        }
    }
}
