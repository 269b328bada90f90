//! The code a person reads out: `ROOM-word-word-word[@HOST[:PORT]]`.
//!
//! The room number is public and independent of the words; only the words are secret. Words come from the English
//! BIP-39 list, whose first four letters are unique, so four letters of a word are enough (I-04).

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use bip39::Language;

use super::keys::{RoomName, Seed};

/// Words in a fresh code: 33 bits, against at most three guesses.
pub const WORDS_DEFAULT: usize = 3;
/// Fewest words of any code: 22 bits; below that three guesses begin to pay.
pub const WORDS_MIN: usize = 2;
/// Most words; more than this is not read out by anyone, and the bound keeps parsing cheap.
pub const WORDS_MAX: usize = 24;
/// The port of a host whose address names none.
pub const PORT_DEFAULT: u16 = 9750;
/// Longest text accepted as a code, before anything is parsed.
const CODE_BYTES_MAX: usize = 1024;
/// Letters that identify a word of the list.
const PREFIX_LETTERS: usize = 4;

/// Why a text is not a code. Shows the one word that is wrong, never the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Nothing was typed.
    #[error("the code is empty")]
    Empty,
    /// Longer than any code.
    #[error("the code is too long")]
    TooLong,
    /// The part before the first word is not a number from 1 to 4294967295.
    #[error("a code starts with its room number, like 7-crane-velvet-orbit")]
    RoomNumber,
    /// Too few or too many words.
    #[error("a code has {WORDS_MIN} to {WORDS_MAX} words, this one has {found}")]
    WordCount {
        /// Words found.
        found: usize,
    },
    /// A word that is not in the list.
    #[error("word {position} of the code is not in the word list, did you mean {suggestion:?}")]
    UnknownWord {
        /// Position, counted from 1.
        position: usize,
        /// What was typed.
        word: String,
        /// The nearest word of the list.
        suggestion: &'static str,
    },
    /// What follows `@` is not a host.
    #[error("what follows the @ is not HOST, HOST:PORT, ws://… or wss://…")]
    Host,
}

/// Where a host listens: parsed and completed, ready for the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostAddress {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

/// A parsed code. `Display` gives the canonical text with its words, for the person; `Debug` shows no word.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    room: u32,
    words: Vec<&'static str>,
    host: Option<HostAddress>,
}

impl Code {
    /// A fresh code of `count` words (clamped to what is allowed) in `room`, drawn from `seed`.
    #[must_use]
    pub fn generate(room: u32, count: usize, seed: &Seed) -> Self {
        let list = Language::English.word_list();
        let mut random = blake3::Hasher::new_derive_key("rejoin 2026 v1 code words")
            .update(seed.bytes())
            .finalize_xof();
        let words = (0..count.clamp(WORDS_MIN, WORDS_MAX))
            .map(|_| {
                let mut bytes = [0; 2];
                random.fill(&mut bytes);
                // The list has 2^11 words, so the remainder is unbiased.
                list[usize::from(u16::from_le_bytes(bytes)) % list.len()]
            })
            .collect();
        Self { room, words, host: None }
    }

    /// The same words in another room: the host picked the number after the words were drawn.
    #[must_use]
    pub fn with_room(self, room: u32) -> Self {
        Self { room, ..self }
    }

    /// The same code, naming a host.
    #[must_use]
    pub fn with_host(self, host: Option<HostAddress>) -> Self {
        Self { host, ..self }
    }

    /// The public room number.
    #[must_use]
    pub const fn room(&self) -> u32 {
        self.room
    }

    /// The room at a host.
    #[must_use]
    pub const fn room_name(&self) -> RoomName {
        RoomName::Code(self.room)
    }

    /// The host inside the code, if any.
    #[must_use]
    pub const fn host(&self) -> Option<&HostAddress> {
        self.host.as_ref()
    }

    /// How many words it has: 11 bits each.
    #[must_use]
    pub fn word_count(&self) -> usize {
        self.words.len()
    }

    /// The canonical words: what the key exchange proves knowledge of.
    pub(super) fn password(&self) -> Vec<u8> {
        self.words.join("-").into_bytes()
    }
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > CODE_BYTES_MAX {
            return Err(CodeError::TooLong);
        }
        let (code, host) = match text.trim().split_once('@') {
            Some((code, host)) => (code, Some(host.trim().parse()?)),
            None => (text.trim(), None),
        };
        let mut parts = code.split(is_separator).filter(|part| !part.is_empty());
        let room = parts.next().ok_or(CodeError::Empty)?;
        let room =
            if room.bytes().all(|byte| byte.is_ascii_digit()) { room.parse().ok() } else { None };
        let room = room.filter(|room| *room != 0).ok_or(CodeError::RoomNumber)?;
        let parts: Vec<&str> = parts.collect();
        if !(WORDS_MIN..=WORDS_MAX).contains(&parts.len()) {
            return Err(CodeError::WordCount { found: parts.len() });
        }
        let words = parts
            .iter()
            .enumerate()
            .map(|(index, word)| parse_word(index + 1, word))
            .collect::<Result<_, _>>()?;
        Ok(Self { room, words, host })
    }
}

