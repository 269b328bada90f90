//! The configuration file, `config.toml`: below the environment, above the built-in defaults.
//!
//! A key is the long name of an option (`state-dir` or `state_dir`). At the top it holds for every command that has
//! the option; in `[send]`, `[receive]` or `[host]` for that one (TOML has no room for a key `host` beside `[host]`: such a
//! file names its hosts in the sections). Each value becomes the option's default, so flags and
//! environment win by clap's own rules, and it is checked as if it had been typed.

mod credentials;

use credentials::Words;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use rejoin::error::{Error, ErrorKind};
use rejoin::options::TurnSource;
use toml::{Table, Value};

/// A configuration is a page of text; more is another file (I-11).
const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Options that contradict each other: the one from the stronger source silences the other.
const RIVALS: [(&str, &str); 4] = [
    ("code", "code_file"),
    ("on_conflict", "overwrite"),
    ("direct_only", "relay_only"),
    ("quiet", "verbose"),
];

/// What no flag may carry.
#[derive(Default)]
pub(crate) struct Credentials {
    pub(crate) turn: TurnSource,
}

pub(crate) struct Layered {
    pub(crate) command: Command,
    pub(crate) credentials: Credentials,
}

/// Puts the configuration below `command`; `typed` is what argv alone said.
pub(crate) fn layer(command: Command, typed: &ArgMatches) -> Result<Layered, Error> {
    let table = match file() {
        Some(path) => read(&path).map_err(|message| invalid(&path, &message))?,
        None => Table::new(),
    };
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let command = silence_rivals(command, typed);
    let (command, credentials) = apply(command, table, environment)
        .map_err(|message| invalid(&file().unwrap_or_default(), &message))?;
    Ok(Layered { command, credentials })
}

fn file() -> Option<PathBuf> {
    let directories = directories::ProjectDirs::from("", "", "rejoin")?;
    Some(directories.config_dir().join("config.toml"))
}

fn read(path: &Path) -> Result<Table, String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Table::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(format!("larger than {} KiB", CONFIG_BYTES_MAX / 1024));
    }
    parse(&text)
}

fn parse(text: &str) -> Result<Table, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.parse::<Table>().map_err(|error| error.to_string().trim_end().to_owned())
}

/// What was typed beats a rival in the environment, and both beat one in the configuration.
fn silence_rivals(command: Command, typed: &ArgMatches) -> Command {
    let Some((name, typed)) = typed.subcommand() else {
        return command;
    };
    let is_typed = |id: &str| {
        let known = typed.ids().any(|known| known == id);
        known && typed.value_source(id) == Some(ValueSource::CommandLine)
    };
    command.mut_subcommand(name, |mut subcommand| {
        let pairs = RIVALS.iter().flat_map(|&(one, other)| [(one, other), (other, one)]);
        for (winner, loser) in pairs {
            if is_typed(winner) && has(&subcommand, loser) {
                subcommand = subcommand.mut_arg(loser, |arg| arg.env(None));
            }
        }
        subcommand
    })
}

fn apply(
    mut command: Command,
    table: Table,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Command, Credentials), String> {
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
    Ok((command, Credentials { turn }))
}

/// Makes `value` the default of option `key` in `section`, or in every command that has it.
fn set(
    mut command: Command,
    section: Option<&str>,
    key: &str,
    value: &Value,
) -> Result<Command, String> {
    let shown = section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}"));
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|subcommand| section.is_none_or(|section| section == subcommand.get_name()))
        .filter(|subcommand| option(subcommand, key).is_some())
        .map(|subcommand| subcommand.get_name().to_owned())
        .collect();
    if names.is_empty() {
        return Err(format!("unknown key `{shown}`"));
    }
    for name in names {
        let mut wrong = None;
        command = command.mut_subcommand(name, |subcommand| {
            let Some(arg) = option(&subcommand, key) else {
                return subcommand;
            };
            match defaults(&subcommand, arg, key, value) {
                Ok(defaults) => {
                    let id = arg.get_id().clone();
                    if is_outranked(&subcommand, id.as_str()) {
                        return subcommand;
                    }
                    subcommand.mut_arg(id, |arg| arg.default_values(defaults))
                }
                Err(message) => {
                    wrong = Some(message);
                    subcommand
                }
            }
        });
        if let Some(message) = wrong {
            return Err(format!("`{shown}`: {message}"));
        }
    }
    Ok(command)
}

/// `value` as texts that the option takes.
fn defaults(command: &Command, arg: &Arg, key: &str, value: &Value) -> Result<Vec<String>, String> {
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
        probe(command, key, text)?;
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

/// Parses the option as if it had been typed, alone.
fn probe(command: &Command, key: &str, text: &str) -> Result<(), String> {
    let argv = ["rejoin".to_owned(), format!("--{key}={text}")];
    let alone = command.clone().mut_args(|arg| arg.required(false).env(None));
    alone.try_get_matches_from(argv).map(drop).map_err(|error| {
        let message = error.render().to_string();
        let line = message.lines().next().unwrap_or_default();
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    })
}

/// Whether a rival of `id` stands in the environment.
fn is_outranked(command: &Command, id: &str) -> bool {
    let rival_of = |&(one, other): &(&'static str, &'static str)| match id {
        _ if id == one => Some(other),
        _ if id == other => Some(one),
        _ => None,
    };
    RIVALS.iter().filter_map(rival_of).any(|rival| {
        let arg = command.get_arguments().find(|arg| arg.get_id() == rival);
        arg.and_then(Arg::get_env).is_some_and(|name| std::env::var_os(name).is_some())
    })
}

fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    // A code belongs to one transfer.
    let is_configurable = !["code", "code-file", "help"].contains(&key);
    command.get_arguments().find(|arg| is_configurable && arg.get_long() == Some(key))
}

fn has(command: &Command, id: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == id)
}

fn invalid(path: &Path, message: &str) -> Error {
    let name = super::output::escape::os_for_person(path.as_os_str());
    Error::new(ErrorKind::Usage, format!("configuration {name}: {message}"))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
