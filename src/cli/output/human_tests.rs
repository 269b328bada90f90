use rejoin::error::ErrorKind;
use rejoin::event::{LinkState, PathText, Role};

use super::*;
use crate::cli::output::{ColorWhen, ProgressStyle};

const OPTIONS: OutputOptions = OutputOptions {
    log: None,
    json: false,
    quiet: false,
    verbosity: 0,
    progress: ProgressStyle::Auto,
    color: ColorWhen::Never,
};
const ON_TERMINAL: Traits = Traits {
    style: crate::cli::output::style::Style { is_colored: false },
    is_stdout_terminal: true,
};

fn sender(options: OutputOptions, traits: Traits) -> Human {
    Human::new(&options, Subject::Sending("photos/".to_owned()), traits)
}

/// All that reaches stderr and stdout.
fn shown(human: &mut Human, events: &[Event]) -> (String, String) {
    let mut streams = (String::new(), String::new());
    for event in events {
        let lines = human.event(event);
        streams.0.extend(lines.stderr.iter().map(|line| format!("{line}\n")));
        streams.1.extend(lines.stdout.iter().map(|line| format!("{line}\n")));
    }
    streams
}

fn code() -> Event {
    Event::Code {
        code: "7-crane-velvet-orbit".to_owned(),
        command: "rejoin receive 7-crane-velvet-orbit@192.0.2.7:9750".to_owned(),
        local_only: false,
        this_machine: false,
        invitation: false,
    }
}

fn progress(bytes: u64) -> Event {
    Event::Progress {
        bytes,
        durable_bytes: bytes / 2,
        total_bytes: 1_288_490_189,
        files: 1,
        total_files: 3,
        rate_bps: 222_298_112,
        eta_s: Some(3),
        rtt_ms: 12.0,
        stripes: 1,
    }
}

fn file(name: &[u8], status: FileStatus, error: Option<&str>) -> Event {
    Event::File { path: PathText::new(name), bytes: 1, status, error: error.map(str::to_owned) }
}

fn connected(remote: &str) -> Event {
    Event::Connected {
        path: Path::Direct,
        local: "192.0.2.7:4000".to_owned(),
        remote: remote.to_owned(),
        rtt_ms: 12.3,
        setup_ms: 40,
        stripes: 1,
    }
}

/// The screen of cli.md, line by line.
fn whole_run() -> Vec<Event> {
    vec![
        Event::Session { id: "7f3a".to_owned(), role: Role::Sender, resumed: false, kept_bytes: 0 },
        code(),
        Event::Manifest { files: 2, bytes: 7, directories: 1, complete: false },
        Event::Manifest { files: 3, bytes: 1_288_490_189, directories: 1, complete: true },
        Event::Peer { id: "ab".to_owned(), name: "laptop".to_owned(), verified: false },
        connected("192.0.2.9:5678"),
        progress(541_065_216),
        Event::Link {
            state: LinkState::Disconnected,
            previous: LinkState::Connected,
            reason: "silence".to_owned(),
        },
        Event::Reconnecting { layer: Layer::Connection, attempt: 1, of: 5, delay_ms: 2000 },
        Event::Recovered {
            layer: Layer::Connection,
            after_ms: 2400,
            kept_bytes: 541_065_216,
            resent_bytes: 0,
        },
        connected("192.0.2.9:6000"),
    ]
}

const SCREEN: &str = "\
Code: 7-crane-velvet-orbit
On the other machine, run:

    rejoin receive 7-crane-velvet-orbit@192.0.2.7:9750

Sending photos/: 3 files, 1.2 GiB

Connected to laptop (direct, 192.0.2.9, 12 ms)
Connection lost. Reconnecting (1/5) in 2s …
Back after 2.4s; 516 MiB kept.
";

#[test]
fn the_screen_of_a_sender_is_the_promised_one() {
    let mut human = sender(OPTIONS, ON_TERMINAL);
    let (stderr, stdout) = shown(&mut human, &whole_run());
    assert_eq!(stderr, SCREEN);
    assert_eq!(stdout, "");
    // A lost link takes the bar away; what moves after it brings it back.
    assert_eq!(human.bar(60), None);
    human.event(&progress(541_065_216));
    let bar = human.bar(60).unwrap();
    assert!(bar.starts_with("photos/   41% ▕██"), "{bar}");
    let done = human.outcome(&Ok(Summary {
        files: 3,
        bytes: 1_288_490_189,
        elapsed_ms: 8100,
        rate_bps: 158_334_976,
        reconnections: 1,
        verified: true,
        ..Summary::default()
    }));
    assert_eq!(
        done.stderr,
        ["Done: 3 files, 1.2 GiB in 8.1s (151 MiB/s), verified. 1 reconnection, 0 B sent twice."]
    );
}

