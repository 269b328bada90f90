//! B-Q: what was a directory in one run is a file, a link or nothing in the next: a receiver gets what is there now, and what is
//! gone is neither made nor in the way.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::process::Signal;

use rejoin::transfer::disk::StoredPage;
use rejoin::transfer::manifest::{Chain, Entry, EntryKind, Page};
use rejoin::transfer::message::{Message, RecoveryRequest, WireRanges};

use crate::support::env::{Finished, Running};
use crate::support::model_source::{ModelSource, Node, Tree};
use crate::support::pair::Pair;
use crate::support::sim::SESSION;
use crate::support::tree::{assert_same, assert_same_content};
use crate::support::victim::{Prey, Victim, directory, entry, file};

/// Large enough to be half there when all small files have their names.
const LARGE: usize = 96 << 20;

fn kill(run: Running) {
    run.signal(Signal::KILL);
    run.wait();
}

/// A sender whose walk is over.
fn scanned(pair: &Pair) -> Running {
    let sender = pair.sending("tree");
    sender.event_where("the whole manifest", |event| {
        event["event"] == "manifest" && event["complete"] == true
    });
    sender
}

/// Who had what of the tree before it changed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    /// A receiver of another machine: nothing of it is known here.
    Another,
    /// A receiver that was killed half-way.
    Part,
    /// A receiver that knows the pages, and made nothing.
    Pages,
}

/// The tree of every test here, before anything changes.
fn tree() -> Pair {
    let pair = Pair::new();
    for name in ["d/x", "d/e/deep/y", "d/e/z", "keep/k"] {
        pair.home.file(&format!("tree/{name}"), name);
    }
    fs::create_dir_all(pair.path("tree/empty/inner")).unwrap();
    pair.noise("tree/z-large", LARGE);
    pair
}

fn begin(pair: &Pair, before: Before) {
    let sender = scanned(pair);
    match before {
        Before::Another | Before::Part => {
            let receiver = pair.receiving().spawn();
            receiver.event_where("all but the large one", |event| {
                event["event"] == "file" && event["path"] == "tree/keep/k"
            });
            kill(receiver);
        }
        Before::Pages => {
            // Without a terminal nobody consents: it ends with the question.
            let receiver =
                pair.receive(["--json", "-o", "target", crate::support::pair::CODE]).run();
            receiver.expect_code(7);
            sender.wait();
            return shrink(pair);
        }
    }
    kill(sender);
    if before == Before::Another {
        for name in ["target", "state-receive"] {
            fs::remove_dir_all(pair.path(name)).unwrap();
        }
        fs::create_dir(pair.path("target")).unwrap();
    }
    shrink(pair);
}

/// What took long to send is another version now, and short.
fn shrink(pair: &Pair) {
    fs::write(pair.path("tree/z-large"), "short").unwrap();
}

fn replace(path: &Path, with: impl FnOnce(&Path)) {
    fs::remove_dir_all(path).unwrap();
    with(path);
}

/// Both ends say that all is there.
#[track_caller]
fn finish(pair: &Pair, what: &str) -> Finished {
    // One that is new needs a code of its own.
    let is_known = pair.path("state-receive").exists();
    let (sender, receiver) = if is_known {
        (pair.sending("tree"), pair.receiving())
    } else {
        let sender = pair.send(["--json", "--code-out", "code", "tree"]).spawn();
        sender.event_where("code", |event| event["event"] == "code");
        (sender, pair.receive(["--json", "-y", "-o", "target", "--code-file", "code"]))
    };
    let receiver = receiver.run();
    let codes = (receiver.code(), sender.wait().code());
    assert_eq!(codes, (0, 0), "{what}: {}", receiver.stdout);
    assert_eq!(receiver.files("failed"), [""; 0], "{what}");
    receiver
}

