//! What the reports beside this file say, shown against rtc 0.21.1 without a network. To run it: a crate with the dependencies
//! `rtc = "=0.21.1"` and `bytes = "1"`, this file as its `main.rs`, and overflow checks on (a debug build has them).

use bytes::BytesMut;
use rtc::dtls::config::ConfigBuilder;
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::ice::agent::Agent;
use rtc::ice::agent::agent_config::AgentConfig;
use rtc::ice::candidate::CandidateConfig;
use rtc::ice::candidate::candidate_host::CandidateHostConfig;
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

const CLIENT: ([u8; 4], u16) = ([127, 0, 0, 1], 4444);
const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 4445);

/// Two endpoints whose handshake is complete.
fn connected() -> (Endpoint, Endpoint) {
    let provider = rtc::crypto::default_provider().unwrap();
    let config = |is_client| {
        let certificate =
            Certificate::generate_self_signed(vec!["localhost".to_owned()], provider.crypto())
                .unwrap();
        let builder = ConfigBuilder::default()
            .with_crypto_provider(provider.clone())
            .with_certificates(vec![certificate])
            .with_insecure_skip_verify(true);
        Arc::new(builder.build(is_client, None).unwrap())
    };
    let now = Instant::now();
    let mut client = Endpoint::new(CLIENT.into(), TransportProtocol::UDP, None);
    let mut server = Endpoint::new(SERVER.into(), TransportProtocol::UDP, Some(config(false)));
    client.connect(now, SERVER.into(), config(true), None).unwrap();
    let mut complete = 0;
    while complete < 2 {
        complete += deliver(&mut client, &mut server, CLIENT.into());
        complete += deliver(&mut server, &mut client, SERVER.into());
    }
    (client, server)
}

/// Hands over what `from` wants to send; how many handshakes were completed by it.
fn deliver(from: &mut Endpoint, to: &mut Endpoint, source: SocketAddr) -> usize {
    let mut complete = 0;
    while let Some(packet) = from.poll_transmit() {
        for event in to.read(Instant::now(), source, None, packet.message).unwrap() {
            complete += usize::from(matches!(event, EndpointEvent::HandshakeComplete));
        }
    }
    complete
}

/// Whether a word of the client reaches the server.
fn is_heard(client: &mut Endpoint, server: &mut Endpoint) -> bool {
    let now = Instant::now();
    client.write(now, SERVER.into(), b"word").unwrap();
    let mut heard = false;
    while let Some(packet) = client.poll_transmit() {
        let events = server.read(now, CLIENT.into(), None, packet.message).unwrap_or_default();
        heard |= events.iter().any(|event| matches!(event, EndpointEvent::ApplicationData(_)));
    }
    heard
}

