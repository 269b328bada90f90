//! Peers that lie: a sender against the real receiver and its real store, and a receiver against the real sender.
//!
//! Every case ends in a look at the target directory: what is there was promised, verified, and has a name that may be.

use crate::support::messages::{every_message, request, tiny_prey};
use crate::support::model_source::{ModelSource, random_tree};
use crate::support::random::Random;
use crate::support::victim::{Content, Prey, Victim, below, chain, directory, entry, file, link};
use rejoin::error::ErrorKind;
use rejoin::event::{Event, FileStatus};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::PackedFile;
use rejoin::transfer::manifest::{Chain, EntryKind, FILE_BYTES_MAX, ModifiedTime, Page, Totals};
use rejoin::transfer::merge;
use rejoin::transfer::message::{EARLY_PAGES_MAX, Message, RecoveryRequest, UnitHead, WireRanges};
use rejoin::transfer::missing::Outcome;
use rejoin::transfer::name::{NameError, check_name, check_symlink_target};
use rejoin::transfer::ranges::Ranges;
use rejoin::wire::SessionId;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A line of a corpus: bytes, the columns between, and the verdict.
fn corpus(name: &str) -> Vec<(Vec<u8>, Vec<String>)> {
    let path = crate::root().join("fixtures/names").join(name);
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let bytes = match words.next().unwrap() {
                "-" => Vec::new(),
                digits => (0..digits.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
                    .collect(),
            };
            (bytes, words.map(str::to_owned).collect())
        })
        .collect()
}

fn verdict(outcome: Result<(), NameError>) -> String {
    outcome.map_or_else(|error| format!("{error:?}"), |()| "good".to_owned())
}

/// A-01, I-01: the one function that decides on names, against what it is to say.
#[test]
fn the_corpus_of_names_is_judged_as_it_says() {
    let cases = corpus("names.txt");
    assert!(cases.len() > 50);
    for (name, words) in cases {
        assert_eq!(verdict(check_name(&name)), words[0], "{}", name.escape_ascii());
    }
}

///
#[test]
fn the_corpus_of_links_is_judged_as_it_says() {
    let cases = corpus("links.txt");
    assert!(cases.len() > 25);
    for (target, words) in cases {
        let depth = words[0].parse().unwrap();
        let judged = verdict(check_symlink_target(&target, depth));
        assert_eq!(judged, words[1], "{} at {depth}", target.escape_ascii());
    }
}

/// The receiver refuses a bad name alone, says so, and takes the rest.
#[test]
fn a_bad_name_is_refused_alone() {
    for (name, words) in corpus("names.txt") {
        let is_bad = words[0] != "good";
        let mut victim = Victim::accepting();
        let mut entries = vec![(file(&name, 3), Content::from(&b"bad"[..]))];
        entries.push((file(b"zz-good", 4), Content::from(&b"good"[..])));
        entries.sort_by(|one, other| one.0.name.cmp(&other.0.name));
        victim.serve(entries);
        let shown = name.escape_ascii();
        assert!(victim.is_finished(), "{shown}: {:?}", victim.end);
        let expected = if is_bad { 1 } else { 2 };
        let found = victim.found();
        assert_eq!(found.len(), expected, "{shown}: {found:?}");
        assert_eq!(found[&b"zz-good"[..]], b"good");
        assert_eq!(found.contains_key(&name), !is_bad, "{shown}");
        assert_eq!(victim.receiver.progress().outcome.failed, u64::from(is_bad), "{shown}");
        let is_failed = |event: &&Event| {
            matches!(event, Event::File { status: FileStatus::Failed, error: Some(_), .. })
        };
        assert_eq!(victim.events.iter().filter(is_failed).count(), usize::from(is_bad), "{shown}");
    }
}

/// B-C: what is finished is a memory on a new link, until its end comes; and not even that once the sender says that it has
/// more, whether or not its pages come.
#[test]
fn an_estimate_of_more_takes_the_end_back() {
    let mut victim = Victim::accepting();
    victim.serve(vec![(file(b"one", 3), Content::from(&b"one"[..]))]);
    assert!(victim.is_finished(), "{:?}", victim.end);
    victim.reconnect();
    assert!(!victim.is_finished(), "a new link says nothing");
    assert!(victim.receiver.has_everything());
    victim.say(Message::RecoveryAnswer { pages: 1 });
    for entries in [1, 2] {
        let totals = Totals { entries, files: entries, bytes: 3 * entries, directories: 0 };
        victim.say(Message::Estimate { totals, is_complete: false });
        assert!(!victim.is_finished());
        assert_eq!(victim.receiver.has_everything(), entries == 1);
    }
    // It was wrong.
    victim.end(1);
    assert!(victim.is_finished(), "{:?}", victim.end);
}

/// B-O: `.rejoin` of an unfinished transfer is no content at any depth, in any case.
#[test]
fn the_reserved_name_is_refused_at_any_depth() {
    let mut victim = Victim::accepting();
    victim.serve(vec![
        (directory(b"d"), Content::None),
        (below(0, directory(b"e")), Content::None),
        (below(1, file(b".REJOIN", 3)), Content::from(&b"bad"[..])),
        (below(0, directory(b".rejoin")), Content::None),
        (below(3, file(b"journal", 3)), Content::from(&b"bad"[..])),
        (below(0, file(b"good", 4)), Content::from(&b"good"[..])),
    ]);
    assert!(victim.is_finished(), "{:?}", victim.end);
    let found = victim.found();
    let files: Vec<_> = found.values().filter(|content| !content.is_empty()).collect();
    assert_eq!(files, [b"good"], "{found:?}");
    assert_eq!(victim.receiver.progress().outcome.failed, 3);
}