#[test]
fn without_a_terminal_stdout_has_the_code_line_and_nothing_else() {
    let mut human = sender(OPTIONS, Traits::default());
    let (stderr, stdout) = shown(&mut human, &whole_run());
    assert_eq!(stdout, "Code: 7-crane-velvet-orbit\n");
    assert_eq!(format!("{stdout}{stderr}"), SCREEN);
}

#[test]
fn quiet_leaves_the_code_and_what_went_wrong() {
    let quiet = OutputOptions { quiet: true, ..OPTIONS };
    let mut human = sender(quiet, ON_TERMINAL);
    let mut events = whole_run();
    events.push(file(b"a", FileStatus::Failed, Some("permission denied")));
    events.push(Event::Warning { code: "x".to_owned(), message: "y".to_owned() });
    let (stderr, _) = shown(&mut human, &events);
    assert_eq!(stderr, "Code: 7-crane-velvet-orbit\na: failed: permission denied\n");
    assert_eq!(human.outcome(&Ok(Summary::default())), Lines::default());
}

#[test]
fn json_leaves_the_other_streams_to_errors() {
    let json = OutputOptions { json: true, ..OPTIONS };
    let mut human = sender(json, Traits::default());
    assert_eq!(shown(&mut human, &whole_run()), Default::default());
    let error = Error::new(ErrorKind::Disk, "no space");
    assert_eq!(human.outcome(&Err(error)).stderr, ["error: no space"]);
}

#[test]
fn a_resumable_end_says_last_what_is_kept_and_how_to_continue() {
    let mut human = sender(OPTIONS, ON_TERMINAL);
    shown(&mut human, &whole_run());
    let error = Error {
        resume_command: Some("rejoin send photos".to_owned()),
        ..Error::new(ErrorKind::Interrupted, "the other side is gone").with_hint("is it asleep?")
    };
    assert_eq!(
        human.outcome(&Err(error)).stderr,
        [
            "error: the other side is gone",
            "hint: is it asleep?",
            "258 MiB of 1.2 GiB kept. To continue, run:",
            "",
            "    rejoin send photos",
        ]
    );
}

/// B-T: a sender says no figure of what the receiver has before it has heard one.
#[test]
fn a_sender_that_heard_no_figure_says_none() {
    let mut human = sender(OPTIONS, ON_TERMINAL);
    let session = Event::Session {
        id: "0123456789".to_owned(),
        role: Role::Sender,
        resumed: true,
        kept_bytes: 0,
    };
    assert_eq!(shown(&mut human, &[session]).0, "Continuing session 01234567.\n");
    let error = Error {
        resume_command: Some("rejoin send photos".to_owned()),
        ..Error::new(ErrorKind::Interrupted, "the other side is gone")
    };
    let lines = human.outcome(&Err(error)).stderr;
    assert_eq!(lines[1], "What has arrived is kept. To continue, run:");
}

#[test]
fn names_of_others_cannot_steer_the_terminal() {
    let mut human = sender(OPTIONS, ON_TERMINAL);
    let (stderr, _) = shown(
        &mut human,
        &[
            Event::Peer { id: String::new(), name: "evil\u{1b}[2J".to_owned(), verified: false },
            connected("not\u{9b}an address"),
            file(b"a\x1b\xff", FileStatus::Changed, Some("b\u{202e}")),
            Event::Warning { code: "x".to_owned(), message: "c\u{7}".to_owned() },
        ],
    );
    assert_eq!(
        stderr,
        "Connected to evil\\u{1b}[2J (direct, not\\u{9b}an address, 12 ms)\n\
         a\\u{1b}\\xff: changed while being read: b\\u{202e}\n\
         warning: c\\u{7}\n"
    );
}

#[test]
fn a_long_list_of_failures_is_cut() {
    let mut human = sender(OPTIONS, ON_TERMINAL);
    let failures: Vec<_> = (0..500).map(|_| file(b"a", FileStatus::Failed, None)).collect();
    let (stderr, _) = shown(&mut human, &failures);
    assert_eq!(stderr.lines().count() as u64, FILES_SHOWN_MAX + 1);
}

#[test]
fn conflicts_left_alone_name_the_flag() {
    let mut human = sender(OPTIONS, ON_TERMINAL);
    let lines = human.outcome(&Ok(Summary { exit: 7, failed_files: 1, ..Summary::default() }));
    assert!(lines.stderr[0].contains("--on-conflict"), "{lines:?}");
    assert!(lines.stderr[1].starts_with("Done in part: "), "{lines:?}");
    assert!(lines.stderr[1].contains("1 failed"), "{lines:?}");
}

