//! The command line (cli.md): arguments, printing, questions, signals, exit codes. The only place that prints.
//!
//! What was typed (`send`, `receive`, `host`: one file per command) becomes plain options; `run` drives a session with
//! them; `output` shows what it tells. Nothing below this module knows that any of it exists.

mod args;
mod code_file;
mod completions;
mod config;
mod demo;
mod host;
mod output;
mod prompt;
mod receive;
mod run;
mod send;
mod sessions;
mod stats;
mod stop;
mod tuning;
mod value;

use std::process::ExitCode;

use clap::error::ErrorKind as ClapKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use rejoin::error::{Error, ErrorKind};

/// Why a code does not belong on the command line: others can read it there (CVE-2023-43621). Warned about, never refused.
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

/// Reads arguments, environment and configuration, runs the command, and returns its exit code.
pub(crate) fn main() -> ExitCode {
    let typed = match without_environment(Cli::command()).try_get_matches() {
        Ok(typed) => typed,
        Err(error) => return reject(with_environment_shown(error)),
    };
    if let Some(("completions", matches)) = typed.subcommand() {
        return match completions::CompletionsArgs::from_arg_matches(matches) {
            Ok(args) => completions::run(&args),
            Err(error) => reject(error),
        };
    }
    let layered = match config::layer(Cli::command(), &typed) {
        Ok(layered) => layered,
        Err(error) => return output::fail_early(error, wants_json()),
    };
    let parsed = layered
        .command
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, code_source(&matches))));
    let (cli, code_source) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return reject(error),
    };
    match cli.command {
        Command::Send(args) => send::run(*args, code_source, layered.credentials),
        Command::Receive(args) => receive::run(*args, code_source, layered.credentials),
        Command::Resume(args) => sessions::resume(*args, layered.credentials),
        Command::Sessions(args) => sessions::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Host(args) => host::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// An error in what was asked, found after parsing.
fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// The same command, blind to the environment: what it parses was typed.
fn without_environment(command: clap::Command) -> clap::Command {
    let names: Vec<String> =
        command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |subcommand| subcommand.mut_args(|arg| arg.env(None)))
    })
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
    let is_help = matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion);
    if !is_help && wants_json() {
        let message = error.render().to_string();
        let first_line = message.lines().next().unwrap_or_default();
        let message = first_line.strip_prefix("error: ").unwrap_or(first_line);
        output::json_error(&usage(message));
    }
    // A closed pipe is no reason to fail.
    let _ = error.print();
    ExitCode::from(if is_help { 0 } else { ErrorKind::Usage.exit_code() })
}

/// Whether NDJSON was asked for, where arguments could not be parsed.
fn wants_json() -> bool {
    std::env::args_os().any(|arg| arg == "--json") || std::env::var_os("REJOIN_JSON").is_some()
}

fn code_source(matches: &ArgMatches) -> Option<ValueSource> {
    let (name, matches) = matches.subcommand()?;
    match name {
        "send" | "receive" => matches.value_source("code"),
        _ => None,
    }
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
        for subcommand in Cli::command().get_subcommands() {
            if subcommand.get_name() == "completions" {
                continue;
            }
            for arg in subcommand.get_arguments() {
                let Some(long) = arg.get_long().filter(|long| *long != "help") else {
                    continue;
                };
                let expected = format!("REJOIN_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(
                    arg.get_env().and_then(|name| name.to_str()),
                    Some(expected.as_str()),
                    "{} --{long}",
                    subcommand.get_name()
                );
            }
        }
    }
}
