//! `rejoin send`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rejoin::error::Error;
use rejoin::helper::Helper;
use rejoin::options::{CODE_WORDS, Secret, SendOptions, TurnSource};

use super::args::{ConnectArgs, OutputArgs};
use super::code_file::CodeOut;
use super::output::{Printer, Subject, escape};
use super::prompt::Consenting;
use super::run::Run;
use super::{Setting, before, code_file, usage};

#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Files and directories to send
    #[arg(required = true, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Use this code instead of a fresh one
    #[arg(
        long,
        value_name = "CODE",
        env = "REJOIN_CODE",
        hide_env_values = true,
        conflicts_with = "code_file"
    )]
    code: Option<String>,
    /// Read the code from a file (`-`: standard input)
    #[arg(long, value_name = "FILE", env = "REJOIN_CODE_FILE", value_hint = clap::ValueHint::FilePath)]
    code_file: Option<PathBuf>,
    /// Write the code to a file, readable by you only, as soon as it is known
    #[arg(long, value_name = "FILE", env = "REJOIN_CODE_OUT", value_hint = clap::ValueHint::FilePath)]
    code_out: Option<PathBuf>,
    /// Words in a fresh code
    #[arg(long, value_name = "N", env = "REJOIN_WORDS", default_value_t = CODE_WORDS, value_parser = clap::value_parser!(u8).range(2..=12))]
    words: u8,
    /// Start afresh, whatever unfinished session of these paths there is
    #[arg(long, env = "REJOIN_NEW", value_parser = clap::builder::BoolishValueParser::new())]
    new: bool,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl SendArgs {
    /// With a code that was typed, and is not on the command line any more.
    pub(crate) fn with_code(self, code: String) -> Self {
        Self { code: Some(code), code_file: None, ..self }
    }
}

pub(crate) fn run(args: SendArgs, setting: Setting) -> ExitCode {
    let subject = Subject::Sending(label(&args.paths));
    let output = args.output.to_options();
    let timeout = args.connect.timeout;
    let Setting { turn, helper, warnings } = setting;
    let prepared = prepare(args, turn, helper);
    // It has a thread, and so comes after the confinement.
    let printer = Printer::new(&output, subject);
    warnings.iter().for_each(|warning| printer.warn(warning));
    match prepared {
        Ok((options, code_out, note)) => {
            before::tell(&printer, &output, note);
            let run = Run { printer, timeout, code_out, consent: Consenting::default() };
            run.drive(|ui| rejoin::session::send(options, ui))
        }
        Err(error) => printer.fail(error),
    }
}

fn prepare(
    args: SendArgs,
    turn: TurnSource,
    helper: Option<Helper>,
) -> Result<(SendOptions, Option<CodeOut>, before::Note), Error> {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return Err(usage("standard input cannot be sent yet; name a file"));
    }
    let code = match args.code_file {
        Some(file) => Some(code_file::read(&file, args.connect.timeout)?),
        None => args.code,
    };
    let is_confined = args.connect.is_confined();
    let options = SendOptions {
        common: args.connect.into_options(turn, helper),
        sources: args.paths,
        code: code.map(Secret::new),
        code_words: args.words,
        is_new: args.new,
    };
    let code_out = args.code_out.as_deref().map(|file| CodeOut::prepare(file, is_confined));
    let code_out = code_out.transpose()?;
    let note = before::send(&options, is_confined)?;
    Ok((options, code_out, note))
}

/// What the progress line calls it: `photos/`, `a.iso`, `3 items`.
fn label(paths: &[PathBuf]) -> String {
    let [path] = paths else {
        return format!("{} items", paths.len());
    };
    let slash = if path.is_dir() { "/" } else { "" };
    // `.` and `..` have no name of their own.
    let real = path
        .file_name()
        .map_or_else(|| path.canonicalize().unwrap_or_else(|_| path.clone()), |_| path.clone());
    let name = real.file_name().unwrap_or(real.as_os_str());
    format!("{}{slash}", escape::os_for_person(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use rejoin::options::CommonOptions;

    #[derive(Debug, clap::Parser)]
    struct Alone {
        #[command(flatten)]
        args: SendArgs,
    }

    #[test]
    fn without_options_it_is_what_the_library_begins_with() {
        let args = Alone::try_parse_from(["send", "x"]).unwrap().args;
        assert_eq!(args.words, SendOptions::new(args.paths.clone()).code_words);
        let common = args.connect.into_options(TurnSource::default(), None);
        assert_eq!(common, CommonOptions::default());
    }

    #[test]
    fn the_label_is_what_a_person_calls_it() {
        let directory = tempfile::tempdir().unwrap();
        let photos = directory.path().join("photos");
        std::fs::create_dir(&photos).unwrap();
        assert_eq!(label(std::slice::from_ref(&photos)), "photos/");
        assert_eq!(label(&[photos.join(".")]), "photos/");
        assert_eq!(label(&[photos.join("a\u{1b}.iso")]), "a\\u{1b}.iso");
        assert_eq!(label(&[photos.clone(), photos]), "2 items");
    }
}
