//! The command line (cli.md): arguments, printing, questions, signals, exit codes. The only place that prints.
//!
//! What was typed (`send`, `receive`, `host`: one file per command) becomes plain options; `run` drives a session with
//! them; `output` shows what it tells. Nothing below this module knows that any of it exists.

mod args;
mod before;
mod code_file;
mod completions;
mod config;
mod demo;
mod hidden_code;
mod host;
mod output;
mod process;
mod prompt;
mod receive;
mod run;
mod secrets;
mod send;
mod sessions;
mod stats;
mod stop;
mod tree;
mod tuning;
mod value;
mod variables;

use std::process::ExitCode;

use clap::error::ErrorKind as ClapKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use rejoin::error::{Error, ErrorKind};
use rejoin::helper::{self, Helper};
use rejoin::options::TurnSource;

/// Why a code does not belong on the command line: others can read it there (CVE-2023-43621). Warned about, never refused,
/// where it stays there, and where it is good for more than one use.
const CODE_ON_ARGV: &str = "other users of this machine can see a code on the command line; use REJOIN_CODE or --code-file";

/// A build whose network can be cut from outside says so: it is for tests only.
const VERSION: &str = if cfg!(feature = "fault-injection") {
    concat!(env!("CARGO_PKG_VERSION"), "+fault-injection")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Moves files and directories between machines, directly, and never starts over
#[derive(Parser, Debug)]
#[command(name = "rejoin", version = VERSION, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Run the same command again and it continues where it was.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Send files and directories
    #[command(visible_alias = "tx")]
    Send(Box<send::SendArgs>),
    /// Receive what another machine sends
    #[command(visible_aliases = ["rx", "recv"])]
    Receive(Box<receive::ReceiveArgs>),
    /// Continue a stored session in its stored role
    Resume(Box<sessions::ResumeArgs>),
    /// List, show, discard the sessions that this machine keeps
    Sessions(sessions::SessionsArgs),
    /// Show what recovery has done on this machine so far; nothing is sent anywhere
    Stats(stats::StatsArgs),
    /// Be the host where senders and receivers meet
    #[command(aliases = ["relay", "serve"])]
    Host(host::HostArgs),
    /// Show the main job on this machine, with real processes, in a few seconds
    Demo(demo::DemoArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// What a command finds besides its arguments.
#[derive(Default)]
pub(crate) struct Setting {
    /// Credentials, which no flag may carry.
    turn: TurnSource,
    /// Who runs their command, in a command that connects.
    helper: Option<Helper>,
    /// What is to be warned about before anything runs.
    warnings: Vec<String>,
}

/// Reads arguments, environment and configuration, runs the command, and returns its exit code.
pub(crate) fn main() -> ExitCode {
    process::keep_memory_private();
    if helper::is_asked_for() {
        return helper::serve();
    }
    process::spare_address_space();
    process::own_what_is_made();
    let typed = match variables::forget_all(Cli::command()).try_get_matches() {
        Ok(typed) => typed,
        Err(error) => return reject(with_environment_shown(error)),
    };
    if let Some(("completions", matches)) = typed.subcommand() {
        return match completions::CompletionsArgs::from_arg_matches(matches) {
            Ok(args) => {
                process::survive_full_files();
                completions::run(&args)
            }
            Err(error) => reject(error),
        };
    }
    hidden_code::hide(&typed);
    let hidden = match hidden_code::take() {
        Ok(hidden) => hidden,
        Err(error) => return output::fail_early(error, wants_json()),
    };
    let command = Cli::command();
    let command = if hidden.is_some() { hidden_code::silence(command) } else { command };
    let layered = match config::layer(command, &typed) {
        Ok(layered) => layered,
        Err(error) => return output::fail_early(error, wants_json()),
    };
    let parsed =
        layered.command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return reject(error),
    };
    let unused = layered.warning.map(|error| format!("{} ({})", error.message, error.hint));
    // One that the sender made is spent before anybody who saw it for a moment can use it.
    let is_fixed = hidden.is_some() && matches!(cli.command, Command::Send(_));
    let exposed =
        (hidden_code::code(&typed).is_some() || is_fixed).then(|| CODE_ON_ARGV.to_owned());
    let (helper, unstarted) = match &cli.command {
        Command::Send(_) | Command::Receive(_) | Command::Resume(_) => {
            before::start_helper(&layered.turn)
        }
        Command::Sessions(_)
        | Command::Stats(_)
        | Command::Host(_)
        | Command::Demo(_)
        | Command::Completions(_) => (None, None),
    };
    let warnings = unused.into_iter().chain(exposed).chain(unstarted).collect();
    let command = match (cli.command, hidden) {
        (Command::Send(args), Some(code)) => Command::Send(Box::new(args.with_code(code))),
        (Command::Receive(args), Some(code)) => Command::Receive(Box::new(args.with_code(code))),
        (command, _) => command,
    };
    process::survive_full_files();
    dispatch(command, Setting { turn: layered.turn, helper, warnings })
}

fn dispatch(command: Command, setting: Setting) -> ExitCode {
    match command {
        Command::Send(args) => send::run(*args, setting),
        Command::Receive(args) => receive::run(*args, setting),
        Command::Resume(args) => sessions::resume(*args, setting),
        Command::Sessions(args) => sessions::run(&args, &setting),
        Command::Stats(args) => stats::run(&args, &setting),
        Command::Host(args) => host::run(args, &setting),
        Command::Demo(args) => demo::run(&args, &setting),
        Command::Completions(args) => completions::run(&args),
    }
}

/// What can be typed.
fn definition() -> clap::Command {
    Cli::command()
}

/// An error in what was asked, found after parsing.
fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Help names the environment variables, so it has to come from the whole definition.
fn with_environment_shown(error: clap::Error) -> clap::Error {
    if error.kind() != ClapKind::DisplayHelp {
        return error;
    }
    Cli::command().try_get_matches().err().unwrap_or(error)
}

/// Prints what clap has to say (help and version too) and returns its exit code: 0 or 2.
fn reject(error: clap::Error) -> ExitCode {
    let error = secrets::hide_credentials(error);
    let is_help = matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion);
    if !is_help && wants_json() {
        let message = error.render().to_string();
        let first_line = message.lines().next().unwrap_or_default();
        let message = first_line.strip_prefix("error: ").unwrap_or(first_line);
        output::json_error(&usage(message));
    }
    process::survive_full_files();
    let printed = error.print();
    if is_help {
        return output::stdout::exit(printed);
    }
    ExitCode::from(ErrorKind::Usage.exit_code())
}

/// Whether NDJSON was asked for, where arguments could not be parsed.
fn wants_json() -> bool {
    std::env::args_os().any(|arg| arg == "--json") || variables::is_on("REJOIN_JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_its_environment_twin() {
        let check = |command: clap::Command| {
            for arg in command.get_arguments().filter(|_| command.get_name() != "completions") {
                let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long))
                else {
                    continue;
                };
                let expected = format!("REJOIN_{}", long.to_uppercase().replace('-', "_"));
                let name = arg.get_env().and_then(|name| name.to_str());
                assert_eq!(name, Some(expected.as_str()), "{} --{long}", command.get_name());
            }
            command
        };
        tree::everywhere(Cli::command(), &check);
    }
}
