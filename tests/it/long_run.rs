//! What lasts: idle connections, many reconnections, and faults that go one way only, in virtual time.

use crate::simulation::finish;
use crate::support::model_source::{ModelSource, Node, Tree};
use crate::support::random::Random;
use crate::support::sim::SESSION;
use crate::support::two_sessions::{Cut, Pair, RECEIVER, SENDER};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PLAIN: Duration = Duration::from_secs(60);
const BUDGET: Duration = Duration::from_secs(300);

/// A transfer of `bytes` under way, slow enough that it is not over by itself.
fn under_way(seed: u64, bytes: usize) -> Pair {
    let mut tree = Tree::new();
    tree.insert(b"large".to_vec(), Node::File(Random::new(seed).bytes(bytes)));
    let mut pair = Pair::new(seed, ModelSource::new(tree, SESSION, 4));
    pair.paths.rate = Some(50_000);
    pair.run_until(PLAIN, |pair| {
        pair.is_up(SENDER)
            && pair.is_up(RECEIVER)
            && pair.sides[RECEIVER].session.progress().wire_bytes > 200_000
    });
    pair
}

fn finish_fast(pair: &mut Pair) {
    pair.paths.rate = None;
    finish(pair, BUDGET);
}

/// L-02, N-11: a receiver whose disk takes 45 minutes, or six hours, to go on costs no connection, and the transfer ends as if
/// nothing had been.
#[test]
fn a_connection_that_is_idle_for_hours_is_not_lost() {
    for minutes in [45, 360] {
        // More than is read ahead.
        let mut pair = under_way(1, 12_000_000);
        pair.stick_disk(RECEIVER, true);
        pair.run_for(SECOND * 60 * minutes);
        for side in [SENDER, RECEIVER] {
            assert!(pair.is_up(side) && pair.sides[side].downs.is_empty(), "{minutes} min");
        }
        pair.free_disk(RECEIVER);
        finish_fast(&mut pair);
        assert_eq!(pair.reconnections(RECEIVER), 0);
    }
}

/// L-06: one direction is dead and stays so; both find out, and another connection takes its place within the budget.
#[test]
fn a_direction_that_dies_is_survived() {
    for seed in 0..20 {
        let mut pair = under_way(seed, 3_000_000);
        let side = if seed % 2 == 0 { SENDER } else { RECEIVER };
        pair.mute(side);
        // What is on the wire of this simulation, a minute of content, arrives before the end of the connection does.
        pair.run_until(SECOND * 120, |pair| pair.reconnections(RECEIVER) == 1);
        finish_fast(&mut pair);
    }
}

/// L-03: as many reconnections as are asked for, with the right tree at the end; `memory::connections_that_were` looks at what
/// they leave.
pub(crate) fn reconnections() {
    let all = std::env::var("REJOIN_TEST_RECONNECTIONS").map_or(1_000, |all| all.parse().unwrap());
    let mut pair = under_way(3, 3_000_000);
    for number in 1..=all {
        pair.cut(Cut::Both);
        pair.run_until(BUDGET, |pair| pair.reconnections(RECEIVER) == number);
        pair.forget_the_past();
    }
    finish_fast(&mut pair);
    assert_eq!(pair.reconnections(RECEIVER), all);
}
