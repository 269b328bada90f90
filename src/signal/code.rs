//! The code a person reads out: `ROOM-word-word-word[@ADDRESSES]`.
//!
//! The room number is public and independent of the words; only the words are secret. Words come from the English
//! BIP-39 list, whose first four letters are unique, so four letters of a word are enough (I-04). What follows the `@` is all
//! that one host is known by, in the form of [`super::address`].

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use bip39::Language;

use super::address;
pub use super::address::{AddressError, HostAddress, PORT_DEFAULT};
use super::keys::{RoomName, Seed};

/// Words in a fresh code: 33 bits, against at most three guesses.
pub const WORDS_DEFAULT: usize = 3;
/// Fewest words of any code: 22 bits; below that three guesses begin to pay.
pub const WORDS_MIN: usize = 2;
/// Most words; more than this is not read out by anyone, and the bound keeps parsing cheap.
pub const WORDS_MAX: usize = 24;
/// Longest text accepted as a code, before anything is parsed.
const CODE_BYTES_MAX: usize = 1024;
/// Letters that identify a word of the list.
const PREFIX_LETTERS: usize = 4;

/// In the place of the room number until a host has picked one.
pub const UNNUMBERED: u32 = 0;

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
    /// What follows `@` is no address of a host.
    #[error("what follows the @: {0}")]
    Host(#[from] AddressError),
}

/// A parsed code. `Display` gives the canonical text with its words, for the person; `Debug` shows no word.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    room: u32,
    words: Vec<&'static str>,
    hosts: Vec<HostAddress>,
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
        Self { room, words, hosts: Vec::new() }
    }

    /// A fresh code whose number the host is to pick: it knows how many it needs, so that they cannot be swept.
    #[must_use]
    pub fn unnumbered(count: usize, seed: &Seed) -> Self {
        Self::generate(UNNUMBERED, count, seed)
    }

    /// The room number, unless the host is still to pick it.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        Some(self.room).filter(|room| *room != UNNUMBERED)
    }

    /// The same words in another room: the host picked the number after the words were drawn.
    #[must_use]
    pub fn with_room(self, room: u32) -> Self {
        Self { room, ..self }
    }

    /// The same code, naming a host by all its addresses, the best first; none: the bare code.
    #[must_use]
    pub fn with_hosts(self, hosts: Vec<HostAddress>) -> Self {
        Self { hosts, ..self }
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

    /// The addresses of the host inside the code, the best first.
    #[must_use]
    pub fn hosts(&self) -> &[HostAddress] {
        &self.hosts
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
        let (code, hosts) = match text.trim().split_once('@') {
            Some((code, hosts)) => (code, address::parse_list(hosts)?),
            None => (text.trim(), Vec::new()),
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
        Ok(Self { room, words, hosts })
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
        if self.hosts.is_empty() {
            return Ok(());
        }
        write!(formatter, "@{}", address::list(&self.hosts))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Code({}-… {:?})", self.room, self.hosts)
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
    fn a_code_names_its_host_by_several_addresses() {
        let typed = "7-crane-velvet@192.0.2.7, 2001:db8::7,:81";
        let parsed = code(typed);
        let urls: Vec<String> = parsed.hosts().iter().map(HostAddress::url).collect();
        assert_eq!(urls, ["ws://192.0.2.7:81/ws", "ws://[2001:db8::7]:81/ws"]);
        assert_eq!(parsed.to_string(), "7-crane-velvet@192.0.2.7,2001:db8::7,:81");
        assert_eq!(code(&parsed.to_string()), parsed);
        assert_eq!(parsed.with_hosts(Vec::new()).to_string(), "7-crane-velvet");
        let refused = "7-crane-velvet@a b".parse::<Code>();
        assert!(matches!(refused, Err(CodeError::Host(_))), "{refused:?}");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,80}") {
            let _ = text.parse::<Code>();
            let _ = format!("7-crane-velvet@{text}").parse::<Code>();
        }
    }
}
