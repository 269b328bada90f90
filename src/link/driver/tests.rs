//! Two drivers in one process, over loopback, with signaling by channels.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the event it waits for")]

mod carried;
mod channels;
mod strangers;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::link::credit::DATA_FRAMES;
use crate::link::{Candidate, CloseReason, IceState, LinkCommand, LinkError, LinkEvent, PathKind};

/// Bound of a whole test: a link that hangs must fail, not stall the run.
const TEST_BOUND: Duration = Duration::from_secs(30);

fn config() -> LinkConfig {
    LinkConfig { loopback_only: true, ..Default::default() }
}

/// Waits for the first event that `wanted` maps to something; the others are dropped.
async fn wait_for<T>(link: &mut Link, mut wanted: impl FnMut(&LinkEvent) -> Option<T>) -> T {
    loop {
        let event = link.events.recv().await.expect("link ended before the event came");
        if let Some(found) = wanted(&event) {
            return found;
        }
        assert!(!matches!(event, LinkEvent::Closed { .. }), "{event:?}");
    }
}

async fn description(link: &mut Link) -> (String, bool) {
    wait_for(link, |event| match event {
        LinkEvent::LocalDescription { sdp, ice_restart } => Some((sdp.clone(), *ice_restart)),
        _ => None,
    })
    .await
}

async fn opened(link: &mut Link) {
    wait_for(link, |event| (*event == LinkEvent::Open).then_some(())).await;
}

/// One exchange of offer and answer; returns whether each was an ICE restart.
async fn negotiate(offerer: &mut Link, answerer: &mut Link, first: LinkCommand) -> (bool, bool) {
    offerer.handle.command(first).unwrap();
    let (offer, offer_restarts) = description(offerer).await;
    answerer.handle.command(LinkCommand::Answer { offer }).unwrap();
    let (answer, answer_restarts) = description(answerer).await;
    offerer.handle.command(LinkCommand::AcceptAnswer { answer }).unwrap();
    (offer_restarts, answer_restarts)
}

async fn connected() -> (Link, Link) {
    connected_with(config()).await
}

async fn connected_with(config: LinkConfig) -> (Link, Link) {
    let mut offerer = LinkDriver::start(config.clone()).await.unwrap();
    let mut answerer = LinkDriver::start(config).await.unwrap();
    negotiate(&mut offerer, &mut answerer, LinkCommand::Offer).await;
    opened(&mut offerer).await;
    opened(&mut answerer).await;
    (offerer, answerer)
}

fn receiver(link: &mut Link, channel: Channel) -> &mut FrameReceiver {
    match channel {
        Channel::Control => &mut link.control,
        Channel::Pulse => &mut link.pulse,
        Channel::Data => &mut link.data,
    }
}

fn send_error(link: &Link, channel: Channel, frame: Bytes) -> Option<LinkError> {
    link.handle.try_send(channel, frame).err().map(|unsent| unsent.error)
}

async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(TEST_BOUND, test).await.expect("test took too long")
}

#[tokio::test]
async fn frames_travel_both_ways_on_every_channel() {
    bounded(async {
        let (mut offerer, mut answerer) = connected().await;
        let lengths = [1, 100, 1200, 16_384, FRAME_BYTES_MAX];
        for channel in Channel::ALL {
            for (index, length) in lengths.into_iter().enumerate() {
                let frame = Bytes::from(vec![index as u8; length]);
                offerer.handle.try_send(channel, frame.clone()).unwrap();
                assert_eq!(receiver(&mut answerer, channel).recv().await.unwrap(), frame);
                answerer.handle.try_send(channel, frame.clone()).unwrap();
                assert_eq!(receiver(&mut offerer, channel).recv().await.unwrap(), frame);
            }
        }
        let too_long = Bytes::from(vec![0; FRAME_BYTES_MAX + 1]);
        assert_eq!(send_error(&offerer, Channel::Data, too_long), Some(LinkError::FrameTooLong));
    })
    .await;
}

#[tokio::test]
async fn frames_sent_before_open_arrive_in_order() {
    bounded(async {
        let mut offerer = LinkDriver::start(config()).await.unwrap();
        let mut answerer = LinkDriver::start(config()).await.unwrap();
        for number in 0..100_u8 {
            offerer.handle.try_send(Channel::Control, Bytes::from(vec![number])).unwrap();
        }
        negotiate(&mut offerer, &mut answerer, LinkCommand::Offer).await;
        opened(&mut answerer).await;
        // Nobody read while they arrived (K-40).
        for number in 0..100_u8 {
            assert_eq!(answerer.control.recv().await.unwrap(), vec![number]);
        }
    })
    .await;
}

#[tokio::test]
async fn path_is_reported() {
    bounded(async {
        let mut offerer = LinkDriver::start(config()).await.unwrap();
        let mut answerer = LinkDriver::start(config()).await.unwrap();
        negotiate(&mut offerer, &mut answerer, LinkCommand::Offer).await;
        let path = |event: &LinkEvent| match event {
            LinkEvent::Path(path) => Some(path.clone()),
            _ => None,
        };
        let near = wait_for(&mut offerer, path).await;
        let far = wait_for(&mut answerer, path).await;
        assert_eq!(near.kind, PathKind::Direct);
        assert_eq!((near.local, near.remote), (far.remote, far.local));
        assert!(near.local.ip().is_loopback());
    })
    .await;
}

