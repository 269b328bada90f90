//! A code that was typed as an argument, taken off the command line: others can read that for as long as the process runs.
//!
//! The program starts anew in the same process, with the code in a pipe that it inherits; number, terminal, standard streams
//! and what signals do stay as they are. From the first start to the second, some milliseconds, the code can be seen. Where
//! anything of it fails it goes on as it is, and the code is warned about.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;
use rejoin::environment;
use rejoin::error::{Error, ErrorKind};

use super::{tree, variables};

/// The descriptor of the pipe.
pub(super) const VARIABLE: &str = "REJOIN_CODE_DESCRIPTOR";
/// Where a process finds its own descriptors.
const DESCRIPTORS: &str = "/proc/self/fd";
/// Arguments that the code in the pipe stands for.
const SILENCED: [&str; 2] = ["code", "code_file"];

/// Starts this program anew without the code that was typed; returns only where there is none, or it cannot be done.
pub(super) fn hide(typed: &ArgMatches) {
    #[cfg(unix)]
    {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;
        use std::os::unix::process::CommandExt as _;
        let Some(code) = code(typed) else { return };
        let words: Vec<OsString> = std::env::args_os().collect();
        let (Some(words), Ok(program)) = (without(&words, code), std::env::current_exe()) else {
            return;
        };
        // Both ends are inherited; the one that is written to is closed before.
        let Ok((reader, writer)) = rustix::pipe::pipe() else { return };
        let number = reader.as_raw_fd().to_string();
        let is_readable = std::fs::File::open(format!("{DESCRIPTORS}/{number}")).is_ok();
        // A pipe takes 4 KiB at least without a reader.
        let is_short = code.len() as u64 <= super::code_file::CODE_BYTES_MAX;
        if !is_readable
            || !is_short
            || std::fs::File::from(writer).write_all(code.as_bytes()).is_err()
        {
            return;
        }
        let (name, words) = (&words[0], &words[1..]);
        // It returns only where it failed; then it goes on as it is.
        let _ =
            std::process::Command::new(program).arg0(name).args(words).env(VARIABLE, number).exec();
    }
    #[cfg(not(unix))]
    let _ = typed;
}

/// The code that an earlier start of this process put into a pipe.
///
/// # Errors
/// It is not there any more.
pub(super) fn take() -> Result<Option<String>, Error> {
    let Some(number) = environment::text(VARIABLE) else { return Ok(None) };
    read(&number).map(Some).map_err(|why| {
        let message = format!("the code is not in the pipe that {VARIABLE} names: {why}");
        Error::new(ErrorKind::Failure, message).with_hint("use REJOIN_CODE or --code-file")
    })
}

#[cfg(unix)]
fn read(number: &str) -> Result<String, String> {
    use std::io::Read as _;
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
    let number: u32 = number.parse().map_err(|_| "no number".to_owned())?;
    let failed = |error: std::io::Error| rejoin::visible::cause(&error);
    let pipe = std::fs::File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(format!("{DESCRIPTORS}/{number}"))
        .map_err(failed)?;
    if !pipe.metadata().map_err(failed)?.file_type().is_fifo() {
        return Err("it is no pipe".to_owned());
    }
    let mut code = String::new();
    let bound = super::code_file::CODE_BYTES_MAX;
    pipe.take(bound).read_to_string(&mut code).map_err(failed)?;
    if code.is_empty() { Err("it is empty".to_owned()) } else { Ok(code) }
}

#[cfg(not(unix))]
fn read(_: &str) -> Result<String, String> {
    Err("this system has none".to_owned())
}

/// The same commands, for a run whose code came by the pipe: it was typed, and beats what else would give one.
pub(super) fn silence(command: clap::Command) -> clap::Command {
    tree::everywhere(command, &|command| {
        command.mut_args(|arg| {
            let is_silenced = SILENCED.contains(&arg.get_id().as_str());
            if is_silenced { arg.env(None) } else { arg }
        })
    })
}

/// The code that was typed.
pub(super) fn code(typed: &ArgMatches) -> Option<&str> {
    let (name, typed) = typed.subcommand()?;
    let has_code = ["send", "receive"].contains(&name);
    has_code.then(|| typed.get_one::<String>("code").map(String::as_str))?
}

/// The same words without the code: as a word, with its option, or as a part of that. What is left is parsed again, so that
/// a word that only looks like it stays.
fn without(words: &[OsString], code: &str) -> Option<Vec<OsString>> {
    let joined = format!("--code={code}");
    let is_code = |word: &OsStr| word == code || word == joined.as_str();
    (1..words.len()).filter(|at| is_code(&words[*at])).find_map(|at| {
        let is_option = words[at - 1] == "--code" && words[at] == code;
        let from = if is_option { at - 1 } else { at };
        let left: Vec<OsString> = [&words[..from], &words[at + 1..]].concat();
        let parsed = variables::forget_all(super::definition()).try_get_matches_from(&left).ok()?;
        let is_gone = self::code(&parsed).is_none() && !left.iter().any(|word| is_code(word));
        is_gone.then_some(left)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_goes_and_the_rest_stays() {
        const CODE: &str = "7-crane-velvet-orbit";
        for (typed, expected) in [
            ("receive 7-crane-velvet-orbit -y", Some("receive -y")),
            ("rx -o out -- 7-crane-velvet-orbit", Some("rx -o out --")),
            ("send --code 7-crane-velvet-orbit t", Some("send t")),
            ("send t --code=7-crane-velvet-orbit -q", Some("send t -q")),
            // It would stay on the command line all the same.
            ("receive -o 7-crane-velvet-orbit 7-crane-velvet-orbit", None),
        ] {
            let words: Vec<OsString> =
                ["rejoin"].into_iter().chain(typed.split(' ')).map(OsString::from).collect();
            let parsed = variables::forget_all(crate::cli::definition());
            let parsed = parsed.try_get_matches_from(&words).unwrap();
            assert_eq!(code(&parsed), Some(CODE), "{typed}");
            let left = without(&words, CODE);
            let left = left.map(|left| left[1..].join(OsStr::new(" ")));
            assert_eq!(left.as_deref(), expected.map(OsStr::new), "{typed}");
        }
    }

    #[test]
    fn what_has_no_code_is_left_alone() {
        for typed in ["receive", "send t --words 4", "sessions list", "resume 7", "host"] {
            let words = ["rejoin"].into_iter().chain(typed.split(' '));
            let parsed = variables::forget_all(crate::cli::definition());
            assert_eq!(code(&parsed.try_get_matches_from(words).unwrap()), None, "{typed}");
        }
    }
}
