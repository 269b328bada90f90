//! The carrier's core alone, both ends of it in memory: records in, datagrams over, records out.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rejoin::carrier::{Carrier, CarrierConfig};

const RECORD_BYTES: usize = 16_000;
/// Records in one measurement.
const RECORDS: u64 = 64;

struct Pair {
    near: Carrier,
    far: Carrier,
    now: Instant,
    train: Vec<u8>,
    into: Vec<u8>,
}

impl Pair {
    fn new(datagram_bytes_max: usize) -> Self {
        let now = Instant::now();
        let config = CarrierConfig {
            token_out: 1,
            token_in: 2,
            datagram_bytes_start: 1_200,
            datagram_bytes_max,
            receive_window_bytes: 4 << 20,
            rate_bytes_per_second_max: None,
        };
        let other = CarrierConfig { token_out: 2, token_in: 1, ..config };
        Self {
            near: Carrier::new(config, now),
            far: Carrier::new(other, now),
            now,
            train: Vec::with_capacity(65_000),
            into: vec![0; 20_000],
        }
    }

    fn carry(&mut self, record: &[u8], records: u64) {
        let (mut pushed, mut popped) = (0, 0);
        while popped < records {
            while pushed < records && pushed < popped + 32 && self.near.push_record(record) {
                pushed += 1;
            }
            exchange(&mut self.near, &mut self.far, self.now, &mut self.train);
            while let Some(bytes) = self.far.pop_record(&mut self.into) {
                black_box(&self.into[..bytes]);
                popped += 1;
            }
            self.now += Duration::from_micros(50);
            exchange(&mut self.far, &mut self.near, self.now, &mut self.train);
            for carrier in [&mut self.near, &mut self.far] {
                if carrier.poll_timeout().is_some_and(|at| at <= self.now) {
                    carrier.handle_timeout(self.now);
                }
            }
        }
    }
}

fn exchange(from: &mut Carrier, to: &mut Carrier, now: Instant, train: &mut Vec<u8>) {
    loop {
        train.clear();
        let Some(sent) = from.poll_transmit(now, 44, train) else { return };
        for datagram in train.chunks(sent.segment_bytes) {
            to.handle_datagram(datagram, now);
        }
    }
}

fn carrier(criterion: &mut Criterion) {
    let record = vec![7; RECORD_BYTES];
    let mut group = criterion.benchmark_group("carrier");
    group.throughput(Throughput::Bytes(RECORDS * RECORD_BYTES as u64));
    for datagram_bytes_max in [1_452, 65_000] {
        let mut pair = Pair::new(datagram_bytes_max);
        // Past start-up and the search for the size.
        pair.carry(&record, 5_000);
        assert_eq!(pair.near.figures().datagram_bytes, datagram_bytes_max);
        group.bench_function(datagram_bytes_max.to_string(), |bencher| {
            bencher.iter(|| pair.carry(&record, RECORDS));
        });
    }
    group.finish();
}

criterion_group!(benches, carrier);
criterion_main!(benches);