#[test]
fn plain_progress_is_silent_while_nothing_moves() {
    let mut human = sender(OPTIONS, Traits::default());
    assert_eq!(human.plain_progress(), None);
    human.event(&progress(541_065_216));
    assert_eq!(human.plain_progress().unwrap(), "photos/ 41% 516 MiB / 1.2 GiB 212 MiB/s ETA 3s");
    assert_eq!(human.plain_progress(), None);
}

fn lost() -> Event {
    let (state, previous) = (LinkState::Disconnected, LinkState::Connected);
    Event::Link { state, previous, reason: "silence".to_owned() }
}

fn trying(layer: Layer, attempt: u32) -> Event {
    Event::Reconnecting { layer, attempt, of: 3, delay_ms: 0 }
}

/// A loss has one line at a sender, whether or not it tries something itself, at once or later, and it is told in order.
#[test]
fn a_loss_has_one_line() {
    let back = || Event::Recovered {
        layer: Layer::Connection,
        after_ms: 2400,
        kept_bytes: 0,
        resent_bytes: 0,
    };
    const WAITING: &str = "Connection lost (silence). Waiting for the receiver …\n";
    const TRYING: &str = "Connection lost. Reconnecting (1/3) in 0s …\n";
    const BACK: &str = "Back after 2.4s; 0 B kept.\n";
    let mut human = sender(OPTIONS, ON_TERMINAL);
    for (events, lines) in [
        (vec![lost(), back()], [WAITING, BACK].concat()),
        (vec![lost(), trying(Layer::Ice, 1), back()], [TRYING, BACK].concat()),
        (vec![lost(), progress(1), trying(Layer::Ice, 1), back()], [TRYING, BACK].concat()),
        (
            vec![lost(), trying(Layer::Host, 1), trying(Layer::Ice, 1), back()],
            [WAITING, "Host lost, too. Reconnecting (1/3) in 0s …\n", BACK].concat(),
        ),
    ] {
        assert_eq!(shown(&mut human, &events).0, lines);
        assert!(!human.is_holding());
    }
    // Nothing follows at once: it is said by itself, and the first try that comes later is no news.
    assert_eq!(shown(&mut human, &[lost()]).0, "");
    assert!(human.is_holding());
    assert_eq!(human.release().stderr, [WAITING.trim_end()]);
    assert!(!human.is_holding());
    assert_eq!(shown(&mut human, &[trying(Layer::Ice, 1), back()]).0, BACK);
    // The last word of a run comes after it.
    shown(&mut human, &[lost()]);
    let lines = human.outcome(&Err(Error::new(ErrorKind::Interrupted, "gone"))).stderr;
    assert_eq!(lines, [WAITING.trim_end(), "error: gone"]);
}

#[test]
fn tries_beyond_the_plan_are_told_once() {
    let mut human = sender(OPTIONS, ON_TERMINAL);
    let tries: Vec<_> = (5..12)
        .map(|attempt| Event::Reconnecting { layer: Layer::Ice, attempt, of: 5, delay_ms: 300 })
        .collect();
    let (stderr, _) = shown(&mut human, &tries);
    assert_eq!(
        stderr,
        "Connection lost. Reconnecting (5/5) in 300ms …\nStill no connection; trying on …\n"
    );
}

/// S-08: any figure of a peer has words, and JSON.
#[test]
fn figures_of_any_size_are_shown() {
    for figure in [0, 1, u64::MAX] {
        for other in [0, 1, u64::MAX] {
            let events = [
                Event::Manifest {
                    files: figure,
                    bytes: other,
                    directories: figure,
                    complete: true,
                },
                Event::Progress {
                    bytes: figure,
                    durable_bytes: other,
                    total_bytes: other,
                    files: figure,
                    total_files: other,
                    rate_bps: figure,
                    eta_s: Some(other),
                    rtt_ms: 0.0,
                    stripes: 1,
                },
                Event::Done(Summary {
                    files: figure,
                    bytes: other,
                    wire_bytes: figure,
                    kept_bytes: other,
                    resent_bytes: figure,
                    unchanged_files: other,
                    unread_files: figure,
                    skipped_files: other,
                    failed_files: figure,
                    reconnections: other,
                    elapsed_ms: figure,
                    rate_bps: other,
                    verified: true,
                    exit: 0,
                }),
            ];
            assert!(events.iter().all(|event| serde_json::to_string(event).is_ok()));
            let mut human = sender(OPTIONS, ON_TERMINAL);
            assert!(!shown(&mut human, &events).0.is_empty(), "{figure} {other}");
        }
    }
}
