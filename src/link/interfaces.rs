//! I/O: which addresses this machine has, and when that changes.
//!
//! Asked for every 2 s (C-15) by the interface list that the stack brings along: a netlink crate would bring a dozen more
//! crates to learn of it two seconds sooner.

use super::socket;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Follows the addresses of this machine. Dropping it ends the task.
#[derive(Debug)]
pub struct InterfaceWatch {
    addresses: watch::Receiver<Vec<IpAddr>>,
    task: JoinHandle<()>,
}

impl InterfaceWatch {
    /// Starts to look.
    #[must_use]
    pub fn start() -> Self {
        let (sender, addresses) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            loop {
                // The list comes from the system, which may take its time.
                let found = tokio::task::spawn_blocking(socket::interface_addresses).await;
                if let Ok(Ok(mut found)) = found {
                    found.sort_unstable();
                    found.dedup();
                    sender.send_if_modified(|known| {
                        let is_news = *known != found;
                        *known = found;
                        is_news
                    });
                }
                if sender.is_closed() {
                    return;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { addresses, task }
    }

    /// All usable addresses, each time they differ from before; the first answer comes at once. Cancel safe.
    pub async fn changed(&mut self) -> Vec<IpAddr> {
        match self.addresses.changed().await {
            Ok(()) => self.addresses.borrow_and_update().clone(),
            // Only at the end of the runtime.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for InterfaceWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_what_there_is_once() {
        let mut watch = InterfaceWatch::start();
        let first = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap();
        assert!(first.iter().any(|address| address.is_loopback()), "{first:?}");
        let again = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(again.is_err(), "{again:?}");
    }
}
