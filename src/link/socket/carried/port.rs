//! One socket of a carried link, the task that serves it, and what waits at it for the stack.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use webrtc::runtime::RecvMeta;

use super::{Carrying, Turn};
use crate::link::socket::PanicWatch;
use crate::link::socket::udp::UdpSocket;

/// Datagrams that are not carried and wait for the stack: STUN, and what TURN servers say. More are lost.
const PASSING_MAX: usize = 256;

/// Longest of them: what a path of 1,500 bytes brings, and room.
const PASSING_BYTES_MAX: usize = 2_048;

/// The socket as the stack has it; when it is dropped, the port is closed.
#[derive(Debug)]
pub(in crate::link::socket) struct CarriedSocket {
    pub(super) port: Arc<Port>,
    pub(super) carrying: Arc<Carrying>,
    task: AbortHandle,
}

impl CarriedSocket {
    /// Serves `socket` on the runtime that calls, which is the driver's.
    pub(in crate::link::socket) fn new(
        socket: UdpSocket,
        carrying: Arc<Carrying>,
        panics: &PanicWatch,
    ) -> Self {
        let port = Arc::new(Port {
            socket,
            called: Notify::new(),
            is_blocked: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            burst: AtomicU64::new(0),
            inbox: Mutex::new(Inbox::default()),
        });
        let task = tokio::spawn(panics.guard(serve(Arc::clone(&port), Arc::clone(&carrying))));
        Self { port, carrying, task: task.abort_handle() }
    }
}

impl Drop for CarriedSocket {
    fn drop(&mut self) {
        // The stack's last words, which nobody would send later.
        self.carrying.turn(&self.port);
        self.port.is_closed.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

/// What the stack's end and the task share.
pub(super) struct Port {
    socket: UdpSocket,
    /// The task has something to do that no readiness tells.
    called: Notify,
    /// Whether a train waits for room in the socket.
    is_blocked: AtomicBool,
    is_closed: AtomicBool,
    /// Bytes handed to the stack since it was last told to wait.
    burst: AtomicU64,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    reader: Option<Waker>,
    passing: VecDeque<(Vec<u8>, SocketAddr)>,
    failure: Option<io::Error>,
}

impl Port {
    pub(super) const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Has the task take a turn.
    pub(super) fn call(&self) {
        self.called.notify_one();
    }

    /// Has the task take a turn when the socket takes more. Called once only, or a task that blocks its own socket would
    /// never let the reactor say that there is room.
    pub(super) fn await_room(&self) {
        if !self.is_blocked.swap(true, Ordering::Relaxed) {
            self.called.notify_one();
        }
    }

    /// Leaves a datagram that is not carried for the stack.
    pub(super) fn pass(&self, datagram: &[u8], from: SocketAddr) {
        let mut inbox = self.inbox();
        if inbox.passing.len() < PASSING_MAX && datagram.len() <= PASSING_BYTES_MAX {
            inbox.passing.push_back((datagram.to_vec(), from));
        }
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn take_passing(&self, buffer: &mut [u8]) -> Option<RecvMeta> {
        let (datagram, addr) = self.inbox().passing.pop_front()?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Some(received(addr, length, length))
    }

    pub(super) fn await_delivery(&self, waker: &Waker) {
        // A probe's waker wakes nobody; the reader that waits stays.
        if !waker.will_wake(Waker::noop()) {
            let reader = &mut self.inbox().reader;
            match reader {
                Some(reader) => reader.clone_from(waker),
                None => *reader = Some(waker.clone()),
            }
        }
        self.end_burst();
    }

    pub(super) fn wake_reader(&self) {
        if let Some(reader) = self.inbox().reader.take() {
            reader.wake();
        }
    }

    /// The socket is of no use any more: the stack is told.
    pub(super) fn fail(&self, error: io::Error) {
        let mut inbox = self.inbox();
        inbox.failure = Some(error);
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn take_failure(&self) -> io::Result<()> {
        self.inbox().failure.take().map_or(Ok(()), Err)
    }

    pub(super) fn burst(&self) -> u64 {
        self.burst.load(Ordering::Relaxed)
    }

    pub(super) fn end_burst(&self) {
        self.burst.store(0, Ordering::Relaxed);
    }

    pub(super) fn on_delivered(&self, bytes: usize) {
        self.burst.fetch_add(bytes as u64, Ordering::Relaxed);
        self.socket.on_delivered();
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Port").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// What the stack is told of `length` bytes from `addr`, in datagrams of `stride`.
pub(super) fn received(addr: SocketAddr, length: usize, stride: usize) -> RecvMeta {
    let mut meta = RecvMeta::default();
    meta.addr = addr;
    meta.len = length;
    meta.stride = stride.max(1);
    meta
}

/// The task of a socket.
async fn serve(port: Arc<Port>, carrying: Arc<Carrying>) {
    let timer = tokio::time::sleep_until(tokio::time::Instant::now());
    tokio::pin!(timer);
    // Until when the timer runs. One that is to end later is let end early once, which is cheaper than to move it.
    let mut armed: Option<Instant> = None;
    loop {
        let is_blocked = port.is_blocked.load(Ordering::Relaxed);
        tokio::select! {
            () = port.called.notified() => {}
            readable = port.socket.io().readable() => if readable.is_err() { return },
            writable = port.socket.io().writable(), if is_blocked => {
                if writable.is_err() {
                    return;
                }
                port.is_blocked.store(false, Ordering::Relaxed);
            }
            () = &mut timer, if armed.is_some() => armed = None,
        }
        let Turn { deadline, has_more } = carrying.turn(&port);
        if let Some(deadline) = deadline
            && armed.is_none_or(|armed| deadline < armed)
        {
            timer.as_mut().reset(deadline.into());
            armed = Some(deadline);
        }
        if has_more {
            // The stack takes what came before more is read.
            port.call();
            tokio::task::yield_now().await;
        }
    }
}
