//! The command line from outside: help, usage errors, environment, configuration, completions, streams.

use crate::support::env::Home;

const COMMANDS: [&str; 5] = ["send", "receive", "host", "demo", "completions"];
const SHELLS: [(&str, &str); 5] = [
    ("bash", "rejoin.bash"),
    ("zsh", "_rejoin"),
    ("fish", "rejoin.fish"),
    ("powershell", "_rejoin.ps1"),
    ("elvish", "rejoin.elv"),
];

#[test]
fn help_and_version_go_to_stdout() {
    let home = Home::new();
    let version = home.rejoin(["--version"]).run().expect_code(0);
    let mark = if cfg!(feature = "fault-injection") { "+fault-injection" } else { "" };
    assert_eq!(version.stdout, format!("rejoin {}{mark}\n", env!("CARGO_PKG_VERSION")));
    let help = home.rejoin(["--help"]).run().expect_code(0);
    assert_eq!(help.stderr, "");
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{}", help.stdout);
        let help = home.rejoin([command, "--help"]).run().expect_code(0);
        assert!(help.stdout.contains(&format!("Usage: rejoin {command}")), "{}", help.stdout);
        assert_eq!(help.stderr, "");
    }
}

#[test]
fn help_names_the_environment_but_never_its_values() {
    let home = Home::new();
    let help = home
        .rejoin(["receive", "--help"])
        .env("REJOIN_CODE", "7-crane-velvet-orbit")
        .run()
        .expect_code(0);
    assert!(help.stdout.contains("REJOIN_CODE"), "{}", help.stdout);
    assert!(!help.stdout.contains("crane"), "{}", help.stdout);
}

#[test]
fn aliases_are_the_commands() {
    let home = Home::new();
    let aliases = [
        ("tx", "send"),
        ("rx", "receive"),
        ("recv", "receive"),
        ("relay", "host"),
        ("serve", "host"),
    ];
    for (alias, command) in aliases {
        let help = home.rejoin([alias, "--help"]).run().expect_code(0);
        assert!(help.stdout.contains(&format!("Usage: rejoin {command}")), "{}", help.stdout);
    }
}

#[test]
fn what_is_wrong_on_the_command_line_exits_2_and_leaves_stdout_alone() {
    let home = Home::new();
    let wrong: [&[&str]; 18] = [
        &[],
        &["frobnicate"],
        &["send"],
        &["send", "x", "--frobnicate"],
        &["send", "x", "--words", "1"],
        &["send", "x", "--code", "a", "--code-file", "b"],
        &["send", "x", "--timeout", "5"],
        &["send", "x", "--host", "ftp://a"],
        &["send", "x", "--turn", "turn:user@a"],
        &["send", "-"],
        &["receive", "a", "b"],
        &["receive", "--on-conflict", "maybe"],
        &["receive", "--on-conflict", "skip", "--overwrite"],
        &["receive", "--max-size", "1.5G"],
        &["receive", "--out", "-"],
        &["receive", "-q", "-v"],
        &["host", "--max-rooms", "x"],
        &["completions", "tcsh"],
    ];
    for arguments in wrong {
        let run = home.rejoin(arguments).run();
        assert_eq!(run.code(), 2, "{arguments:?}\n{}", run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
        assert_ne!(run.stderr, "", "{arguments:?}");
    }
}

#[test]
fn usage_errors_are_one_line_of_json_where_that_was_asked_for() {
    let home = Home::new();
    for arguments in [&["send", "--json"][..], &["send", "-", "--json"]] {
        let run = home.rejoin(arguments).run().expect_code(2);
        let lines: Vec<serde_json::Value> =
            run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1, "{}", run.stdout);
        assert_eq!(lines[0]["event"], "error");
        assert_eq!(lines[0]["code"], "usage");
        assert_eq!(lines[0]["exit"], 2);
    }
}

#[test]
fn the_environment_is_read_and_flags_beat_it() {
    let home = Home::new();
    let wrong = home.rejoin(["receive"]).env("REJOIN_TIMEOUT", "soon").run().expect_code(2);
    assert!(wrong.stderr.contains("REJOIN_TIMEOUT: "), "{}", wrong.stderr);
    // What is typed beats its rival in the environment: no conflict, but the missing file is told.
    let beaten = home
        .rejoin(["receive", "--code-file", "missing"])
        .env("REJOIN_CODE", "7-crane-velvet-orbit")
        .run()
        .expect_code(8);
    assert!(beaten.stderr.contains("missing"), "{}", beaten.stderr);
}

#[test]
fn the_configuration_is_read_and_its_errors_name_file_and_key() {
    let home = Home::new();
    home.file("config/rejoin/config.toml", "[receive]\nfrobnicate = 1\n");
    let run = home.rejoin(["receive"]).run().expect_code(2);
    assert!(run.stderr.contains("config.toml"), "{}", run.stderr);
    assert!(run.stderr.contains("receive.frobnicate"), "{}", run.stderr);
    // Help must not depend on it.
    home.rejoin(["receive", "--help"]).run().expect_code(0);
}

#[test]
fn a_code_may_come_from_standard_input() {
    let home = Home::new();
    let run = home.rejoin(["receive", "--code-file", "-"]).input("\n").run().expect_code(2);
    assert!(run.stderr.contains("no code"), "{}", run.stderr);
}

#[test]
fn completions_are_up_to_date() {
    let home = Home::new();
    for (shell, file) in SHELLS {
        let run = home.rejoin(["completions", shell]).run().expect_code(0);
        let path = crate::root().join("completions").join(file);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == run.stdout,
            "completions/{file} is old: `rejoin completions {shell} > completions/{file}`"
        );
    }
}

#[test]
fn a_closed_stdout_is_not_a_failure() {
    let home = Home::new();
    // The shell closes the pipe before anything is written to it.
    let binary = env!("CARGO_BIN_EXE_rejoin");
    let script = format!("exec 3>&1; (\"{binary}\" completions zsh; echo $? >&3) | true");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
}
