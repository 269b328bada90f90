//! What a person can see of a text that others chose, decided in one place for prompts, lists, logs, errors and commands that
//! are printed (A-07).
//!
//! **Shown is what has a glyph of its own, and single ordinary spaces between such**; everything else is spelled out as
//! `\u{…}`. What has a glyph is Unicode's to say, by its properties: controls, format characters, separators, unassigned and
//! private characters and default-ignorable ones have none. The zero-width joiner and variation selectors are among them:
//! an emoji made of several shows its parts, which is the price of names that cannot hide anything. A character of a newer
//! Unicode than the table's is spelled out, too.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters of a category with glyphs that show nothing; no property tells them: braille without dots, the object that is
/// not there, a Khitan filler, blank hieroglyphs, the head of no note.
const BLANK: [char; 6] =
    ['\u{2800}', '\u{fffc}', '\u{16fe4}', '\u{13441}', '\u{13442}', '\u{1d159}'];

/// Whether `character` is one that shows nothing where it is not understood (Default_Ignorable_Code_Point).
#[must_use]
pub fn is_ignorable(character: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// Whether `character` shows nothing, steers the terminal, or looks like an ordinary space and is none.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    if matches!(character, ' '..='~') {
        return false;
    }
    let has_no_glyph = matches!(
        CodePointMapData::<GeneralCategory>::new().get(character),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    );
    has_no_glyph || is_ignorable(character) || BLANK.contains(&character)
}

/// Whether `character` is drawn upon or beside the one before it.
fn is_mark(character: char) -> bool {
    !character.is_ascii()
        && matches!(
            CodePointMapData::<GeneralCategory>::new().get(character),
            GeneralCategory::NonspacingMark
                | GeneralCategory::SpacingMark
                | GeneralCategory::EnclosingMark
        )
}

/// A sentence on one line, with what is hidden spelled out; spaces stay.
///
/// For the eye, not for reading back: a backslash stays as it is.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    shown(text, false)
}

/// A name or a path: as [`text`], and spaces at the edge of a name or beside another one are spelled out, too, since nobody
/// sees or counts those.
#[must_use]
pub fn name(name: &str) -> Cow<'_, str> {
    shown(name, true)
}

fn shown(text: &str, is_name: bool) -> Cow<'_, str> {
    let is_edge = |neighbour: Option<char>| matches!(neighbour, None | Some('/' | ' '));
    // None as long as `text` is itself.
    let mut shown: Option<String> = None;
    let (mut before, mut base) = (None, None);
    for (at, character) in text.char_indices() {
        let after = text[at + character.len_utf8()..].chars().next();
        let is_lost_space = is_name && character == ' ' && (is_edge(before) || is_edge(after));
        // A mark has to stand upon something of the same text.
        let is_lost_mark = is_mark(character) && is_edge(base);
        before = Some(character);
        if is_lost_space || is_lost_mark || is_hidden(character) {
            let shown = shown.get_or_insert_with(|| text[..at].to_owned());
            match character {
                '\n' => shown.push_str("\\n"),
                '\r' => shown.push_str("\\r"),
                '\t' => shown.push_str("\\t"),
                _ => {
                    // Writing to a string cannot fail.
                    let _ = write!(shown, "\\u{{{:x}}}", character as u32);
                }
            }
            base = None;
        } else {
            if let Some(shown) = &mut shown {
                shown.push(character);
            }
            base = Some(character);
        }
    }
    shown.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// What the system says, as a part of a sentence: in lower case, and without the number that std appends.
#[must_use]
pub fn cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(characters.as_str().chars()).collect()
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
            // A mark upon nothing would stand upon what we wrote before.
            ("\u{338}x", "\\u{338}x"),
            ("x\u{200b}\u{338}", "x\\u{200b}\\u{338}"),
        ];
        for (given, expected) in table {
            assert_eq!(text(given), expected);
            assert_eq!(name(given), expected);
        }
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for given in
            ["", "a b.txt", "a/b c/d", "räksmörgås", "日本語", "🦀.rs", "back\\slash", "e\u{301}"]
        {
            assert!(matches!(text(given), Cow::Borrowed(same) if same == given));
            assert!(matches!(name(given), Cow::Borrowed(same) if same == given));
        }
    }

    /// S-15: names that look alike, or like nothing.
    #[test]
    fn spaces_that_nobody_counts_are_shown_in_names_and_left_in_sentences() {
        for (given, expected) in [
            (" a", "\\u{20}a"),
            ("a ", "a\\u{20}"),
            ("a  b", "a\\u{20}\\u{20}b"),
            ("a / b", "a\\u{20}/\\u{20}b"),
            (" ", "\\u{20}"),
        ] {
            assert_eq!(name(given), expected);
            assert_eq!(text(given), given);
        }
        for given in ["a\u{a0}b", "a\u{2007}b", "a\u{3000}b", "\u{2800}", "a\u{fe0f}", "\u{3164}"] {
            assert_ne!(text(given), given, "{given:?}");
        }
    }

    /// S-15, over all of Unicode, by two tables that are not this module's: the standard library's of what can be printed, and
    /// the terminal's of what has no width.
    #[test]
    fn nothing_that_others_call_invisible_is_shown() {
        let (mut spelled, mut newer) = (0, 0);
        for character in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let one = character.to_string();
            let is_plain = text(&one) == one;
            spelled += usize::from(!is_plain && is_hidden(character));
            assert!(!text(&one).chars().any(is_hidden), "{character:?}");
            if !is_plain || character == ' ' {
                continue;
            }
            assert!(!character.is_whitespace() && !character.is_control(), "{character:?}");
            // Letters, and a caret of Devanagari, that join with the next one have no width of their own.
            let is_joining = character.is_alphabetic() || character == '\u{a8fa}';
            assert!(console::measure_text_width(&one) > 0 || is_joining, "{character:?}");
            // The two tables are of two versions of Unicode.
            newer += usize::from(one.escape_debug().to_string().starts_with("\\u"));
        }
        assert!(newer < 20_000, "{newer}");
        // Most of Unicode is not assigned; what is must not be spelled out wholesale.
        assert!((900_000..980_000).contains(&spelled), "{spelled}");
    }
}
