//! Credentials for TURN servers with their time: derived from a shared secret, or read from what a command printed.
//!
//! Pure. The form of time-limited credentials is that of TURN REST (draft-uberti-behave-turn-rest-00), which coturn's
//! `use-auth-secret` takes: user name `EXPIRY:NAME`, password `base64(HMAC-SHA1(secret, user name))`. SHA-1 is the form's
//! choice; a MAC does not need what SHA-1 lost.

use crate::options::{Secret, TurnCredentials};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde::Deserialize;
use sha1::Sha1;
use thiserror::Error;

/// How long credentials that we derive ourselves are good (K-34).
const DERIVED_SECONDS: u64 = 3600;

/// The name in them; whoever keeps the server sees it in its log.
const DERIVED_NAME: &str = "rejoin";

/// Most bytes of an answer: two lines, or an object with a few fields.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Longest user name and password: STUN allows 513 bytes of a user name (RFC 8489 §14.3).
const FIELD_BYTES_MAX: usize = 512;

/// Longest time that an answer may claim, ten years: more is not seconds.
const TTL_MAX: u64 = 10 * 365 * 24 * 3600;

/// Credentials, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// When they expire, in seconds since 1970, where that is known.
    pub expires: Option<u64>,
}

/// Why an answer is no credentials. It never quotes the answer, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    /// Longer than 16 KiB, or a field than 512 bytes.
    #[error("the answer is too long")]
    TooLong,
    /// Neither the object nor the two lines.
    #[error(
        "the answer is neither an object with username, password and ttl nor two lines, user name and password"
    )]
    Form,
    /// A field that is empty, or holds control characters.
    #[error("the user name or the password in the answer is empty or holds control characters")]
    Field,
}

/// What a command may print as JSON; what else is in it is its own business.
#[derive(Deserialize)]
struct Answer {
    username: String,
    // `credential` is what W3C's RTCIceServer and some services call it.
    #[serde(alias = "credential")]
    password: String,
    ttl: Option<u64>,
}

impl Grant {
    /// Credentials that are as they are; a user name of the time-limited form tells when they expire.
    #[must_use]
    pub fn fixed(credentials: &TurnCredentials) -> Self {
        Self {
            expires: expiry_in(&credentials.username),
            username: credentials.username.clone(),
            password: credentials.password.clone(),
        }
    }

    /// Derived from the secret that the server knows, too; good for an hour from `unix`, in seconds since 1970.
    #[must_use]
    pub fn derived(secret: &Secret, unix: u64) -> Self {
        let expires = unix.saturating_add(DERIVED_SECONDS);
        let username = format!("{expires}:{DERIVED_NAME}");
        let password = sign(secret, &username);
        Self { username, password: Secret::new(password), expires: Some(expires) }
    }

    /// What a command printed at `unix`: `{"username": …, "password": …, "ttl": SECONDS}`, or two lines.
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn parse(answer: &[u8], unix: u64) -> Result<Self, GrantError> {
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(GrantError::TooLong);
        }
        let text = std::str::from_utf8(answer).map_err(|_| GrantError::Form)?.trim();
        let (username, password, ttl) = if text.starts_with('{') {
            let answer: Answer = serde_json::from_str(text).map_err(|_| GrantError::Form)?;
            (answer.username, answer.password, answer.ttl)
        } else {
            let mut lines = text.lines().map(str::trim_end);
            match (lines.next(), lines.next(), lines.next()) {
                (Some(username), Some(password), None) => {
                    (username.to_owned(), password.to_owned(), None)
                }
                _ => return Err(GrantError::Form),
            }
        };
        let password = Secret::new(password);
        for field in [&username[..], password.expose()] {
            if field.len() > FIELD_BYTES_MAX {
                return Err(GrantError::TooLong);
            }
            if field.is_empty() || field.chars().any(char::is_control) {
                return Err(GrantError::Field);
            }
        }
        let promised = ttl.map(|ttl| unix.saturating_add(ttl.min(TTL_MAX)));
        // Of two words about the end, the earlier one.
        let expires = promised.into_iter().chain(expiry_in(&username)).min();
        Ok(Self { username, password, expires })
    }
}

fn sign(secret: &Secret, username: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()) else {
        unreachable!("HMAC takes keys of every length (RFC 2104 §2)");
    };
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The expiry in `EXPIRY:NAME`, or in `EXPIRY` alone. Ten digits: from 2001 to 2286, so that no telephone number is one.
fn expiry_in(username: &str) -> Option<u64> {
    let digits = username.split(':').next()?;
    let is_time = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_time { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_as_coturn_derives() {
        // `printf %s 1700003600:rejoin | openssl dgst -sha1 -hmac hush -binary | base64`
        let grant = Grant::derived(&Secret::new("hush".to_owned()), 1_700_000_000);
        assert_eq!(grant.username, "1700003600:rejoin");
        assert_eq!(grant.password.expose(), "YLK+HDauND0MmQ1wmsoAj5TYpOY=");
        assert_eq!(grant.expires, Some(1_700_003_600));
    }

    #[test]
    fn answers_in_both_forms() {
        let parse = |text: &str| Grant::parse(text.as_bytes(), 1_000).unwrap();
        let object = parse(r#"{"username": "ann", "password": "x y", "ttl": 60, "uris": []}"#);
        assert_eq!(
            (&object.username[..], object.password.expose(), object.expires),
            ("ann", "x y", Some(1_060))
        );
        assert_eq!(parse(r#"{"username":"a","credential":"b"}"#).expires, None);
        let lines = parse("1700000000:ann\r\nsecret\n\n");
        assert_eq!(lines.password.expose(), "secret");
        assert_eq!(lines.expires, Some(1_700_000_000));
        let early =
            parse(r#"{"username":"1700000000:a","password":"b","ttl":18446744073709551615}"#);
        assert_eq!(early.expires, Some(1_000 + TTL_MAX));
    }

    #[test]
    fn what_is_no_answer_is_refused_without_quoting_it() {
        let long = format!("ann\n{}", "p".repeat(FIELD_BYTES_MAX + 1));
        let huge = "x".repeat(ANSWER_BYTES_MAX + 1);
        let table = [
            ("", GrantError::Form),
            ("hunter2", GrantError::Form),
            ("ann\nhunter2\nmore", GrantError::Form),
            (r#"{"username":"ann"}"#, GrantError::Form),
            (r#"{"username":"ann","password":""}"#, GrantError::Field),
            ("ann\nhun\u{7}ter2", GrantError::Field),
            (&long, GrantError::TooLong),
            (&huge, GrantError::TooLong),
        ];
        for (text, expected) in table {
            assert_eq!(Grant::parse(text.as_bytes(), 0), Err(expected), "{text}");
            assert!(!expected.to_string().contains("hunter2"));
        }
        assert_eq!(Grant::parse(b"ann\n\xff", 0), Err(GrantError::Form));
    }

    #[test]
    fn only_a_time_is_an_expiry() {
        assert_eq!(expiry_in("1700000000:ann"), Some(1_700_000_000));
        assert_eq!(expiry_in("1700000000"), Some(1_700_000_000));
        for name in ["ann", "", "17:ann", "017000000001:ann", "ann:1700000000"] {
            assert_eq!(expiry_in(name), None, "{name}");
        }
    }
}
