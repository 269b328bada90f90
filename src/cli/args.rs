//! Arguments that several commands share, and what they become.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use rejoin::helper::Helper;
use rejoin::options::{CommonOptions, PathPolicy, TurnSource};

use super::output::{ColorWhen, OutputOptions, ProgressStyle, check_filter};
use super::tuning::TuningArgs;
use super::value;

/// How the two sides find each other, and where sessions live.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Host to meet at (ws:// or wss://); repeat to try several in order
    #[arg(long = "host", value_name = "URL", env = "REJOIN_HOST", value_delimiter = ',', value_parser = value::host_url)]
    hosts: Vec<String>,
    /// STUN server (stun:HOST:PORT); repeatable, empty for none
    #[arg(long, value_name = "URL", env = "REJOIN_STUN", value_delimiter = ',', value_parser = value::stun_url)]
    stun: Vec<String>,
    /// TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD,
    /// REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line
    #[arg(long, value_name = "URL", env = "REJOIN_TURN", value_delimiter = ',', value_parser = value::turn_url)]
    turn: Vec<String>,
    /// Never go through a TURN server
    #[arg(long, env = "REJOIN_DIRECT_ONLY", value_parser = BoolishValueParser::new(), conflicts_with = "relay_only")]
    direct_only: bool,
    /// Go through a TURN server only
    #[arg(long, env = "REJOIN_RELAY_ONLY", value_parser = BoolishValueParser::new())]
    relay_only: bool,
    /// Directory where sessions are stored
    #[arg(long, value_name = "DIR", env = "REJOIN_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Give up after this long, whatever happens (exit code 124; progress is kept)
    #[arg(long, value_name = "DUR", env = "REJOIN_TIMEOUT", value_parser = value::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Look for a lost connection for this long
    #[arg(long, value_name = "DUR", env = "REJOIN_RETRY_FOR", default_value = "30m", value_parser = value::duration)]
    retry_for: Duration,
    /// Send at most so many bytes a second (500k, 10M)
    #[arg(long, value_name = "RATE", env = "REJOIN_BWLIMIT", value_parser = value::rate)]
    bwlimit: Option<u64>,
    /// Do not let the kernel (Landlock) close to this run what it does not need
    #[arg(long, env = "REJOIN_NO_CONFINEMENT", value_parser = BoolishValueParser::new(), hide_short_help = true)]
    no_confinement: bool,
    #[command(flatten)]
    tuning: TuningArgs,
}

impl ConnectArgs {
    /// Whether this process confines itself.
    pub(crate) const fn is_confined(&self) -> bool {
        !self.no_confinement
    }

    pub(crate) fn into_options(
        self,
        turn_source: TurnSource,
        helper: Option<Helper>,
    ) -> CommonOptions {
        let named = |urls: Vec<String>| urls.into_iter().filter(|url| !url.is_empty()).collect();
        CommonOptions {
            hosts: self.hosts,
            stun: named(self.stun),
            turn: named(self.turn),
            turn_source,
            helper,
            path_policy: match (self.direct_only, self.relay_only) {
                (true, _) => PathPolicy::DirectOnly,
                (false, true) => PathPolicy::RelayOnly,
                (false, false) => PathPolicy::Any,
            },
            state_directory: self.state_dir,
            retry_for: self.retry_for,
            timing: super::demo::follow().unwrap_or_else(|| self.tuning.to_timing()),
            rate_limit: self.bwlimit,
            is_carried: self.tuning.is_carried(),
            datagram_bytes_max: self.tuning.datagram_bytes(),
        }
    }
}

/// How much is printed. The host knows these only.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct VerbosityArgs {
    /// Print errors only
    #[arg(short, long, env = "REJOIN_QUIET", value_parser = BoolishValueParser::new(), conflicts_with = "verbose")]
    quiet: bool,
    /// Print more; repeat for the log (-vv, -vvv)
    #[arg(short, long, env = "REJOIN_VERBOSE", action = clap::ArgAction::Count)]
    verbose: u8,
    /// What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v
    #[arg(long, value_name = "FILTER", env = "REJOIN_LOG", hide_short_help = true, value_parser = check_filter)]
    log: Option<String>,
    /// Colours
    #[arg(long, value_name = "WHEN", env = "REJOIN_COLOR", default_value = "auto")]
    color: ColorArg,
}

/// How what happens is shown.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    #[command(flatten)]
    verbosity: VerbosityArgs,
    /// Print one JSON object a line on standard output
    #[arg(long, env = "REJOIN_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
    /// How progress is shown
    #[arg(long, value_name = "HOW", env = "REJOIN_PROGRESS", default_value = "auto")]
    progress: ProgressArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ColorArg {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProgressArg {
    /// A bar on a terminal, else a line now and then
    Auto,
    /// A bar
    Bar,
    /// A line every ten seconds
    Plain,
    /// Nothing
    None,
}

impl VerbosityArgs {
    pub(crate) fn to_options(&self) -> OutputOptions {
        OutputOptions {
            json: false,
            quiet: self.quiet,
            verbosity: self.verbose,
            log: self.log.clone(),
            progress: ProgressStyle::Auto,
            color: match self.color {
                ColorArg::Auto => ColorWhen::Auto,
                ColorArg::Always => ColorWhen::Always,
                ColorArg::Never => ColorWhen::Never,
            },
        }
    }
}

impl OutputArgs {
    pub(crate) fn to_options(&self) -> OutputOptions {
        OutputOptions {
            json: self.json,
            progress: match self.progress {
                ProgressArg::Auto => ProgressStyle::Auto,
                ProgressArg::Bar => ProgressStyle::Bar,
                ProgressArg::Plain => ProgressStyle::Plain,
                ProgressArg::None => ProgressStyle::None,
            },
            ..self.verbosity.to_options()
        }
    }
}
