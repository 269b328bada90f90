#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one output among all")]

use super::*;

use crate::options::{Origin, Secret, Timing, TurnCredentials};

const URL: &str = "turn:192.0.2.1:3478";
const OTHER: &str = "turn:192.0.2.2:3478";
const HOUR: u64 = 3600;

fn options(turn: &[&str], policy: PathPolicy, source: TurnSource) -> CommonOptions {
    CommonOptions {
        hosts: Vec::new(),
        stun: Vec::new(),
        turn: turn.iter().map(|url| (*url).to_owned()).collect(),
        turn_source: source,
        helper: None,
        path_policy: policy,
        state_directory: None,
        retry_for: Duration::from_secs(60),
        timing: Timing::default(),
        rate_limit: None,
        is_carried: true,
        datagram_bytes_max: None,
    }
}

fn command() -> TurnSource {
    TurnSource::Command(vec!["give".to_owned()])
}

fn fixed() -> TurnSource {
    let password = Secret::new("hunter2".to_owned());
    let credentials = TurnCredentials { username: "ann".to_owned(), password };
    TurnSource::Fixed { credentials, origin: Origin::Environment }
}

/// A run whose clocks go together.
struct World {
    relays: Relays,
    start: Instant,
    seconds: u64,
}

impl World {
    fn new(turn: &[&str], policy: PathPolicy, source: TurnSource) -> Self {
        let relays = Relays::new(&options(turn, policy, source)).unwrap();
        Self { relays, start: Instant::now(), seconds: 0 }
    }

    fn at(&self) -> Moment {
        Moment { now: self.start + Duration::from_secs(self.seconds), unix: 1_000 + self.seconds }
    }

    fn grant(&self, name: &str, lasts: u64) -> Grant {
        Grant {
            username: name.to_owned(),
            password: Secret::new("p".to_owned()),
            expires: Some(self.at().unix + lasts),
        }
    }

    fn answer(&mut self, grant: Grant) {
        let at = self.at();
        self.relays.handle_answer(Ok(grant), at);
    }

    fn refuse(&mut self, code: u16) {
        let at = self.at();
        self.relays.handle_allocation(URL, Allocation::Refused(code), at);
    }

    fn outputs(&mut self) -> Vec<RelayOutput> {
        std::iter::from_fn(|| self.relays.poll_output()).collect()
    }

    fn asks(&mut self) -> usize {
        self.outputs().iter().filter(|output| **output == RelayOutput::Ask).count()
    }

    fn users(&mut self) -> Vec<String> {
        let now = self.at().now;
        self.relays.begin(now).into_iter().map(|server| server.username).collect()
    }
}

fn codes(outputs: &[RelayOutput]) -> Vec<&str> {
    let code = |output| match output {
        &RelayOutput::Event(Event::Warning { ref code, .. }) => Some(code.as_str()),
        _ => None,
    };
    outputs.iter().filter_map(code).collect()
}

#[test]
fn asked_at_the_start_and_before_they_expire() {
    let mut world = World::new(&[URL], PathPolicy::Any, command());
    assert!(world.relays.prepare(world.at()), "nothing can be started without them");
    assert_eq!(world.asks(), 1);
    assert!(world.relays.prepare(world.at()), "one question at a time");
    assert_eq!(world.asks(), 0);
    world.answer(world.grant("first", HOUR));
    assert!(world.outputs().contains(&RelayOutput::Settled));
    assert_eq!(world.users(), ["first"]);
    assert!(!world.relays.prepare(world.at()));
    // Ten minutes before the hour is over.
    world.seconds = HOUR - 600 - 1;
    assert!(!world.relays.prepare(world.at()));
    let due = world.relays.poll_timeout().unwrap();
    assert_eq!(due, world.start + Duration::from_secs(HOUR - 600));
    world.seconds += 1;
    assert!(world.relays.prepare(world.at()));
    assert_eq!(world.relays.poll_timeout(), None, "it is being asked");
    world.answer(world.grant("second", 60));
    assert_eq!(world.users(), ["second"]);
    // A sixth of a minute before it is over.
    world.seconds += 50;
    assert!(world.relays.prepare(world.at()));
}

#[test]
fn a_machine_that_slept_knows_by_the_other_clock() {
    let mut world = World::new(&[URL], PathPolicy::Any, command());
    world.relays.prepare(world.at());
    world.answer(world.grant("first", HOUR));
    let woken = Moment { now: world.at().now, unix: world.at().unix + HOUR };
    assert!(world.relays.prepare(woken));
}

