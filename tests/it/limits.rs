//! What a peer says is bounded in what it costs: paths, figures, queues.

use crate::support::messages::{every_message, request, tiny_prey};
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same;
use crate::support::victim::{Content, Prey, Victim, below, chain, directory, entry, file};
use rejoin::error::ErrorKind;
use rejoin::event::{Event, FileStatus};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::manifest::{Entry, EntryKind, Totals};
use rejoin::transfer::message::{Message, WireRanges};
use rejoin::transfer::missing::Outcome;
use rejoin::transfer::name::PATH_BYTES_MAX;
use rejoin::transfer::receiver::Ask;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use std::ffi::OsString;
use std::fs;

/// As in [`chain`], with names of 255 bytes: 256 bytes a level in a path.
fn long_chain(levels: u64) -> Vec<Entry> {
    chain(&[b'd'; 255], levels)
}

/// S-03, I-02: a path of 4,096 bytes arrives, a longer one is refused alone, whatever its depth.
#[test]
fn a_path_is_bounded_in_bytes() {
    let mut victim = Victim::accepting();
    // Fifteen names of 255 bytes and one of 254, each with its separator: two bytes are left of 4,096.
    let last = below(14, directory(&[b'e'; 254]));
    let mut entries: Vec<(Entry, Content)> =
        long_chain(15).into_iter().chain([last]).map(|entry| (entry, Content::None)).collect();
    entries.push((below(15, file(b"g", 1)), Content::from(&b"x"[..])));
    entries.push((below(15, file(b"gh", 1)), Content::from(&b"x"[..])));
    victim.serve(entries);
    assert!(victim.is_finished(), "{:?}", victim.end);
    let outcome = victim.receiver.progress().outcome;
    assert_eq!((outcome.files, outcome.failed), (1, 1), "{outcome:?}");
    let failed: Vec<usize> = victim
        .events
        .iter()
        .filter_map(|event| match event {
            Event::File { path, status: FileStatus::Failed, .. } => Some(path.path.len()),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [PATH_BYTES_MAX + 1]);
}

/// S-03: what lies in a directory that is refused for its length ends the session, as what is too deep does: nothing is
/// kept of a path that nobody bounds.
#[test]
fn nothing_lies_below_a_path_that_is_too_long() {
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, long_chain(16));
    victim.page(1, 16, vec![below(15, directory(b"e2"))]);
    assert_eq!(victim.failure(), None);
    assert_eq!(victim.receiver.progress().outcome.failed, 1, "too long, and refused alone");
    victim.page(2, 17, vec![below(16, file(b"x", 1))]);
    assert_eq!(victim.failure(), Some(ErrorKind::Failure), "{:?}", victim.end);
    // A name that is none counts in the path all the same.
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, vec![directory(&[b'n'; 5_000])]);
    assert_eq!(victim.failure(), None);
    victim.page(1, 1, vec![below(0, file(b"x", 1))]);
    assert_eq!(victim.failure(), Some(ErrorKind::Failure), "{:?}", victim.end);
}

