//! Frames and messages between the ends, and sealed signaling: to bytes and back.
//!
//! A unit costs a head and 17 bodies, a file in a pack 40 bytes of a head: at 600 MB/s that is 600 units a second.

use crate::tree;
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use rejoin::signal::Seed;
use rejoin::signal::capabilities::Capabilities;
use rejoin::signal::join::{JoinPayload, Joiner, Opener};
use rejoin::signal::message::{Attempt, Introduction, SignalMessage};
use rejoin::signal::seal::{Envelope, SealedChannel};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::completed::BUCKET_ENTRIES;
use rejoin::transfer::disk::PackedFile;
use rejoin::transfer::layout::PACK_FILES_MAX;
use rejoin::transfer::manifest::Chain;
use rejoin::transfer::message::{Message, RecoveryRequest, UnitHead, WireRanges};
use rejoin::transfer::ranges::Ranges;
use rejoin::wire::frame::{Assembler, BODY_BYTES, Frame, KIND_BODY};
use rejoin::wire::{MemberId, SessionId, SessionSecret};
use std::hint::black_box;

const SESSION: SessionId = SessionId([1; 16]);

pub(crate) fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let part = UnitHead::Part { entry: 900_000, value: [2; 32] };
    let file = |entry| (entry, PackedFile { bytes: 1_000, root: [3; 32] });
    let pack = UnitHead::Pack { files: (0..PACK_FILES_MAX as u64).map(file).collect() };
    let page = tree::pages(1_024, 4_096, tree::plain_name)[0].encode().unwrap();
    let page_bytes = page.len() as u64;
    let units: Ranges = (500_000..500_064).collect();
    for (what, message, throughput) in [
        ("ping", Message::Ping { number: 70_000 }, Throughput::Elements(1)),
        ("ack", Message::Ack { units: WireRanges::from(&units) }, Throughput::Elements(1)),
        ("head of a part", Message::Unit { unit: 500_000, head: part }, Throughput::Elements(1)),
        (
            "head of a pack of 1,024 files",
            Message::Unit { unit: 500_000, head: pack },
            Throughput::Elements(PACK_FILES_MAX as u64),
        ),
        ("page", Message::Page { encoded: page }, Throughput::Bytes(page_bytes)),
    ] {
        there_and_back(group.throughput(throughput), what, &message);
    }

    let mut frame = vec![5; 1 + BODY_BYTES];
    frame[0] = KIND_BODY;
    let frames: Vec<Bytes> = (0..UNIT_BYTES.div_ceil(BODY_BYTES as u64))
        .map(|_| Bytes::copy_from_slice(&frame))
        .collect();
    group.throughput(Throughput::Elements(frames.len() as u64));
    group.bench_function("bodies of a unit/take", |bencher| {
        let mut assembler = Assembler::new();
        bencher.iter(|| {
            for frame in &frames {
                black_box(assembler.handle_frame(black_box(frame)).unwrap());
            }
        });
    });
    group.finish();
}

/// X7: what a receiver of 10^6 files says at the start of every link, and the worst that it may have to say.
pub(crate) fn recovery(criterion: &mut Criterion) {
    let entries = 1_000_000;
    let request = |unwanted: &Ranges, units: &Ranges| {
        Message::RecoveryRequest(RecoveryRequest {
            session: SESSION,
            epoch: 2,
            pages: 977,
            chain: Chain::start(SESSION),
            undecided: WireRanges::default(),
            unwanted: WireRanges::from(unwanted),
            units: WireRanges::from(units),
            digests: (0..entries / BUCKET_ENTRIES).map(|bucket| (bucket, [6; 32])).collect(),
        })
    };
    let mut units = Ranges::new();
    units.insert_range(0..entries);
    let scattered: Ranges = (0..480_000).map(|entry| entry * 2).collect();
    let mut group = criterion.benchmark_group("recovery request");
    group.sample_size(20).throughput(Throughput::Elements(entries));
    there_and_back(&mut group, "1,000,000 units in order", &request(&Ranges::new(), &units));
    group.throughput(Throughput::Elements(scattered.as_slice().len() as u64));
    there_and_back(&mut group, "480,000 ranges", &request(&scattered, &Ranges::new()));
    let wire = WireRanges::from(&scattered);
    group.bench_function("480,000 ranges/to a set", |bencher| {
        bencher.iter(|| black_box(&wire).to_ranges());
    });
    group.finish();
}