/// A link with a bad target is refused alone; a good one is made.
#[test]
fn a_bad_link_is_refused_alone() {
    for (target, words) in corpus("links.txt") {
        if words[0] != "0" || target.len() > 4_000 {
            continue;
        }
        let mut victim = Victim::accepting();
        let good = (file(b"zz-good", 4), Content::from(&b"good"[..]));
        victim.serve(vec![(link(b"link", &target), Content::None), good]);
        assert!(victim.is_finished(), "{}", target.escape_ascii());
        let found = victim.found();
        assert_eq!(found.get(&b"link"[..]), (words[1] == "good").then_some(&target));
        assert_eq!(found[&b"zz-good"[..]], b"good");
    }
}

/// What lies in a refused directory is refused with it, at any depth, and the rest arrives.
#[test]
fn children_of_a_refused_directory_are_refused() {
    for name in [&b".."[..], b".rejoin", b"a/b", b""] {
        let mut victim = Victim::accepting();
        let deep = below(0, directory(b"deep"));
        let (child, grandchild) = (below(0, file(b"file", 3)), below(1, file(b"file", 3)));
        victim.serve(vec![
            (directory(name), Content::None),
            (deep, Content::None),
            (grandchild, Content::from(&b"bad"[..])),
            (child, Content::from(&b"bad"[..])),
            (file(b"zz-good", 4), Content::from(&b"good"[..])),
        ]);
        assert!(victim.is_finished(), "{}: {:?}", name.escape_ascii(), victim.end);
        let found = victim.found();
        assert_eq!(found.keys().collect::<Vec<_>>(), [b"zz-good"], "{}", name.escape_ascii());
        assert_eq!(victim.receiver.progress().outcome.failed, 4);
    }
}

/// Pages that end the session: nothing of them is published.
#[test]
fn pages_that_no_honest_sender_makes() {
    let child_of = |parent, name: &[u8]| below(parent, file(name, 1));
    let replacing = |parent, name: &[u8], old| {
        let mut entry = child_of(0, name);
        entry.parent = parent;
        entry.supersedes = Some(old);
        entry
    };
    let metadata = |parent, name: &[u8], of| {
        let mut entry = entry(name, EntryKind::Metadata { of });
        entry.parent = parent;
        entry
    };
    let gone = |name: &[u8], old| {
        let mut entry = entry(name, EntryKind::Gone);
        entry.supersedes = Some(old);
        entry
    };
    let cases = [
        ("metadata of a directory", vec![directory(b"a"), metadata(None, b"a", 0)]),
        ("metadata of a symlink", vec![link(b"a", b"b"), metadata(None, b"a", 0)]),
        ("metadata of nothing", vec![metadata(None, b"a", 7)]),
        ("metadata of itself", vec![metadata(None, b"a", 0)]),
        ("metadata of a later entry", vec![metadata(None, b"a", 1), file(b"a", 1)]),
        ("metadata under another name", vec![file(b"a", 1), metadata(None, b"b", 0)]),
        ("metadata elsewhere", {
            vec![file(b"a", 1), directory(b"d"), metadata(Some(1), b"a", 0)]
        }),
        ("metadata of what was replaced", {
            vec![file(b"a", 1), replacing(None, b"a", 0), metadata(None, b"a", 0)]
        }),
        ("metadata of metadata", {
            vec![file(b"a", 1), metadata(None, b"a", 0), metadata(None, b"a", 1)]
        }),
        ("a replacement of metadata", {
            vec![file(b"a", 1), metadata(None, b"a", 0), replacing(None, b"a", 1)]
        }),
        ("metadata of what is gone", {
            vec![file(b"a", 1), gone(b"a", 0), metadata(None, b"a", 1)]
        }),
        ("metadata that replaces", {
            let mut replacing = metadata(None, b"a", 0);
            replacing.supersedes = Some(0);
            vec![file(b"a", 1), replacing]
        }),
        ("a file through a symlink", vec![link(b"d", b"e"), child_of(0, b"x")]),
        ("a file through a refused symlink", vec![link(b"d", b"/"), child_of(0, b"x")]),
        ("a file below a file", vec![file(b"a", 1), child_of(0, b"b")]),
        ("a directory as old as itself", vec![child_of(0, b"x")]),
        ("a parent that comes later", vec![child_of(1, b"x"), directory(b"d")]),
        ("a parent that does not exist", vec![child_of(u64::MAX, b"x")]),
        ("a name twice in a directory that was left", {
            vec![directory(b"a"), child_of(0, b"x"), directory(b"b"), child_of(0, b"x")]
        }),
        ("a name twice, the second in the replaced directory", {
            let mut again = directory(b"a");
            again.supersedes = Some(0);
            vec![directory(b"a"), child_of(0, b"x"), again, child_of(2, b"x")]
        }),
        ("the same name twice", vec![file(b"a", 1), file(b"a", 1)]),
        ("a link and a file of one name", vec![link(b"a", b"b"), file(b"a", 1)]),
        ("a link and a directory of one name", vec![link(b"a", b"b"), directory(b"a")]),
        ("a sum beyond all limits", vec![file(b"a", FILE_BYTES_MAX), file(b"b", 1)]),
        ("a replacement of nothing", vec![replacing(None, b"a", 7)]),
        ("a replacement in a refused directory", {
            vec![directory(b".rejoin"), replacing(Some(0), b"x", 0)]
        }),
        ("a replacement of a directory", vec![directory(b"a"), replacing(None, b"a", 0)]),
        ("a replacement of a file by a directory", {
            let mut replacing = directory(b"a");
            replacing.supersedes = Some(0);
            vec![file(b"a", 1), replacing]
        }),
        ("a replacement of what was replaced", {
            vec![file(b"a", 1), replacing(None, b"a", 0), replacing(None, b"a", 0)]
        }),
        ("a replacement under another name", vec![file(b"a", 1), replacing(None, b"A", 0)]),
        ("a replacement of itself", vec![replacing(None, b"a", 0)]),
        ("a replacement elsewhere", vec![file(b"a", 1), replacing(Some(9), b"../x", 0)]),
    ];
    for (what, entries) in cases {
        let mut victim = Victim::accepting();
        victim.recover();
        victim.page(0, 0, entries);
        victim.expect_protocol_error(what);
    }
    for (what, number, first_entry) in [
        ("a page number too high", 1, 0),
        ("an index too high", 0, 1),
        ("an index far off", 0, u64::MAX),
    ] {
        let mut victim = Victim::accepting();
        victim.recover();
        victim.page(number, first_entry, vec![file(b"a", 1)]);
        victim.expect_protocol_error(what);
    }
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, vec![file(b"a", 1)]);
    victim.page(0, 0, vec![file(b"a", 1)]);
    victim.expect_protocol_error("a page twice");
    let mut victim = Victim::accepting();
    victim.recover();
    victim.say(Message::Page { encoded: vec![0xff; 100] });
    victim.expect_protocol_error("a page that is none");
}

