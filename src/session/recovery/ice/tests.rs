//! What a path goes through, by virtual time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    ice: IceRestart,
    start: Instant,
    now: Instant,
}

impl World {
    fn new(is_offerer: bool) -> Self {
        let now = Instant::now();
        let mut ice = IceRestart::new(is_offerer, &Timing::default());
        ice.set_reachable(true, now);
        ice.set_rtt(Duration::ZERO);
        Self { ice, start: now, now }
    }

    /// Lets time pass to `seconds` after the start, by its own deadlines; what it asked for, and when.
    fn run_to(&mut self, seconds: f64) -> Vec<(f64, IceOutput)> {
        let end = self.start + Duration::from_secs_f64(seconds);
        let mut said = self.said();
        while let Some((at, _)) = self.ice.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.ice.handle_timeout(self.now);
            said.extend(self.said());
        }
        self.now = end;
        said
    }

    fn said(&mut self) -> Vec<(f64, IceOutput)> {
        let seconds = (self.now - self.start).as_secs_f64();
        std::iter::from_fn(|| self.ice.poll_output()).map(|output| (seconds, output)).collect()
    }

    fn ice(&mut self, state: IceState) {
        self.ice.handle_ice(state, self.now);
    }

    /// The offer of a restart that has just begun; asserts that one has.
    fn offer(&mut self) -> u64 {
        let begun = self.said();
        assert!(
            begun.iter().any(|(_, said)| *said == IceOutput::Link(LinkCommand::RestartIce)),
            "{begun:?}"
        );
        self.ice.handle_description("offer".to_owned(), self.now);
        match self.said().pop() {
            Some((_, IceOutput::Signal(SignalMessage::RestartOffer { generation, .. }))) => {
                generation
            }
            other => panic!("no offer: {other:?}"),
        }
    }

    fn answer(&mut self, generation: u64) -> bool {
        self.ice.handle_answer(generation, "answer".to_owned(), self.now);
        let accepted = LinkCommand::AcceptAnswer { answer: "answer".to_owned() };
        self.said().pop().is_some_and(|(_, said)| said == IceOutput::Link(accepted))
    }
}

fn is_gone(said: &[(f64, IceOutput)]) -> Option<f64> {
    said.iter().find(|(_, said)| matches!(said, IceOutput::GiveUp(_))).map(|(at, _)| *at)
}

#[test]
fn a_grace_of_5_s_then_an_offer_an_answer_and_bytes() {
    let mut world = World::new(true);
    world.ice(IceState::Disconnected);
    assert_eq!(world.run_to(4.9), [(0.0, IceOutput::Lost("ICE is disconnected"))]);
    let begun = world.run_to(5.0);
    assert_eq!(
        begun,
        [
            (5.0, IceOutput::Restarting { attempt: 1, of: 3 }),
            (5.0, IceOutput::Link(LinkCommand::RestartIce))
        ]
    );
    world.ice.handle_description("offer".to_owned(), world.now);
    let offer = SignalMessage::RestartOffer { generation: 1, sdp: "offer".to_owned() };
    assert_eq!(world.said(), [(5.0, IceOutput::Signal(offer))]);
    assert!(world.answer(1));
    world.run_to(5.5);
    world.ice(IceState::Connected);
    assert_eq!(world.said(), [(5.5, IceOutput::Ping)], "connected is not enough");
    assert!(!world.ice.is_steady());
    world.run_to(6.0);
    world.ice.handle_activity(world.now);
    assert_eq!(world.said(), [(6.0, IceOutput::Recovered { after: SECOND * 6 })]);
    assert!(world.ice.is_steady() && world.ice.poll_timeout().is_none());
}

#[test]
fn a_path_that_comes_back_within_the_grace_is_not_restarted() {
    let mut world = World::new(true);
    world.ice(IceState::Disconnected);
    world.run_to(3.0);
    world.ice(IceState::Connected);
    world.ice.handle_activity(world.now);
    let said = world.run_to(60.0);
    assert!(!said.iter().any(|(_, said)| matches!(said, IceOutput::Link(_))), "{said:?}");
    assert!(world.ice.is_steady());
}

#[test]
fn ice_that_is_back_without_bytes_goes_to_a_new_connection_after_1_s_and_two_round_trips() {
    for (rtt, seconds) in [(Duration::ZERO, 3.0), (SECOND / 2, 4.0)] {
        let mut world = World::new(true);
        world.ice.set_rtt(rtt);
        world.ice(IceState::Disconnected);
        world.run_to(2.0);
        world.ice(IceState::Connected);
        assert_eq!(is_gone(&world.run_to(60.0)), Some(seconds));
    }
}

