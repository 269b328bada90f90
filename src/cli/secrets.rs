//! Variables of the environment that hold secrets: one list, made from what takes them, for every process that is started and
//! needs none (S-14). And what is shown of a value that may hold one (H-15).

use super::{config, hidden_code, tree};
use clap::error::{ContextKind, ContextValue};
use std::cell::RefCell;

/// Their names. A secret of an option is one whose value is not shown in help.
pub(super) fn variables() -> Vec<String> {
    let found = RefCell::new(Vec::new());
    tree::everywhere(super::definition(), &|command| {
        let hidden = command.get_arguments().filter(|arg| arg.is_hide_env_values_set());
        let names = hidden.filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned));
        found.borrow_mut().extend(names);
        command
    });
    let mut names = found.into_inner();
    names.extend(config::secret_variables());
    names.push(hidden_code::VARIABLE.to_owned());
    names.sort();
    names.dedup();
    names
}

/// What clap says of a value, without what stands before an `@`: a URL has user name and password there, though none of ours
/// takes them.
pub(super) fn hide_credentials(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && let Some((before, after)) = value.rsplit_once('@')
    {
        let scheme = before.split_once(':').map_or("", |(scheme, _)| scheme);
        let colon = if scheme.is_empty() { "" } else { ":" };
        let shown = ContextValue::String(format!("{scheme}{colon}…@{after}"));
        error.insert(ContextKind::InvalidValue, shown);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H-15: of a URL with credentials the rest is shown, so that it is found.
    #[test]
    fn credentials_in_a_url_are_not_shown() {
        for (option, url, shown) in [
            ("--turn", "turn:ann:hunter2@a.example", "turn:…@a.example"),
            ("--turn", "turn:hun@ter:hunter2@a.example", "turn:…@a.example"),
            ("--stun", "stun:ann:hunter2@a.example", "stun:…@a.example"),
            ("--host", "wss://ann:hunter2@a.example", "wss:…@a.example"),
            ("--host", "hunter2@a.example", "'…@a.example"),
        ] {
            let words = ["rejoin", "receive", option, url];
            let error = super::super::definition().try_get_matches_from(words).unwrap_err();
            let said = hide_credentials(error).render().to_string();
            assert!(said.contains(shown) && !said.contains("hun"), "{url}: {said}");
        }
    }

    /// S-14: whatever an option hides in help is hidden from commands, too, and what sounds like a secret is hidden in help.
    #[test]
    fn every_secret_is_in_the_list() {
        let names = variables();
        for known in
            ["REJOIN_CODE", "REJOIN_TURN_SECRET", "REJOIN_TURN_PASSWORD", "REJOIN_CODE_DESCRIPTOR"]
        {
            assert!(names.iter().any(|name| name == known), "{known}: {names:?}");
        }
        let check = |command: clap::Command| {
            for arg in command.get_arguments() {
                let Some(name) = arg.get_env().and_then(|name| name.to_str()) else { continue };
                let sounds_secret = ["CODE", "TOKEN", "SECRET", "PASSWORD", "KEY"]
                    .iter()
                    .any(|word| name.ends_with(word));
                assert!(!sounds_secret || arg.is_hide_env_values_set(), "{name} is shown in help");
                let is_listed = names.iter().any(|listed| listed == name);
                assert_eq!(is_listed, arg.is_hide_env_values_set(), "{name}");
            }
            command
        };
        tree::everywhere(super::super::definition(), &check);
        // What says where a secret is, and what a command needs to find its way, stays.
        for kept in ["REJOIN_CODE_FILE", "REJOIN_STATE_DIR", "PATH", "REJOIN_TURN_USERNAME"] {
            assert!(!names.iter().any(|name| name == kept), "{kept}");
        }
    }
}