/// B-Q: what is gone is of the page that comes next, and a page says so before the end: nothing is left out by a word.
#[test]
fn what_is_gone_is_gone_by_a_page() {
    let gone = |entries: &[u64]| {
        let entries: Ranges = entries.iter().copied().collect();
        Message::Gone { entries: WireRanges::from(&entries) }
    };
    for entries in [&[][..], &[1_024], &[u64::MAX - 1]] {
        let mut victim = Victim::accepting();
        victim.recover();
        victim.say(gone(entries));
        victim.expect_protocol_error("gone of no page");
    }
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, vec![file(b"a", 1)]);
    victim.say(gone(&[0]));
    victim.expect_protocol_error("gone of a page that came");
    let mut victim = Victim::accepting();
    victim.recover();
    victim.say(gone(&[0]));
    victim.page(0, 0, vec![file(b"a", 1), directory(b"d")]);
    victim.end(1);
    victim.expect_protocol_error("gone, and no page says so");
}

/// A page too large, pages without end, and directories without bottom are cut off.
#[test]
fn manifests_are_bounded() {
    let many = (0..1_025).map(|index| directory(format!("{index:05}").as_bytes())).collect();
    let page = Page { number: 0, first_entry: 0, entries: many };
    let mut victim = Victim::accepting();
    victim.recover();
    victim.say(Message::Page { encoded: page.encode().unwrap() });
    victim.expect_protocol_error("1025 entries on a page");
    // Pages whose files are never sent.
    let mut victim = Victim::accepting();
    victim.recover();
    for number in 0..100 {
        victim.page(number, number, vec![file(format!("{number:05}").as_bytes(), 1)]);
    }
    victim.expect_protocol_error("a hundred open pages");
    let mut victim = Victim::accepting_up_to(2_000);
    victim.recover();
    for (index, deeper) in (0..).zip(chain(b"d", 1_010)) {
        victim.page(index, index, vec![deeper]);
    }
    victim.expect_protocol_error("a thousand directories deep");
    let depth = std::iter::successors(Some(victim.out().to_path_buf()), |path| {
        Some(path.join("d")).filter(|path| path.is_dir())
    });
    assert!(depth.count() <= 1_002);
}

/// Sizes that lie cost neither memory nor time, nor a wrong byte (A-09, G-04).
#[test]
fn sizes_that_lie() {
    // Beyond the limit: refused alone.
    for bytes in [FILE_BYTES_MAX + 1, 1 << 63, u64::MAX] {
        let mut victim = Victim::accepting();
        let good = (file(b"zz-good", 4), Content::from(&b"good"[..]));
        victim.recover();
        victim.page(0, 0, vec![file(b"huge", bytes), good.0]);
        assert_eq!(victim.end.as_ref().map(|end| end.as_ref().unwrap_err().kind), None, "{bytes}");
        assert_eq!(victim.receiver.progress().outcome.failed, 1);
    }
    // A pebibyte that is never sent: what is kept for it does not grow with it.
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, vec![file(b"pebibyte", FILE_BYTES_MAX)]);
    assert!(victim.wants().len() == 1 && victim.end.is_none());
    let unit = UnitHead::Part { entry: 0, value: [0; 32] };
    victim.say(Message::Unit { unit: FILE_BYTES_MAX / UNIT_BYTES, head: unit.clone() });
    victim.expect_protocol_error("a unit behind the end");
    // More content than a unit has.
    let mut victim = Victim::wanting(vec![file(b"a", 3)]);
    victim.say(Victim::pack(0, &[(0, b"abc")]));
    victim.body(b"abcd");
    victim.expect_protocol_error("too much content");
    // Less: the next head comes too early.
    let mut victim = Victim::wanting(vec![file(b"a", 3), file(b"b", UNIT_BYTES)]);
    victim.say(Victim::pack(0, &[(0, b"abc")]));
    victim.body(b"ab");
    victim.say(Victim::pack(0, &[(0, b"abc")]));
    victim.expect_protocol_error("a head before the last one ended");
    // Other sizes than the page's.
    for bytes in [0, 2, 4, u64::MAX] {
        let mut victim = Victim::wanting(vec![file(b"a", 3)]);
        let packed = PackedFile { bytes, root: [1; 32] };
        victim.say(Message::Unit { unit: 0, head: UnitHead::Pack { files: vec![(0, packed)] } });
        victim.expect_protocol_error("another size");
    }
    // Empty bodies could come for ever.
    let mut victim = Victim::wanting(vec![file(b"a", 3)]);
    victim.say(Victim::pack(0, &[(0, b"abc")]));
    victim.body(b"");
    victim.expect_protocol_error("an empty body");
}