/// S-03, I-02: an honest sender leaves out what is too long, says so, and sends the rest.
#[test]
fn a_path_that_is_too_long_is_left_out_with_its_reason() {
    let pair = Pair::new();
    fs::create_dir(pair.path("tree")).unwrap();
    let mut at = fs::File::open(pair.path("tree")).unwrap();
    for _ in 0..25 {
        let name = "d".repeat(200);
        mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = openat(&at, &name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap().into();
        openat(&at, "leaf", OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR).unwrap();
    }
    let (sender, receiver) = pair.transfer("tree", &["-y"], (6, 6));
    assert_eq!(sender.files("missing").len(), 1);
    assert!(sender.stdout.contains("its path is longer than 4096 bytes"), "{}", sender.stdout);
    // "tree", and a slash and 200 bytes a level.
    let levels = (PATH_BYTES_MAX - "tree".len()) / 201;
    assert_eq!(receiver.files("received").len(), levels);
}

/// Messages of every kind with every number in them 0, 1 and the largest, one at a time: by their bytes, so that a field
/// that is added is among them.
fn numbered_messages() -> Vec<Message> {
    let config = bincode::config::standard().with_limit::<100_000>();
    let encode = |message: &Message| bincode::encode_to_vec(message, config).unwrap();
    // All numbers, lengths and choices of a kind are the same.
    let plain = |kind: u8, number: u8| {
        let bytes =
            std::iter::once(kind).chain(std::iter::repeat_n(number, 400)).collect::<Vec<_>>();
        bincode::decode_from_slice::<Message, _>(&bytes, config).map(|(message, _)| message)
    };
    let kinds = (0..=u8::MAX).take_while(|kind| plain(*kind, 0).is_ok()).count();
    assert!((26..200).contains(&kinds), "{kinds} kinds of messages");
    let mut bases = every_message();
    bases.retain(|message| !matches!(message, Message::Bye { .. }));
    bases
        .extend((0..kinds as u8).flat_map(|kind| {
            [0, 1].into_iter().filter_map(move |number| plain(kind, number).ok())
        }));
    let numbers: [&[u8]; 4] = [
        &[0],
        &[1],
        &[252, 0xff, 0xff, 0xff, 0xff],
        &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    let mut found: Vec<Vec<u8>> = bases.iter().map(encode).collect();
    for base in &bases {
        let bytes = encode(base);
        // Roots and identifiers are arrays of equal bytes here, and no numbers.
        let arrays: Vec<usize> = bytes
            .windows(16)
            .enumerate()
            .filter(|(_, window)| window.iter().all(|byte| *byte == window[0]))
            .flat_map(|(at, _)| at..at + 16)
            .collect();
        for at in (1..bytes.len()).filter(|at| !arrays.contains(at)) {
            let length = match bytes[at] {
                251 => 3,
                252 => 5,
                253 => 9,
                _ => 1,
            };
            let Some(rest) = bytes.get(at + length..) else { continue };
            for number in numbers {
                let other = [&bytes[..at], number, rest].concat();
                let decoded = bincode::decode_from_slice::<Message, _>(&other, config);
                if decoded.is_ok_and(|(_, read)| read == other.len()) {
                    found.push(other);
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    let decode = |bytes: &Vec<u8>| bincode::decode_from_slice(bytes, config).unwrap().0;
    found.iter().map(decode).collect()
}

/// S-08, A-11: no number of any message of a sender makes a receiver panic, whatever it waits for.
#[test]
fn no_number_of_a_sender_is_too_much() {
    let states: [fn() -> Victim; 5] = [
        || Victim::in_memory(true),
        || {
            let mut victim = Victim::in_memory(false);
            victim.say(Message::EarlyAnswer);
            victim.page(0, 0, vec![file(b"a", 3), directory(b"d")]);
            victim
        },
        || Victim::in_memory(true).want(vec![file(b"a", 2 * UNIT_BYTES + 1), file(b"b", 3)]),
        || {
            let mut victim = Victim::in_memory(true).want(vec![file(b"a", 3)]);
            victim.end(1);
            victim
        },
        || {
            let mut victim = Victim::in_memory(true);
            victim.serve(vec![(file(b"a", 1), Content::from(&b"x"[..]))]);
            assert!(victim.is_finished());
            victim.reconnect();
            victim.say(Message::RecoveryAnswer { pages: 1 });
            victim
        },
    ];
    let messages = numbered_messages();
    assert!(messages.len() > 300, "{}", messages.len());
    for make in states {
        // What a receiver takes, it takes with all that came before.
        let mut victim = make();
        for message in &messages {
            if victim.end.is_some() {
                victim = make();
            }
            victim.say(message.clone());
            victim.body(b"abc");
            let outcome = victim.receiver.progress().outcome;
            assert!(outcome.files <= 2, "{message:?}: {outcome:?}");
        }
        victim.tick();
    }
}

/// S-08, A-11: nor one of a receiver a sender.
#[test]
fn no_number_of_a_receiver_is_too_much() {
    let states: [fn() -> Prey; 4] = [
        tiny_prey,
        || {
            let mut prey = tiny_prey();
            prey.say(Message::RecoveryRequest(request()));
            prey
        },
        || {
            let mut prey = tiny_prey();
            prey.sender.handle_link_up(true);
            prey.drain();
            prey
        },
        sent,
    ];
    for make in states {
        let mut prey = make();
        for message in numbered_messages() {
            if prey.is_over() {
                prey = make();
            }
            prey.say(message.clone());
            prey.check_received();
            let progress = prey.sender.progress();
            assert!(progress.bytes <= prey.source.totals.bytes, "{message:?}: {progress:?}");
        }
    }
}

/// A sender that sent all it has, and waits.
fn sent() -> Prey {
    let mut prey = tiny_prey();
    prey.say(Message::RecoveryRequest(request()));
    for page in 0..prey.source.pages.len() as u64 {
        let nothing = WireRanges::default;
        prey.say(Message::Want { page, unwanted: nothing(), units: nothing() });
    }
    let is_end = |message: &Message| matches!(message, Message::End { .. });
    assert!(prey.received.iter().any(is_end));
    prey
}

/// S-08: an outcome of more than there is breaks the protocol; the largest that can be does not.
#[test]
fn an_outcome_must_fit_the_manifest() {
    let totals = sent().source.totals;
    let real = Outcome { files: totals.files, bytes: totals.bytes, ..Outcome::default() };
    let (most, one) = (u64::MAX, totals.entries + 1);
    let lies = [
        Outcome { failed: most, conflicts: 1, ..real },
        Outcome { failed: most, conflicts: most, corrupt: most, ..real },
        Outcome { skipped: most, ..real },
        Outcome { files: most, ..real },
        Outcome { bytes: totals.bytes + 1, ..real },
        Outcome { unchanged: totals.files + 1, ..real },
        Outcome { unread: 1, ..real },
        Outcome { conflicts: one, ..Outcome::default() },
    ];
    for outcome in lies {
        let mut prey = sent();
        prey.say(Message::Complete { outcome });
        assert_eq!(prey.failure(), Some(ErrorKind::Failure), "{outcome:?}");
        assert_eq!(prey.sender.progress().outcome, Outcome::default());
    }
    for outcome in [
        real,
        Outcome { conflicts: totals.entries, ..Outcome::default() },
        Outcome { unchanged: real.files, unread: real.files, ..real },
    ] {
        let mut prey = sent();
        prey.say(Message::Complete { outcome });
        assert!(prey.is_over() && prey.failure().is_none(), "{outcome:?}");
    }
}

/// S-09: directories count towards the limits and the consent, and are named in the question.
#[test]
fn directories_count() {
    let many = |from: u64, count: u64| -> Vec<Entry> {
        (from..from + count).map(|at| directory(format!("{at:06}").as_bytes())).collect()
    };
    // The victim's limit is a thousand files.
    let mut victim = Victim::accepting();
    victim.recover();
    victim.page(0, 0, [vec![file(b"a", 1)], many(0, 999)].concat());
    assert_eq!(victim.failure(), None, "{:?}", victim.end);
    victim.page(1, 1_000, many(999, 1));
    assert_eq!(victim.failure(), None, "a thousand directories are allowed");
    victim.page(2, 1_001, many(1_000, 1));
    assert_eq!(victim.failure(), Some(ErrorKind::Refused), "one more is not");
    let Some(Err(error)) = &victim.end else { panic!("it goes on") };
    assert!(error.message.contains("1 files in 1001 directories"), "{}", error.message);
    assert!(error.message.contains("--max-files"), "{}", error.message);
    assert!(!victim.out().join("001000").exists());
    // What was agreed to is an end for directories, too: nothing beyond it is made, and the user is asked once more.
    let mut victim = Victim::asking();
    victim.recover();
    let totals = |entries, directories| Totals { entries, files: 1, bytes: 1, directories };
    victim.say(Message::Estimate { totals: totals(3, 2), is_complete: false });
    victim.page(0, 0, [vec![file(b"a", 1)], many(0, 2)].concat());
    victim.tick();
    victim.accept();
    assert_eq!(victim.wants(), [0]);
    assert!(victim.out().join("000001").exists());
    victim.page(1, 3, many(2, 500));
    victim.tick();
    assert!(!victim.out().join("000002").exists(), "a directory that nobody agreed to");
    victim.say(Message::Estimate { totals: totals(503, 502), is_complete: true });
    let asked = |ask: &Ask| match ask {
        Ask::Accept { totals, .. } => totals.directories,
        Ask::Conflict { .. } => 0,
    };
    assert_eq!(victim.asked.iter().map(asked).collect::<Vec<_>>(), [2, 502]);
    victim.accept();
    assert!(victim.out().join("000501").exists());
    assert_eq!(victim.wants(), [0, 1]);
}

/// S-09: in real processes; an honest tree with as many directories as files passes, and `--max-size` counts what
/// directories take beyond the few that every tree has.
#[test]
fn directories_count_towards_the_flags() {
    let tree = |directories: usize| {
        let pair = Pair::new();
        pair.noise("tree/file", 10);
        for at in 1..directories {
            fs::create_dir(pair.path(&format!("tree/{at}"))).unwrap();
        }
        pair
    };
    for (directories, flags, code) in [
        (1, ["--max-files", "1"], 0),
        (64, ["--max-size", "10"], 0),
        (65, ["--max-size", "10"], 7),
        (2, ["--max-files", "1"], 7),
    ] {
        let pair = tree(directories);
        let sender = pair.sending("tree");
        let receiver =
            pair.receive(["--json", "-y", "-o", "target", CODE].iter().chain(&flags)).run();
        let receiver = receiver.expect_code(code);
        assert_eq!(pair.path("target/tree").exists(), code == 0, "{directories} {flags:?}");
        if code != 0 {
            let message = receiver.outcome()["message"].as_str().unwrap().to_owned();
            assert!(message.contains(flags[0]) && message.contains("directories"), "{message}");
            assert_ne!(sender.wait().code(), 0);
        }
    }
}

/// S-09: names are kept on the disk before anything is wanted: they have a limit in bytes beside their number.
#[test]
fn a_manifest_costs_what_it_takes() {
    let mut victim = Victim::limited(1, 1);
    victim.recover();
    // One refused name of 59,000 bytes a page, which later entries only speak of: no file and no byte more.
    let mut name = vec![b'x'; 59_000];
    name[0] = b'/';
    victim.page(0, 0, vec![file(&name, 1)]);
    let mut pages = 1_u64;
    while victim.end.is_none() && pages < 3_000 {
        victim.page(pages, pages, vec![entry(&name, EntryKind::Metadata { of: 0 })]);
        pages += 1;
        victim.tick();
    }
    assert_eq!(victim.failure(), Some(ErrorKind::Refused), "{:?}", victim.end);
    assert!((1_000..1_200).contains(&pages), "{pages}");
}

/// P-12: 64 descriptors and 256 MB of addresses are enough for a transfer.
#[test]
fn a_small_process_is_enough() {
    let limited = ["/bin/sh", "-c", "ulimit -n 64; ulimit -v 262144; exec \"$@\"", "sh"];
    let words = || limited.iter().map(OsString::from);
    let pair = Pair::new();
    for at in 0..200 {
        pair.noise(&format!("tree/{}/{at}", at % 9), 10_000);
    }
    pair.noise("tree/large", 20 << 20);
    let sender = pair.send(["--json", "--code", CODE, "tree"]).through(words()).spawn();
    sender.event_where("code", |event| event["event"] == "code");
    pair.receiving().through(words()).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same(&pair.path("tree"), &pair.path("target/tree"));
}
