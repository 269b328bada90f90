//! names that run or configure programs, at the question.

use crate::support::victim::{Victim, below, chain, directory, file};
use rejoin::transfer::disk::OnConflict;
use rejoin::transfer::manifest::{Entry, Totals};
use rejoin::transfer::message::Message;
use rejoin::transfer::receiver::{Accepted, Acting, Agreement, Answer, Ask};

/// names that run or configure programs are pointed out at the question, wherever in the tree they are.
#[test]
fn names_that_act_are_pointed_out() {
    let mut victim = Victim::asking();
    victim.recover();
    let entries = vec![
        directory(b"home"),
        below(0, file(b".BashRC", 1)),
        below(0, file(b"photo.jpg", 1)),
        directory(b".ssh"),
    ];
    victim.page(0, 0, entries);
    victim.end(1);
    victim.tick();
    let [Ask::Accept { flagged, .. }] = &victim.asked[..] else { panic!("{:?}", victim.asked) };
    let shown: Vec<_> = flagged.iter().map(|path| path.path.as_str()).collect();
    assert_eq!(shown, ["home/.BashRC", ".ssh"]);
}

/// what comes after the answer and acts is asked about once more, before anything of it is wanted.
#[test]
fn names_that_act_are_not_held_back_until_the_answer() {
    let mut victim = Victim::asking();
    victim.recover();
    victim.say(Message::Estimate {
        totals: Totals { entries: 9, files: 9, bytes: 9, directories: 9 },
        is_complete: true,
    });
    victim.page(0, 0, vec![file(b"harmless", 1)]);
    victim.tick();
    victim.accept();
    assert_eq!(victim.wants(), [0]);
    victim.page(1, 1, vec![file(b".bashrc", 1)]);
    victim.end(2);
    victim.tick();
    assert_eq!(victim.wants(), [0], "nothing of it before the answer");
    let [Ask::Accept { .. }, Ask::Accept { flagged, is_again: true, .. }] = &victim.asked[..]
    else {
        panic!("{:?}", victim.asked)
    };
    assert_eq!(flagged.len(), 1);
    victim.accept();
    assert_eq!(victim.wants(), [0, 1]);
}

/// The only question that is out, and whether it is one more: paths that act.
#[track_caller]
fn pointed_out(victim: &Victim) -> (Vec<&str>, bool) {
    let [.., Ask::Accept { flagged, is_again, .. }] = &victim.asked[..] else {
        panic!("{:?}", victim.asked)
    };
    (flagged.iter().map(|path| path.path.as_str()).collect(), *is_again)
}

/// a receiver that is started again knows what was shown, and asks about what comes now and acts as the first one would.
#[test]
fn names_that_act_are_asked_about_after_a_restart_too() {
    let mut victim = agreed_to(vec![file(b"harmless", 1)]).restart_remembering();
    answer(&mut victim, 1);
    assert!(victim.asked.is_empty(), "nothing new yet: {:?}", victim.asked);
    victim.page(1, 1, vec![file(b".bashrc", 1)]);
    victim.end(2);
    victim.tick();
    assert!(!victim.wants().contains(&1), "nothing of it before the answer");
    assert_eq!(pointed_out(&victim), (vec![".bashrc"], true));
    victim.accept();
    assert!(victim.wants().contains(&1));
}

/// More than any of these trees holds: only names decide.
const AMPLE: Totals = Totals { entries: 9_000, files: 900, bytes: 9_000, directories: 900 };

/// A victim that was shown these entries, and whose user agreed to them.
fn agreed_to(entries: Vec<Entry>) -> Victim {
    let mut victim = Victim::asking();
    victim.recover();
    victim.say(Message::Estimate { totals: AMPLE, is_complete: true });
    victim.page(0, 0, entries);
    victim.tick();
    victim.accept();
    victim
}

/// The sender answers a receiver that was started again, and has so many pages.
fn answer(victim: &mut Victim, pages: u64) {
    victim.say(Message::RecoveryAnswer { pages });
    victim.say(Message::Estimate { totals: AMPLE, is_complete: true });
}

/// what was shown and agreed to is not asked about again, by any run; nor is a later version of it.
#[test]
fn names_that_were_agreed_to_are_not_asked_about_again() {
    let victim = agreed_to(vec![directory(b"home"), below(0, file(b".bashrc", 1))]);
    assert_eq!(victim.asked.len(), 1);
    let mut victim = victim.restart_remembering();
    answer(&mut victim, 1);
    let later = Entry { supersedes: Some(1), ..below(0, file(b".bashrc", 2)) };
    victim.page(1, 2, vec![later]);
    victim.tick();
    assert!(victim.asked.is_empty(), "{:?}", victim.asked);
    assert!(victim.wants().contains(&1));
    // The same name elsewhere is another one.
    victim.page(2, 3, vec![file(b".bashrc", 1)]);
    victim.tick();
    assert_eq!(pointed_out(&victim), (vec![".bashrc"], true));
}

/// a name that came before the process was killed, and was not shown, is asked about by the next one.
#[test]
fn names_that_came_before_a_restart_and_were_not_shown_are_asked_about() {
    let mut victim = agreed_to(vec![file(b"harmless", 1)]);
    victim.page(1, 1, vec![file(b".bashrc", 1)]);
    victim.tick();
    assert_eq!(victim.asked.len(), 2);
    let mut victim = victim.restart_remembering();
    answer(&mut victim, 2);
    victim.end(2);
    victim.tick();
    assert_eq!(pointed_out(&victim), (vec![".bashrc"], true));
    victim.accept();
    // Agreed to now, and by the next run, too.
    let mut victim = victim.restart_remembering();
    answer(&mut victim, 2);
    victim.end(2);
    victim.tick();
    assert!(victim.asked.is_empty(), "{:?}", victim.asked);
}

