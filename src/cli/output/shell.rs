//! Command lines as a shell reads them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use rejoin::event::PathText;

/// What would start afresh, or is spent: a session that is continued is found without it.
const DROPPED: [&str; 3] = ["new", "code", "code_file"];
/// Arguments that name something in the file system: they are meant from where the command was typed.
const PATHS: [&str; 4] = ["paths", "out", "state_dir", "code_out"];
/// Variables that decide which session is found: another terminal may not have them.
const FROM_VARIABLES: [&str; 3] = ["state_dir", "out", "hosts"];

/// The command that continues what runs now, to be pasted anywhere: what was typed, without what would start afresh and
/// without a code, with paths from the root.
pub(super) fn command_line() -> String {
    let words: Vec<OsString> = std::env::args_os().collect();
    let variable = |name: &OsStr| rejoin::environment::variable(name.to_str()?);
    let here = std::env::current_dir().unwrap_or_default();
    continuation(&crate::cli::definition(), &words, &variable, &here)
}

fn continuation(
    definition: &clap::Command,
    words: &[OsString],
    variable: &impl Fn(&OsStr) -> Option<OsString>,
    here: &Path,
) -> String {
    let Some(subcommand) = words.get(1).and_then(|name| definition.find_subcommand(name)) else {
        return words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    };
    let mut typed = Typed { here, kept: Vec::new(), seen: Vec::new() };
    typed.take(subcommand, &words[2..]);
    let Typed { mut kept, seen, .. } = typed;
    let mut command: Vec<String> = Vec::new();
    for argument in subcommand.get_arguments() {
        let id = argument.get_id().as_str();
        let Some((name, value)) = argument.get_env().and_then(|name| Some((name, variable(name)?)))
        else {
            continue;
        };
        if DROPPED.contains(&id) {
            command.push(format!("{}=", name.to_string_lossy()));
        } else if FROM_VARIABLES.contains(&id) && !seen.contains(&id.to_owned()) {
            kept.push(format!("--{}", argument.get_long().unwrap_or(id)).into());
            kept.push(if PATHS.contains(&id) { absolute(here, &value) } else { value });
        }
    }
    let has = |id: &str| seen.iter().any(|seen| seen == id);
    let is_given =
        |id: &str| has(id) || kept.iter().any(|word| word.as_encoded_bytes() == b"--out");
    if subcommand.get_name() == "receive" && !is_given("out") {
        kept.push("-o".into());
        kept.push(here.into());
    }
    let program = Path::new(&words[0]);
    let is_path = program.components().count() > 1;
    let program = if is_path { absolute(here, &words[0]) } else { words[0].clone() };
    command.push(quoted(&program));
    command.push(quoted(&words[1]));
    command.extend(kept.iter().map(|word| quoted(word)));
    command.join(" ")
}

/// Words as they were typed, taken apart as clap does.
struct Typed<'a> {
    here: &'a Path,
    kept: Vec<OsString>,
    /// Ids of the arguments that were typed.
    seen: Vec<String>,
}

impl Typed<'_> {
    fn take(&mut self, subcommand: &clap::Command, words: &[OsString]) {
        let mut words = words.iter();
        let mut has_options = true;
        let mut positionals = 0;
        while let Some(word) = words.next() {
            let bytes = word.as_encoded_bytes();
            if has_options && bytes == b"--" {
                // What follows is paths, which begin at the root now.
                has_options = false;
                continue;
            }
            let option = if has_options && bytes.len() > 1 && bytes[0] == b'-' {
                word.to_str()
            } else {
                None
            };
            let Some(option) = option else {
                let mut places = subcommand.get_positionals();
                let place = places.nth(positionals).or_else(|| subcommand.get_positionals().last());
                positionals += 1;
                if let Some(place) = place {
                    self.keep(place.get_id().as_str(), &[], word.clone(), "");
                }
                continue;
            };
            let argument = match option.strip_prefix("--") {
                Some(long) => {
                    let name = long.split('=').next().unwrap_or(long);
                    subcommand.get_arguments().find(|argument| argument.get_long() == Some(name))
                }
                // Of several letters in one word only the last can take a value.
                None => option[1..].chars().find_map(|letter| {
                    let mut arguments = subcommand.get_arguments();
                    let found = arguments.find(|argument| argument.get_short() == Some(letter))?;
                    found.get_action().takes_values().then_some(found)
                }),
            };
            let Some(argument) = argument else {
                self.kept.push(word.clone());
                continue;
            };
            let id = argument.get_id().as_str();
            if !argument.get_action().takes_values() {
                self.seen.push(id.to_owned());
                self.kept.extend((!DROPPED.contains(&id)).then(|| word.clone()));
            } else if let Some((name, value)) =
                option.split_once('=').filter(|_| option.starts_with("--"))
            {
                self.keep(id, &[], value.into(), &format!("{name}="));
            } else if let Some(letter) = argument.get_short().filter(|_| !option.starts_with("--"))
                && let Some((before, value)) = option.split_once(letter)
                && !value.is_empty()
            {
                self.keep(id, &[], value.into(), &format!("{before}{letter}"));
            } else if let Some(value) = words.next() {
                self.keep(id, std::slice::from_ref(word), value.clone(), "");
            }
        }
    }

    /// Keeps a value with the words before it and what is written in one word with it.
    fn keep(&mut self, id: &str, before: &[OsString], value: OsString, prefix: &str) {
        self.seen.push(id.to_owned());
        if DROPPED.contains(&id) {
            return;
        }
        self.kept.extend_from_slice(before);
        let value = if PATHS.contains(&id) { absolute(self.here, &value) } else { value };
        let mut word = OsString::from(prefix);
        word.push(value);
        self.kept.push(word);
    }
}

