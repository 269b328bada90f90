//! Many transfers at once on one machine.
#![cfg(target_os = "linux")]

use crate::support::lab::outcome::Meeting;
use crate::support::pair::Pair;
use crate::support::tree::assert_same;

const MIB: usize = 1 << 20;

/// Transfers at once.
const MANY: usize = 12;

/// G-09: many pairs on one machine disturb each other in nothing but time.
#[test]
fn many_transfers_at_once_all_arrive() {
    let pairs: Vec<Pair> = (0..MANY).map(|_| Pair::new()).collect();
    for (at, pair) in pairs.iter().enumerate() {
        pair.noise("tree/large", 3 * MIB + at);
        pair.home.file("tree/small", format!("{at}"));
    }
    let meetings: Vec<Meeting<'_>> =
        pairs.iter().map(|pair| Meeting::new(pair, "tree", "target")).collect();
    let senders: Vec<_> = meetings.iter().map(Meeting::sender).collect();
    let receivers: Vec<_> = meetings.iter().map(Meeting::receiver).collect();
    for receiver in receivers {
        receiver.wait().expect_code(0);
    }
    for sender in senders {
        sender.wait().expect_code(0);
    }
    for pair in &pairs {
        assert_same(&pair.path("tree"), &pair.path("target/tree"));
    }
}
