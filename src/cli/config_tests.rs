use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

fn layered(text: &str) -> Result<(Command, TurnSource), String> {
    apply(Cli::command(), file::parse(text)?, |_| None)
}

fn matches(text: &str, argv: &[&str]) -> ArgMatches {
    let (command, _) = layered(text).unwrap();
    let blind = variables::forget_all(command);
    blind.try_get_matches_from(argv).unwrap()
}

fn hosts(matches: &ArgMatches) -> Vec<String> {
    let (_, matches) = matches.subcommand().unwrap();
    let hosts = matches.get_many::<String>("hosts");
    hosts.map(|hosts| hosts.cloned().collect()).unwrap_or_default()
}

#[test]
fn a_key_holds_for_every_command_that_has_it_and_a_flag_beats_it() {
    let text = "host = [\"ws://a\", \"ws://b\"]\n[send]\nwords = 5\n";
    for command in ["send", "receive"] {
        let found = hosts(&matches(text, &["rejoin", command, "x"]));
        assert_eq!(found, ["ws://a", "ws://b"], "{command}");
    }
    let typed = matches(text, &["rejoin", "send", "x", "--host", "ws://c"]);
    assert_eq!(hosts(&typed), ["ws://c"]);
    let (_, send) = typed.subcommand().unwrap();
    assert_eq!(send.get_one::<u8>("words"), Some(&5));
    let host = matches("[host]\nlisten = \"[::]:1\"\n", &["rejoin", "host"]);
    let (_, host) = host.subcommand().unwrap();
    assert_eq!(host.get_one::<String>("listen").unwrap(), "[::]:1");
}

#[test]
fn flags_and_counts_are_booleans_and_numbers() {
    let text = "verbose = 2\njson = true\n[receive]\nyes = true\nmax_files = 7\n";
    let found = matches(text, &["rejoin", "receive"]);
    let (_, receive) = found.subcommand().unwrap();
    assert_eq!(receive.get_count("verbose"), 2);
    assert!(receive.get_flag("yes") && receive.get_flag("json"));
    assert_eq!(receive.get_one::<u64>("max_files"), Some(&7));
}

#[test]
fn what_is_wrong_is_named() {
    let table = [
        ("wat = 1", "unknown key `wat`"),
        ("[send]\nyes = true", "unknown key `send.yes`"),
        ("[wat]\nx = 1", "unknown key `wat.x`"),
        ("code = \"7-a-b-c\"", "unknown key `code`"),
        ("timeout = 5", "`timeout`: invalid value '5'"),
        ("timeout = 1.5", "`timeout`: a float"),
        ("timeout = [\"1s\"]", "`timeout`: a array"),
        ("yes = \"true\"", "`yes`: expected true or false"),
        ("verbose = 1000", "`verbose`: expected a small number"),
        ("color = \"red\"", "`color`: invalid value 'red'"),
        ("host = \"ftp://a\"", "`host`: invalid value 'ftp://a'"),
        ("x = 1\ny =", "no TOML, line 2: "),
        ("turn-username = \"a\"", "a TURN user name without a password"),
    ];
    for (text, expected) in table {
        let Err(message) = layered(text) else {
            panic!("accepted: {text}");
        };
        assert!(message.contains(expected), "{text}: {message}");
    }
}

/// H-15: whatever is wrong with a configuration, what it holds is not shown.
#[test]
fn what_is_wrong_shows_no_secret() {
    for text in [
        "turn-username = 'a'\nturn-password = \"hunter2\n",
        "turn-password = hunter2",
        "turn-password = 'hunter2' x",
        "turn-password = \"hunter2\\q\"",
        "turn-password = { hunter2",
        "turn-secret = 'a'\nturn-secret = 'hunter2'",
        "turn-secret = ['hunter2']",
        "turn-secret = 'hunter2'\n[turn-secret]",
        "turn-credentials-command = ['x', 'hunter2', 1]",
        "turn-password = 'hunter2'",
        "turn = 'turn:ann:hunter2@a.example'",
        "turn = ['turn:a.example', 'turn://hunter2@a.example?transport=tcp']",
        "stun = 'stun:ann:hunter2@a.example'",
        "host = 'wss://ann:hunter2@a.example'",
        "host = 'ann:hunter2@a.example'",
        "[send]\ncode = '7-hunter2-a'",
    ] {
        let Err(message) = layered(text) else { panic!("accepted: {text}") };
        assert!(!message.contains("hunter2"), "{text}: {message}");
    }
}

