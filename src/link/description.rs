//! The attributes of a session description, cut as the parser of the stack cuts them: what is looked at here is what it reads.
//! A line ends at a line feed and nowhere else; carriage returns before it count for nothing, and what Unicode calls blank is
//! no part of a value at its ends.
//!
//! Pure.

/// The attribute in one line, without `a=`.
pub(super) fn attribute(line: &str) -> Option<&str> {
    Some(line.trim_start_matches(['\r', '\n']).strip_prefix("a=")?.trim())
}

/// The attributes in all lines.
pub(super) fn attributes(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.split('\n').filter_map(attribute)
}
