//! Commands as a person can paste them.

/// Quotes an argument for any POSIX shell; bytes that are not UTF-8 and characters that nobody sees by `printf`, since `$'…'` is not
/// every shell's.
#[must_use]
pub(super) fn quote(argument: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(byte);
    if !argument.is_empty() && argument.iter().all(is_plain) {
        return String::from_utf8_lossy(argument).into_owned();
    }
    match std::str::from_utf8(argument) {
        Ok(text) if crate::visible::text(text) == text => {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
        _ => {
            let byte = |byte: &u8| match byte {
                b'%' => "%%".to_owned(),
                b'"' | b'$' | b'`' | b'\'' | b'\\' | b'!' => format!("\\{byte:03o}"),
                0x20..0x7f => char::from(*byte).to_string(),
                _ => format!("\\{byte:03o}"),
            };
            format!("\"$(printf '{}')\"", argument.iter().map(byte).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn what_is_pasted_is_what_was_meant() {
        for (argument, quoted) in [
            (&b"photos/"[..], "photos/"),
            (b"", "''"),
            (b"my photos", "'my photos'"),
            (b"it's", "'it'\\''s'"),
            (b"a\nb's", "\"$(printf 'a\\012b\\047s')\""),
            ("\u{a0}".as_bytes(), "\"$(printf '\\302\\240')\""),
            (b"\xff%", "\"$(printf '\\377%%')\""),
        ] {
            assert_eq!(quote(argument), quoted);
        }
    }
}
