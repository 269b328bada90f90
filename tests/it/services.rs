//! What services, containers and scripts surround the program with (kinds U and W of faults): variables that are empty or
//! wrong, places for state and configuration that cannot be used, limits, closed streams, ends that come early.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::env::{Finished, From, Home};

/// What ends at once in an empty home, with every option that the command has.
const COMMANDS: [&[&str]; 9] = [
    &["send", "missing"],
    &["receive"],
    &["resume"],
    &["sessions", "list"],
    &["sessions", "show", "0"],
    &["sessions", "discard", "0"],
    &["sessions", "prune"],
    &["sessions", "invite", "0"],
    &["stats"],
];

/// The words of a command before its arguments.
fn names<'a>(command: &[&'a str]) -> Vec<&'a str> {
    let count = if command[0] == "sessions" { 2 } else { 1 };
    command[..count].to_vec()
}

/// The variables of a command's options, from the definition that its help is made of.
fn variables(home: &Home, command: &[&str]) -> BTreeSet<String> {
    let mut words = names(command);
    words.push("--help");
    let help = home.rejoin(&words).run().expect_code(0).stdout;
    let listed = help.split("[env: ").skip(1).filter_map(|rest| rest.split_once('='));
    listed.map(|(name, _)| name.to_owned()).collect()
}

/// What a run said: its code and both streams.
fn said(run: &Finished) -> (i32, &str, &str) {
    (run.code(), &run.stdout, &run.stderr)
}

/// B-U: an empty variable is an unset one, for every option of every command; all of them at once, too.
#[test]
fn an_empty_variable_is_an_unset_one() {
    let home = Home::new();
    let mut checked = 0;
    for command in COMMANDS {
        let plain = home.rejoin(command).without("REJOIN_STATE_DIR").run();
        let all = variables(&home, command);
        for name in &all {
            let with = home.rejoin(command).without("REJOIN_STATE_DIR").env(name, "").run();
            assert_eq!(said(&with), said(&plain), "{command:?} with {name} empty");
            checked += 1;
        }
        let run = all.iter().fold(home.rejoin(command), |run, name| run.env(name, ""));
        assert_eq!(said(&run.run()), said(&plain), "{command:?} with all of {all:?} empty");
    }
    assert!(checked > 90, "the help lists only {checked} variables: it is read wrongly");
}

/// B-U: the same for a host and for what is read beside the options.
#[test]
fn empty_variables_stop_no_host_and_no_demo() {
    let home = Home::new();
    let all = variables(&home, &["host"]);
    assert!(all.len() > 8, "{all:?}");
    // `REJOIN_LISTEN` empty is the default, where another host may be.
    let run = all
        .iter()
        .fold(home.rejoin(["host", "--listen", "127.0.0.1:0"]), |run, name| run.env(name, ""));
    let others =
        ["HOME", "TMPDIR", "TERM", "NO_COLOR", "COLUMNS", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];
    let run = others.iter().fold(run, |run, name| run.env(name, ""));
    let host = run.spawn();
    host.line_with(From::Stdout, "ws://127.0.0.1:");
    host.signal(rustix::process::Signal::TERM);
    host.wait().expect_code(0);
}

/// B-U: a value that is wrong is told by the name of the variable that has it, not of a flag that nobody typed.
#[test]
fn a_wrong_variable_is_named() {
    let home = Home::new();
    let mut refused = BTreeSet::new();
    for command in COMMANDS {
        for name in variables(&home, command) {
            // Paths, names and codes may be anything.
            let run = home.rejoin(command).env(&name, "?!").run();
            if run.stderr.contains("'?!'") {
                assert_eq!(run.code(), 2, "{}", run.stderr);
                let line = run.stderr.lines().next().unwrap();
                assert!(line.starts_with(&format!("error: {name}: ")), "{line}");
                assert!(!run.stderr.contains("--"), "{}", run.stderr);
                refused.insert(name);
            }
        }
    }
    assert!(refused.len() > 25, "only {refused:?}");
    let run = home.rejoin(["receive", "--json"]).env("REJOIN_COLOR", "red").run().expect_code(2);
    assert!(run.outcome()["message"].as_str().unwrap().contains("expected auto, always, never"));
    // What is typed is not asked of the environment.
    let run = home.rejoin(["receive", "--timeout", "5s"]).env("REJOIN_TIMEOUT", "soon").run();
    assert!(!run.stderr.contains("REJOIN_TIMEOUT"), "{}", run.stderr);
}