#[test]
fn an_answer_that_has_expired_is_asked_for_again_but_not_for_ever() {
    let mut world = World::new(&[URL], PathPolicy::Any, command());
    world.relays.prepare(world.at());
    world.outputs();
    world.answer(world.grant("old", 0));
    assert_eq!(world.outputs(), [RelayOutput::Ask]);
    world.answer(world.grant("new", HOUR));
    assert!(world.outputs().contains(&RelayOutput::Settled));
    assert_eq!(world.users(), ["new"]);

    let mut world = World::new(&[URL], PathPolicy::Any, command());
    world.relays.prepare(world.at());
    for _ in 1..EXPIRED_MAX {
        world.answer(world.grant("old", 0));
    }
    world.outputs();
    world.answer(world.grant("old", 0));
    let outputs = world.outputs();
    assert_eq!(codes(&outputs), ["turn_credentials"]);
    assert!(outputs.contains(&RelayOutput::Settled));
    assert_eq!(world.users(), ["old"], "a clock may be wrong, not they");
    assert_eq!(world.relays.poll_timeout(), None);
    assert!(!world.relays.prepare(world.at()));
}

#[test]
fn refused_credentials_are_replaced_once_and_then_never_tried_again() {
    let mut world = World::new(&[URL], PathPolicy::RelayOnly, command());
    world.relays.prepare(world.at());
    world.answer(world.grant("first", HOUR));
    assert_eq!(world.users(), ["first"]);
    world.outputs();
    world.refuse(401);
    let outputs = world.outputs();
    assert_eq!(codes(&outputs), ["turn_auth"]);
    let RelayOutput::Event(Event::Warning { message, .. }) = &outputs[0] else { panic!() };
    assert!(message.contains(URL), "{message}");
    assert_eq!(outputs[1..], [RelayOutput::Ask]);
    assert!(world.users().is_empty(), "nothing is built with what was refused");
    world.answer(world.grant("second", HOUR));
    assert!(world.outputs().contains(&RelayOutput::Rebuild));
    assert_eq!(world.users(), ["second"]);
    world.refuse(401);
    let outputs = world.outputs();
    let failed = outputs.iter().find_map(|output| match output {
        RelayOutput::Failed(error) => Some(error),
        _ => None,
    });
    let error = failed.expect("no path is left");
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert!(error.message.contains(URL) && !error.hint.is_empty(), "{error:?}");
    world.seconds += 10 * HOUR;
    assert!(!world.relays.prepare(world.at()), "not asked again");
    assert!(world.users().is_empty());
}

#[test]
fn what_is_fixed_is_not_asked_again() {
    for policy in [PathPolicy::Any, PathPolicy::RelayOnly] {
        let mut world = World::new(&[URL], policy, fixed());
        world.relays.prepare(world.at());
        world.answer(Grant { expires: None, ..world.grant("ann", 1) });
        assert_eq!(world.users(), ["ann"]);
        world.outputs();
        world.refuse(401);
        let outputs = world.outputs();
        let has_failed = outputs.iter().any(|output| matches!(output, RelayOutput::Failed(_)));
        assert_eq!(has_failed, policy == PathPolicy::RelayOnly, "{outputs:?}");
        assert_eq!(codes(&outputs), ["turn_auth"]);
        assert!(world.users().is_empty() && !outputs.contains(&RelayOutput::Ask));
    }
}

#[test]
fn the_same_answer_after_a_refusal_is_the_end_of_it() {
    let mut world = World::new(&[URL], PathPolicy::Any, command());
    world.relays.prepare(world.at());
    let grant = world.grant("ann", HOUR);
    world.answer(grant.clone());
    world.users();
    world.outputs();
    world.refuse(401);
    assert_eq!(world.asks(), 1);
    world.answer(grant);
    assert_eq!(world.outputs(), [RelayOutput::Settled], "direct paths go on");
    assert!(world.users().is_empty());
}

#[test]
fn a_server_that_works_forgives_a_refusal_before_it() {
    let mut world = World::new(&[URL], PathPolicy::Any, command());
    world.relays.prepare(world.at());
    for name in ["a", "b", "c", "d"] {
        world.answer(world.grant(name, HOUR));
        assert_eq!(world.users(), [name]);
        let at = world.at();
        world.relays.handle_allocation(URL, Allocation::Granted, at);
        world.outputs();
        world.refuse(401);
        assert_eq!(world.asks(), 1, "{name}");
    }
}