#[test]
fn without_host_or_peer_nothing_is_given_up_and_their_return_is_used_at_once() {
    let mut world = World::new(true);
    world.ice.set_reachable(false, world.now);
    world.ice(IceState::Disconnected);
    assert_eq!(world.run_to(9.0).len(), 1, "a restart could not be answered");
    world.ice.set_reachable(true, world.now);
    assert_eq!(world.offer(), 1);

    let mut world = World::new(true);
    world.ice.set_reachable(false, world.now);
    world.ice(IceState::Disconnected);
    let said = world.run_to(3_600.0);
    assert_eq!(is_gone(&said), None, "there is nothing better to be had: {said:?}");
    world.ice.set_reachable(true, world.now);
    assert!(is_gone(&world.said()).is_some(), "now there is");
}

#[test]
fn an_outage_of_10_s_goes_to_a_new_connection_and_says_what_was_under_way() {
    // Waiting for the answer, checking, and between two tries.
    for stage in 0..3 {
        let mut world = World::new(true);
        world.ice(IceState::Disconnected);
        world.run_to(4.99);
        world.said();
        world.now = world.start + SECOND * 5;
        world.ice.handle_timeout(world.now);
        let generation = world.offer();
        if stage >= 1 {
            assert!(world.answer(generation));
        }
        if stage == 2 {
            world.ice(IceState::Failed);
        }
        let said = world.run_to(60.0);
        assert_eq!(is_gone(&said), Some(10.0), "stage {stage}");
        // The reason names the stage.
        let reason = [
            "the restart of ICE was not answered",
            "ICE did not come back after its restart",
            "the path was lost for too long",
        ][stage];
        assert!(said.contains(&(10.0, IceOutput::GiveUp(reason))), "stage {stage}: {said:?}");
        assert_eq!(world.run_to(600.0), [], "and that is the end of it");
    }
}

#[test]
fn late_foreign_and_repeated_answers_are_dropped_and_counted() {
    let mut world = World::new(true);
    assert!(!world.answer(0));
    world.ice.handle_request(world.now);
    let first = world.offer();
    assert!(!world.answer(first + 1) && !world.answer(first - 1));
    assert!(world.answer(first));
    assert!(!world.answer(first), "only once");
    assert_eq!(world.ice.dropped(), 4);
    // The next restart has another number, so the first one's answer is of no use to it.
    world.ice(IceState::Failed);
    world.run_to(5.0);
    world.ice.handle_timeout(world.now);
    world.ice.handle_description("offer".to_owned(), world.now);
    assert!(!world.answer(first) && world.answer(first + 1));
    assert_eq!(world.ice.dropped(), 5);
}

#[test]
fn tries_wait_5_and_10_s_and_there_are_three_of_them() {
    let mut world = World::new(true);
    let mut starts = Vec::new();
    // A path that opens and falls again and again is never stable.
    for _ in 0..4 {
        world.ice(IceState::Failed);
        let lost = world.now;
        let until = (world.now - world.start).as_secs_f64() + 9.9;
        let said = world.run_to(until);
        let Some((at, _)) =
            said.iter().find(|(_, said)| matches!(said, IceOutput::Restarting { .. }))
        else {
            break;
        };
        starts.push((*at - (lost - world.start).as_secs_f64()).round() as u64);
        world.ice.handle_description("offer".to_owned(), world.now);
        world.said();
        let generation = world.ice.generation;
        world.answer(generation);
        world.ice(IceState::Connected);
        world.ice.handle_activity(world.now);
        world.said();
    }
    // The third would come after 10 s of outage, which a new connection does not wait for.
    assert_eq!(starts, [0, 5]);
    assert!(is_gone(&world.run_to(600.0)).is_some());
}

#[test]
fn tries_count_from_the_start_after_10_s_of_stability() {
    let mut world = World::new(true);
    for round in 0..10 {
        world.ice(IceState::Failed);
        let generation = world.offer();
        assert!(world.answer(generation));
        world.ice(IceState::Connected);
        world.ice.handle_activity(world.now);
        world.said();
        let seconds = (world.now - world.start).as_secs_f64();
        world.run_to(seconds + 10.0);
        assert_eq!(world.ice.tries, 1, "round {round}");
    }
}