type Change = (&'static str, fn(&Path));

/// What becomes of the tree.
const CHANGES: [Change; 6] = [
    ("a file", |tree| replace(&tree.join("d"), |d| fs::write(d, "a file").unwrap())),
    ("a link", |tree| replace(&tree.join("d"), |d| symlink("keep", d).unwrap())),
    ("removed", |tree| replace(&tree.join("d"), |_| ())),
    ("a nested one", |tree| replace(&tree.join("d/e"), |e| fs::write(e, "a file").unwrap())),
    ("an empty one", |tree| replace(&tree.join("empty"), |_| ())),
    ("an empty one to a file", |tree| {
        replace(&tree.join("empty"), |empty| fs::write(empty, "a file").unwrap());
    }),
];

/// B-Q: a receiver that is new gets the tree of now, and no directory besides.
#[test]
fn a_new_receiver_gets_no_directory_that_is_gone() {
    for (what, change) in CHANGES {
        let pair = tree();
        begin(&pair, Before::Another);
        change(&pair.path("tree"));
        finish(&pair, what);
        assert_same(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-Q: what a directory that is gone was called may be another's at the target: it is not looked at.
#[test]
fn a_directory_that_is_gone_is_in_nobodys_way() {
    for what in ["removed", "back"] {
        let pair = tree();
        begin(&pair, Before::Another);
        let (d, away) = (pair.path("tree/d"), pair.path("away"));
        fs::rename(&d, &away).unwrap();
        if what == "back" {
            kill(scanned(&pair));
            fs::rename(&away, &d).unwrap();
        } else {
            pair.home.file("target/tree/d", "of the user");
        }
        finish(&pair, what);
        if what == "removed" {
            assert_eq!(fs::read_to_string(pair.path("target/tree/d")).unwrap(), "of the user");
            fs::remove_file(pair.path("target/tree/d")).unwrap();
        }
        assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-Q: a receiver that has part of a directory, or knew of it, gets what is in its place now.
#[test]
fn what_this_session_published_makes_room() {
    for (what, change) in CHANGES {
        for before in [Before::Part, Before::Pages] {
            let pair = tree();
            begin(&pair, before);
            change(&pair.path("tree"));
            finish(&pair, &format!("{what}, {before:?}"));
            // What has its name and is gone at the source stays, unless something else has the name now.
            if what == "removed" && before == Before::Part {
                assert_eq!(fs::read_to_string(pair.path("target/tree/d/x")).unwrap(), "d/x");
                fs::remove_dir_all(pair.path("target/tree/d")).unwrap();
                assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
                continue;
            }
            assert_same(&pair.path("tree"), &pair.path("target/tree"));
        }
    }
}

/// B-Q: a directory that is a file for one run, which a receiver has, and a directory again.
#[test]
fn a_directory_comes_back_after_it_was_a_file() {
    for has_file in [false, true] {
        let pair = tree();
        begin(&pair, Before::Part);
        let (d, away) = (pair.path("tree/d"), pair.path("away"));
        fs::rename(&d, &away).unwrap();
        fs::write(&d, "a file").unwrap();
        let sender = scanned(&pair);
        if has_file {
            let receiver = pair.receiving().spawn();
            receiver.event_where("the file", |event| {
                event["event"] == "file" && event["path"] == "tree/d"
            });
            kill(receiver);
        }
        kill(sender);
        fs::remove_file(&d).unwrap();
        fs::rename(&away, &d).unwrap();
        finish(&pair, "back");
        assert_same(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-Q: what the user put into a directory, or changed there, is never removed: the file is listed, with what is in its way.
#[test]
fn what_the_user_has_there_stays() {
    let changes: [Change; 4] = [
        ("new", |d| fs::write(d.join("new"), "of the user").unwrap()),
        ("e/deep/y", |d| {
            let path = d.join("e/deep/y");
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "d/e/deep/Y").unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(modified).unwrap();
        }),
        ("e/new", |d| fs::create_dir(d.join("e/new")).unwrap()),
        ("e/z", |d| {
            fs::remove_file(d.join("e/z")).unwrap();
            symlink("../x", d.join("e/z")).unwrap();
        }),
    ];
    for (name, change) in changes {
        let pair = tree();
        begin(&pair, Before::Part);
        let there = pair.path("target/tree/d");
        change(&there);
        replace(&pair.path("tree/d"), |d| fs::write(d, "a file").unwrap());
        let sender = pair.sending("tree");
        let receiver = pair.receiving().run();
        assert_eq!((receiver.code(), sender.wait().code()), (6, 6), "{name}: {}", receiver.stdout);
        let told = receiver.events().into_iter().find(|event| event["path"] == "tree/d").unwrap();
        let error = told["error"].as_str().unwrap();
        assert!(error.contains(&format!("tree/d/{name}")), "{name}: {error}");
        for kept in [name, "x"] {
            assert!(there.join(kept).symlink_metadata().is_ok(), "{name}: {kept} was removed");
        }
        // Once it is out of the way, the same command ends with all.
        fs::remove_dir_all(there).unwrap();
        finish(&pair, name);
        assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
    }
}

/// B-Q: a directory that was there before the session is the user's, though it holds nothing.
#[test]
fn a_directory_of_the_users_own_stays() {
    let pair = tree();
    fs::create_dir_all(pair.path("target/tree/empty")).unwrap();
    begin(&pair, Before::Part);
    replace(&pair.path("tree/empty"), |empty| fs::write(empty, "a file").unwrap());
    let sender = pair.sending("tree");
    let receiver = pair.receiving().run();
    assert_eq!((receiver.code(), sender.wait().code()), (6, 6), "{}", receiver.stdout);
    assert!(pair.path("target/tree/empty").is_dir());
}

fn gone(name: &[u8], old: u64) -> Entry {
    Entry { supersedes: Some(old), ..entry(name, EntryKind::Gone) }
}

fn ranges(entries: &[u64]) -> WireRanges {
    WireRanges::from(&entries.iter().copied().collect())
}

/// B-Q: what the sender says is gone is neither looked at nor made, whatever has its name at the target.
#[test]
fn what_is_gone_is_not_looked_at() {
    for is_taken in [false, true] {
        let mut victim = Victim::accepting();
        victim.recover();
        if is_taken {
            fs::write(victim.out().join("d"), "of the user").unwrap();
            fs::write(victim.out().join("old"), "of the user").unwrap();
        }
        victim.say(Message::Gone { entries: ranges(&[0, 1]) });
        victim.page(0, 0, vec![directory(b"d"), file(b"old", 3)]);
        let is_of_file =
            |event: &rejoin::event::Event| matches!(event, rejoin::event::Event::File { .. });
        let is_there = victim.out().join("d").exists();
        assert_eq!(is_there, is_taken, "made, or removed");
        victim.page(1, 2, vec![gone(b"d", 0), gone(b"old", 1)]);
        assert!(!victim.events.iter().any(is_of_file), "{:?}", victim.events);
        assert_eq!(victim.failure(), None);
    }
}

/// B-Q: the sender says it of each page before it sends it; of a directory that only has another mode it says nothing.
#[test]
fn a_sender_says_what_is_gone() {
    let names = [b"d".to_vec(), b"kept".to_vec()];
    let tree: Tree = names.into_iter().map(|name| (name, Node::Directory)).collect();
    let mut source = ModelSource::new(tree, SESSION, 64);
    let renewed = Entry { supersedes: Some(1), ..directory(b"kept") };
    let page = Page { number: 1, first_entry: 2, entries: vec![gone(b"d", 0), renewed] };
    let encoded = page.encode().unwrap().into();
    source.pages.push(StoredPage { encoded, stamps: vec![None; 2] });
    let mut prey = Prey::new(source);
    prey.say(Message::RecoveryRequest(RecoveryRequest {
        session: SESSION,
        epoch: 1,
        pages: 0,
        chain: Chain::start(SESSION),
        undecided: ranges(&[]),
        unwanted: ranges(&[]),
        units: ranges(&[]),
        digests: Vec::new(),
    }));
    assert_eq!(prey.failure(), None);
    let said: Vec<_> = prey.received.iter().take(4).collect();
    assert_eq!(said[1], &Message::Gone { entries: ranges(&[0]) }, "{said:?}");
    assert!(matches!(said[2..], [Message::Page { .. }, Message::Page { .. }]), "{said:?}");
}