#[test]
fn servers_that_fail_come_last_and_their_breaker_opens() {
    let third = "turn:192.0.2.3:3478";
    let mut world = World::new(&[URL, OTHER, third], PathPolicy::Any, fixed());
    world.relays.prepare(world.at());
    world.answer(Grant { expires: None, ..world.grant("ann", 1) });
    let urls = |world: &mut World| {
        let now = world.at().now;
        world.relays.begin(now).into_iter().map(|server| server.url).collect::<Vec<_>>()
    };
    assert_eq!(urls(&mut world), [URL, OTHER], "two at a time");
    let at = world.at();
    world.relays.handle_allocation(URL, Allocation::Silent, at);
    world.outputs();
    assert_eq!(urls(&mut world), [OTHER, third]);
    // The others fail, too, and more often: the first one's turn comes again.
    for _ in 0..5 {
        for url in [OTHER, third] {
            world.relays.handle_allocation(url, Allocation::Refused(508), at);
        }
    }
    assert_eq!(codes(&world.outputs()).len(), 2, "the same is said once");
    assert_eq!(urls(&mut world), [URL], "open breakers let nothing through");
    world.seconds += 31;
    assert_eq!(urls(&mut world), [URL, OTHER], "one try after half a minute");
    assert_eq!(urls(&mut world)[0], URL);
}

#[test]
fn the_only_path_is_tried_however_often_it_failed() {
    let mut world = World::new(&[URL], PathPolicy::RelayOnly, fixed());
    world.relays.prepare(world.at());
    world.answer(Grant { expires: None, ..world.grant("ann", 1) });
    let at = world.at();
    for _ in 0..9 {
        world.relays.handle_allocation(URL, Allocation::Silent, at);
    }
    assert_eq!(world.users(), ["ann"]);
}

#[test]
fn a_source_that_fails_is_left_alone_for_a_minute() {
    let mut world = World::new(&[URL], PathPolicy::Any, command());
    for failure in 1..=SOURCE_FAILURES_MAX {
        assert!(world.relays.prepare(world.at()), "{failure}");
        world.outputs();
        let at = world.at();
        world.relays.handle_answer(Err("no".to_owned()), at);
        let outputs = world.outputs();
        assert_eq!(codes(&outputs), ["turn_credentials"]);
        assert!(outputs.contains(&RelayOutput::Settled), "direct paths do not wait");
    }
    world.seconds += 59;
    assert!(!world.relays.prepare(world.at()));
    world.seconds += 1;
    assert!(world.relays.prepare(world.at()));
}

#[test]
fn transports_that_cannot_be_used_are_named() {
    let secure = ["turns:a", "turn:b?transport=tcp"];
    let error = Relays::new(&options(&secure, PathPolicy::RelayOnly, fixed())).unwrap_err();
    assert!(error.message.contains("turns:a") && !error.hint.is_empty(), "{error:?}");
    let mut world = World::new(&secure, PathPolicy::Any, fixed());
    assert_eq!(codes(&world.outputs()), ["turn_transport", "turn_transport"]);
    assert!(!world.relays.prepare(world.at()), "nothing to ask for");
    let mut world = World::new(&[URL], PathPolicy::Any, TurnSource::None);
    assert_eq!(codes(&world.outputs()), ["turn_credentials"]);
    assert!(Relays::new(&options(&[], PathPolicy::RelayOnly, fixed())).is_err());
}

/// A user who hides an address need not say so again.
#[test]
fn what_paths_are_allowed_is_remembered() {
    use crate::store::record::{SessionRecord, Side};
    use crate::wire::{MemberId, SessionId};
    for (policy, asked, expected) in [
        (PathPolicy::RelayOnly, PathPolicy::Any, PathPolicy::RelayOnly),
        (PathPolicy::DirectOnly, PathPolicy::Any, PathPolicy::DirectOnly),
        (PathPolicy::Any, PathPolicy::Any, PathPolicy::Any),
        (PathPolicy::RelayOnly, PathPolicy::DirectOnly, PathPolicy::DirectOnly),
    ] {
        let side = Side::Receiver { target: Vec::new() };
        let mut record = SessionRecord::new(SessionId([1; 16]), MemberId([1; 16]), side, 1);
        record.paths = paths(&options(&[], policy, TurnSource::None));
        let record = SessionRecord::decode(&record.encode().unwrap()).unwrap();
        let mut next = options(&[], asked, TurnSource::None);
        restore(&mut next, &record);
        assert_eq!(next.path_policy, expected, "{policy:?}, then {asked:?}");
    }
}
