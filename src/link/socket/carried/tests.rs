//! Carried sockets without a stack: records in, records out.

use std::future::poll_fn;

use webrtc::runtime::Runtime as _;

use super::*;
use crate::link::socket::LinkRuntime;
use crate::link::socket::buffers::BufferRequest;
use crate::link::stun::{Class, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, made};

type Socket = Arc<dyn AsyncUdpSocket>;

const TOKENS: [CarrierTokens; 2] =
    [CarrierTokens { outgoing: 1, incoming: 2 }, CarrierTokens { outgoing: 2, incoming: 1 }];

/// What admits checks between the two: both have the same password.
const DESCRIPTION: &str = "a=ice-ufrag:both\r\na=ice-pwd:a password that both have\r\n";

fn check(number: u8) -> Vec<u8> {
    made::check([number; 12], "both:both", "a password that both have")
}

fn described(runtime: &LinkRuntime) {
    runtime.set_local_description(DESCRIPTION);
    runtime.set_remote_description(DESCRIPTION);
}

fn carried(tokens: CarrierTokens) -> (LinkRuntime, Socket) {
    let request = BufferRequest { bytes: 1024 * 1024, force: false };
    let runtime = LinkRuntime::new(request).with_carrier(CarrierSettings::default(), None);
    runtime.carry(tokens);
    described(&runtime);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = runtime.wrap_udp_socket(socket).unwrap();
    (runtime, socket)
}

/// Application data (RFC 6347 §4.1), as far as anybody below DTLS looks.
fn record(number: u8, length: usize) -> Vec<u8> {
    let mut record = vec![number; length];
    record[0] = 23;
    record
}

/// Datagrams as the stack would see them, and where they are from.
async fn receive(socket: &Socket) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 96_000];
    let mut meta = [RecvMeta::default()];
    poll_fn(|context| socket.poll_recv(context, &mut [IoSliceMut::new(&mut buffer)], &mut meta))
        .await
        .unwrap();
    let [meta] = meta;
    buffer[..meta.len].chunks(meta.stride).map(|part| (part.to_vec(), meta.addr)).collect()
}

async fn receive_all(socket: &Socket, count: usize) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(receive(socket).await);
    }
    all
}

#[tokio::test]
async fn records_of_any_length_arrive_as_they_were_and_other_datagrams_pass() {
    let (near_runtime, near) = carried(TOKENS[0]);
    let (far_runtime, far) = carried(TOKENS[1]);
    let to = far.local_addr().unwrap();
    let lengths = [14, 16_037, 16_037, 16_037, 16_037, 16_037, 16_037, 900, 1_200, 16_384, 60, 60];
    let records: Vec<_> =
        lengths.iter().enumerate().map(|(number, length)| record(number as u8, *length)).collect();
    for record in &records {
        assert_eq!(near.send_to(record, to).await.unwrap(), record.len());
    }
    let arrived = receive_all(&far, records.len()).await;
    let from = near.local_addr().unwrap();
    for (arrived, record) in arrived.iter().zip(&records) {
        assert_eq!(arrived, &(record.clone(), from));
    }
    assert_eq!(arrived.len(), records.len());

    near.send_to(&check(5), to).await.unwrap();
    assert_eq!(receive(&far).await, [(check(5), from)]);
    // Every datagram counts, the carrier's own, too.
    assert!(near_runtime.counts().bytes_sent > lengths.iter().sum::<usize>() as u64);
    assert!(far_runtime.counts().datagrams_received >= 2);
}

