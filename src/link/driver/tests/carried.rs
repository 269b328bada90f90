//! The same with a carrier below DTLS.

use super::*;
use crate::link::CarrierTokens;
use crate::link::cable;
use crate::link::config::CarrierSettings;

pub(super) fn carried_config() -> LinkConfig {
    LinkConfig { carrier: Some(CarrierSettings::default()), ..config() }
}

/// Two links with a carrier, open; `config` and the tokens of the answerer may differ.
pub(super) async fn carried_with(
    config: LinkConfig,
    answerer_tokens: CarrierTokens,
) -> (Link, Link) {
    let mut offerer = LinkDriver::start(config.clone()).await.unwrap();
    let mut answerer = LinkDriver::start(config).await.unwrap();
    let tokens = CarrierTokens { outgoing: 1, incoming: 2 };
    offerer.handle.command(LinkCommand::Carry(tokens)).unwrap();
    answerer.handle.command(LinkCommand::Carry(answerer_tokens)).unwrap();
    negotiate(&mut offerer, &mut answerer, LinkCommand::Offer).await;
    (offerer, answerer)
}

async fn carried() -> (Link, Link) {
    let tokens = CarrierTokens { outgoing: 2, incoming: 1 };
    let (mut offerer, mut answerer) = carried_with(carried_config(), tokens).await;
    opened(&mut offerer).await;
    opened(&mut answerer).await;
    (offerer, answerer)
}

#[tokio::test]
async fn frames_travel_both_ways_over_a_carrier() {
    bounded(async {
        let (mut offerer, mut answerer) = carried().await;
        for channel in Channel::ALL {
            for (index, length) in [1, 1200, 16_384, FRAME_BYTES_MAX].into_iter().enumerate() {
                let frame = Bytes::from(vec![index as u8; length]);
                offerer.handle.try_send(channel, frame.clone()).unwrap();
                assert_eq!(receiver(&mut answerer, channel).recv().await.unwrap(), frame);
                answerer.handle.try_send(channel, frame.clone()).unwrap();
                assert_eq!(receiver(&mut offerer, channel).recv().await.unwrap(), frame);
            }
        }
    })
    .await;
}

/// What waits for the opening leaves at once, and reaches a stack that has read the handshake's last word in the same go.
#[tokio::test]
async fn the_first_words_of_both_sides_arrive() {
    bounded(async {
        for round in 0..40 {
            let config = if round % 2 == 0 { carried_config() } else { config() };
            let mut offerer = LinkDriver::start(config.clone()).await.unwrap();
            let mut answerer = LinkDriver::start(config).await.unwrap();
            for (link, tokens) in [(&offerer, [1, 2]), (&answerer, [2, 1])] {
                let [outgoing, incoming] = tokens;
                link.handle
                    .command(LinkCommand::Carry(CarrierTokens { outgoing, incoming }))
                    .unwrap();
                for channel in Channel::ALL {
                    link.handle.try_send(channel, Bytes::from_static(b"first")).unwrap();
                }
            }
            negotiate(&mut offerer, &mut answerer, LinkCommand::Offer).await;
            for link in [&mut offerer, &mut answerer] {
                for channel in Channel::ALL {
                    let word = tokio::time::timeout(
                        Duration::from_secs(3),
                        receiver(link, channel).recv(),
                    );
                    let word = word.await.unwrap_or_else(|_| panic!("lost: {round} {channel:?}"));
                    assert_eq!(word.unwrap(), "first");
                }
            }
        }
    })
    .await;
}

