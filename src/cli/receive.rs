//! `rejoin receive`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use rejoin::error::Error;
use rejoin::helper::Helper;
use rejoin::options::{OnConflict, ReceiveLimits, ReceiveOptions, Secret, TurnSource};

use super::args::{ConnectArgs, OutputArgs};
use super::output::{Printer, Subject};
use super::prompt::{Consenting, is_interactive};
use super::run::Run;
use super::{Setting, before, code_file, usage, value};

#[derive(Args, Debug)]
pub(crate) struct ReceiveArgs {
    /// The code that the sender shows; none: continue what this directory has begun
    #[arg(
        value_name = "CODE",
        env = "REJOIN_CODE",
        hide_env_values = true,
        conflicts_with = "code_file"
    )]
    code: Option<String>,
    /// Read the code from a file (`-`: standard input)
    #[arg(long, value_name = "FILE", env = "REJOIN_CODE_FILE", value_hint = clap::ValueHint::FilePath)]
    code_file: Option<PathBuf>,
    /// Directory to receive into
    #[arg(short, long, value_name = "DIR", env = "REJOIN_OUT", default_value = ".", value_hint = clap::ValueHint::DirPath)]
    out: PathBuf,
    /// Accept without asking; existing files that differ stay, see --on-conflict
    #[arg(short, long, env = "REJOIN_YES", value_parser = BoolishValueParser::new())]
    yes: bool,
    #[command(flatten)]
    present: PresentArgs,
    /// Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64
    #[arg(long, value_name = "SIZE", env = "REJOIN_MAX_SIZE", value_parser = value::size)]
    max_size: Option<u64>,
    /// Refuse more files, or more directories, than this
    #[arg(long, value_name = "N", env = "REJOIN_MAX_FILES")]
    max_files: Option<u64>,
    /// Wait this long for a sender that is not there yet
    #[arg(long, value_name = "DUR", env = "REJOIN_WAIT", value_parser = value::duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What becomes of what is in the target already. `resume` has these too.
#[derive(Args, Debug)]
pub(crate) struct PresentArgs {
    /// What to do about an existing file that differs [default: ask on a terminal without -y, else fail]
    #[arg(long, value_name = "CHOICE", env = "REJOIN_ON_CONFLICT")]
    on_conflict: Option<ConflictArg>,
    /// Short for --on-conflict overwrite
    #[arg(long, env = "REJOIN_OVERWRITE", value_parser = BoolishValueParser::new(), conflicts_with = "on_conflict")]
    overwrite: bool,
    /// Compare existing files by content, not by size and modification time
    #[arg(long, env = "REJOIN_CHECKSUM", value_parser = BoolishValueParser::new())]
    checksum: bool,
    /// Follow a symlink inside the target where a directory is expected, instead of a conflict
    #[arg(long, env = "REJOIN_FOLLOW_TARGET", value_parser = BoolishValueParser::new())]
    follow_target: bool,
}

impl PresentArgs {
    /// What the flags settle; `yes`: `-y`.
    pub(crate) fn consenting(&self, yes: bool) -> Consenting {
        Consenting { yes, on_conflict: self.on_conflict() }
    }

    fn on_conflict(&self) -> Option<OnConflict> {
        let chosen = self.on_conflict.map(|choice| match choice {
            ConflictArg::Skip => OnConflict::Skip,
            ConflictArg::Overwrite => OnConflict::Overwrite,
            ConflictArg::Rename => OnConflict::Rename,
            ConflictArg::Fail => OnConflict::Fail,
        });
        chosen.or(self.overwrite.then_some(OnConflict::Overwrite))
    }

    /// The same receive, with what was said about the target.
    pub(crate) fn apply(&self, options: ReceiveOptions, consent: Consenting) -> ReceiveOptions {
        ReceiveOptions {
            checksum: self.checksum,
            on_conflict: consent.policy(is_interactive()),
            follow_target: self.follow_target,
            ..options
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConflictArg {
    /// Leave it, and count that as done
    Skip,
    /// Replace it
    Overwrite,
    /// Leave it, and write the new one under another name
    Rename,
    /// Leave it, list it, receive the rest, exit with code 7
    Fail,
}

impl ReceiveArgs {
    /// With a code that was typed, and is not on the command line any more.
    pub(crate) fn with_code(self, code: String) -> Self {
        Self { code: Some(code), code_file: None, ..self }
    }
}

pub(crate) fn run(args: ReceiveArgs, setting: Setting) -> ExitCode {
    let output = args.output.to_options();
    let timeout = args.connect.timeout;
    let consent = args.present.consenting(args.yes);
    let Setting { turn, helper, warnings } = setting;
    let prepared = prepare(args, turn, helper, consent);
    // It has a thread, and so comes after the confinement.
    let printer = Printer::new(&output, Subject::Receiving);
    warnings.iter().for_each(|warning| printer.warn(warning));
    match prepared {
        Ok((options, note)) => {
            before::tell(&printer, &output, note);
            let run = Run { printer, timeout, code_out: None, consent };
            run.drive(|ui| rejoin::session::receive(options, ui))
        }
        Err(error) => printer.fail(error),
    }
}

fn prepare(
    args: ReceiveArgs,
    turn: TurnSource,
    helper: Option<Helper>,
    consent: Consenting,
) -> Result<(ReceiveOptions, before::Note), Error> {
    if args.out == Path::new("-") {
        return Err(usage("writing to standard output is not possible yet; name a directory"));
    }
    let timeout = args.connect.timeout;
    let code = match args.code_file {
        Some(file) => Some(code_file::read(&file, timeout)?),
        None => args.code,
    };
    let is_confined = args.connect.is_confined();
    let common = args.connect.into_options(turn, helper);
    let code = match code {
        Some(code) => Some(Secret::new(code)),
        None => before::missing_code(&common, &args.out, timeout)?,
    };
    let options = ReceiveOptions {
        common,
        code,
        session: None,
        target: args.out,
        limits: ReceiveLimits { bytes: args.max_size, files: args.max_files },
        wait: args.wait,
        checksum: false,
        on_conflict: None,
        follow_target: false,
    };
    let options = args.present.apply(options, consent);
    let note = before::receive(&options, is_confined)?;
    Ok((options, note))
}
