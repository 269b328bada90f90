//! Two carriers, and a path that loses, doubles, damages and reorders what they send, and adds what they never sent.

use arbitrary::{Result, Unstructured};
use rejoin::carrier::{Carrier, CarrierConfig, RECORD_BYTES_MAX};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const TOKENS: [u64; 2] = [0x1111_2222_3333_4444, 0x5555_6666_7777_8888];

/// Most datagrams that are under way; what is beyond is lost.
const UNDER_WAY_MAX: usize = 64;

struct End {
    carrier: Carrier,
    /// Records that went in, in order.
    pushed: VecDeque<Vec<u8>>,
    /// Datagrams on their way out of here.
    under_way: VecDeque<Vec<u8>>,
}

impl End {
    fn new(own: usize, now: Instant) -> Self {
        let config = CarrierConfig {
            token_out: TOKENS[own],
            token_in: TOKENS[1 - own],
            datagram_bytes_start: 1_200,
            datagram_bytes_max: 1_452,
            receive_window_bytes: 1 << 20,
            rate_bytes_per_second_max: None,
        };
        let carrier = Carrier::new(config, now);
        Self { carrier, pushed: VecDeque::new(), under_way: VecDeque::new() }
    }

    fn transmit(&mut self, now: Instant) {
        let mut train = Vec::new();
        while let Some(found) = self.carrier.poll_transmit(now, 8, &mut train) {
            assert!(found.segment_bytes > 0 && !train.is_empty());
            for datagram in train.chunks(found.segment_bytes) {
                if self.under_way.len() < UNDER_WAY_MAX {
                    self.under_way.push_back(datagram.to_vec());
                }
            }
            train.clear();
        }
    }
}

pub(super) fn run(data: &[u8]) {
    let _ = follow(&mut Unstructured::new(data));
}

fn follow(input: &mut Unstructured<'_>) -> Result<()> {
    let mut now = Instant::now();
    let mut ends = [End::new(0, now), End::new(1, now)];
    // Once somebody made a datagram with the right token, only what is bounded is promised (see docs/carrier.md).
    let mut is_forged = false;
    let mut filler = 0_u8;
    while !input.is_empty() {
        let own = usize::from(input.arbitrary::<bool>()?);
        match input.int_in_range(0..=9)? {
            0 | 1 => {
                let bytes = input.int_in_range(0..=RECORD_BYTES_MAX + 1)?;
                filler = filler.wrapping_add(1);
                let record = vec![filler; bytes];
                let is_taken = ends[own].carrier.push_record(&record);
                assert!(!is_taken || (1..=RECORD_BYTES_MAX).contains(&bytes));
                if is_taken {
                    ends[own].pushed.push_back(record);
                }
            }
            2 => ends[own].transmit(now),
            3 => {
                // Out of order, where there is more than one.
                let at = input.choose_index(ends[own].under_way.len().max(1))?;
                if let Some(datagram) = ends[own].under_way.remove(at) {
                    ends[1 - own].carrier.handle_datagram(&datagram, now);
                }
            }
            4 => {
                // Twice.
                if let Some(datagram) = ends[own].under_way.front().cloned() {
                    ends[1 - own].carrier.handle_datagram(&datagram, now);
                }
            }
            5 => drop(ends[own].under_way.pop_front()),
            6 => {
                now += Duration::from_millis(input.int_in_range(0..=2_000)?);
                ends[own].carrier.handle_timeout(now);
            }
            7 => {
                // From anybody, with any token but the right one.
                let length = input.int_in_range(0..=200)?;
                let mut datagram = input.bytes(length.min(input.len()))?.to_vec();
                let token = TOKENS[own].to_le_bytes();
                if datagram
                    .get(1..9)
                    .is_some_and(|found| found == token || found == reversed(token))
                {
                    datagram[1] ^= 1;
                }
                ends[1 - own].carrier.handle_datagram(&datagram, now);
            }
            8 => {
                // From the path itself, which sees the token: a genuine one, changed behind it.
                if let Some(mut datagram) = ends[own].under_way.pop_front()
                    && datagram.len() > 9
                {
                    is_forged = true;
                    for _ in 0..input.int_in_range(1..=4)? {
                        let at = input.int_in_range(9..=datagram.len() - 1)?;
                        datagram[at] = input.arbitrary()?;
                    }
                    ends[1 - own].carrier.handle_datagram(&datagram, now);
                }
            }
            _ => {
                if input.arbitrary()? {
                    ends[own].carrier.handle_too_large(input.int_in_range(0..=70_000)?);
                } else {
                    ends[own].carrier.handle_path(input.int_in_range(0..=100)?, now);
                }
            }
        }
        take_records(&mut ends, is_forged);
    }
    Ok(())
}

fn reversed(mut token: [u8; 8]) -> [u8; 8] {
    token.reverse();
    token
}

/// What comes out is what went in, whole and in order.
fn take_records(ends: &mut [End; 2], is_forged: bool) {
    for own in 0..2 {
        while let Some(bytes) = ends[own].carrier.next_record_bytes() {
            assert!((1..=RECORD_BYTES_MAX).contains(&bytes));
            let mut record = vec![0; bytes];
            assert_eq!(ends[own].carrier.pop_record(&mut record), Some(bytes));
            if !is_forged {
                assert_eq!(ends[1 - own].pushed.pop_front().as_deref(), Some(&record[..]));
            }
        }
        let figures = ends[own].carrier.figures();
        assert!(figures.datagram_bytes >= 500, "{figures:?}");
    }
}
