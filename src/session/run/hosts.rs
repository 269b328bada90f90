//! Hosts during a run: what they say, when they are gone, and where the other side is to be met, as it becomes known.

use super::edges::unreachable;
use super::timeline::Step;
use super::{RoleActions, Runner};
use crate::error::{Error, ErrorKind};
use crate::signal::client::{ClientEvent, ConnectError, LossReason};
use crate::signal::code::HostAddress;
use std::time::{Duration, Instant};

/// How long a receiver that has everything looks for its sender in a run that has met nobody, where no host answers: the
/// sender's own is gone with it.
const FAREWELL_ALONE: Duration = Duration::from_secs(5);

/// Connections to each host that may end without an answer before that is told.
const UNANSWERED_MAX: usize = 2;

impl<R: RoleActions> Runner<R> {
    pub(super) fn on_client(
        &mut self,
        event: Option<ClientEvent>,
        now: Instant,
    ) -> Result<(), Error> {
        match event {
            Some(ClientEvent::Connected(connection)) => {
                self.timeline.reach(Step::HostConnected, now);
                self.host = Some(connection);
                self.session.handle_host_up(now);
            }
            Some(ClientEvent::Message(message)) => {
                self.timeline.reach(Step::HostAnswered, now);
                self.unanswered = 0;
                self.session.handle_host(message, now);
            }
            Some(ClientEvent::Lost { reason, retry_in }) => {
                tracing::info!(target: "rejoin::signal", %reason, "the host is lost");
                self.host = None;
                self.session.handle_host_down(now);
                if reason.is_closed() {
                    self.session.handle_host_closed(now);
                }
                // Another address is asked at once.
                if !matches!(reason, LossReason::Absent) {
                    self.session.handle_host_retry(retry_in, now);
                }
                self.on_unanswered(&reason, now)?;
            }
            Some(ClientEvent::Unreachable { errors, retry_in }) => {
                self.on_unreachable(&errors, retry_in, now)?;
            }
            // The link goes on without a host; without both there is no way back.
            Some(ClientEvent::Stopped(_)) | None if self.session.is_up() => {
                self.host = None;
                self.is_host_gone = true;
                self.session.handle_host_down(now);
            }
            Some(ClientEvent::Stopped(reason)) => {
                return Err(Error::new(
                    ErrorKind::Unreachable,
                    format!("the host turned us away: {reason}"),
                ));
            }
            None => {
                return Err(Error::new(ErrorKind::Unreachable, "the host does not take us back"));
            }
        }
        Ok(())
    }

    /// A process of this machine says where the other side is. A link that is up needs no host.
    pub(super) fn on_host_found(&mut self, address: HostAddress) {
        let is_there = self.host.as_ref().is_some_and(|host| *host.address() == address);
        if is_there || self.session.is_up() {
            return;
        }
        tracing::info!(target: "rejoin::signal", host = %address, "the other side is there now");
        self.around.hosts.retain(|known| *known != address);
        self.around.hosts.insert(0, address);
        self.around.client.set_addresses(self.around.hosts.clone());
    }

    /// A connection to a host ended. One that takes connections and never answers is no better than none.
    fn on_unanswered(&mut self, reason: &LossReason, now: Instant) -> Result<(), Error> {
        // A host that says why it closes has answered.
        if matches!(reason, LossReason::Moved | LossReason::Absent | LossReason::Goodbye(_)) {
            return Ok(());
        }
        self.unanswered += 1;
        if !self.unanswered.is_multiple_of(UNANSWERED_MAX * self.around.hosts.len().max(1)) {
            return Ok(());
        }
        let hosts: Vec<String> = self.around.hosts.iter().map(HostAddress::url).collect();
        let text = format!("no host answers ({}): {reason}", hosts.join("; "));
        if !self.is_patient(now) {
            let hint = "check that the address is that of a sender or of `rejoin host`, and no other service";
            return Err(Error::new(ErrorKind::Unreachable, text).with_hint(hint));
        }
        self.session.handle_host_unreachable(text);
        Ok(())
    }

    /// Who has something to continue, or was told to wait, tries on.
    fn is_patient(&self, now: Instant) -> bool {
        let waits = self.around.wait_until.is_some_and(|until| now < until);
        self.was_met || self.session.is_paired() || waits
    }

    /// Every address was tried, and nobody is at any of them: who has something to continue, or was told to wait, tries on.
    fn on_unreachable(
        &mut self,
        errors: &[(HostAddress, ConnectError)],
        retry_in: Duration,
        now: Instant,
    ) -> Result<(), Error> {
        let is_absent = errors.iter().any(|(_, error)| matches!(error, ConnectError::Absent));
        if !is_absent {
            self.session.handle_host_retry(retry_in, now);
        }
        if !self.is_patient(now) {
            return Err(unreachable(errors));
        }
        if !is_absent {
            self.session.handle_host_unreachable(unreachable(errors).message);
        }
        if !self.was_met && self.around.wait_until.is_none() {
            self.farewell = self.farewell.map(|at| at.min(now + FAREWELL_ALONE));
        }
        Ok(())
    }
}
