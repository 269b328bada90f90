//! Datagrams of a third socket at both ends of a link, with and without a carrier.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::carried::{carried_config, carried_with};
use super::*;
use crate::link::stun::{Class, METHOD_BINDING, made};
use crate::link::{CarrierTokens, PathReport};

async fn path(link: &mut Link) -> PathReport {
    wait_for(link, |event| match event {
        LinkEvent::Path(path) => Some(path.clone()),
        _ => None,
    })
    .await
}

/// Two links of one kind, and the address of each.
async fn pair(has_carrier: bool) -> (Link, Link, [SocketAddr; 2]) {
    let config = if has_carrier { carried_config() } else { config() };
    let tokens = CarrierTokens { outgoing: 2, incoming: 1 };
    let (mut offerer, mut answerer) = carried_with(config, tokens).await;
    let addresses = [path(&mut offerer).await.local, path(&mut answerer).await.local];
    (offerer, answerer, addresses)
}

/// Frames go both ways.
async fn works(offerer: &mut Link, answerer: &mut Link, round: u8) {
    let frame = Bytes::from(vec![round; 20_000]);
    offerer.handle.try_send(Channel::Control, frame.clone()).unwrap();
    answerer.handle.try_send(Channel::Control, frame.clone()).unwrap();
    assert_eq!(answerer.control.recv().await.unwrap(), frame);
    assert_eq!(offerer.control.recv().await.unwrap(), frame);
}