/// B-U: two variables that contradict each other are both named; a flag that is turned off contradicts nothing.
#[test]
fn contradicting_variables_are_named() {
    let home = Home::new();
    let pairs = [
        ("REJOIN_CODE", "7-a-b-c", "REJOIN_CODE_FILE", "code"),
        ("REJOIN_OVERWRITE", "1", "REJOIN_ON_CONFLICT", "skip"),
        ("REJOIN_DIRECT_ONLY", "yes", "REJOIN_RELAY_ONLY", "true"),
        ("REJOIN_QUIET", "on", "REJOIN_VERBOSE", "2"),
    ];
    for (one, value, other, other_value) in pairs {
        let run = home.rejoin(["receive"]).env(one, value).env(other, other_value).run();
        let run = run.expect_code(2);
        assert!(run.stderr.contains(one) && run.stderr.contains(other), "{}", run.stderr);
        assert!(run.stderr.contains("contradict"), "{}", run.stderr);
    }
    let quiet = home.rejoin(["receive"]).run();
    for (one, value, other, other_value) in
        [pairs[1], pairs[2], pairs[3]].map(|(one, _, other, value)| (one, "off", other, value))
    {
        let run = home.rejoin(["receive"]).env(one, value).env(other, other_value).run();
        assert_eq!(run.code(), quiet.code(), "{one}: {}", run.stderr);
    }
}

/// B-U: a flag that a variable turns off is off, whatever the configuration says.
#[test]
fn a_variable_turns_off_what_the_configuration_turns_on() {
    let home = Home::new();
    home.file("config/rejoin/config.toml", "json = true\n");
    let told = home.rejoin(["receive"]).run();
    assert_eq!(told.outcome()["event"], "error");
    for off in ["0", "false", "No", "off"] {
        let run = home.rejoin(["receive"]).env("REJOIN_JSON", off).run();
        assert_eq!(run.stdout, "", "{off}");
    }
    let empty = home.rejoin(["receive"]).env("REJOIN_JSON", "").run();
    assert_eq!(empty.outcome()["event"], "error");
}

/// Puts something in the place of a file.
type Make = fn(&Path);

/// What can stand in the place of the configuration and be none.
fn odd_configurations() -> Vec<(&'static str, Make)> {
    vec![
        ("a directory", |path| std::fs::create_dir(path).unwrap()),
        ("a FIFO", |path| {
            rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap();
        }),
        ("a device", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("a link to itself", |path| std::os::unix::fs::symlink(path, path).unwrap()),
        ("not UTF-8", |path| std::fs::write(path, b"host = '\xff'").unwrap()),
        ("too large", |path| std::fs::write(path, vec![b'#'; 100_000]).unwrap()),
        ("no TOML", |path| std::fs::write(path, "= 1").unwrap()),
        ("of unknown keys", |path| std::fs::write(path, "wat = 1").unwrap()),
    ]
}

/// B-U: a configuration that is there and cannot be used ends what connects, with its name and a remedy, and never hangs;
/// what needs none warns and goes on.
#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    let home = Home::new();
    let path = home.file("config/rejoin/config.toml", "");
    for (what, make) in odd_configurations() {
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
        make(&path);
        for command in [&["send", "missing"][..], &["receive"], &["resume"], &["host"]] {
            let run = home.rejoin(command).run();
            assert!([2, 8].contains(&run.code()), "{what}: {}", run.stderr);
            assert!(run.stderr.contains("config.toml"), "{what}: {}", run.stderr);
            assert!(run.stderr.contains("XDG_CONFIG_HOME"), "{what}: {}", run.stderr);
        }
        for command in [&["sessions", "list"][..], &["stats"]] {
            let run = home.rejoin(command).run().expect_code(0);
            assert!(run.stderr.starts_with("warning: configuration "), "{what}: {}", run.stderr);
        }
        for command in [&["completions", "bash"][..], &["--help"], &["--version"]] {
            let run = home.rejoin(command).run().expect_code(0);
            assert_eq!(run.stderr, "", "{what}");
        }
    }
}