/// A path from the root; one that ends with a slash keeps it.
fn absolute(here: &Path, path: &OsStr) -> OsString {
    let real = here.join(path);
    let real = std::path::absolute(&real).unwrap_or(real);
    real.into_os_string()
}

/// `word` for any POSIX shell; bytes that a terminal should not see by `printf`, since `$'…'` is not every shell's.
fn quoted(word: &OsStr) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(byte);
    let bytes = word.as_encoded_bytes();
    // zsh takes a word that begins with an equals sign for a command.
    if !bytes.is_empty() && bytes.iter().all(is_plain) && bytes[0] != b'=' {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let text = PathText::new(bytes);
    if !text.path_escaped && super::escape::for_person(&text.path) == text.path {
        return format!("'{}'", text.path.replace('\'', "'\\''"));
    }
    let byte = |byte: &u8| match byte {
        b'%' => "%%".to_owned(),
        b'"' | b'$' | b'`' | b'\'' | b'\\' | b'!' => format!("\\{byte:03o}"),
        0x20..0x7f => char::from(*byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("\"$(printf '{}')\"", bytes.iter().map(byte).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn continued(typed: &str, variables: &[(&str, &str)]) -> String {
        let words: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
        let variable = |name: &OsStr| {
            variables.iter().find(|(known, _)| name == *known).map(|(_, value)| value.into())
        };
        continuation(&crate::cli::definition(), &words, &variable, Path::new("/home/u"))
    }

    /// B-K: nothing that starts afresh, no code, from whatever directory.
    #[test]
    fn what_continues_is_what_was_typed_without_what_would_start_afresh() {
        for (typed, expected) in [
            ("rejoin send t", "rejoin send /home/u/t"),
            ("./rejoin send --new a/ ../b", "/home/u/rejoin send /home/u/a/ /home/u/../b"),
            (
                "rejoin tx --code 7-a-b --code-out c -q t",
                "rejoin tx --code-out /home/u/c -q /home/u/t",
            ),
            (
                "rejoin send --code=7-a-b --code-file=x --bwlimit=3M -- -rf",
                "rejoin send --bwlimit=3M /home/u/-rf",
            ),
            ("rejoin send --words 3 3", "rejoin send --words 3 /home/u/3"),
            ("rejoin receive -y 7-a-b-c", "rejoin receive -y -o /home/u"),
            ("rejoin rx 7-a-b-c -yo out", "rejoin rx -yo /home/u/out"),
            ("rejoin receive -oout --host ws://h x", "rejoin receive -o/home/u/out --host ws://h"),
            ("rejoin receive --out=/o --code-file c", "rejoin receive --out=/o"),
            ("rejoin resume 3f", "rejoin resume 3f"),
        ] {
            assert_eq!(continued(typed, &[]), expected, "{typed}");
        }
    }

    #[test]
    fn variables_that_decide_are_in_the_command() {
        let variables = [
            ("REJOIN_NEW", "1"),
            ("REJOIN_CODE", "7-a-b-c"),
            ("REJOIN_STATE_DIR", "state"),
            ("REJOIN_TURN_PASSWORD", "secret"),
        ];
        assert_eq!(
            continued("rejoin send t", &variables),
            "REJOIN_CODE= REJOIN_NEW= rejoin send /home/u/t --state-dir /home/u/state"
        );
        assert_eq!(
            continued("rejoin receive", &[("REJOIN_OUT", "/o"), ("REJOIN_HOST", "ws://a,ws://b")]),
            "rejoin receive --out /o --host ws://a,ws://b"
        );
    }

    #[test]
    fn words_survive_a_shell() {
        let table = [
            ("send", "send"),
            ("7-crane-velvet-orbit@192.0.2.7:9750", "7-crane-velvet-orbit@192.0.2.7:9750"),
            ("", "''"),
            ("my photos", "'my photos'"),
            ("it's", "'it'\\''s'"),
            ("$HOME;x", "'$HOME;x'"),
            ("日本", "'日本'"),
            ("a\u{1b}[2J'\\", "\"$(printf 'a\\033[2J\\047\\134')\""),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(OsStr::new(word)), expected);
        }
    }
}