fn record(first: u8, epoch: u8, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut record = vec![first, 0xfe, 0xfd, 0, epoch, 0, 0];
    record.extend(sequence.to_be_bytes());
    record.extend((body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// S-01: one of these 14 bytes silenced a link; S-07: the handshake messages made the stack panic, or slow; and what else a record
/// can be. A-25.
#[tokio::test]
async fn no_record_of_a_stranger_is_heard() {
    bounded(async {
        for has_carrier in [true, false] {
            let (mut offerer, mut answerer, addresses) = pair(has_carrier).await;
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            for round in 0..20_u8 {
                let sequence = 1_000_000 + u32::from(round);
                let empty_message = [14, 0, 0, 0, 0, 4 + round, 0, 0, 0, 0, 0, 0];
                for to in addresses {
                    for datagram in [
                        record(20, 1, sequence, &[1]),
                        record(20, 1, sequence, &[7, 7]),
                        record(21, 0, sequence, &[2, 40]),
                        record(21, 0, sequence, &[1, 0]),
                        record(22, 0, sequence, &empty_message),
                        record(22, 0, sequence, &empty_message.repeat(110)),
                    ] {
                        stranger.send_to(&datagram, to).unwrap();
                    }
                    for first in 0..=255 {
                        stranger
                            .send_to(&record(first, round % 3, sequence, &[0; 40]), to)
                            .unwrap();
                    }
                }
                works(&mut offerer, &mut answerer, round).await;
            }
            assert!(offerer.handle.socket_counts().datagrams_dropped > 1_000);
        }
    })
    .await;
}

/// what looks like STUN, TURN or the carrier. A request that says that it controls changed the stack's role before anybody
/// looked at its signature.
#[tokio::test]
async fn nothing_else_of_a_stranger_is_heard() {
    const ICE_CONTROLLING: u16 = 0x802a;
    const ICE_CONTROLLED: u16 = 0x8029;
    bounded(async {
        for has_carrier in [true, false] {
            let (mut offerer, mut answerer, addresses) = pair(has_carrier).await;
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            for round in 0..20_u8 {
                for to in addresses {
                    for role in [ICE_CONTROLLING, ICE_CONTROLLED] {
                        for password in [None, Some(&b"guessed"[..])] {
                            let attributes: [(u16, &[u8]); 2] =
                                [(0x0006, b"a:b"), (role, &[0xff; 8])];
                            let request = made::message(
                                Class::Request,
                                METHOD_BINDING,
                                [round; 12],
                                &attributes,
                                password,
                            );
                            stranger.send_to(&request, to).unwrap();
                        }
                    }
                    for kind in 0..4 {
                        let mut carried = vec![0x0c, kind];
                        carried.extend([round; 8]);
                        carried.extend([0; 100]);
                        stranger.send_to(&carried, to).unwrap();
                    }
                    let junk: [&[u8]; 7] = [
                        &[],
                        &[0x0c],
                        &[0x0c, 0, 0],
                        &[22; 40],
                        &[64; 9],
                        &[0; 1_400],
                        &[0x40, 0, 0, 4, 20, 0xfe, 0xfd, 0],
                    ];
                    for junk in junk {
                        stranger.send_to(junk, to).unwrap();
                    }
                }
                works(&mut offerer, &mut answerer, round).await;
            }
        }
    })
    .await;
}

/// S-12: the peer names 300 addresses of a third party. Before, each got 50 checks a second from each of ours.
#[tokio::test]
async fn a_third_party_that_the_peer_names_gets_few_checks() {
    const SECONDS: u64 = 4;
    bounded(async {
        let mut hostile = LinkDriver::start(config()).await.unwrap();
        let victim = LinkDriver::start(config()).await.unwrap();
        hostile.handle.command(LinkCommand::Offer).unwrap();
        let (offer, _) = description(&mut hostile).await;
        let third: Vec<_> = (0..300).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let lines = third.iter().map(|socket| {
            let port = socket.local_addr().unwrap().port();
            format!("a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n")
        });
        let (before, after) = offer.split_once("a=candidate:").unwrap();
        let offer = format!("{before}{}a=candidate:{after}", lines.collect::<String>());
        victim.handle.command(LinkCommand::Answer { offer }).unwrap();
        tokio::time::sleep(Duration::from_secs(SECONDS)).await;
        let (mut named, mut received) = (0, 0);
        for socket in &third {
            socket.set_nonblocking(true).unwrap();
            let count = std::iter::from_fn(|| socket.recv(&mut [0; 2_000]).ok()).count();
            named += usize::from(count > 0);
            received += count as u64;
        }
        assert!((1..=16).contains(&named), "{named}");
        assert!(received <= 16 + 2 * 100 + (SECONDS - 2) * 10 + 5, "{received}");
        assert!(victim.handle.socket_counts().datagrams_withheld > 100);
    })
    .await;
}

/// N-11: a NAT forgets a binding after 30 s without a datagram; here none lasts for 5 s, at either end.
#[tokio::test]
async fn an_idle_link_keeps_its_binding() {
    bounded(async {
        for has_carrier in [true, false] {
            let (offerer, answerer, _) = pair(has_carrier).await;
            for link in [&offerer, &answerer] {
                let sent = || link.handle.socket_counts().datagrams_sent;
                // What set-up has left to say.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let before = sent();
                tokio::time::timeout(Duration::from_secs(5), async {
                    while sent() == before {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                })
                .await
                .expect("nothing goes out");
            }
        }
    })
    .await;
}

/// Before the handshake is over everybody can send what only the peer should.
#[tokio::test]
async fn a_link_is_set_up_under_fire() {
    bounded(async {
        for has_carrier in [true, false] {
            let config = if has_carrier { carried_config() } else { config() };
            let mut offerer = LinkDriver::start(config.clone()).await.unwrap();
            let mut answerer = LinkDriver::start(config).await.unwrap();
            for (link, outgoing, incoming) in [(&offerer, 1, 2), (&answerer, 2, 1)] {
                let tokens = CarrierTokens { outgoing, incoming };
                link.handle.command(LinkCommand::Carry(tokens)).unwrap();
            }
            offerer.handle.command(LinkCommand::Offer).unwrap();
            let (offer, _) = description(&mut offerer).await;
            let mut targets = vec![(port(&offer), offerer.handle.clone())];
            answerer.handle.command(LinkCommand::Answer { offer }).unwrap();
            let (answer, _) = description(&mut answerer).await;
            targets.push((port(&answer), answerer.handle.clone()));
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = Arc::clone(&stop);
            let firing = std::thread::spawn(move || fire(&targets, &stopped));
            offerer.handle.command(LinkCommand::AcceptAnswer { answer }).unwrap();
            opened(&mut offerer).await;
            opened(&mut answerer).await;
            works(&mut offerer, &mut answerer, 1).await;
            stop.store(true, Ordering::Relaxed);
            assert!(firing.join().unwrap() > 1_000);
        }
    })
    .await;

    /// Fires as fast as a target reads: what overflows the buffer of a socket is the system's to lose, the peer's datagrams with it.
    /// Returns how many datagrams it sent.
    fn fire(targets: &[(SocketAddr, LinkHandle)], stopped: &AtomicBool) -> u64 {
        const UNREAD_MAX: u64 = 500;
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sent = vec![0; targets.len()];
        while !stopped.load(Ordering::Relaxed) {
            for ((to, link), sent) in targets.iter().zip(&mut sent) {
                if *sent > link.socket_counts().datagrams_received + UNREAD_MAX {
                    std::thread::yield_now();
                    continue;
                }
                for (first, body) in
                    [(20, &[1][..]), (21, &[2, 40]), (22, &[1; 60]), (23, &[0; 30])]
                {
                    for epoch in 0..=1 {
                        stranger.send_to(&record(first, epoch, 1, body), to).unwrap();
                        *sent += 1;
                    }
                }
            }
        }
        sent.iter().sum()
    }

    fn port(sdp: &str) -> SocketAddr {
        let line = sdp.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
        let port = line.split(' ').nth(5).unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}
