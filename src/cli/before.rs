//! What is done before a run: while this process is alone, has no other thread, and is not confined yet.

use std::path::Path;
use std::time::Duration;

use rejoin::confinement;
use rejoin::error::Error;
use rejoin::helper::Helper;
use rejoin::options::{CommonOptions, ReceiveOptions, Secret, SendOptions, TurnSource};
use rejoin::session::places::{self, Places};
use rejoin::session::stored;

use super::output::{OutputOptions, Printer};
use super::{code_file, prompt, secrets};

/// What there is to say of it, with `-v`.
pub(super) type Note = Option<String>;

/// Starts the process that runs the command of `source`, if it is one; why it could not be.
pub(super) fn start_helper(source: &TurnSource) -> (Option<Helper>, Option<String>) {
    let TurnSource::Command(words) = source else { return (None, None) };
    let started = std::env::current_exe()
        .and_then(|program| Helper::start(&program, words, &secrets::variables()));
    match started {
        Ok(helper) => (Some(helper), None),
        Err(error) => {
            let why = rejoin::visible::cause(&error);
            (None, Some(format!("no process can be started for the credentials command: {why}")))
        }
    }
}

/// Says it to whoever wants to know.
pub(super) fn tell(printer: &Printer, output: &OutputOptions, note: Note) {
    if let Some(note) = note.filter(|_| output.verbosity > 0) {
        printer.say(note);
    }
}

/// Finds and makes the places of a sender, and confines this process to them.
pub(super) fn send(options: &SendOptions, is_confined: bool) -> Result<Note, Error> {
    let places = places::of_sender(options)?;
    Ok(begin(&options.common, &places, is_confined))
}

/// The same for a receiver.
pub(super) fn receive(options: &ReceiveOptions, is_confined: bool) -> Result<Note, Error> {
    let places = places::of_receiver(options)?;
    Ok(begin(&options.common, &places, is_confined))
}

fn begin(common: &CommonOptions, places: &Places, is_confined: bool) -> Note {
    places::sweep(common, places);
    if !is_confined {
        return Some("Not confined, as --no-confinement says.".to_owned());
    }
    let confined = confinement::confine(&confinement::table(&places.plan));
    confined.err().map(|why| format!("Not confined: {why}."))
}

/// The code of a receiver that was given none: nothing unfinished is in its directory, so whoever sits there is asked.
///
/// # Errors
/// Nobody sits there; as the system says.
pub(super) fn missing_code(
    common: &CommonOptions,
    target: &Path,
    timeout: Option<Duration>,
) -> Result<Option<Secret>, Error> {
    let unfinished = stored::unfinished_in(common.state_directory.as_deref(), target)?;
    if !unfinished.is_empty() {
        return Ok(None);
    }
    let typed = if prompt::is_interactive() { code_file::ask(timeout)? } else { None };
    typed.map(|code| Some(Secret::new(code))).ok_or_else(stored::no_code)
}
