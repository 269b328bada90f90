//! Text that others chose, made safe to show: a name can neither move the cursor nor look like another name (A-07).

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;

use rejoin::event::PathText;

/// `text` on one line, with everything that is not plainly visible written as `\u{…}`.
///
/// For the eye, not for reading back: a backslash stays as it is.
pub(crate) fn for_person(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if is_hidden(character) => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", character as u32);
            }
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// A file name of this machine, for a person.
pub(crate) fn os_for_person(name: &OsStr) -> String {
    for_person(&PathText::new(name.as_encoded_bytes()).path).into_owned()
}

/// Control characters (C0, DEL, and C1 with its one-byte CSI), bidirectional controls, what has no width, what is not
/// a character, and the other invisible ones. The zero-width joiner is one of them: an emoji made of several shows its
/// parts, which is the price of names that cannot hide anything.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00ad}'
                | '\u{034f}'
                | '\u{061c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_or_mislead_an_eye_is_spelled_out() {
        let table = [
            ("a\x1b[31mred", "a\\u{1b}[31mred"),
            ("a\u{9b}31m", "a\\u{9b}31m"),
            ("\x1b]52;c;aGk=\x07", "\\u{1b}]52;c;aGk=\\u{7}"),
            ("two\nlines\r\tx\x7f", "two\\nlines\\r\\tx\\u{7f}"),
            ("photo\u{202e}gpj.exe", "photo\\u{202e}gpj.exe"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("pay\u{200b}pal\u{feff}", "pay\\u{200b}pal\\u{feff}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{e0041}tag", "\\u{e0041}tag"),
        ];
        for (text, expected) in table {
            assert_eq!(for_person(text), expected);
        }
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for text in ["", "a b.txt", "räksmörgås", "日本語", "🦀.rs", "back\\slash", "e\u{301}"]
        {
            assert!(matches!(for_person(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn nothing_hidden_survives() {
        for character in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let shown = for_person(character.encode_utf8(&mut [0; 4])).into_owned();
            assert!(!shown.chars().any(is_hidden), "{:x}", character as u32);
            assert!(!shown.is_empty());
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_text_are_shown_as_their_values() {
        use std::os::unix::ffi::OsStrExt as _;
        assert_eq!(os_for_person(OsStr::from_bytes(b"a\xff\x9b\x1b")), "a\\xff\\x9b\\u{1b}");
    }
}
