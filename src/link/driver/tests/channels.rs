//! Channels besides those that both ends agree on.

use super::*;
use crate::link::CarrierTokens;
use crate::link::config::CarrierSettings;

/// a peer that opens a channel of its own, and any number of them, with content on each, loses the link at once: the stack would
/// keep what nobody reads.
#[tokio::test]
async fn a_peer_that_opens_channels_of_its_own_loses_the_link() {
    bounded(async {
        for carrier in [None, Some(CarrierSettings::default())] {
            let config = LinkConfig { carrier, ..config() };
            let (mut hostile, connection) = LinkDriver::start_with(config.clone()).await.unwrap();
            let mut honest = LinkDriver::start(config).await.unwrap();
            for (link, [outgoing, incoming]) in [(&hostile, [1, 2]), (&honest, [2, 1])] {
                let tokens = CarrierTokens { outgoing, incoming };
                link.handle.command(LinkCommand::Carry(tokens)).unwrap();
            }
            negotiate(&mut hostile, &mut honest, LinkCommand::Offer).await;
            opened(&mut hostile).await;
            opened(&mut honest).await;
            let attack = async {
                for number in 0..10_000 {
                    let made = connection.create_data_channel(&format!("{number}"), None).await;
                    let Ok(channel) = made else { break };
                    // It may not be open yet, or over.
                    let _ = channel.send(vec![7; 1_000].as_slice().into()).await;
                }
                std::future::pending::<()>().await;
            };
            let closed = async {
                loop {
                    match honest.events.recv().await {
                        Some(LinkEvent::Closed { reason }) => return reason,
                        Some(_) => {}
                        None => panic!("it ended without a word"),
                    }
                }
            };
            tokio::select! {
                reason = closed => assert!(matches!(reason, CloseReason::Violation(_)), "{reason:?}"),
                () = attack => {}
            }
        }
    })
    .await;
}