/// The end of the connection does not come of an outage of two seconds, and nothing is missing after it.
#[tokio::test]
async fn a_cut_of_two_seconds_is_survived_in_the_same_connection() {
    bounded(async {
        let (offerer, mut answerer) = carried().await;
        let count = 400_u32;
        let send = async {
            for number in 0..count {
                let mut frame = vec![0; 32 * 1024];
                frame[..4].copy_from_slice(&number.to_be_bytes());
                let mut frame = Bytes::from(frame);
                while let Err(unsent) = offerer.handle.try_send(Channel::Data, frame) {
                    assert_eq!(unsent.error, LinkError::Full);
                    frame = unsent.frame;
                    offerer.handle.writable(Channel::Data).await;
                }
            }
        };
        let receive = async {
            for number in 0..count {
                if number == 50 {
                    cable::cut(true);
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    cable::cut(false);
                }
                let frame = answerer.data.recv().await.unwrap();
                assert_eq!(frame[..4], number.to_be_bytes());
            }
        };
        tokio::join!(send, receive);
    })
    .await;
}

/// The last records leave before the socket is gone: else the peer waits for what will not come.
#[tokio::test]
async fn the_end_of_a_carried_link_is_heard_at_once() {
    bounded(async {
        for _ in 0..10 {
            let (mut offerer, answerer) = carried().await;
            answerer.handle.close_now().await;
            let ended = wait_for(&mut offerer, |event| match event {
                LinkEvent::Closed { reason } => Some(reason.clone()),
                _ => None,
            });
            let ended = tokio::time::timeout(Duration::from_secs(2), ended).await;
            assert_eq!(ended.expect("it is not heard"), CloseReason::Peer);
        }
    })
    .await;
}

/// Who does not know the tokens is not heard: no channel opens, and the link does not end.
#[tokio::test]
async fn other_tokens_carry_nothing() {
    bounded(async {
        let tokens = CarrierTokens { outgoing: 2, incoming: 9 };
        let (mut offerer, _answerer) = carried_with(carried_config(), tokens).await;
        let opening = tokio::time::timeout(Duration::from_secs(1), opened(&mut offerer));
        assert!(opening.await.is_err());
    })
    .await;
}

/// A restart binds new sockets; the carrier goes on where it was.
#[tokio::test]
async fn a_carrier_survives_an_ice_restart() {
    bounded(async {
        let (mut offerer, mut answerer) = carried().await;
        let frames: Vec<_> = (0..60_u8).map(|number| Bytes::from(vec![number; 20_000])).collect();
        for frame in &frames[..30] {
            offerer.handle.try_send(Channel::Control, frame.clone()).unwrap();
        }
        negotiate(&mut offerer, &mut answerer, LinkCommand::RestartIce).await;
        for frame in &frames[30..] {
            offerer.handle.try_send(Channel::Control, frame.clone()).unwrap();
        }
        for frame in &frames {
            assert_eq!(answerer.control.recv().await.unwrap(), frame);
        }
    })
    .await;
}

/// The stack's clock runs while a new path is looked for, though the carrier waits since the old one was cut.
#[tokio::test]
async fn a_restart_after_a_silence_finds_its_path_at_once() {
    bounded(async {
        let (mut offerer, mut answerer) = carried().await;
        let frame = Bytes::from(vec![1; 2_000]);
        for link in [&mut offerer, &mut answerer] {
            link.handle.try_send(Channel::Control, frame.clone()).unwrap();
        }
        assert_eq!(offerer.control.recv().await.unwrap(), frame);
        assert_eq!(answerer.control.recv().await.unwrap(), frame);
        cable::cut(true);
        for link in [&mut offerer, &mut answerer] {
            link.handle.try_send(Channel::Control, frame.clone()).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        negotiate(&mut offerer, &mut answerer, LinkCommand::RestartIce).await;
        cable::cut(false);
        let is_back =
            |event: &LinkEvent| matches!(event, LinkEvent::Ice(IceState::Connected)).then_some(());
        let back = async {
            wait_for(&mut offerer, is_back).await;
            wait_for(&mut answerer, is_back).await;
        };
        tokio::time::timeout(Duration::from_millis(1_500), back).await.expect("the clock runs");
        assert_eq!(offerer.control.recv().await.unwrap(), frame);
        assert_eq!(answerer.control.recv().await.unwrap(), frame);
    })
    .await;
}