/// Units that nobody asked for, or that are not what their page says.
#[test]
fn units_that_were_not_asked_for() {
    let two = || vec![file(b"a", 3), file(b"b", 3)];
    let packed = |root| PackedFile { bytes: 3, root };
    let root = *blake3::hash(b"abc").as_bytes();
    let heads = [
        ("another unit", 1, UnitHead::Pack { files: vec![(0, packed(root))] }),
        ("a unit far off", u64::MAX, UnitHead::Pack { files: vec![(0, packed(root))] }),
        ("a file of no page", 0, UnitHead::Pack { files: vec![(2, packed(root))] }),
        ("a file far off", 0, UnitHead::Pack { files: vec![(u64::MAX, packed(root))] }),
        ("a file twice", 0, UnitHead::Pack { files: vec![(0, packed(root)), (0, packed(root))] }),
        ("files in no order", 0, {
            UnitHead::Pack { files: vec![(1, packed(root)), (0, packed(root))] }
        }),
        ("nothing", 0, UnitHead::Pack { files: vec![] }),
        ("a part of a small file", 0, UnitHead::Part { entry: 0, value: root }),
    ];
    for (what, unit, head) in heads {
        let mut victim = Victim::wanting(two());
        victim.say(Message::Unit { unit, head });
        victim.expect_protocol_error(what);
    }
    let mut victim = Victim::wanting(two());
    victim.body(b"abc");
    victim.expect_protocol_error("a body without a head");
    let mut victim = Victim::wanting(two());
    let pack = Victim::pack(0, &[(0, b"abc"), (1, b"abc")]);
    victim.say(pack.clone());
    victim.body(b"abcabc");
    victim.say(pack);
    assert_eq!(victim.failure(), Some(ErrorKind::Failure), "the same unit twice");
    // Before it was asked for: the user has not agreed.
    let mut victim = Victim::asking();
    victim.recover();
    victim.page(0, 0, two());
    victim.say(Victim::pack(0, &[(0, b"abc"), (1, b"abc")]));
    victim.expect_protocol_error("content without consent");
    // A directory and a link have no content; a part names its own file.
    let large = || vec![file(b"large", 2 * UNIT_BYTES), file(b"other", 2 * UNIT_BYTES)];
    for (unit, entry) in [(0, 1), (2, 0), (4, 0)] {
        let mut victim = Victim::wanting(large());
        victim.say(Message::Unit { unit, head: UnitHead::Part { entry, value: root } });
        victim.expect_protocol_error("a unit of another file");
    }
}

/// Content that is not what its head promised is asked for again three times, then its sender is given up.
#[test]
fn wrong_content_is_never_published() {
    let mut victim = Victim::wanting(vec![file(b"a", 3), file(b"b", 3)]);
    for round in 0..4 {
        assert_eq!(victim.failure(), None, "round {round}");
        victim.say(Victim::pack(0, &[(0, b"abc"), (1, b"abc")]));
        victim.body(b"abcabX");
        victim.tick();
    }
    assert_eq!(victim.failure(), Some(ErrorKind::Integrity));
    victim.expect_nothing("wrong content");
    // A unit of a large file: one bit of it, or the right bytes under another value.
    let content = Random::new(2).bytes(UNIT_BYTES as usize + 5);
    for is_bit in [true, false] {
        let mut victim = Victim::wanting(vec![file(b"large", content.len() as u64)]);
        let mut altered = content.clone();
        altered[UNIT_BYTES as usize + 4] ^= 1;
        for _ in 0..4 {
            let mut value = merge::unit_value(
                [&content[UNIT_BYTES as usize..]],
                UNIT_BYTES,
                content.len() as u64,
            );
            if !is_bit {
                value[31] ^= 1;
            }
            victim.say(Message::Unit { unit: 1, head: UnitHead::Part { entry: 0, value } });
            victim.body(&if is_bit { &altered } else { &content }[UNIT_BYTES as usize..]);
            victim.tick();
        }
        assert_eq!(victim.failure(), Some(ErrorKind::Integrity));
        victim.expect_nothing("a wrong unit");
    }
    // A large file whose units verify one by one, and whose root is another file's.
    let content = Random::new(1).bytes(UNIT_BYTES as usize + 5);
    let mut victim = Victim::wanting(vec![file(b"large", content.len() as u64)]);
    victim.part(0, 0, 0, &content);
    victim.part(0, 1, 1, &content);
    victim.say(Message::FileRoot { entry: 0, root: [9; 32] });
    // It may be of two versions: it is asked for anew, once.
    assert_eq!(victim.receiver.progress().outcome.corrupt, 0);
    victim.part(0, 0, 0, &content);
    victim.part(0, 1, 1, &content);
    victim.end(1);
    assert!(victim.is_finished(), "{:?}", victim.end);
    let Outcome { corrupt, failed, .. } = victim.receiver.progress().outcome;
    assert_eq!((corrupt, failed), (1, 0));
    victim.expect_nothing("a wrong root");
    // A root that never comes: the file waits for it.
    let mut victim = Victim::wanting(vec![file(b"large", content.len() as u64)]);
    victim.part(0, 0, 0, &content);
    victim.part(0, 1, 1, &content);
    victim.end(1);
    for _ in 0..5 {
        victim.tick();
    }
    assert!(!victim.is_finished());
    victim.expect_nothing("no root");
}

