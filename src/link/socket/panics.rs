//! A panic in what a link runs ends that link, and neither the process nor another link: the owner is told, and connects anew.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::watch;

/// Learns of panics in the tasks of one link: the stack's own, and ours.
#[derive(Clone, Debug, Default)]
pub struct PanicWatch(Arc<watch::Sender<bool>>);

impl PanicWatch {
    /// `task`, whose panic is told. What it shared may be half changed: nothing of the link is used after that.
    pub fn guard<F: Future<Output = ()>>(&self, task: F) -> impl Future<Output = ()> + use<F> {
        let told = Arc::clone(&self.0);
        async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(target: "rejoin::lifecycle", "a task of the link panicked");
                told.send_replace(true);
            }
        }
    }

    /// Waits for the first panic. Cancel safe.
    pub async fn panicked(&self) {
        // The sender is ours, so it is there.
        let _ = self.0.subscribe().wait_for(|told| *told).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_goes_no_further() {
        let panics = PanicWatch::default();
        tokio::spawn(panics.guard(async {})).await.unwrap();
        assert!(panics.panicked().now_or_never().is_none());
        tokio::spawn(panics.guard(async { panic!("on purpose") })).await.unwrap();
        panics.panicked().await;
        panics.panicked().await;
    }
}
