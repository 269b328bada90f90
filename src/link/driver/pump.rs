//! The tasks that move frames between the owner's queues and the stack's channels, one per channel and direction.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::handle::{
    COMMANDS_MAX, EventReceiver, FrameReceiver, LinkHandle, Outgoing, QUEUE_FRAMES_MAX, Shared,
    Source,
};
use super::handler::StackEvent;
use super::{Channels, Link};
use crate::link::cable;
use crate::link::config::LinkConfig;
use crate::link::credit::{self, DATA_FRAMES, ReceiveCredit, SendCredit};
use crate::link::socket::LinkRuntime;
use crate::link::{Channel, CloseReason, FRAME_BYTES_MAX, LinkCommand, LinkEvent};

/// Frames of control or pulse that may wait for the owner. Beyond it the stack stops reading all channels.
const INCOMING_FRAMES_MAX: usize = 1024;

/// Events that may wait for the owner: a set-up has about 30, and an owner that reads none of them has stopped.
const EVENTS_MAX: usize = 1024;

/// How old the count of acknowledged bytes may get while some are not.
const REFRESH_INTERVAL: Duration = Duration::from_millis(50);

/// How often a sender with a tighter bound than the stack's looks for room.
const THIN_LINK_INTERVAL: Duration = Duration::from_millis(10);

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
        opened: watch::Sender::new(false),
        stack_limit: config.send_buffer_bytes,
        content_rate: config.rate_bytes_per_second_max.filter(|_| config.carrier.is_none()),
        outgoing,
        send_limit: watch::Sender::new(config.send_buffer_bytes),
        runtime: Arc::clone(runtime),
    });
    let send_gate = Arc::new(SendGate::default());
    let grant = watch::Sender::new(DATA_FRAMES);
    let grants = grant.subscribe();

    let mut tasks = Vec::new();
    // They call the stack.
    let mut spawn = |pump: BoxFuture<'static, ()>| {
        tasks.push(tokio::spawn(runtime.panics().guard(pump)).abort_handle());
    };
    let [control_queue, pulse_queue, data_queue] = queues.map(|(_, queue)| queue);
    let mut start_channel = |channel: Channel, queue, gate: Option<Arc<SendGate>>| {
        let wires = Wires {
            channel,
            data_channel: Arc::clone(&channels.frames[usize::from(channel.stream_id())]),
            shared: Arc::clone(&shared),
            stack: stack.clone(),
        };
        let source = if channel == Channel::Data {
            Source::Stack {
                channel: Arc::clone(&wires.data_channel),
                credit: ReceiveCredit::default(),
                grant: grant.clone(),
                is_ended: false,
            }
        } else {
            let (frames, incoming) = mpsc::channel(INCOMING_FRAMES_MAX);
            spawn(receive_frames(wires.clone(), frames).boxed());
            Source::Queue(incoming)
        };
        spawn(send_frames(wires, queue, gate).boxed());
        FrameReceiver { source }
    };
    let control = start_channel(Channel::Control, control_queue, None);
    let pulse = start_channel(Channel::Pulse, pulse_queue, None);
    let data = start_channel(Channel::Data, data_queue, Some(Arc::clone(&send_gate)));
    spawn(send_grants(Arc::clone(&channels.credit), grants).boxed());
    spawn(receive_grants(Arc::clone(&channels.credit), send_gate, stack.clone()).boxed());

    let handle =
        LinkHandle { commands: command_sender, shared: Arc::clone(&shared), done: done_receiver };
    let events_out = EventReceiver { events: event_receiver };
    let link = Link { handle, events: events_out, control, pulse, data };
    let channels = Arc::new(channels.frames.clone());
    (link, Pumps { commands, events, done, shared, channels, tasks })
}

/// What both pumps of a channel share.
#[derive(Clone)]
struct Wires {
    channel: Channel,
    data_channel: Arc<dyn DataChannel>,
    shared: Arc<Shared>,
    stack: mpsc::Sender<StackEvent>,
}

impl Wires {
    fn outgoing(&self) -> &Outgoing {
        self.shared.outgoing(self.channel)
    }