#[test]
fn an_address_that_is_gone_needs_no_grace_and_one_restart_is_enough() {
    let mut world = World::new(true);
    world.ice.handle_address_gone(world.now);
    assert_eq!(world.offer(), 1);
    world.ice.handle_address_gone(world.now);
    world.ice.handle_request(world.now);
    world.ice(IceState::Disconnected);
    assert_eq!(world.run_to(1.0), [], "one at a time");
}

#[test]
fn the_answerer_answers_asks_and_never_offers() {
    let mut world = World::new(false);
    world.ice(IceState::Disconnected);
    world.said();
    assert_eq!(world.run_to(600.0), [], "its pings end it, or the receiver's offer");
    world.ice.handle_offer(3, "offer".to_owned(), world.now);
    let answer = LinkCommand::Answer { offer: "offer".to_owned() };
    assert_eq!(world.said().pop().map(|(_, said)| said), Some(IceOutput::Link(answer)));
    world.ice.handle_description("mine".to_owned(), world.now);
    let signal = SignalMessage::RestartAnswer { generation: 3, sdp: "mine".to_owned() };
    assert_eq!(world.said().pop().map(|(_, said)| said), Some(IceOutput::Signal(signal)));
    world.ice.handle_offer(3, "offer".to_owned(), world.now);
    assert_eq!((world.ice.dropped(), world.said().len()), (1, 0));
    // 20 s, where the offerer has 15 (X8).
    assert_eq!(is_gone(&world.run_to(700.0)), Some(620.0));

    let mut world = World::new(false);
    world.ice.handle_address_gone(world.now);
    let said = world.said();
    assert_eq!(said.last(), Some(&(0.0, IceOutput::Signal(SignalMessage::RestartRequest))));
}

/// K-12: over several links, for they are of one peer.
#[test]
fn restarts_that_keep_failing_are_left_out_for_a_while() {
    let mut world = World::new(true);
    let mut restarts = 0;
    let mut fail = |world: &mut World| {
        world.ice.handle_address_gone(world.now);
        let begun = world.said().iter().any(|(_, said)| matches!(said, IceOutput::Link(_)));
        restarts += usize::from(begun);
        // Its connection is replaced.
        world.ice.handle_link_change(world.now);
        begun
    };
    assert!((0..5).all(|_| fail(&mut world)));
    assert!(!fail(&mut world), "open");
    let seconds = (world.now - world.start).as_secs_f64();
    world.run_to(seconds + 29.0);
    assert!(!fail(&mut world));
    world.run_to(seconds + 30.0);
    assert!(fail(&mut world), "half open");
    assert!(!fail(&mut world));
    assert_eq!(restarts, 6);
}

#[test]
fn no_tries_at_all_means_a_new_connection_at_once() {
    let timing = Timing { ice_tries: 0, ..Timing::default() };
    let mut world = World::new(true);
    world.ice = IceRestart::new(true, &timing);
    world.ice.set_reachable(true, world.now);
    world.ice(IceState::Disconnected);
    assert_eq!(is_gone(&world.run_to(60.0)), Some(5.0));
}

#[test]
fn whatever_happens_nothing_panics_and_one_restart_runs_at_a_time() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let states =
        [IceState::Checking, IceState::Connected, IceState::Disconnected, IceState::Failed];
    for round in 0..200 {
        let mut world = World::new(round % 2 == 0);
        let mut is_open = false;
        for _ in 0..200 {
            match random(9) {
                0..=2 => world.ice(states[random(4) as usize]),
                3 => world.ice.handle_request(world.now),
                4 => world.ice.set_reachable(random(4) > 0, world.now),
                5 => world.ice.handle_description("sdp".to_owned(), world.now),
                6 => world.ice.handle_answer(random(5), String::new(), world.now),
                7 => world.ice.handle_offer(random(50), String::new(), world.now),
                _ => world.ice.handle_activity(world.now),
            }
            let seconds = (world.now - world.start).as_secs_f64();
            for (_, said) in world.run_to(seconds + random(4_000) as f64 / 1e3) {
                match said {
                    IceOutput::Link(LinkCommand::RestartIce) => {
                        assert!(round % 2 == 0 && !is_open, "round {round}");
                        is_open = true;
                    }
                    // It ended: another may begin.
                    IceOutput::GiveUp(_) | IceOutput::Recovered { .. } => is_open = false,
                    IceOutput::Link(_) => is_open = false,
                    IceOutput::Signal(_)
                    | IceOutput::Ping
                    | IceOutput::Lost(_)
                    | IceOutput::Restarting { .. } => {}
                }
            }
        }
    }
}