/// An end that does not match its pages, and pages after it.
#[test]
fn an_end_must_be_true() {
    let totals = Totals { entries: 1, files: 1, bytes: 3, directories: 0 };
    let right = |victim: &Victim| Message::End {
        pages: 1,
        totals,
        chain: victim.chain,
        failed: 0,
        skipped: 0,
    };
    let lies: [&dyn Fn(&Victim) -> Message; 5] = [
        &|victim| Message::End { pages: 0, totals, chain: victim.chain, failed: 0, skipped: 0 },
        &|victim| Message::End { pages: 2, totals, chain: victim.chain, failed: 0, skipped: 0 },
        &|_| Message::End { pages: 1, totals, chain: Chain([0; 32]), failed: 0, skipped: 0 },
        &|victim| {
            let totals = Totals { files: 0, ..totals };
            Message::End { pages: 1, totals, chain: victim.chain, failed: 0, skipped: 0 }
        },
        &|victim| {
            let totals = Totals { bytes: u64::MAX, ..totals };
            Message::End { pages: 1, totals, chain: victim.chain, failed: 0, skipped: 0 }
        },
    ];
    for lie in lies {
        let mut victim = Victim::wanting(vec![file(b"a", 3)]);
        let message = lie(&victim);
        victim.say(message);
        victim.expect_protocol_error("an end that lies");
    }
    let mut victim = Victim::wanting(vec![file(b"a", 3)]);
    let message = right(&victim);
    victim.say(message);
    assert_eq!(victim.failure(), None);
    victim.page(1, 1, vec![file(b"b", 1)]);
    victim.expect_protocol_error("a page after the end");
    // An end is no reason to believe that a file is there.
    let mut victim = Victim::wanting(vec![file(b"a", 3)]);
    let message = right(&victim);
    victim.say(message);
    for _ in 0..5 {
        victim.tick();
    }
    victim.say(Message::CompleteAck);
    assert_eq!(victim.failure(), Some(ErrorKind::Failure));
    victim.expect_nothing("an end without content");
}

/// What the user allowed counts, whatever the sender says that it sends (§9).
#[test]
fn consent_is_a_ceiling() {
    let mut victim = Victim::accepting();
    victim.recover();
    let totals = Totals { entries: 1, files: 1, bytes: 1, directories: 0 };
    victim.say(Message::Estimate { totals, is_complete: true });
    victim.page(0, 0, (0..1_000).map(|index| file(format!("{index:04}").as_bytes(), 0)).collect());
    assert_eq!(victim.failure(), None, "a thousand files are allowed");
    victim.page(1, 1_000, vec![file(b"zzzz", 0)]);
    assert_eq!(victim.failure(), Some(ErrorKind::Refused), "one more is not");
    let mut victim = Victim::asking();
    victim.recover();
    victim.say(Message::Estimate { totals, is_complete: false });
    victim.page(0, 0, vec![file(b"a", 1)]);
    victim.tick();
    victim.tick();
    assert_eq!(victim.asked.len(), 1);
    victim.accept();
    assert_eq!(victim.wants(), [0]);
    victim.page(1, 1, vec![file(b"b", 1 << 40)]);
    victim.tick();
    assert_eq!(victim.wants(), [0], "more than was agreed to is not wanted");
    assert_eq!(victim.asked.len(), 1, "nor asked for again and again while it grows");
    let totals = Totals { entries: 2, files: 2, bytes: 1, directories: 0 };
    victim.say(Message::Estimate { totals, is_complete: true });
    assert_eq!(victim.asked.len(), 2, "but once, when the sender has counted");
    assert_eq!(victim.wants(), [0], "and not wanted before the answer");
    victim.accept();
    assert_eq!(victim.wants(), [0, 1]);
}