#[tokio::test]
async fn set_up_never_fails() {
    bounded(async {
        for _ in 0..20 {
            let (offerer, answerer) = connected().await;
            offerer.handle.close().await;
            answerer.handle.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn set_up_works_with_every_local_address() {
    bounded(async {
        connected_with(LinkConfig::default()).await;
    })
    .await;
}

#[tokio::test]
async fn unread_data_stalls_its_sender_and_nothing_else() {
    bounded(async {
        let (mut offerer, mut answerer) = connected().await;
        let frame = Bytes::from(vec![7; FRAME_BYTES_MAX]);

        // Everything that was taken is in the window, in the queue, or with the pump that waits for credit.
        let queue_frames = (handle::QUEUE_BYTES_MAX / FRAME_BYTES_MAX) as u64;
        let mut accepted = 0;
        while accepted < DATA_FRAMES + queue_frames {
            match offerer.handle.try_send(Channel::Data, frame.clone()) {
                Ok(()) => accepted += 1,
                Err(unsent) => {
                    assert_eq!(
                        (unsent.error, unsent.frame.len()),
                        (LinkError::Full, FRAME_BYTES_MAX)
                    );
                    tokio::task::yield_now().await;
                }
            }
        }
        assert_eq!(send_error(&offerer, Channel::Data, frame.clone()), Some(LinkError::Full));

        // Control and pulse go on, both ways.
        for number in 0..200_u8 {
            for channel in [Channel::Control, Channel::Pulse] {
                offerer.handle.try_send(channel, Bytes::from(vec![number])).unwrap();
                assert_eq!(receiver(&mut answerer, channel).recv().await.unwrap(), vec![number]);
                answerer.handle.try_send(channel, Bytes::from(vec![number])).unwrap();
                assert_eq!(receiver(&mut offerer, channel).recv().await.unwrap(), vec![number]);
            }
        }
        assert_eq!(send_error(&offerer, Channel::Data, frame.clone()), Some(LinkError::Full));

        // Reading lets the sender go on.
        for _ in 0..accepted {
            assert_eq!(answerer.data.recv().await.unwrap(), frame);
        }
        offerer.handle.writable(Channel::Data).await;
        offerer.handle.try_send(Channel::Data, frame.clone()).unwrap();
        assert_eq!(answerer.data.recv().await.unwrap(), frame);
    })
    .await;
}

#[tokio::test]
async fn progress_counts_what_the_peer_has() {
    bounded(async {
        let (offerer, mut answerer) = connected().await;
        let total = 64 * FRAME_BYTES_MAX as u64;
        let sender = offerer.handle.clone();
        let sending = tokio::spawn(async move {
            for _ in 0..64 {
                let frame = Bytes::from(vec![1; FRAME_BYTES_MAX]);
                while sender.try_send(Channel::Data, frame.clone()).is_err() {
                    sender.writable(Channel::Data).await;
                }
            }
        });
        for _ in 0..64 {
            answerer.data.recv().await.unwrap();
        }
        sending.await.unwrap();
        let progress = offerer.handle.progress(Channel::Data);
        assert_eq!(progress.accepted, total);
        assert!(progress.acknowledged <= total);
        assert_eq!(offerer.handle.outstanding_bytes(), total - progress.acknowledged);
        let counts = answerer.handle.socket_counts();
        assert!(
            counts.bytes_received > total && counts.datagrams_received > total / 1500,
            "{counts:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_small_send_limit_still_delivers() {
    bounded(async {
        let (offerer, mut answerer) = connected().await;
        offerer.handle.set_send_limit(0);
        let sender = offerer.handle.clone();
        tokio::spawn(async move {
            for number in 0..64_u8 {
                let frame = Bytes::from(vec![number; FRAME_BYTES_MAX]);
                while sender.try_send(Channel::Data, frame.clone()).is_err() {
                    sender.writable(Channel::Data).await;
                }
            }
        });
        for number in 0..64_u8 {
            assert_eq!(answerer.data.recv().await.unwrap()[0], number);
        }
    })
    .await;
}

#[tokio::test]
async fn close_delivers_the_last_word_and_is_noticed() {
    bounded(async {
        let (mut offerer, mut answerer) = connected().await;
        let goodbye = Bytes::from_static(b"goodbye");
        offerer.handle.try_send(Channel::Control, goodbye.clone()).unwrap();
        offerer.handle.close().await;

        let reason = wait_for(&mut answerer, |event| match event {
            LinkEvent::Closed { reason } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert_eq!(reason, CloseReason::Peer);
        assert_eq!(answerer.control.recv().await.unwrap(), goodbye);
        assert_eq!(answerer.control.recv().await, None);

        let last = wait_for(&mut offerer, |event| {
            matches!(event, LinkEvent::Closed { .. }).then(|| event.clone())
        });
        assert_eq!(last.await, LinkEvent::Closed { reason: CloseReason::Local });
        assert_eq!(offerer.events.recv().await, None);
        for link in [&offerer, &answerer] {
            assert_eq!(send_error(link, Channel::Pulse, Bytes::new()), Some(LinkError::Closed));
            assert_eq!(link.handle.command(LinkCommand::Offer), Err(LinkError::Closed));
            // Waits for nothing, twice.
            link.handle.writable(Channel::Data).await;
            link.handle.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_link_that_is_dropped_closes() {
    bounded(async {
        let (offerer, mut answerer) = connected().await;
        drop(offerer);
        wait_for(&mut answerer, |event| matches!(event, LinkEvent::Closed { .. }).then_some(()))
            .await;
    })
    .await;
}

#[tokio::test]
async fn candidates_before_their_description_are_kept() {
    bounded(async {
        let mut offerer = LinkDriver::start(config()).await.unwrap();
        let mut answerer = LinkDriver::start(config()).await.unwrap();
        // The host candidates travel ahead of descriptions that hold none.
        let strip = |sdp: &str| {
            let (candidates, rest): (Vec<_>, Vec<_>) =
                sdp.split_inclusive("\r\n").partition(|line| line.starts_with("a=candidate:"));
            assert!(!candidates.is_empty());
            let trickled: Vec<_> = candidates
                .iter()
                .map(|line| Candidate {
                    candidate: line.trim_start_matches("a=").trim_end().to_owned(),
                    sdp_mid: Some("0".to_owned()),
                    sdp_mline_index: Some(0),
                })
                .collect();
            (rest.concat(), trickled)
        };
        offerer.handle.command(LinkCommand::Offer).unwrap();
        let (offer, early) = strip(&description(&mut offerer).await.0);
        for candidate in early {
            answerer.handle.command(LinkCommand::AddCandidate(candidate)).unwrap();
        }
        answerer.handle.command(LinkCommand::Answer { offer }).unwrap();
        let (answer, early) = strip(&description(&mut answerer).await.0);
        for candidate in early {
            offerer.handle.command(LinkCommand::AddCandidate(candidate)).unwrap();
        }
        offerer.handle.command(LinkCommand::AcceptAnswer { answer }).unwrap();
        opened(&mut offerer).await;
        opened(&mut answerer).await;
    })
    .await;
}

#[tokio::test]
async fn ice_restart_keeps_the_channels() {
    bounded(async {
        let (mut offerer, mut answerer) = connected().await;
        let before = wait_for(&mut offerer, path).await;
        let restarts = negotiate(&mut offerer, &mut answerer, LinkCommand::RestartIce).await;
        assert_eq!(restarts, (true, true));
        let after = wait_for(&mut offerer, path).await;
        assert_ne!(before.local, after.local, "new sockets");
        for channel in Channel::ALL {
            offerer.handle.try_send(channel, Bytes::from_static(b"still here")).unwrap();
            assert_eq!(receiver(&mut answerer, channel).recv().await.unwrap(), "still here");
        }
    })
    .await;

    fn path(event: &LinkEvent) -> Option<crate::link::PathReport> {
        match event {
            LinkEvent::Path(path) => Some(path.clone()),
            _ => None,
        }
    }
}

#[tokio::test]
async fn nonsense_from_the_peer_closes_and_never_panics() {
    bounded(async {
        for sdp in
            ["", "v=0", "nonsense\r\n", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"]
        {
            for command in [
                LinkCommand::Answer { offer: sdp.to_owned() },
                LinkCommand::AcceptAnswer { answer: sdp.to_owned() },
            ] {
                let mut link = LinkDriver::start(config()).await.unwrap();
                link.handle.command(command).unwrap();
                link.handle.command(LinkCommand::Close).unwrap();
                wait_for(&mut link, |event| {
                    matches!(event, LinkEvent::Closed { .. }).then_some(())
                })
                .await;
            }
        }
        let link = LinkDriver::start(config()).await.unwrap();
        let candidate =
            Candidate { candidate: "x".repeat(2000), sdp_mid: None, sdp_mline_index: None };
        let refused = link.handle.command(LinkCommand::AddCandidate(candidate));
        assert_eq!(refused, Err(LinkError::SignalTooLong));
    })
    .await;
}

#[tokio::test]
async fn a_bad_candidate_does_no_harm() {
    bounded(async {
        let mut offerer = LinkDriver::start(config()).await.unwrap();
        let mut answerer = LinkDriver::start(config()).await.unwrap();
        for line in [
            "",
            "candidate:",
            "candidate:1 1 udp x",
            "candidate:1 1 udp 1 300.0.0.1 99999 typ host",
        ] {
            let bad =
                Candidate { candidate: line.to_owned(), sdp_mid: None, sdp_mline_index: None };
            answerer.handle.command(LinkCommand::AddCandidate(bad)).unwrap();
        }
        negotiate(&mut offerer, &mut answerer, LinkCommand::Offer).await;
        opened(&mut answerer).await;
        wait_for(&mut offerer, |event| {
            (*event == LinkEvent::Ice(IceState::Connected)).then_some(())
        })
        .await;
    })
    .await;
}