/// B-U: where no configuration can be, there is none: HOME is a file or a device, or leads nowhere.
#[test]
fn no_configuration_is_none() {
    let home = Home::new();
    let plain = home.rejoin(["receive"]).run();
    let file = home.file("file", "");
    let long = format!("/{}", "x".repeat(300));
    let homes = ["/dev/null", "/nonexistent", "/", "", "relative", &long, file.to_str().unwrap()];
    for place in homes {
        for command in [&["receive"][..], &["sessions", "list"], &["stats"]] {
            let run = home.rejoin(command).without("XDG_CONFIG_HOME").env("HOME", place).run();
            let expected = if command[0] == "receive" { plain.code() } else { 0 };
            assert_eq!(run.code(), expected, "HOME={place} {command:?}: {}", run.stderr);
            assert!(!run.stderr.contains("config"), "HOME={place}: {}", run.stderr);
        }
    }
    // A relative one is ignored, as its standard asks.
    home.file("relative/rejoin/config.toml", "wat = 1");
    let run = home.rejoin(["receive"]).env("XDG_CONFIG_HOME", "relative").run();
    assert_eq!(run.code(), plain.code(), "{}", run.stderr);
}

/// B-U: without a usable place for state, what needs one ends with 8 and names the remedy; what only looks has nothing to
/// see, and makes nothing.
#[test]
fn state_that_cannot_be_kept_is_told_with_the_remedy() {
    let home = Home::new();
    home.file("t/f", "1");
    let file = home.file("file", "");
    std::fs::create_dir(home.path().join("open")).unwrap();
    std::os::unix::fs::symlink(home.path().join("t"), home.path().join("link")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(home.path().join("open"), mode).unwrap();
    for place in ["file", "file/below", "open", "link", "/proc/none", "/dev/null", "/dev/null/x"] {
        let run = home.rejoin(["send", "t"]).env("REJOIN_STATE_DIR", place).run().expect_code(8);
        assert!(run.stderr.contains(place), "{place}: {}", run.stderr);
        assert!(run.stderr.contains("--state-dir or REJOIN_STATE_DIR"), "{place}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{place}");
    }
    for place in ["/dev/null", file.to_str().unwrap()] {
        let run = home.rejoin(["send", "t"]).without("REJOIN_STATE_DIR").env("HOME", place).run();
        let run = run.expect_code(8);
        assert!(run.stderr.contains("REJOIN_STATE_DIR"), "HOME={place}: {}", run.stderr);
    }
    for command in [&["sessions", "list"][..], &["sessions", "prune"], &["stats"]] {
        let run = home.rejoin(command).env("REJOIN_STATE_DIR", "new/state").run().expect_code(0);
        assert_eq!(run.stderr, "");
    }
    assert!(!home.path().join("new").exists(), "who only looks makes nothing");
}

/// B-U: limits end in one sentence, never in a panic.
#[test]
fn limits_end_in_a_sentence() {
    let home = Home::new();
    home.file("t/f", "1");
    let commands =
        ["send t --timeout 1s", "receive 7-a-b-c", "sessions list", "host --timeout 1s", "demo"];
    // Below four no program is loaded.
    let limits = [4, 5, 6, 8, 10, 12, 16, 20].map(|most| format!("-n {most}"));
    let memory = [50_000, 100_000, 150_000, 200_000].map(|most| format!("-v {most}"));
    for limit in limits.iter().chain(&memory) {
        for command in commands.iter().take(3) {
            let run = home.shell(&format!("ulimit {limit}; exec rejoin {command}")).run();
            assert!(run.code() < 127, "{limit} {command}: {run:?}");
            assert!(!run.stderr.contains("panicked"), "{limit} {command}: {}", run.stderr);
        }
    }
}

/// Row 34: what stands in the place of a target is said to be no directory.
#[test]
fn a_target_that_is_a_file_is_told() {
    let home = Home::new();
    home.file("file", "");
    for place in ["file", "file/below", "/dev/null"] {
        let receive = ["receive", "7-crane-velvet-orbit", "-o", place];
        let run = home.rejoin(receive).run().expect_code(8);
        assert!(run.stderr.to_lowercase().contains("not a directory"), "{}", run.stderr);
    }
}

/// Row 53: who relies on a proxy hears that it is not used; an empty variable wants none.
#[test]
fn a_proxy_that_is_not_used_is_told() {
    let home = Home::new();
    let receive = || home.rejoin(["receive", "7-crane-velvet-orbit", "--host", "ws://127.0.0.1:1"]);
    let run = receive().env("https_proxy", "http://127.0.0.1:2").run().expect_code(4);
    assert!(run.stderr.contains("https_proxy is set, but proxies are not used"), "{}", run.stderr);
    let run = receive().env("HTTPS_PROXY", "").run().expect_code(4);
    assert!(!run.stderr.contains("prox"), "{}", run.stderr);
}

/// B-N, row 32: a limit of file size is a disk that is full, on both sides, not a signal that ends the program.
#[test]
fn a_limit_of_file_size_ends_in_a_sentence() {
    let home = Home::new();
    home.file("t/f", vec![b'x'; 3_000_000]);
    let run = home.shell("ulimit -f 0; exec rejoin send t --code-out code").run().expect_code(8);
    assert!(run.stderr.contains("file too large"), "{}", run.stderr);
    for line in ["rejoin completions bash", "rejoin --help", "rejoin stats"] {
        let run = home.shell(&format!("ulimit -f 0; exec {line} > shown")).run().expect_code(8);
        assert!(run.stderr.contains("file too large"), "{line}: {}", run.stderr);
    }
    let sender = home.rejoin(["send", "t", "--code", "7-crane-velvet-orbit"]).spawn();
    sender.line_with(From::Stderr, "rejoin receive ");
    let receive = "ulimit -f 2000; exec rejoin receive -y -o out --wait 20s 7-crane-velvet-orbit";
    let run = home.shell(receive).env("REJOIN_STATE_DIR", home.path().join("other")).run();
    let run = run.expect_code(8);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert!(!home.path().join("out/t/f").exists());
    sender.signal(rustix::process::Signal::TERM);
    sender.wait();
}

/// B-U, row 38: whatever is opened instead of a closed stream, nothing of ours lands in a file of the user's.
#[test]
fn closed_streams_are_nobodys_files() {
    let home = Home::new();
    home.file("t/f", "content");
    let send = "rejoin send t --code 7-crane-velvet-orbit --timeout 30s -vvv <&- >&- 2>&- & pid=$!";
    let receive = "rejoin receive 7-crane-velvet-orbit -y -o out --wait 20s -vvv <&- >&- 2>&-";
    let line = format!(
        "{send}; export REJOIN_STATE_DIR=$HOME/other; {receive}; code=$?; wait $pid; echo $code $?"
    );
    let run = home.shell(&line).run().expect_code(0);
    assert_eq!(run.stdout, "0 0\n", "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(home.path().join("out/t/f")).unwrap(), "content");
    let names: BTreeSet<_> = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let of_a_user = ["out", "t"].map(str::to_owned);
    assert!(of_a_user.iter().all(|name| names.contains(name)), "{names:?}");
    assert_eq!(std::fs::read_to_string(home.path().join("t/f")).unwrap(), "content");
}

/// B-U: a umask that takes everything from us is one for others.
#[test]
fn a_umask_does_not_lock_us_out() {
    let home = Home::new();
    for mask in ["0777", "0700", "0000", "0277"] {
        home.file("t/f", "content");
        let send = "rejoin send t --new --code 7-crane-velvet-orbit --timeout 30s & pid=$!";
        let receive = format!("rejoin receive 7-crane-velvet-orbit -y -o out{mask} --wait 20s");
        let line = format!(
            "umask {mask}; export REJOIN_STATE_DIR=$HOME/s{mask}; {send}; export REJOIN_STATE_DIR=$HOME/r{mask}; {receive}; code=$?; wait $pid; echo $code $?"
        );
        let run = home.shell(&line).run().expect_code(0);
        assert_eq!(run.stdout.lines().last(), Some("0 0"), "{mask}: {}", run.stderr);
        let file = home.path().join(format!("out{mask}/t/f"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "content", "{mask}");
    }
}

/// B-W: a code that cannot be written is found before anything is announced; nothing is left, and nothing panics.
#[test]
fn an_end_that_comes_early_is_no_panic() {
    let home = Home::new();
    home.file("t/f", "1");
    home.file("file", "");
    for round in 0..4 {
        for place in [".", "none/code", "file/code", "t", "/dev/full", "/proc/code"] {
            let run = home
                .rejoin(["send", "t", "--code-out", place])
                .env("RUST_BACKTRACE", "1")
                .run()
                .expect_code(8);
            assert!(run.stderr.contains(place), "{round} {place}: {}", run.stderr);
            assert!(!run.stderr.contains("panicked"), "{round} {place}: {}", run.stderr);
            assert!(!run.stderr.contains("rejoin receive"), "{place}: {}", run.stderr);
            assert_eq!(run.stdout, "", "{place}");
        }
    }
    let left = home.rejoin(["sessions", "list"]).run().expect_code(0);
    assert_eq!(left.stdout, "");
    let names: BTreeSet<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    // Where rooms of this machine are known, in place of a runtime directory.
    let rooms = format!("rejoin-{}", rustix::process::geteuid().as_raw());
    let expected: BTreeSet<_> = ["file", "state", "t", &rooms].map(Into::into).into();
    assert!(names.is_subset(&expected), "{names:?}");
}

/// B-W: a pipe that nobody reads holds nothing up: the run goes on, and ends when it is told to.
#[test]
fn a_pipe_without_a_reader_holds_nothing_up() {
    let home = Home::new();
    home.file("t/f", "1");
    let pipe = home.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let sender = home.rejoin(["send", "t", "--code-out", "pipe"]).spawn();
    sender.line_with(From::Stderr, "rejoin receive ");
    sender.signal(rustix::process::Signal::INT);
    let run = sender.wait().expect_code(130);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    // And a reader that comes gets it.
    let sender =
        home.rejoin(["send", "t", "--code", "7-crane-velvet-orbit", "--code-out", "pipe"]).spawn();
    let read = std::fs::read_to_string(&pipe).unwrap();
    // Where this machine has a network, its addresses follow.
    let code = read.strip_suffix('\n').unwrap();
    assert_eq!(code.split('@').next(), Some("7-crane-velvet-orbit"), "{read:?}");
    sender.signal(rustix::process::Signal::TERM);
    sender.wait().expect_code(143);
}

/// A code that is waited for is told, and only as long as `--timeout` says.
#[test]
fn a_code_that_does_not_come_is_waited_for_in_words() {
    let home = Home::new();
    let pipe = home.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let run =
        home.rejoin(["receive", "--code-file", "pipe", "--timeout", "3s"]).run().expect_code(124);
    assert!(run.stderr.contains("Waiting for a code from pipe."), "{}", run.stderr);
}
