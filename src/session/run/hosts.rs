//! Where the other side is to be met, as it becomes known during a run.

use super::{RoleActions, Runner};
use crate::signal::code::HostAddress;

impl<R: RoleActions> Runner<R> {
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
}