/// Times and modes from the wire are bent into what a file may have.
#[test]
fn times_and_modes_are_bent_into_shape() {
    let times = [
        (0, 0),
        (-1, 0),
        (i64::MAX, 0),
        (i64::MIN, u32::MAX),
        (1_700_000_000, 1 << 31),
        (253_402_300_800, 999_999_999),
    ];
    for (seconds, nanoseconds) in times {
        for mode in [0o7777, 0o4755, 0, u32::MAX] {
            let mut victim = Victim::accepting();
            let mut entries = [directory(b"d"), file(b"f", 1), link(b"l", b"f")];
            for entry in &mut entries {
                entry.mode = mode;
                entry.modified = ModifiedTime { seconds, nanoseconds };
            }
            let [one, two, three] = entries;
            let content = Content::from(&b"x"[..]);
            victim.serve(vec![(one, Content::None), (two, content), (three, Content::None)]);
            assert!(victim.is_finished(), "{seconds} {nanoseconds} {mode:o}: {:?}", victim.end);
            for name in ["d", "f"] {
                let metadata = fs::metadata(victim.out().join(name)).unwrap();
                let masked = mode & 0o777 & !0o022;
                assert_eq!(metadata.permissions().mode() & 0o7777, masked, "{name} {mode:o}");
                if (0..=1_700_000_000).contains(&seconds) {
                    assert_eq!(metadata.mtime(), seconds, "{name}");
                }
            }
            // So that the temporary directory can be removed.
            fs::set_permissions(victim.out().join("d"), fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}

/// Those that change most.
fn telling_messages() -> Vec<Message> {
    let is_telling = |message: &Message| {
        matches!(
            message,
            Message::RecoveryAnswer { pages: 0 }
                | Message::RecoveryRequest(_)
                | Message::EarlyAnswer
                | Message::Unit { unit: 0, .. }
                | Message::EntryFailed { entry: 0, .. }
                | Message::Resend { .. }
                | Message::Complete { .. }
                | Message::CompleteAck
        )
    };
    every_message().into_iter().filter(is_telling).collect()
}

/// Every message in every state of the receiver: an error or nothing, never a panic, nothing published.
#[test]
fn any_message_in_any_state_of_a_receiver() {
    type State = (&'static str, fn() -> Victim);
    let states: [State; 11] = [
        ("down", || {
            let mut victim = Victim::accepting();
            victim.receiver.handle_link_down();
            victim
        }),
        ("recovering", Victim::accepting),
        ("recovered", || {
            let mut victim = Victim::accepting();
            victim.recover();
            victim
        }),
        ("answered early", || {
            let mut victim = Victim::accepting();
            victim.say(Message::EarlyAnswer);
            victim
        }),
        ("answered early, and wrongly", || {
            let mut victim = Victim::wanting(vec![file(b"a", 3)]);
            victim.reconnect();
            victim.say(Message::EarlyAnswer);
            victim
        }),
        ("asking", || {
            let mut victim = Victim::asking();
            victim.say(Message::EarlyAnswer);
            victim.page(0, 0, vec![file(b"a", 3)]);
            victim
        }),
        ("wanting", || Victim::wanting(vec![file(b"a", 3)])),
        ("wanting a large file", || Victim::wanting(vec![file(b"a", 2 * UNIT_BYTES)])),
        ("within a unit", || {
            let mut victim = Victim::wanting(vec![file(b"a", 3)]);
            victim.say(Victim::pack(0, &[(0, b"abc")]));
            victim.body(b"a");
            victim
        }),
        ("ended", || {
            let mut victim = Victim::wanting(vec![file(b"a", 3)]);
            victim.end(1);
            victim
        }),
        ("over", || {
            let mut victim = Victim::accepting();
            victim.say(Message::Page { encoded: Vec::new() });
            victim
        }),
    ];
    for (state, make) in states {
        for first in every_message() {
            for second in telling_messages() {
                let mut victim = make();
                victim.say(first.clone());
                victim.body(b"abc");
                victim.say(second);
                victim.tick();
                victim.expect_nothing(state);
                // It may end in order where the one file was failed; never as if it were there.
                let has_failed = victim.receiver.progress().outcome.failed > 0;
                assert!(!victim.is_finished() || has_failed, "{state}: {first:?}");
            }
        }
    }
}

fn prey(seed: u64) -> Prey {
    let tree = random_tree(&mut Random::new(seed), 20, 1);
    Prey::new(ModelSource::new(tree, crate::support::sim::SESSION, 5))
}

/// Ranges as a peer may write them, not as ours are.
fn raw_ranges(pairs: &[(u64, u64)]) -> WireRanges {
    let config = bincode::config::standard();
    let bytes = bincode::encode_to_vec(pairs.to_vec(), config).unwrap();
    bincode::decode_from_slice(&bytes, config).unwrap().0
}

/// A receiver that lies about the session or its pages is told so, and gets nothing.
#[test]
fn a_request_that_does_not_fit_gets_nothing() {
    #[expect(clippy::type_complexity, reason = "a table of what is altered")]
    let alter: [(&str, fn(&mut RecoveryRequest)); 9] = [
        ("another session", |request| request.session = SessionId([1; 16])),
        ("another chain", |request| request.chain = Chain([1; 32])),
        ("pages that are not", |request| request.pages = 1),
        ("more pages than there are", |request| request.pages = 1_000),
        ("all the pages there could be", |request| request.pages = u64::MAX),
        ("digests of pages that are not", |request| request.digests = vec![(0, [7; 32])]),
        ("units that overflow", |request| {
            request.units = raw_ranges(&[(u64::MAX, 1)]);
        }),
        ("empty ranges", |request| request.unwanted = raw_ranges(&[(1, 0)])),
        ("touching ranges", |request| request.undecided = raw_ranges(&[(1, 1), (0, 1)])),
    ];
    for (what, alter) in alter {
        let mut prey = prey(1);
        let mut request = request();
        alter(&mut request);
        prey.say(Message::RecoveryRequest(request));
        assert!(prey.failure().is_some(), "{what}");
        assert!(prey.received.is_empty(), "{what}: {:?}", prey.received);
    }
    let mut prey = prey(1);
    let request = request();
    prey.say(Message::RecoveryRequest(request.clone()));
    prey.say(Message::RecoveryRequest(request));
    assert_eq!(prey.failure(), Some(ErrorKind::Failure), "twice");
}

/// Whatever a request claims to have, only pages and units of the manifest come back, within bounds.
#[test]
fn bogus_claims_cost_nothing() {
    let many: Vec<(u64, u64)> = (0..500_000).map(|_| (1, 1)).collect();
    for claim in [vec![(0, u64::MAX)], vec![(5, u64::MAX - 5)], vec![(1 << 60, 1)], many] {
        let mut prey = prey(2);
        let mut request = request();
        request.units = raw_ranges(&claim);
        request.unwanted = raw_ranges(&claim);
        request.undecided = raw_ranges(&claim);
        prey.say(Message::RecoveryRequest(request));
        prey.say(Message::Ack { units: raw_ranges(&claim) });
        assert_eq!(prey.failure(), None);
        for page in 0..prey.source.pages.len() as u64 {
            let want =
                Message::Want { page, unwanted: raw_ranges(&claim), units: raw_ranges(&claim) };
            prey.say(want);
        }
        assert_eq!(prey.failure(), None);
        let progress = prey.sender.progress();
        assert!(progress.bytes <= prey.source.totals.bytes, "{progress:?}");
        prey.check_received();
    }
}

/// Wants, resends and acknowledgements of what was never sent.
#[test]
fn requests_outside_the_manifest_are_refused() {
    let nothing = WireRanges::default;
    let cases = [
        (
            "a page that was not sent",
            Message::Want { page: 99, unwanted: nothing(), units: nothing() },
        ),
        ("a page far off", Message::Want { page: u64::MAX, unwanted: nothing(), units: nothing() }),
        ("a unit that is not", Message::Resend { unit: 1 << 40, unwanted: nothing() }),
        ("a unit far off", Message::Resend { unit: u64::MAX, unwanted: nothing() }),
        ("ranges that are none", Message::Ack { units: raw_ranges(&[(1, 0)]) }),
        ("too early", Message::Complete { outcome: Outcome::default() }),
        ("a sender's message", Message::CompleteAck),
    ];
    for (what, message) in cases {
        let mut prey = prey(3);
        let request = request();
        prey.hold_scan_end();
        prey.say(Message::RecoveryRequest(request));
        assert_eq!(prey.failure(), None, "{what}");
        prey.say(message);
        assert_eq!(prey.failure(), Some(ErrorKind::Failure), "{what}");
        prey.check_received();
    }
    let mut prey = prey(3);
    prey.sender.handle_body();
    prey.drain();
    assert_eq!(prey.failure(), Some(ErrorKind::Failure), "content from a receiver");
    // Acknowledged before it was sent: nothing is taken as done.
    let mut prey = self::prey(3);
    let request = request();
    prey.say(Message::RecoveryRequest(request));
    let before = prey.sender.progress().bytes;
    prey.say(Message::Ack { units: raw_ranges(&[(0, u64::MAX)]) });
    assert_eq!(prey.sender.progress().bytes, before);
    assert_eq!(prey.failure(), None);
}

/// A flood of resends is worked off a few at a time, one of each.
#[test]
fn a_flood_of_resends_is_bounded() {
    let mut prey = prey(4);
    let request = request();
    prey.say(Message::RecoveryRequest(request));
    for page in 0..prey.source.pages.len() as u64 {
        prey.say(Message::Want {
            page,
            unwanted: WireRanges::default(),
            units: WireRanges::default(),
        });
    }
    let units = prey.units;
    prey.stops_reading = true;
    for _ in 0..10_000 {
        prey.sender.handle_message(Message::Resend { unit: 0, unwanted: WireRanges::default() });
    }
    let mut asked = 0;
    while let Some(output) = prey.sender.poll_output() {
        asked += u64::from(matches!(output, rejoin::transfer::sender::SenderOutput::Disk(_)));
    }
    assert!(asked <= 8, "{asked} reads were asked for at once, {units} units exist");
}

/// One word takes an early answer: a request that has nothing, or a want of what came with it. Another request is too late.
#[test]
fn an_early_answer_is_taken_once() {
    let nothing = WireRanges::default;
    for message in [
        Message::Want { page: 99, unwanted: nothing(), units: nothing() },
        Message::BucketEntries { bucket: 0, files: Vec::new() },
        Message::EarlyAnswer,
    ] {
        let mut prey = early_prey(3, 5);
        prey.say(message.clone());
        assert_eq!(prey.failure(), Some(ErrorKind::Failure), "{message:?}");
        assert_eq!(prey.units, 0);
    }
    let want = Message::Want { page: 0, unwanted: nothing(), units: nothing() };
    for first in [Message::RecoveryRequest(request()), want] {
        let mut prey = early_prey(3, 5);
        prey.say(first.clone());
        assert_eq!(prey.failure(), None);
        // Whoever was heard may have something when it comes back.
        let before = prey.received.len();
        prey.sender.handle_link_up(true);
        prey.drain();
        assert!(!prey.received[before..].contains(&Message::EarlyAnswer));
        let mut prey = early_prey(3, 5);
        prey.say(first);
        prey.say(Message::RecoveryRequest(request()));
        assert_eq!(prey.failure(), Some(ErrorKind::Failure));
    }
}

fn early_prey(seed: u64, entries_per_page: usize) -> Prey {
    let tree = random_tree(&mut Random::new(seed), 20, 0);
    Prey::early(ModelSource::new(tree, crate::support::sim::SESSION, entries_per_page))
}

/// However much there is, little of it leaves before the request; then all does, once.
#[test]
fn an_early_answer_is_bounded_and_goes_on() {
    let pages = |prey: &Prey| -> Vec<Vec<u8>> {
        let page = |message: &Message| match message {
            Message::Page { encoded } => Some(encoded.clone()),
            _ => None,
        };
        prey.received.iter().filter_map(page).collect()
    };
    let mut prey = early_prey(3, 1);
    assert_eq!(prey.received[0], Message::EarlyAnswer);
    assert_eq!(prey.received.len() as u64, 1 + EARLY_PAGES_MAX);
    prey.say(Message::RecoveryRequest(request()));
    let nothing = WireRanges::default;
    for page in 0..prey.source.pages.len() as u64 {
        prey.say(Message::Want { page, unwanted: nothing(), units: nothing() });
    }
    assert_eq!(prey.failure(), None);
    let sent: Vec<Vec<u8>> = prey.source.pages.iter().map(|page| page.encoded.to_vec()).collect();
    assert_eq!(pages(&prey), sent);
    let is_answer = |message: &Message| matches!(message, Message::RecoveryAnswer { .. });
    assert!(!prey.received.iter().any(is_answer), "one answer is enough");

    // Something is there: all of it is forgotten, and the usual answer follows.
    let mut prey = early_prey(3, 1);
    let (before, pages) = (prey.received.len(), 2);
    let known = prey.source.pages.iter().take(2);
    let chain = known.fold(request().chain, |chain, page| chain.extend(&page.encoded));
    prey.say(Message::RecoveryRequest(RecoveryRequest { pages, chain, ..request() }));
    assert_eq!(prey.failure(), None);
    assert_eq!(prey.received[before], Message::RecoveryAnswer { pages });
    // And never again: a receiver that asked may have something.
    let before = prey.received.len();
    prey.sender.handle_link_up(true);
    prey.drain();
    assert_eq!(prey.received.len(), before);
}

/// A receiver that has something believes nothing of an early answer, and not too much of it comes.
#[test]
fn an_early_answer_to_another_request_says_nothing() {
    let wanting = || {
        let mut victim = Victim::wanting(vec![file(b"a", 3)]);
        victim.reconnect();
        victim.say(Message::EarlyAnswer);
        victim
    };
    let other = Page { number: 0, first_entry: 0, entries: vec![file(b"other", 3)] };
    let page = Message::Page { encoded: other.encode().unwrap() };
    let mut victim = wanting();
    let end = Message::End {
        pages: 0,
        totals: Totals::default(),
        chain: Chain([1; 32]),
        failed: 0,
        skipped: 0,
    };
    for message in std::iter::repeat_n(page.clone(), EARLY_PAGES_MAX as usize).chain([end]) {
        victim.say(message);
    }
    assert_eq!(victim.failure(), None);
    victim.say(Message::RecoveryAnswer { pages: 1 });
    victim.say(Victim::pack(0, &[(0, b"abc")]));
    victim.body(b"abc");
    victim.end(1);
    victim.tick();
    assert!(victim.is_finished(), "{:?}", victim.end);
    assert_eq!(victim.found().into_iter().collect::<Vec<_>>(), [(b"a".to_vec(), b"abc".to_vec())]);

    let mut victim = wanting();
    for _ in 0..EARLY_PAGES_MAX + 2 {
        victim.say(page.clone());
    }
    victim.expect_protocol_error("an early answer without an end");
    for again in [
        Message::EarlyAnswer,
        Victim::pack(0, &[(0, b"abc")]),
        Message::Contradict { page: 0, files: Vec::new() },
    ] {
        let mut victim = wanting();
        victim.say(again);
        victim.expect_protocol_error("more than pages, early");
    }
    // Nor does it come where an answer came already.
    for first in [Message::EarlyAnswer, Message::RecoveryAnswer { pages: 0 }] {
        for second in [Message::EarlyAnswer, Message::RecoveryAnswer { pages: 0 }] {
            let mut victim = Victim::accepting();
            victim.say(first.clone());
            assert_eq!(victim.failure(), None);
            victim.say(second);
            victim.expect_protocol_error("a second answer");
        }
    }
}

/// Every message in every state of the sender: an error or nothing, never a panic.
#[test]
fn any_message_in_any_state_of_a_sender() {
    for state in 0..6 {
        for first in every_message() {
            for second in telling_messages() {
                let mut prey = tiny_prey();
                if state == 1 {
                    prey.sender.handle_link_down();
                }
                if state >= 4 {
                    prey.sender.handle_link_up(true);
                    prey.drain();
                }
                if matches!(state, 2 | 3 | 5) {
                    let request = request();
                    prey.say(Message::RecoveryRequest(request));
                }
                if state == 3 {
                    let nothing = WireRanges::default;
                    prey.say(Message::Want { page: 0, unwanted: nothing(), units: nothing() });
                }
                prey.say(first.clone());
                prey.say(second);
                prey.check_received();
            }
        }
    }
}

/// Entries made for these tests are what they seem.
#[test]
fn entries_are_what_they_seem() {
    assert_eq!(entry(b"a", EntryKind::Directory), directory(b"a"));
}
