//! Figures: what a person is shown of the progress, and what the machine is told of the link.

use super::{RoleActions, Runner};
use crate::event::Event;
use crate::link::socket::Fragmented;
use crate::session::worker::Worker;
use crate::transfer::progress::Progress;
use crate::wire::Channel;
use std::time::Instant;

impl<R: RoleActions> Runner<R> {
    /// Tells the machine how fast the data channel delivers, and that something comes.
    pub(super) fn measure(&mut self, now: Instant) {
        let Some(connection) = &self.connection else { return };
        self.session.handle_inbound(connection.handle.socket_counts().bytes_received, now);
        if let Some(Fragmented { path_bytes }) = connection.handle.fragmented() {
            self.session.handle_fragmented(path_bytes);
        }
        let source = self.around.source.as_ref().map(Worker::load);
        let load = source.or_else(|| self.around.target.as_ref().map(Worker::load));
        self.session.handle_disk_load(load.unwrap_or_default(), now);
        if self.around.source.is_some() {
            let progress = connection.handle.progress(Channel::Data);
            let is_busy = progress.accepted > progress.acknowledged;
            self.session.handle_delivery(progress.acknowledged, is_busy, now);
            self.session.handle_unsent(connection.handle.unsent_bytes(Channel::Data));
        }
    }

    /// Bytes of content that the link has taken and not delivered, and of these what it has sent: a sender's alone.
    fn in_flight_bytes(&self) -> (u64, u64) {
        match &self.connection {
            Some(connection) if self.around.source.is_some() => {
                let progress = connection.handle.progress(Channel::Data);
                let in_flight = progress.accepted.saturating_sub(progress.acknowledged);
                let unsent = connection.handle.unsent_bytes(Channel::Data);
                (in_flight, in_flight.saturating_sub(unsent))
            }
            Some(_) | None => (0, 0),
        }
    }

    pub(super) async fn tell_progress(&mut self, now: Instant) {
        let progress = self.session.progress();
        let (in_flight, sent) = self.in_flight_bytes();
        let rate_bps = self.pace.sample(progress.wire_bytes.saturating_sub(sent), now);
        if !self.session.is_up()
            || (progress.bytes == self.last_progress && progress.bytes == progress.totals.bytes)
        {
            return;
        }
        self.last_progress = progress.bytes;
        let event = self.progress_event(progress, in_flight, rate_bps);
        self.around.ui.emit(event).await;
    }

    /// How far a run came that ends before its end: what its last lines say is kept.
    pub(super) async fn tell_last_progress(&mut self) {
        let progress = self.session.progress();
        let event = self.progress_event(progress, progress.moving_bytes, 0);
        self.around.ui.emit(event).await;
    }

    fn progress_event(&self, progress: Progress, in_flight: u64, rate_bps: u64) -> Event {
        // What is there, though it may have to come again: on a thin link a unit takes minutes to be settled.
        let moved = progress.bytes.saturating_add(progress.moving_bytes.saturating_sub(in_flight));
        let left = progress.totals.bytes.saturating_sub(moved);
        Event::Progress {
            bytes: moved,
            durable_bytes: progress.bytes,
            total_bytes: progress.totals.bytes,
            files: progress.files,
            total_files: progress.totals.files,
            rate_bps,
            eta_s: (rate_bps > 0 && progress.is_complete).then(|| left / rate_bps),
            rtt_ms: self.session.rtt().map_or(0.0, |rtt| rtt.as_secs_f64() * 1e3),
            stripes: 1,
        }
    }
}