/// Encodes into frames; puts them together and decodes.
fn there_and_back(group: &mut BenchmarkGroup<'_, WallTime>, what: &str, message: &Message) {
    group.bench_function(format!("{what}/encode"), |bencher| {
        bencher.iter(|| black_box(message).encode());
    });
    let frames = message.encode().unwrap();
    assert!(decode(&frames) == *message, "{what}: not what was encoded");
    group.bench_function(format!("{what}/decode"), |bencher| {
        bencher.iter(|| decode(black_box(&frames)));
    });
}

fn decode(frames: &[Bytes]) -> Message {
    let mut assembler = Assembler::new();
    let whole = frames.iter().find_map(|frame| assembler.handle_frame(frame).unwrap());
    let Some(Frame::Message(bytes)) = whole else { panic!("not a message") };
    Message::decode(&bytes).unwrap()
}

/// A host relays these, a few dozen for each link: nothing waits for their rate.
pub(crate) fn signals(criterion: &mut Criterion) {
    let (mut opener, mut joiner) = channels();
    let attempt = Attempt(3);
    let sdp = "a=candidate:1 1 udp 2130706431 192.0.2.17 51234 typ host\r\n".repeat(64);
    let candidate = "candidate:1 1 udp 2130706431 192.0.2.17 51234 typ host".to_owned();
    let mut group = criterion.benchmark_group("signal");
    for (what, message) in [
        ("offer of 3.7 kB", SignalMessage::Offer { attempt, sdp }),
        ("candidate", SignalMessage::Candidate { attempt, candidate }),
    ] {
        group.throughput(Throughput::Bytes(relayed(joiner.seal(&message).unwrap()).len() as u64));
        group.bench_function(format!("{what}/seal"), |bencher| {
            bencher.iter(|| relayed(joiner.seal(black_box(&message)).unwrap()));
        });
        // Each is opened once: what is repeated is refused.
        group.bench_function(format!("{what}/open"), |bencher| {
            bencher.iter_batched(
                || relayed(joiner.seal(&message).unwrap()),
                |bytes| opener.open(&envelope(&bytes)).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn relayed(envelope: Envelope) -> Vec<u8> {
    JoinPayload::Sealed(envelope).encode().unwrap()
}

fn envelope(bytes: &[u8]) -> Envelope {
    let Ok(JoinPayload::Sealed(envelope)) = JoinPayload::decode(bytes) else {
        panic!("not an envelope")
    };
    envelope
}

/// Both ends of a join: the opener's and the joiner's.
fn channels() -> (SealedChannel, SealedChannel) {
    let capabilities = |member| Capabilities::new(MemberId([member; 16]), 65_536, 0b11);
    let secret = SessionSecret([9; 32]);
    let introduction = Introduction::default();
    let mut opener = Opener::for_session(&secret, capabilities(1), 0, Seed::new([1; 32])).unwrap();
    let mut joiner = Joiner::for_session(&secret, capabilities(2), 0);
    let greeting =
        joiner.handle_deposit(opener.deposit(), &introduction, None, &Seed::new([2; 32])).unwrap();
    let Ok(JoinPayload::Hello(hello)) = JoinPayload::decode(&greeting.payload) else {
        panic!("not a hello")
    };
    let proved = opener.handle_hello(MemberId([2; 16]), &hello, Seed::new([3; 32])).unwrap();
    let (payload, channel) = proved.welcome(&introduction, None).unwrap();
    let Ok(JoinPayload::Welcome(welcome)) = JoinPayload::decode(&payload) else {
        panic!("not a welcome")
    };
    (channel, joiner.handle_welcome(MemberId([1; 16]), &welcome).unwrap().channel)
}
