//! names that run or configure programs, at the question.

use crate::support::victim::{Victim, below, directory, file};
use rejoin::transfer::manifest::Totals;
use rejoin::transfer::message::Message;
use rejoin::transfer::receiver::Ask;

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