/// Everything people and keyboards put between words: spaces, every kind of dash, underscores, dots, commas.
fn is_separator(character: char) -> bool {
    let dash = matches!(
        character,
        '-' | '_' | '.' | ',' | '\u{ad}' | '\u{58a}' | '\u{5be}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{207b}'
                | '\u{208b}'
                | '\u{2212}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{30fb}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
                | '\u{200b}'
                | '\u{feff}'
    );
    dash || character.is_whitespace()
}

/// A word of the list from its first four letters or more; what follows them must still agree.
fn parse_word(position: usize, typed: &str) -> Result<&'static str, CodeError> {
    let word = typed.to_lowercase();
    let list = Language::English.word_list();
    if let Ok(index) = list.binary_search(&word.as_str()) {
        return Ok(list[index]);
    }
    let mut with_prefix = list.iter().filter(|known| known.starts_with(word.as_str()));
    if let (Some(known), None) = (with_prefix.next(), with_prefix.next())
        && word.chars().count() >= PREFIX_LETTERS
    {
        return Ok(known);
    }
    // Among equally near words the one that starts alike: people get the beginning right.
    let nearness = |known: &&&str| {
        let common =
            word.chars().zip(known.chars()).take_while(|(left, right)| left == right).count();
        (distance(&word, known), std::cmp::Reverse(common))
    };
    let suggestion = list.iter().min_by_key(nearness).copied().unwrap_or_default();
    Err(CodeError::UnknownWord { position, word, suggestion })
}

/// Levenshtein distance, for suggestions.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..right.len() {
            let substituted = diagonal + usize::from(letter != right[column]);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.room)?;
        self.words.iter().try_for_each(|word| write!(formatter, "-{word}"))?;
        match &self.host {
            Some(host) => write!(formatter, "@{host}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Code({}-… {:?})", self.room, self.host)
    }
}

impl HostAddress {
    /// A plain address, as an embedded host has it. `host` is a name or a literal address without brackets.
    ///
    /// # Errors
    /// [`CodeError::Host`] if `host` is neither.
    pub fn new(host: &str, port: u16) -> Result<Self, CodeError> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Self { secure: false, host, port, path: "/ws".to_owned() }.checked()
    }

    /// The URL of its WebSocket.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}:{}{}", self.host, self.port, self.path)
    }

    /// Whether it asks for TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Name or literal address; IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn checked(self) -> Result<Self, CodeError> {
        let literal = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host_valid = match literal {
            // A zone (`fe80::1%eth0`) has no place in a URL and none on another machine.
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !self.host.is_empty()
                    && self
                        .host
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }
        };
        let path_valid =
            self.path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte));
        if host_valid && path_valid && self.port != 0 { Ok(self) } else { Err(CodeError::Host) }
    }
}

impl FromStr for HostAddress {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let lower = text.to_ascii_lowercase();
        let (secure, explicit, rest) = if lower.starts_with("ws://") {
            (false, true, &text[5..])
        } else if lower.starts_with("wss://") {
            (true, true, &text[6..])
        } else {
            (false, false, text)
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if !explicit && !path.trim_matches('/').is_empty() {
            return Err(CodeError::Host);
        }
        let path = if path.trim_matches('/').is_empty() { "/ws" } else { path };
        let bracket = authority.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match authority[bracket..].find(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(bracket + colon);
                (host, port[1..].parse().map_err(|_| CodeError::Host)?)
            }
            // An explicit scheme brings its own port, as everywhere else, when it is TLS: 443 is where proxies listen.
            None if secure => (authority, 443),
            None => (authority, PORT_DEFAULT),
        };
        Self { secure, host: host.to_ascii_lowercase(), port, path: path.to_owned() }.checked()
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secure || self.path != "/ws" {
            formatter.write_str(if self.secure { "wss://" } else { "ws://" })?;
        }
        formatter.write_str(&self.host)?;
        let usual = if self.secure { 443 } else { PORT_DEFAULT };
        if self.port != usual {
            write!(formatter, ":{}", self.port)?;
        }
        if self.path != "/ws" { formatter.write_str(&self.path) } else { Ok(()) }
    }
}