/// a question that names as many as it can does not cover what comes after it.
#[test]
fn an_eleventh_name_is_asked_about_too() {
    let name = |number: u64| file(format!("{number}.desktop").as_bytes(), 1);
    let mut victim = agreed_to((0..12).map(name).collect());
    let [Ask::Accept { flagged, flagged_beyond, .. }] = &victim.asked[..] else {
        panic!("{:?}", victim.asked)
    };
    assert_eq!((flagged.len(), *flagged_beyond), (10, 2), "the rest is counted");
    assert_eq!(victim.wants(), [0]);
    victim.page(1, 12, vec![file(b".bashrc", 1)]);
    victim.tick();
    assert_eq!(victim.wants(), [0]);
    assert_eq!(pointed_out(&victim), (vec![".bashrc"], true));
}

/// what an agreement remembers is bounded: who agrees to more names than it lists agrees to any.
#[test]
fn an_agreement_is_bounded() {
    let name = |number: u64| file(format!("{number}.desktop").as_bytes(), 0);
    let mut victim = agreed_to((0..900).map(name).collect());
    victim.tick();
    let Some(Agreement { acting: Acting::Listed(paths), .. }) = &victim.consented else {
        panic!("{:?}", victim.consented)
    };
    assert_eq!(paths.len(), 900);
    let mut victim = Victim::in_memory(false);
    victim.recover();
    victim.page(0, 0, chain(b".config", 20));
    victim.page(1, 20, (0..990).map(name).collect());
    victim.end(2);
    victim.tick();
    let [Ask::Accept { flagged, flagged_beyond, .. }] = &victim.asked[..] else {
        panic!("{:?}", victim.asked)
    };
    assert_eq!((flagged.len(), *flagged_beyond), (10, 1_000));
    victim.accept();
    assert_eq!(victim.consented.as_ref().map(|of| of.acting.clone()), Some(Acting::Any));
}

/// who took whatever comes is not asked by the next run either, within the limits.
#[test]
fn whatever_comes_was_agreed_to_by_whoever_said_so() {
    let mut victim = Victim::asking();
    victim.recover();
    victim.say(Message::Estimate { totals: AMPLE, is_complete: true });
    victim.page(0, 0, vec![file(b"harmless", 1)]);
    victim.tick();
    victim.answer(Answer::Accept(Accepted::Everything));
    let mut victim = victim.restart_remembering();
    answer(&mut victim, 1);
    victim.page(1, 1, vec![file(b".bashrc", 1)]);
    victim.tick();
    assert!(victim.asked.is_empty(), "{:?}", victim.asked);
    assert!(victim.wants().contains(&1));
}

/// A resumed receiver takes no more than was agreed to, whatever the sender has meanwhile.
#[test]
fn more_than_was_agreed_to_is_asked_about_after_a_restart_too() {
    let mut victim = Victim::asking();
    victim.recover();
    victim.page(0, 0, vec![file(b"a", 1)]);
    victim.end(1);
    victim.tick();
    victim.accept();
    for more in [file(b"b", 0), file(b"c", 1 << 40), directory(b"d")] {
        // The same user, asked again each time.
        let accepted = victim.consented.clone();
        let mut again = Victim::asking();
        again.recover();
        again.page(0, 0, vec![file(b"a", 1)]);
        let mut again = again.restart_with(|config| config.accepted = accepted);
        again.say(Message::RecoveryAnswer { pages: 1 });
        again.page(1, 1, vec![more.clone()]);
        again.end(2);
        again.tick();
        assert!(!again.wants().contains(&1), "{more:?}");
        assert!(pointed_out(&again).1, "{more:?}");
    }
}

/// `--on-conflict` is that of the run: what an earlier one would have replaced stays where this one says so.
#[test]
fn a_conflict_is_settled_as_the_resumed_run_says() {
    for policy in [OnConflict::Fail, OnConflict::Skip] {
        let mut victim = Victim::accepting().restart_with(|config| {
            config.accepted = Some(Agreement::EVERYTHING);
            config.on_conflict = Some(OnConflict::Overwrite);
        });
        std::fs::write(victim.out().join("f"), b"the user's own").unwrap();
        victim.recover();
        victim.page(0, 0, vec![file(b"f", 8)]);
        assert_eq!(victim.wants(), [0]);
        victim.say(Victim::pack(0, &[(0, b"other\n12")]));
        victim.body(b"other\n12");
        // Killed when all of it is here, and nothing of it has its name.
        let mut victim = victim.restart_with(|config| {
            config.accepted = Some(Agreement::EVERYTHING);
            config.on_conflict = Some(policy);
        });
        victim.say(Message::RecoveryAnswer { pages: 1 });
        victim.end(1);
        victim.tick();
        victim.tick();
        let found = victim.found().remove(&b"f"[..]);
        assert_eq!(found.as_deref(), Some(&b"the user's own"[..]), "{policy:?}");
    }
}

/// A later version of a top-level name is the same name: the question has it once.
#[test]
fn a_later_version_is_named_once() {
    let mut victim = Victim::asking();
    victim.recover();
    victim.page(0, 0, vec![file(b"a", 1), file(b"b", 1)]);
    victim.page(1, 2, vec![Entry { supersedes: Some(0), ..file(b"a", 2) }]);
    victim.end(2);
    victim.tick();
    let [Ask::Accept { names, .. }] = &victim.asked[..] else { panic!("{:?}", victim.asked) };
    let names: Vec<&str> = names.iter().map(|name| name.path.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}
