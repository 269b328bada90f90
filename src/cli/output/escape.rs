//! Text that others chose, made safe to show: a name can neither move the cursor nor look like another name. What is
//! shown and what is spelled out is [`rejoin::visible`]'s to say.

use std::ffi::OsStr;

use rejoin::event::PathText;
pub(crate) use rejoin::visible::{name as name_for_person, text as for_person};

/// A file name of this machine, for a person.
pub(crate) fn os_for_person(name: &OsStr) -> String {
    name_for_person(&PathText::new(name.as_encoded_bytes()).path).into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_shown_as_their_values() {
        use std::os::unix::ffi::OsStrExt as _;
        assert_eq!(os_for_person(OsStr::from_bytes(b"a\xff\x9b\x1b")), "a\\xff\\x9b\\u{1b}");
        assert_eq!(os_for_person(OsStr::from_bytes(b" a\xff")), "\\u{20}a\\xff");
    }
}
