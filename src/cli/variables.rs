//! The environment twins of options. **An empty variable is an unset one** ([`rejoin::environment`]), for every option of
//! every command: it is settled here, before clap looks. What a variable says wrongly is told by the variable's name.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use rejoin::environment;
use rejoin::error::Error;

use super::secrets::hide_credentials;
use super::{tree, usage};

/// What turns a flag off; anything else that is taken turns it on.
const OFF: [&str; 6] = ["0", "f", "false", "n", "no", "off"];

/// The same commands, blind to the whole environment: what they parse was typed.
pub(super) fn forget_all(command: Command) -> Command {
    tree::everywhere(command, &|command| command.mut_args(|arg| arg.env(None)))
}

/// The same commands, blind to variables that are empty.
pub(super) fn forget_empty(command: Command) -> Command {
    tree::everywhere(command, &|command| {
        command.mut_args(|arg| if value(&arg).is_some() { arg } else { arg.env(None) })
    })
}

/// Checks what the variables say to the command that was typed; what was typed is not asked of them.
///
/// # Errors
/// A value that its option does not take; two that contradict each other.
pub(super) fn check(command: &Command, typed: &ArgMatches) -> Result<(), Error> {
    let (command, typed) = tree::leaf(command, typed);
    for arg in command.get_arguments().filter(|arg| !is_typed(typed, arg)) {
        if let (Some(name), Some(value)) = (name(arg), value(arg)) {
            probe(command, arg, value).map_err(|message| usage(&format!("{name}: {message}")))?;
        }
    }
    let says = |arg: &Arg| !is_typed(typed, arg) && speaks(arg);
    let both = |&(one, other): &(&Arg, &Arg)| says(one) && says(other);
    match tree::rivals(command).into_iter().find(both) {
        Some((one, other)) => {
            let (one, other) = (name(one).unwrap_or_default(), name(other).unwrap_or_default());
            Err(usage(&format!("{one} and {other} contradict each other; unset one of them")))
        }
        None => Ok(()),
    }
}

/// Flags that a variable turns off are off, whatever the configuration says; they contradict nothing.
pub(super) fn settle_off(command: Command) -> Command {
    tree::everywhere(command, &|command| {
        command.mut_args(|arg| {
            let is_off = is_flag(&arg) && value(&arg).is_some_and(|value| is_off(&value));
            let off = if matches!(arg.get_action(), ArgAction::Count) { "0" } else { "false" };
            if is_off { arg.env(None).default_value(off) } else { arg }
        })
    })
}

/// Whether the variable of `arg` says something that can contradict others.
pub(super) fn speaks(arg: &Arg) -> bool {
    value(arg).is_some_and(|value| !is_flag(arg) || !is_off(&value))
}

/// Whether a variable that is a flag is on, where no command is known yet.
pub(super) fn is_on(name: &str) -> bool {
    environment::variable(name).is_some_and(|value| !is_off(&value))
}

/// Whether the user typed this option.
pub(super) fn is_typed(typed: &ArgMatches, arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    let is_known = typed.ids().any(|known| known.as_str() == id);
    is_known && typed.value_source(id) == Some(ValueSource::CommandLine)
}

/// Whether `arg` takes `value`, which stands outside the command line; the message names no flag.
pub(super) fn probe(command: &Command, arg: &Arg, value: OsString) -> Result<(), String> {
    let id = arg.get_id().clone();
    let takes_one =
        |arg: Arg| if is_flag(&arg) { arg.action(ArgAction::Set).num_args(1) } else { arg };
    let alone = command
        .clone()
        .mut_args(|arg| arg.required(false).env(None))
        .mut_arg(&id, takes_one)
        .arg_required_else_help(false);
    let words = match arg.get_long() {
        Some(long) => {
            let mut word = OsString::from(format!("--{long}="));
            word.push(value);
            vec![word]
        }
        None => vec!["--".into(), value],
    };
    let words = std::iter::once("rejoin".into()).chain(words);
    alone.try_get_matches_from(words).map(drop).map_err(|error| said(&hide_credentials(error)))
}

/// What clap says of a value, without the flag.
fn said(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => line.replace(&format!(" for '{flag}'"), ""),
        _ => line.to_owned(),
    };
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) => format!("{line}: expected {}", valid.join(", ")),
        _ => line,
    }
}

/// Whether it takes no value when it is typed.
fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count)
}

fn name(arg: &Arg) -> Option<&str> {
    arg.get_env().and_then(|name| name.to_str())
}

fn value(arg: &Arg) -> Option<OsString> {
    environment::variable(name(arg)?)
}

fn is_off(value: &std::ffi::OsStr) -> bool {
    value.to_str().is_some_and(|value| OFF.contains(&value.to_ascii_lowercase().as_str()))
}
