//! What the loop stands on: the role's own actions, the stores' threads, and waiting for what may not be there.

use super::{Recorder, Relaying};
use crate::environment;
use crate::error::{Error, ErrorKind};
use crate::link::driver::{EventReceiver, FrameReceiver};
use crate::link::{LinkConfig, LinkEvent, LinkHandle};
use crate::platform::OsDirectory;
use crate::session::meeting::{Pairing, no_such_code};
use crate::session::news::News;
use crate::session::worker::Worker;
use crate::signal::client::{Client, ConnectError};
use crate::signal::code::{Code, HostAddress};
use crate::store::record::SessionRecord;
use crate::store::source::SourceStore;
use crate::store::target::TargetStore;
use crate::transfer::disk::{
    ScanReport, SourceReply, SourceRequest, TargetReply, TargetRequest, TargetState,
};
use crate::ui::Ui;
use crate::wire::{Channel, MemberId, SessionId, SessionSecret};
use bytes::Bytes;
use std::time::Instant;
use tokio::sync::mpsc;

/// The sender's store thread.
pub(in crate::session) type SourceWorker =
    Worker<SourceRequest, SourceReply, SourceStore<OsDirectory>>;

/// The receiver's store thread.
pub(in crate::session) type TargetWorker =
    Worker<TargetRequest, TargetReply, TargetStore<OsDirectory>>;

/// What the two roles do differently at the edges.
pub(in crate::session) trait RoleActions: Send {
    /// Sender: the code is known and its room open, at `host`.
    fn on_code_ready(
        &mut self,
        code: &Code,
        host: Option<&HostAddress>,
    ) -> impl Future<Output = ()> + Send;
    /// Sender: the code is spent.
    fn on_code_spent(&mut self);
    /// Stores what a join agreed on; a receiver gets its opened store.
    fn on_pair(
        &mut self,
        pairing: &Pairing,
    ) -> impl Future<Output = Result<Option<Paired>, Error>> + Send;
    /// Remembers the peer and the epoch.
    /// `host` is where it was met.
    fn on_peer(&mut self, member: MemberId, name: &str, epoch: u64, host: Option<&HostAddress>);
    /// Changes the session record, and stores it: what a later run is glad to know, and could do without.
    fn note(&mut self, change: impl FnOnce(&mut SessionRecord));
    /// The command that continues, where there is something to continue.
    fn resume_command(&self) -> Option<String>;
    /// Both sides know that all is settled: nothing is left to be resumed. `is_whole`: and nothing failed.
    fn on_done(&mut self, is_whole: bool) -> impl Future<Output = ()> + Send;
    /// The session is over without a result: nothing of it is to be found again.
    fn forget(&mut self) -> impl Future<Output = ()> + Send;
}

/// A receiver's session, open on disk.
pub(in crate::session) struct Paired {
    pub(in crate::session) session: SessionId,
    pub(in crate::session) secret: SessionSecret,
    pub(in crate::session) epoch: u64,
    pub(in crate::session) worker: TargetWorker,
    pub(in crate::session) state: TargetState,
}

/// Everything a run needs from outside.
pub(in crate::session) struct Surroundings<R> {
    pub(in crate::session) ui: Ui,
    pub(in crate::session) client: Client,
    /// Where the other side may be met, in order.
    pub(in crate::session) hosts: Vec<HostAddress>,
    /// What others leave on this machine for us.
    pub(in crate::session) news: Option<mpsc::Receiver<News>>,
    pub(in crate::session) link_config: LinkConfig,
    pub(in crate::session) relaying: Relaying,
    pub(in crate::session) recorder: Recorder,
    pub(in crate::session) role: R,
    pub(in crate::session) source: Option<SourceWorker>,
    pub(in crate::session) target: Option<TargetWorker>,
    pub(in crate::session) scan: Option<mpsc::Receiver<ScanReport>>,
    /// Name of the peer as stored, for questions.
    pub(in crate::session) peer_name: String,
    /// Until when host and sender may be missing; `None`: they may, as long as the machine's own budget lasts.
    pub(in crate::session) wait_until: Option<Instant>,
}

pub(super) async fn receive(frames: Option<&mut FrameReceiver>) -> Option<Bytes> {
    match frames {
        Some(frames) => frames.recv().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn next_event(events: Option<&mut EventReceiver>) -> Option<LinkEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn writable(handle: Option<&LinkHandle>, channel: Option<Channel>) {
    match (handle, channel) {
        (Some(handle), Some(channel)) => handle.writable(channel).await,
        _ => std::future::pending().await,
    }
}

pub(super) async fn next_source(worker: &mut Option<SourceWorker>) -> Option<SourceReply> {
    match worker {
        Some(worker) => worker.reply().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn next_target(worker: &mut Option<TargetWorker>) -> Option<TargetReply> {
    match worker {
        Some(worker) => worker.reply().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn next_scan(scan: &mut Option<mpsc::Receiver<ScanReport>>) -> Option<ScanReport> {
    match scan {
        Some(scan) => scan.recv().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn next_news(news: &mut Option<mpsc::Receiver<News>>) -> Option<News> {
    match news {
        Some(news) => news.recv().await,
        None => std::future::pending().await,
    }
}

/// What it means that nobody was found at any address.
pub(super) fn unreachable(errors: &[(HostAddress, ConnectError)]) -> Error {
    if errors.iter().all(|(_, error)| matches!(error, ConnectError::Absent)) {
        return no_such_code();
    }
    let list: Vec<String> =
        errors.iter().map(|(host, error)| format!("{}: {error}", host.url())).collect();
    let text = format!("no host can be reached ({})", list.join("; "));
    let mut hint =
        "check the address and that the sender or host runs; --wait waits for it".to_owned();
    if let Some(name) = environment::proxy() {
        hint.push_str(&format!("; {name} is set, but proxies are not used yet"));
    }
    Error::new(ErrorKind::Unreachable, text).with_hint(hint)
}
