//! `rejoin host`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use rejoin::options::{HOST_LISTEN, HostOptions};

use super::Setting;
use super::args::VerbosityArgs;
use super::output::{LogFormat, Printer, Subject};
use super::run;
use super::value;

#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    /// Address and port to listen on (port 0: a free one)
    #[arg(long, value_name = "ADDR:PORT", env = "REJOIN_LISTEN", default_value = HOST_LISTEN)]
    listen: String,
    /// What members connect to, where that is another address
    #[arg(long, value_name = "URL", env = "REJOIN_PUBLIC_URL", value_parser = value::host_url)]
    public_url: Option<String>,
    /// Rooms open at once
    #[arg(long, value_name = "N", env = "REJOIN_MAX_ROOMS", value_parser = value_parser!(u32).range(1..))]
    max_rooms: Option<u32>,
    /// Members in a room
    #[arg(long, value_name = "N", env = "REJOIN_MAX_MEMBERS", value_parser = value_parser!(u32).range(2..))]
    max_members: Option<u32>,
    /// How long a room lives without its owner
    #[arg(long, value_name = "DUR", env = "REJOIN_ROOM_LEASE", value_parser = value::duration)]
    room_lease: Option<Duration>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", env = "REJOIN_LOG_FORMAT", default_value = "text")]
    log_format: LogFormatArg,
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormatArg {
    Text,
    Json,
}

pub(crate) fn run(args: HostArgs, setting: &Setting) -> ExitCode {
    let log_format = match args.log_format {
        LogFormatArg::Text => LogFormat::Text,
        LogFormatArg::Json => LogFormat::Json,
    };
    let printer = Printer::new(&args.verbosity.to_options(), Subject::Hosting(log_format));
    setting.warnings.iter().for_each(|warning| printer.warn(warning));
    let options = HostOptions {
        listen: args.listen,
        public_url: args.public_url,
        max_rooms: args.max_rooms.map(|rooms| rooms as usize),
        max_members: args.max_members.map(|members| members as usize),
        room_lease: args.room_lease,
    };
    run::serve(printer, |ready, ui| rejoin::session::host(options, ready, ui))
}
