//! Variables of the environment. **An empty variable is an unset one**: services, containers and scripts cannot always
//! unset one, so `NAME=` says nothing, whoever reads it. Nothing else in this crate or in `cli` reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a variable says; none where it is unset or empty.
#[must_use]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The same as text; none where it is not UTF-8.
#[must_use]
pub fn text(name: &str) -> Option<String> {
    variable(name)?.into_string().ok()
}

/// Names of all variables that begin with `start`, the empty ones, too.
pub fn names(start: &str) -> impl Iterator<Item = OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(move |name| name.as_encoded_bytes().starts_with(start.as_bytes()))
}

/// The name of a variable that wants a proxy to be used, if there is one.
#[must_use]
pub fn proxy() -> Option<&'static str> {
    const NAMES: [&str; 6] =
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
    NAMES.into_iter().find(|name| variable(name).is_some())
}

/// Where temporary files go. The standard library takes an empty `TMPDIR` for the current directory.
#[must_use]
pub fn temporary_directory() -> PathBuf {
    let directory = std::env::temp_dir();
    if directory.as_os_str().is_empty() { PathBuf::from("/tmp") } else { directory }
}
