//! Command lines as a shell reads them.

use std::ffi::OsStr;

use rejoin::event::PathText;

/// The command that runs now, to be pasted.
pub(super) fn command_line() -> String {
    let words: Vec<_> = std::env::args_os().map(|word| quoted(&word)).collect();
    words.join(" ")
}

/// `word` for a POSIX shell; bytes that a terminal should not see as `$'…'`.
fn quoted(word: &OsStr) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(byte);
    let bytes = word.as_encoded_bytes();
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let text = PathText::new(bytes);
    if !text.path_escaped && super::escape::for_person(&text.path) == text.path {
        return format!("'{}'", text.path.replace('\'', "'\\''"));
    }
    let escaped: String = bytes
        .iter()
        .map(|byte| match byte {
            b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
            0x20..0x7f => char::from(*byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        })
        .collect();
    format!("$'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("a\u{1b}[2J'\\", "$'a\\x1b[2J\\'\\\\'"),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(OsStr::new(word)), expected);
        }
    }
}