/// The stack's client sends through a server, its peer straight to it: each sees its own framing.
#[tokio::test]
async fn records_go_through_a_turn_server_in_its_framing() {
    let peer: SocketAddr = "192.0.2.1:4711".parse().unwrap();
    for framing in [Framing::Indication(peer), Framing::Channel(0x4001)] {
        let (_near_runtime, near) = carried(TOKENS[0]);
        let (_far_runtime, far) = carried(TOKENS[1]);
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server_address = server.local_addr().unwrap();
        let (near_address, far_address) = (near.local_addr().unwrap(), far.local_addr().unwrap());
        let relay = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                let datagram = &buffer[..length];
                if from == near_address && datagram[..2] == [0, 3] {
                    let refusal = made::message(Class::Error, METHOD_ALLOCATE, [9; 12], &[], None);
                    server.send_to(&refusal, near_address).await.unwrap();
                } else if from == near_address && datagram[..2] == [0, 9] {
                    // A channel is bound without a word.
                } else if from == near_address {
                    let (opened, range) = Framing::open(datagram, Toward::Server);
                    assert_eq!(opened, framing, "it leaves as the record would have");
                    server.send_to(&datagram[range], far_address).await.unwrap();
                } else {
                    let mut wrapped = Vec::new();
                    framing.wrap(datagram, Toward::Client, [1; 12], &mut wrapped);
                    server.send_to(&wrapped, near_address).await.unwrap();
                }
            }
        });
        // A server is heard once it answered.
        let ask = made::message(Class::Request, METHOD_ALLOCATE, [9; 12], &[], None);
        near.send_to(&ask, server_address).await.unwrap();
        assert_eq!(receive(&near).await.len(), 1);
        let peer_bytes = [0, 1, 0x33, 0x75, 0xe1, 0x12, 0xa6, 0x43];
        let attributes: [(u16, &[u8]); 2] = [(0x000c, &[0x40, 1, 0, 0]), (0x0012, &peer_bytes)];
        let bind = made::message(Class::Request, METHOD_CHANNEL_BIND, [8; 12], &attributes, None);
        near.send_to(&bind, server_address).await.unwrap();
        for number in 0..40 {
            let record = record(number, 16_000);
            let mut wrapped = Vec::new();
            framing.wrap(&record, Toward::Server, [7; 12], &mut wrapped);
            near.send_to(&wrapped, server_address).await.unwrap();
            assert_eq!(receive(&far).await, [(record.clone(), server_address)]);
            far.send_to(&record, server_address).await.unwrap();
            for (datagram, from) in receive(&near).await {
                let (opened, range) = Framing::open(&datagram, Toward::Client);
                assert_eq!(
                    (opened, &datagram[range], from),
                    (framing, &record[..], server_address)
                );
            }
        }
        relay.abort();
    }
}

/// C-05: the stack's driver is not stopped for good by a path that takes nothing.
#[tokio::test]
async fn a_dead_path_holds_the_stack_up_for_a_moment_only() {
    let dead = async {
        let (_runtime, near) = carried(TOKENS[0]);
        let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = nobody.local_addr().unwrap();
        let record = record(1, 16_384);
        // Far more than is kept for a path that acknowledges nothing.
        for _ in 0..10_000 {
            near.send_to(&record, to).await.unwrap();
        }
        near.send_to(&check(1), to).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(30), dead).await.expect("it waits for each");
}

#[tokio::test]
async fn without_tokens_records_are_lost_and_nothing_else() {
    let request = BufferRequest { bytes: 1024 * 1024, force: false };
    let runtime = LinkRuntime::new(request).with_carrier(CarrierSettings::default(), None);
    let open = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        runtime.wrap_udp_socket(socket).unwrap()
    };
    described(&runtime);
    let (near, far) = (open(), open());
    let to = far.local_addr().unwrap();
    near.send_to(&record(1, 100), to).await.unwrap();
    near.send_to(&check(1), to).await.unwrap();
    assert_eq!(receive(&far).await[0].0, check(1));
    assert_eq!(runtime.counts().datagrams_sent, 1);
    // From outside: neither a record nor what claims to be carried.
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for junk in [record(1, 100), vec![12, 0, 0, 0], vec![1; 30], Vec::new()] {
        stranger.send_to(&junk, to).unwrap();
    }
    // As if the peer said it: the stack's own checks have a pace.
    stranger.send_to(&check(2), to).unwrap();
    assert_eq!(receive(&far).await[0].0, check(2));
    // An empty one is nothing.
    assert_eq!(runtime.counts().datagrams_dropped, 3);
}
