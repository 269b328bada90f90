//! What others leave on this machine for a run that waits: where its sender listens now, and invitations.

use super::surroundings;
use crate::platform::OsDirectory;
use crate::signal::RoomName;
use crate::signal::code::{Code, HostAddress};
use crate::store::invitation;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two looks: a small file or two, read off the loop's thread.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What a run is told.
#[derive(Debug)]
pub(super) enum News {
    /// Its sender is at this host.
    Host(HostAddress),
    /// Its user invites a receiver.
    Invitation(Code),
}

/// Looks for the first of `rooms` that a process of this machine publishes, until nobody listens any more.
pub(super) fn watch_rooms(rooms: Vec<RoomName>, feed: mpsc::Sender<News>) {
    tokio::spawn(async move {
        let mut known = None;
        loop {
            let rooms = rooms.clone();
            let look = move || rooms.into_iter().find_map(surroundings::find_published);
            let Ok(found) = surroundings::blocking(look).await else { return };
            if let Some(address) = found
                && known.as_ref() != Some(&address)
            {
                known = Some(address.clone());
                if feed.send(News::Host(address)).await.is_err() {
                    return;
                }
            }
            if !pause(&feed).await {
                return;
            }
        }
    });
}

/// Looks for invitations in the session's directory, until nobody listens any more.
pub(super) fn watch_invitations(directory: OsDirectory, feed: mpsc::Sender<News>) {
    tokio::spawn(async move {
        let mut known = None;
        loop {
            let directory = directory.clone();
            let look = move || invitation::read(&directory, surroundings::unix_time());
            match surroundings::blocking(look).await {
                Ok(Ok(Some(found))) if known.as_ref() != Some(&found) => {
                    match found.code.parse() {
                        Ok(code) => {
                            if feed.send(News::Invitation(code)).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => {
                            tracing::warn!(target: "rejoin::store", %error, "an invitation without a code");
                        }
                    }
                    known = Some(found);
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(target: "rejoin::store", %error, "no invitation can be read");
                }
                Err(_) => return,
            }
            if !pause(&feed).await {
                return;
            }
        }
    });
}

/// Waits for the next look; `false` where nobody listens any more.
async fn pause(feed: &mpsc::Sender<News>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(LOOK_INTERVAL) => true,
        () = feed.closed() => false,
    }
}