fn record(kind: u8, epoch: u8, sequence: u32, body: &[u8]) -> BytesMut {
    let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0];
    record.extend(sequence.to_be_bytes());
    record.extend((body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    BytesMut::from(&record[..])
}

fn change_cipher_spec() {
    for (body, what) in [(&[1][..], "well-formed"), (&[7, 7], "malformed")] {
        let (mut client, mut server) = connected();
        assert!(is_heard(&mut client, &mut server));
        let stranger = record(20, 1, 1_000_000, body);
        let result = server.read(Instant::now(), CLIENT.into(), None, stranger);
        println!(
            "ChangeCipherSpec of epoch 1, {what}: read gives {:?}, the client is heard after it: {}",
            result.map(|_| ()),
            is_heard(&mut client, &mut server)
        );
    }
}

fn empty_messages() {
    let (_client, mut server) = connected();
    for message in 4..=u16::MAX {
        let [high, low] = message.to_be_bytes();
        let body = [14, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 0];
        let _ = server.read(
            Instant::now(),
            CLIENT.into(),
            None,
            record(22, 0, u32::from(message), &body),
        );
    }
    println!("65,532 empty handshake messages of epoch 0: no panic");
}

fn empty_fragments() {
    let (mut client, mut server) = connected();
    let time = |client: &mut Endpoint, server: &mut Endpoint| {
        let started = Instant::now();
        for _ in 0..100 {
            assert!(is_heard(client, server));
        }
        started.elapsed() / 100
    };
    let before = time(&mut client, &mut server);
    let body = [14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(110);
    for number in 0..4_000 {
        let _ = server.read(
            Instant::now(),
            CLIENT.into(),
            None,
            record(22, 0, 100_000 + number, &body),
        );
    }
    println!(
        "one record: {before:?}; after 440,000 empty fragments (5.3 MB): {:?}",
        time(&mut client, &mut server)
    );
}

/// Records of the next epoch before the handshake are queued without a bound.
fn queue() {
    let provider = rtc::crypto::default_provider().unwrap();
    let certificate =
        Certificate::generate_self_signed(vec!["localhost".to_owned()], provider.crypto()).unwrap();
    let builder = ConfigBuilder::default()
        .with_crypto_provider(provider.clone())
        .with_certificates(vec![certificate]);
    let config = Arc::new(builder.build(false, None).unwrap());
    let mut server = Endpoint::new(SERVER.into(), TransportProtocol::UDP, Some(config));
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let before = resident();
    for number in 0..100_000 {
        let _ =
            server.read(Instant::now(), CLIENT.into(), None, record(23, 1, number, &[0; 1_200]));
    }
    println!(
        "100,000 records of epoch 1 before any handshake: {} MB more",
        (resident() - before) / 1_000_000
    );
}

/// Its checks have begun.
fn agent(now: Instant) -> Agent {
    let provider = rtc::crypto::default_provider().unwrap();
    let config = AgentConfig { is_controlling: true, ..AgentConfig::default() };
    let mut agent = Agent::new(now, Arc::new(config), provider).unwrap();
    agent.add_local_candidate(host([127, 0, 0, 1], 4444)).unwrap();
    let (ufrag, password) = ("ufrag".to_owned(), "a password that is long".to_owned());
    agent.start_connectivity_checks(now, true, ufrag, password).unwrap();
    agent
}

fn host(address: [u8; 4], port: u16) -> rtc::ice::candidate::Candidate {
    let base_config = CandidateConfig {
        network: "udp".to_owned(),
        address: std::net::Ipv4Addr::from(address).to_string(),
        port,
        component: 1,
        ..CandidateConfig::default()
    };
    CandidateHostConfig { base_config, ..CandidateHostConfig::default() }
        .new_candidate_host()
        .unwrap()
}

fn candidates() {
    let now = Instant::now();
    let mut agent = agent(now);
    for port in 1..=10_000 {
        agent.add_remote_candidate(host([192, 0, 2, 1], port)).unwrap();
    }
    agent.handle_timeout(now).unwrap();
    let (mut datagrams, mut bytes) = (0, 0);
    while let Some(packet) = agent.poll_write() {
        (datagrams, bytes) = (datagrams + 1, bytes + packet.message.len());
    }
    println!(
        "{} remote candidates of one address taken; one pass sends {datagrams} checks, {bytes} bytes, to it",
        agent.get_remote_candidates().len()
    );
}

fn role() {
    let now = Instant::now();
    let mut agent = agent(now);
    let before = agent.role();
    // A Binding request with ICE-CONTROLLING and nothing else: neither a user name nor a signature.
    let mut request = vec![0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42];
    request.extend([7; 12]);
    request.extend([0x80, 0x2a, 0, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let packet = TaggedBytesMut {
        now,
        transport: TransportContext {
            local_addr: CLIENT.into(),
            peer_addr: ([198, 51, 100, 9], 6000).into(),
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        },
        message: BytesMut::from(&request[..]),
    };
    let result = agent.handle_read(packet);
    println!(
        "controlling before: {before}, after an unsigned request of a stranger: {} (handle_read: {:?})",
        agent.role(),
        result.err().map(|error| error.to_string())
    );
}

fn main() {
    change_cipher_spec();
    role();
    candidates();
    queue();
    empty_fragments();
    empty_messages();
}
