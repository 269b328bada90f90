//! The configuration file, `config.toml`: below the environment, above the built-in defaults.
//!
//! A key is the long name of an option (`state-dir` or `state_dir`). At the top it holds for every command that has
//! the option; in `[send]`, `[sessions]` or another command's section for that one and what is below it (TOML has no
//! room for a key `host` beside `[host]`: such a file names its hosts in the sections). Each value becomes the option's
//! default, so flags and environment win by clap's own rules, and it is checked as if it had been typed.
//!
//! A file that is not there says nothing, nor does `/dev/null` in its place. One that is there and cannot be used ends
//! a command that connects, since it may forbid what would be done without it; the others warn and go on.

mod credentials;
mod file;

use credentials::Words;
pub(super) use credentials::secret_variables;
use std::cell::{Cell, RefCell};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use rejoin::environment;
use rejoin::error::{Error, ErrorKind};
use rejoin::options::TurnSource;
use toml::{Table, Value};

use super::{tree, variables};
use file::Found;

/// Commands that get along without a configuration: they connect to nothing, or to themselves.
const WITHOUT: [&str; 3] = ["sessions", "stats", "demo"];

/// The commands as surroundings and configuration leave them.
pub(crate) struct Layered {
    pub(crate) command: Command,
    /// What no flag may carry.
    pub(crate) turn: TurnSource,
    /// Why the configuration is not used.
    pub(crate) warning: Option<Error>,
}

/// Puts environment and configuration below `command`; `typed` is what argv alone said.
pub(crate) fn layer(command: Command, typed: &ArgMatches) -> Result<Layered, Error> {
    let command = variables::forget_empty(command);
    variables::check(&command, typed)?;
    let path = file::place();
    let needs_it = typed.subcommand_name().is_none_or(|name| !WITHOUT.contains(&name));
    let read = path.as_deref().map_or(Found::Nothing, file::read);
    let applied = match (read, &path) {
        (Found::Table(table), Some(path)) => {
            let applied = apply(command.clone(), table, environment::text);
            applied.map_err(|message| invalid(path, &message))
        }
        (Found::Unusable(error), _) => Err(error),
        (Found::Foreign(error), _) => {
            // Another user's, most likely: it is not for us.
            let (command, turn) = without(command)?;
            return Ok(settled(command, typed, turn, Some(error)));
        }
        (Found::Nothing | Found::Table(_), _) => without(command.clone()),
    };
    match applied {
        Ok((command, turn)) => Ok(settled(command, typed, turn, None)),
        Err(error) if needs_it => Err(error),
        Err(error) => Ok(settled(command, typed, TurnSource::None, Some(error))),
    }
}

/// The commands without a configuration.
fn without(command: Command) -> Result<(Command, TurnSource), Error> {
    apply(command, Table::new(), environment::text)
        .map_err(|message| Error::new(ErrorKind::Usage, message))
}

fn settled(
    command: Command,
    typed: &ArgMatches,
    turn: TurnSource,
    warning: Option<Error>,
) -> Layered {
    let command = settle_rivals(variables::settle_off(command), typed);
    Layered { command, turn, warning }
}

/// Of two options that contradict each other, the one from the stronger source silences the other: what was typed
/// beats a variable, and both beat the configuration.
fn settle_rivals(command: Command, typed: &ArgMatches) -> Command {
    let (mut unheard, mut undone) = (Vec::new(), Vec::new());
    let (leaf, words) = tree::leaf(&command, typed);
    let is_typed = |arg: &Arg| variables::is_typed(words, arg);
    let pairs = tree::rivals(leaf);
    let pairs = pairs.iter().flat_map(|&(one, other)| [(one, other), (other, one)]);
    for (winner, loser) in pairs.filter(|(_, loser)| !is_typed(loser)) {
        if is_typed(winner) {
            unheard.push(loser.get_id().clone());
        }
        if is_typed(winner) || variables::speaks(winner) {
            undone.push(loser.get_id().clone());
        }
    }
    tree::at(command, typed, |command| {
        command.mut_args(|arg| {
            let arg = if unheard.contains(arg.get_id()) { arg.env(None) } else { arg };
            let is_undone = undone.contains(arg.get_id());
            if is_undone { arg.default_values(None::<&str>) } else { arg }
        })
    })
}

fn apply(
    mut command: Command,
    table: Table,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Command, TurnSource), String> {
    let mut credentials = Words::default();
    for (key, value) in table {
        let key = key.replace('_', "-");
        if credentials.takes(&key) {
            credentials.set(&key, value)?;
        } else if let Value::Table(section) = value {
            for (inner, value) in section {
                command = set(command, Some(&key), &inner.replace('_', "-"), &value)?;
            }
        } else {
            command = set(command, None, &key, &value)?;
        }
    }
    let turn = credentials.source(environment)?;
    Ok((command, turn))
}

/// Makes `value` the default of option `key` in `section`, or in every command that has it.
fn set(
    command: Command,
    section: Option<&str>,
    key: &str,
    value: &Value,
) -> Result<Command, String> {
    let shown = section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}"));
    let (is_known, wrong) = (Cell::new(false), RefCell::new(None));
    let change = |command: Command| {
        let Some(arg) = option(&command, key) else {
            return command;
        };
        is_known.set(true);
        match defaults(&command, arg, value) {
            Ok(defaults) => {
                let id = arg.get_id().clone();
                command.mut_arg(id, |arg| arg.default_values(defaults))
            }
            Err(message) => {
                wrong.replace(Some(message));
                command
            }
        }
    };
    let command = match section {
        None => tree::everywhere(command, &change),
        Some(section) if command.find_subcommand(section).is_some() => {
            command.mut_subcommand(section, |below| tree::everywhere(below, &change))
        }
        Some(_) => command,
    };
    if let Some(message) = wrong.into_inner() {
        return Err(format!("`{shown}`: {message}"));
    }
    if is_known.get() { Ok(command) } else { Err(format!("unknown key `{shown}`")) }
}

/// `value` as texts that the option takes.
fn defaults(command: &Command, arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(value)) => return Ok(vec![value.to_string()]),
        (ArgAction::SetTrue, _) => return Err("expected true or false".to_owned()),
        (ArgAction::Count, Value::Integer(value)) => {
            let count = u8::try_from(*value).map_err(|_| "expected a small number")?;
            return Ok(vec![count.to_string()]);
        }
        (ArgAction::Count, _) => return Err("expected a small number".to_owned()),
        _ => {}
    }
    let texts = match (arg.get_action(), value) {
        (ArgAction::Append, Value::Array(values)) => {
            values.iter().map(scalar).collect::<Result<Vec<_>, _>>()?
        }
        _ => vec![scalar(value)?],
    };
    for text in &texts {
        variables::probe(command, arg, text.into())?;
    }
    Ok(texts)
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => Err(format!("a {} is not expected here", value.type_str())),
    }
}

fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    // A code belongs to one transfer.
    let is_configurable = !["code", "code-file", "help"].contains(&key);
    command.get_arguments().find(|arg| is_configurable && arg.get_long() == Some(key))
}

fn invalid(path: &Path, message: &str) -> Error {
    file::error(ErrorKind::Usage, path, message)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
