//! The tree of commands: what is true of every command, and of the one that was typed.

use clap::{Arg, ArgMatches, Command};

/// `command` and everything below it, changed.
pub(super) fn everywhere(command: Command, change: &impl Fn(Command) -> Command) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    names.into_iter().fold(change(command), |command, name| {
        command.mut_subcommand(name, |below| everywhere(below, change))
    })
}

/// The command that was typed, below its root, changed.
pub(super) fn at(
    command: Command,
    typed: &ArgMatches,
    change: impl FnOnce(Command) -> Command,
) -> Command {
    match typed.subcommand() {
        Some((name, below)) => {
            let name = name.to_owned();
            command.mut_subcommand(name, |command| at(command, below, change))
        }
        None => change(command),
    }
}

/// The command that was typed, and what was typed for it.
pub(super) fn leaf<'a>(
    command: &'a Command,
    typed: &'a ArgMatches,
) -> (&'a Command, &'a ArgMatches) {
    let below =
        typed.subcommand().and_then(|(name, typed)| Some((command.find_subcommand(name)?, typed)));
    below.map_or((command, typed), |(command, typed)| leaf(command, typed))
}

/// Every pair of options of `command` that contradict each other.
pub(super) fn rivals(command: &Command) -> Vec<(&Arg, &Arg)> {
    let of = |arg| command.get_arg_conflicts_with(arg).into_iter().map(move |other| (arg, other));
    command.get_arguments().flat_map(of).collect()
}