/// A short authentication string as words, for two people to compare (`--verify`).
pub(super) fn words_of(bytes: &[u8; 8], count: usize) -> String {
    let list = Language::English.word_list();
    let mut bits = u64::from_le_bytes(*bytes);
    let mut text = String::new();
    for index in 0..count {
        let separator = if index == 0 { "" } else { " " };
        let word = usize::try_from(bits % 2048).map_or("", |word| list[word]);
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{word}");
        bits /= 2048;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> Code {
        text.parse().unwrap()
    }

    #[test]
    fn the_list_is_sorted_and_unique_in_four_letters() {
        let list = Language::English.word_list();
        assert_eq!(list.len(), 2048);
        assert!(list.is_sorted());
        let prefixes: std::collections::BTreeSet<String> =
            list.iter().map(|word| word.chars().take(4).collect()).collect();
        assert_eq!(prefixes.len(), list.len());
    }

    #[test]
    fn generated_codes_are_read_back() {
        for byte in 0..50 {
            let generated = Code::generate(7, 3, &Seed::new([byte; 32]));
            assert_eq!(generated.word_count(), 3);
            assert_eq!(code(&generated.to_string()), generated);
        }
        assert_ne!(
            Code::generate(7, 3, &Seed::new([1; 32])),
            Code::generate(7, 3, &Seed::new([2; 32]))
        );
        assert_eq!(Code::generate(7, 0, &Seed::new([1; 32])).word_count(), WORDS_MIN);
    }

    #[test]
    fn forgives_what_people_type() {
        let expected = code("7-crane-velvet-orbit");
        for typed in [
            "7-crane-velvet-orbit",
            " 7 CRANE Velvet\torbit\n",
            "7-cran-velv-orbi",
            "7–crane—velvet−orbit",
            "7_crane.velvet,orbit",
            "7 - crane - velvet - orbit",
            "07-crane-velvet-orbit",
            "7\u{a0}crane\u{2011}velvet\u{ff0d}orbit",
            "7-cranev-velvet-orbit".replace("cranev", "crane").as_str(),
        ] {
            assert_eq!(code(typed), expected, "{typed:?}");
        }
        // A whole word that is also the start of others stays itself.
        assert_eq!(code("1-act-add").to_string(), "1-act-add");
    }

    #[test]
    fn names_what_is_wrong() {
        let error = |text: &str| text.parse::<Code>().unwrap_err();
        assert_eq!(error("  "), CodeError::Empty);
        for text in [
            "crane-velvet-orbit",
            "0-crane-velvet",
            "-1x-crane-velvet",
            "4294967296-crane-velvet",
            "+7-crane-velvet",
        ] {
            assert_eq!(error(text), CodeError::RoomNumber, "{text}");
        }
        assert_eq!(error("7-crane"), CodeError::WordCount { found: 1 });
        assert_eq!(
            error("7-crane-velvte-orbit"),
            CodeError::UnknownWord { position: 2, word: "velvte".to_owned(), suggestion: "velvet" }
        );
        // Three letters are not enough, and letters after the first four must still agree.
        assert!(matches!(error("7-cra-velvet"), CodeError::UnknownWord { position: 1, .. }));
        assert!(matches!(
            error("7-cranx-velvet"),
            CodeError::UnknownWord { position: 1, suggestion: "crane", .. }
        ));
        // A homoglyph (Cyrillic о) is refused, with the right word named.
        assert!(matches!(
            error("7-crane-\u{43e}rbit"),
            CodeError::UnknownWord { suggestion: "orbit", .. }
        ));
        assert_eq!(error(&"7-".repeat(1000)), CodeError::TooLong);
        assert!(!error("7-crane-velvte-orbit").to_string().contains("crane"));
    }

    #[test]
    fn debug_shows_no_word() {
        let text = format!("{:?}", code("7-crane-velvet-orbit@example.org"));
        for word in ["crane", "velvet", "orbit"] {
            assert!(!text.contains(word), "{text}");
        }
    }

    #[test]
    fn hosts_in_a_code() {
        for (typed, url, shown) in [
            ("192.0.2.7", "ws://192.0.2.7:9750/ws", "192.0.2.7"),
            ("192.0.2.7:81", "ws://192.0.2.7:81/ws", "192.0.2.7:81"),
            ("Example.ORG", "ws://example.org:9750/ws", "example.org"),
            ("[2001:db8::1]", "ws://[2001:db8::1]:9750/ws", "[2001:db8::1]"),
            ("[2001:db8::1]:81", "ws://[2001:db8::1]:81/ws", "[2001:db8::1]:81"),
            ("ws://h", "ws://h:9750/ws", "h"),
            ("wss://h/", "wss://h:443/ws", "wss://h"),
            ("WSS://h:1/a/b", "wss://h:1/a/b", "wss://h:1/a/b"),
        ] {
            let parsed = code(&format!("7-crane-velvet@{typed}"));
            let host = parsed.host().unwrap();
            assert_eq!(host.url(), url);
            assert_eq!(host.to_string(), shown);
            assert_eq!(&host.to_string().parse::<HostAddress>().unwrap(), host);
        }
        for typed in [
            "",
            "a b",
            "h:0",
            "h:65536",
            "h:x",
            "[::1",
            "::1",
            "http://h",
            "h/path",
            "[fe80::1%eth0]",
            "u@h",
            "ws://h?x",
            "é",
            "h:80:81",
        ] {
            assert_eq!(
                format!("7-crane-velvet@{typed}").parse::<Code>(),
                Err(CodeError::Host),
                "{typed}"
            );
        }
        assert_eq!(HostAddress::new("2001:db8::1", 81).unwrap().to_string(), "[2001:db8::1]:81");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,80}") {
            let _ = text.parse::<Code>();
            let _ = text.parse::<HostAddress>();
            let _ = format!("7-crane-velvet@{text}").parse::<Code>();
        }
    }
}
