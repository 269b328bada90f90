//! Hosts during a run: what they say, when they are gone, and where the other side is to be met, as it becomes known.

use super::edges::unreachable;
use super::timeline::Step;
use super::{RoleActions, Runner};
use crate::error::{Error, ErrorKind};
use crate::signal::client::{ClientEvent, ConnectError, LossReason};
use crate::signal::code::HostAddress;
use std::time::{Duration, Instant};

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
                self.on_unanswered(&reason, now);
            }
            Some(ClientEvent::Unreachable { errors, retry_in }) => {
                self.on_unreachable(&errors, retry_in, now);
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

    /// A connection to a host ended; a host that says why has answered.
    fn on_unanswered(&mut self, reason: &LossReason, now: Instant) {
        if matches!(reason, LossReason::Moved | LossReason::Absent | LossReason::Goodbye(_)) {
            return;
        }
        let hosts: Vec<String> = self.around.hosts.iter().map(HostAddress::url).collect();
        let text = format!("no host answers ({}): {reason}", hosts.join("; "));
        let hint =
            "check that the address is that of a sender or of `rejoin host`, and no other service";
        let error = Error::new(ErrorKind::Unreachable, text).with_hint(hint);
        self.session.handle_unanswered(hosts.len(), error, now);
    }

    /// Every address was tried, and nobody is at any of them.
    fn on_unreachable(
        &mut self,
        errors: &[(HostAddress, ConnectError)],
        retry_in: Duration,
        now: Instant,
    ) {
        let is_absent = errors.iter().any(|(_, error)| matches!(error, ConnectError::Absent));
        if !is_absent {
            self.session.handle_host_retry(retry_in, now);
        }
        self.session.handle_nobody_there(unreachable(errors), is_absent, now);
    }
}