#[test]
fn a_byte_order_mark_is_no_key() {
    assert_eq!(hosts(&matches("\u{feff}host = \"ws://a\"", &["rejoin", "receive"])), ["ws://a"]);
}

#[test]
fn a_section_holds_for_what_is_below_its_command() {
    let found = matches("state-dir = \"a\"\n", &["rejoin", "sessions", "list"]);
    let state = |matches: &ArgMatches| {
        let (_, sessions) = matches.subcommand().unwrap();
        let (_, list) = sessions.subcommand().unwrap();
        list.get_one::<std::path::PathBuf>("state_dir").unwrap().display().to_string()
    };
    assert_eq!(state(&found), "a");
    let found = matches("[sessions]\nstate-dir = \"b\"\n", &["rejoin", "sessions", "list"]);
    assert_eq!(state(&found), "b");
}

/// B-U: what stands in the file's place is read, taken for nothing, or named; never waited for.
#[cfg(unix)]
#[test]
fn what_is_no_usable_file_is_named_or_taken_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let message = |path: &Path| {
        let Found::Unusable(error) = file::read(path) else { panic!("it is used") };
        assert!(error.message.contains("config.toml") && !error.hint.is_empty(), "{error}");
        error.message
    };
    assert_eq!(file::read(&path), Found::Nothing);
    assert_eq!(file::read(&path.join("below")), Found::Nothing);
    std::fs::write(&path, "#".repeat(100_000)).unwrap();
    assert_eq!(file::read(&path.join("config.toml")), Found::Nothing);
    assert!(message(&path).contains("larger than 64 KiB"));
    std::fs::write(&path, b"host = '\xff'").unwrap();
    assert!(message(&path).contains("no UTF-8 text"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(message(&path).contains("no regular file"));
    std::fs::remove_dir(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(message(&path).contains("no regular file"));
    for (device, is_nothing) in [("/dev/null", true), ("/dev/zero", false)] {
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(device, &path).unwrap();
        assert_eq!(file::read(&path) == Found::Nothing, is_nothing, "{device}");
    }
}

#[test]
fn environment_beats_the_file_for_credentials_too() {
    let table = file::parse("turn_username = \"file\"\nturn_password = \"secret\"").unwrap();
    let environment = |name: &str| (name == "REJOIN_TURN_USERNAME").then(|| "env".to_owned());
    let (_, turn) = apply(Cli::command(), table, environment).unwrap();
    let TurnSource::Fixed { credentials, .. } = turn else { panic!("no credentials") };
    assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("env", "secret"));
}

#[test]
fn what_is_typed_silences_its_rivals_wherever_they_stand() {
    let typed =
        |argv: &[&str]| variables::forget_all(Cli::command()).try_get_matches_from(argv).unwrap();
    let argv = ["rejoin", "receive", "--code-file", "f", "-v"];
    let command = settle_rivals(Cli::command(), &typed(&argv));
    let receive = command.find_subcommand("receive").unwrap();
    let has_environment = |id: &str| {
        let arg = receive.get_arguments().find(|arg| arg.get_id() == id);
        arg.unwrap().get_env().is_some()
    };
    assert!(!has_environment("code") && !has_environment("quiet"));
    assert!(has_environment("code_file") && has_environment("overwrite"));

    let (command, _) =
        layered("on-conflict = \"skip\"\ndirect-only = true\nquiet = true\n").unwrap();
    let argv = ["rejoin", "receive", "--overwrite", "--relay-only", "-v"];
    let command = variables::forget_all(settle_rivals(command, &typed(&argv)));
    let found = command.try_get_matches_from(argv).unwrap();
    let (_, receive) = found.subcommand().unwrap();
    assert!(receive.value_source("on_conflict").is_none());
    assert!(!receive.get_flag("direct_only") && !receive.get_flag("quiet"));
}

/// S-10: whoever can write a configuration could have a command of theirs run as us.
#[cfg(unix)]
#[test]
fn a_configuration_of_others_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, "turn-credentials-command = 'evil'").unwrap();
    assert!(matches!(file::read(&path), Found::Table(_)));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(file::read(&path), Found::Foreign(_)));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        assert!(matches!(file::read(&path), Found::Foreign(_)));
    }
}
