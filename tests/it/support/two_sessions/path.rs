//! Paths that come and go beneath a connection that stays: ICE states, restarts, and an SCTP that falls silent or not.

use super::{Happening, Pair, RECEIVER, SENDER};
use bytes::Bytes;
use rejoin::link::{IceState, LinkEvent};
use rejoin::wire::Channel;
use std::collections::BTreeSet;
use std::time::Duration;

/// After how long without packets the stack says `disconnected`.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(5);

/// From an accepted answer to `connected`.
const CHECKS: Duration = Duration::from_millis(40);

/// What lies beneath the connections.
#[derive(Default)]
pub(crate) struct Paths {
    /// Connections whose packets go nowhere for now.
    lost: BTreeSet<u64>,
    /// What they would have carried: SCTP sends it again.
    held: Vec<(u64, Channel, Bytes)>,
    /// Whether SCTP has stopped sending again by the time the path is back.
    pub(crate) is_sctp_silent: bool,
    /// Whether the checks of a restart fail.
    pub(crate) do_checks_fail: bool,
    /// ICE restarts that began.
    pub(crate) restarts: u64,
    /// Connections that were started, at either side.
    pub(crate) links: u64,
    /// Whether content vanishes while everything else arrives.
    pub(crate) does_lose_data: bool,
    /// So many of the next frames on control vanish, by who sends them, and everything else arrives.
    pub(crate) loses_next: [u32; 2],
    /// Bytes a second, each way.
    pub(crate) rate: Option<u64>,
    pub(super) busy_until: [Option<std::time::Instant>; 2],
}

impl Pair {
    /// Packets of the live connection go nowhere; nobody is told but by the silence.
    pub(crate) fn lose_path(&mut self) {
        self.note("the path is lost".to_owned());
        for side in [SENDER, RECEIVER] {
            let Some(link) = self.sides[side].link else { continue };
            self.paths.lost.insert(link);
            let event = LinkEvent::Ice(IceState::Disconnected);
            self.plan(DISCONNECTED_AFTER, Happening::Link(link, event));
        }
        // What is on the wire is lost with it, and sent again by SCTP.
        let lost = |(_, happening): &(_, &Happening)| match happening {
            Happening::Frame(to, ..) => self.paths.lost.contains(to),
            _ => false,
        };
        let keys: Vec<_> = self.agenda.iter().filter(lost).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(Happening::Frame(to, channel, frame)) = self.agenda.remove(&key)
                && let Some(from) = self.links.get(&to).and_then(|end| end.remote)
            {
                self.hold(from, channel, frame);
            }
        }
        self.paths.busy_until = [None; 2];
        let lost = &self.paths.lost;
        self.last.retain(|(kind, to, _), _| *kind != 1 || !lost.contains(to));
    }

    /// From now on content vanishes, also what is on the wire; everything else arrives.
    pub(crate) fn lose_data(&mut self) {
        self.paths.does_lose_data = true;
        self.agenda
            .retain(|_, happening| !matches!(happening, Happening::Frame(_, Channel::Data, _)));
    }

    /// The same path works again, without a restart.
    pub(crate) fn mend_path(&mut self) {
        self.note("the path is back".to_owned());
        for side in [SENDER, RECEIVER] {
            if let Some(link) = self.sides[side].link {
                self.connect_path(link);
            }
        }
    }

    pub(super) fn is_path_lost(&self, link: u64) -> bool {
        self.paths.lost.contains(&link)
    }

    pub(super) fn hold(&mut self, link: u64, channel: Channel, frame: Bytes) {
        self.paths.held.push((link, channel, frame));
    }

    /// Both took the descriptions of a restart: their checks run.
    pub(super) fn restart_path(&mut self, link: u64, remote: u64) {
        for end in [link, remote] {
            if self.paths.do_checks_fail || !self.is_network_up {
                self.plan(CHECKS, Happening::Link(end, LinkEvent::Ice(IceState::Failed)));
            } else {
                self.connect_path(end);
            }
        }
    }

    fn connect_path(&mut self, link: u64) {
        if !self.paths.is_sctp_silent {
            self.paths.lost.remove(&link);
            let (mine, others) = std::mem::take(&mut self.paths.held)
                .into_iter()
                .partition(|(of, _, _)| *of == link);
            self.paths.held = others;
            let mine: Vec<_> = mine;
            for (link, channel, frame) in mine {
                self.transmit(link, channel, frame);
            }
        }
        self.plan(CHECKS, Happening::Link(link, LinkEvent::Ice(IceState::Connected)));
    }

    /// How long a frame takes through a link of limited rate. What is unordered goes before what waits.
    pub(super) fn wire_time(&mut self, side: usize, channel: Channel, bytes: usize) -> Duration {
        let Some(rate) = self.paths.rate else { return Duration::ZERO };
        let own = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let now = self.now;
        let busy = &mut self.paths.busy_until[side.min(1)];
        let until = busy.unwrap_or(now).max(now);
        if channel == Channel::Pulse {
            let frame = Duration::from_secs_f64(65_536.0 / rate as f64);
            return (until - now).min(frame) + own;
        }
        *busy = Some(until + own);
        until + own - now
    }
}