    /// Learns what the stack still holds.
    async fn refresh(&self) -> Result<usize, webrtc::error::Error> {
        let outstanding = self.data_channel.outstanding_bytes().await?;
        self.outgoing().on_outstanding(outstanding);
        Ok(outstanding)
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
    async fn take(&self) {
        // One taker, so `notify_one` and its stored permit suffice.
        while !self.lock().try_take() {
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
async fn send_frames(wires: Wires, queue: mpsc::Receiver<Bytes>, gate: Option<Arc<SendGate>>) {
    let mut opened = wires.shared.opened.subscribe();
    if opened.wait_for(|opened| *opened).await.is_err() {
        return;
    }
    if let Err(error) = send_all(&wires, queue, gate).await {
        wires.end(CloseReason::Transport(error.to_string())).await;
    }
}

async fn send_all(
    wires: &Wires,
    mut queue: mpsc::Receiver<Bytes>,
    gate: Option<Arc<SendGate>>,
) -> Result<(), webrtc::error::Error> {
    let mut outstanding = 0;
    let mut free_at = None;
    let mut refreshed_at = Instant::now();
    loop {
        let frame = tokio::select! {
            biased;
            frame = queue.recv() => frame,
            () = tokio::time::sleep(REFRESH_INTERVAL), if outstanding > 0 => {
                outstanding = wires.refresh().await?;
                continue;
            }
        };
        let Some(frame) = frame else { return Ok(()) };
        let length = frame.len();
        let send = async {
            if let Some(gate) = &gate {
                gate.take().await;
            }
            wait_for_room(wires, length).await?;
            if gate.is_some() {
                if let Some(rate) = wires.shared.content_rate {
                    let (start, next) = cable::book(free_at, length, rate, Instant::now());
                    free_at = Some(next);
                    tokio::time::sleep_until(start.into()).await;
                }
                cable::pace(length).await;
                #[cfg(feature = "fault-injection")]
                crate::link::fault::count(length);
            }
            // Waits for the stack's own bound, and copies only a frame that somebody else holds too.
            wires.data_channel.send(BytesMut::from(frame)).await
        };
        tokio::pin!(send);
        loop {
            // Polled side by side, never one inside the other's branch: both take the stack's lock, and a waiter that was
            // woken for it but is not polled keeps it from everybody.
            let refresh = async {
                tokio::time::sleep(REFRESH_INTERVAL).await;
                wires.refresh().await
            };
            tokio::select! {
                biased;
                sent = &mut send => break sent?,
                refreshed = refresh => drop(refreshed?),
            }
        }
        wires.outgoing().on_handed(length);
        outstanding += length;
        // While frames go out one after the other no timer above gets its turn, and the rate is told by this alone.
        if refreshed_at.elapsed() >= REFRESH_INTERVAL {
            refreshed_at = Instant::now();
            outstanding = wires.refresh().await?;
        }
    }
}

/// Waits until the stack holds less than the owner's bound, or what the carrier's path moves in a moment, if that is
/// tighter than the stack's own.
///
/// By looking again: such a link is thin, and the stack signals room only for its own bound. (Its `OnBufferedAmountLow`
/// is an edge of *packetised* bytes, which does not come if acknowledgements overtake packetising.)
async fn wait_for_room(wires: &Wires, length: usize) -> Result<(), webrtc::error::Error> {
    loop {
        let mut bound = *wires.shared.send_limit.borrow();
        if wires.channel == Channel::Data {
            bound = bound.min(wires.shared.runtime.carried_bytes_max().unwrap_or(usize::MAX));
        }
        if bound >= wires.shared.stack_limit {
            return Ok(());
        }
        let outstanding = wires.refresh().await?;
        if outstanding == 0 || outstanding + length <= bound {
            return Ok(());
        }
        tokio::time::sleep(THIN_LINK_INTERVAL).await;
    }
}

/// Stack to queue. `frames` is dropped at the end, which ends the owner's [`FrameReceiver`].
async fn receive_frames(wires: Wires, frames: mpsc::Sender<Bytes>) {
    let reason = loop {
        match wires.data_channel.poll().await {
            Some(DataChannelEvent::OnMessage(message)) => {
                let frame = message.data.freeze();
                if frame.len() > FRAME_BYTES_MAX {
                    break CloseReason::Violation("frame too long");
                }
                // An owner that dropped its receiver does not want the frames.
                let _ = frames.send(frame).await;
            }
            Some(DataChannelEvent::OnOpen) => {
                let _ = wires.stack.send(StackEvent::Opened).await;
            }
            Some(DataChannelEvent::OnClosing | DataChannelEvent::OnClose) | None => {
                break CloseReason::Peer;
            }
            Some(DataChannelEvent::OnError) => {
                tracing::warn!(target: "rejoin::lifecycle", channel = wires.channel.label(), "channel error");
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
        let sent = channel.send(BytesMut::from(&credit::encode_grant(total)[..])).await;
        if sent.is_err() {
            // The frame pumps report the end of the link.
            return;
        }
    }
}

/// Grants from the peer.
#[expect(clippy::wildcard_enum_match_arm, reason = "the stack's enum is open")]
async fn receive_grants(
    channel: Arc<dyn DataChannel>,
    gate: Arc<SendGate>,
    stack: mpsc::Sender<StackEvent>,
) {
    while let Some(event) = channel.poll().await {
        let event = match event {
            DataChannelEvent::OnOpen => StackEvent::Opened,
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
