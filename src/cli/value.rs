//! Values as people type them: durations, sizes, URLs.

use std::time::Duration;

use rejoin::signal::address;

/// Longest duration taken, ten years: anything above is a typing error, and sums of instants cannot overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Longest URL taken.
const URL_BYTES_MAX: usize = 2048;

/// `90s`, `30m`, `2h`, `1d`, `500ms`; `0` is zero. A bare number is refused: of what?
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const WHAT: &str = "a duration like 90s, 30m or 2h";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = split_number(text, WHAT)?;
    let seconds = match unit {
        "ms" => return bounded(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(format!("expected {WHAT}")),
    };
    bounded(Duration::from_secs(number.saturating_mul(seconds)))
}

/// A [`size`] a second that is worth a transfer.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1_000;
    match size(text)? {
        rate if rate < LEAST => Err(format!("expected at least {LEAST} bytes a second")),
        rate => Ok(rate),
    }
}

/// `500k`, `10M`, `1G` in powers of 1024; `kB`, `MiB` and `500k/s` are the same, a bare number is bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const WHAT: &str = "a size like 500k, 10M or 1G";
    let text = text.strip_suffix("/s").unwrap_or(text);
    let (number, unit) = split_number(text, WHAT)?;
    let unit = unit.to_ascii_lowercase();
    let letter = match unit.strip_suffix("ib") {
        Some(letter) if !letter.is_empty() => letter,
        Some(_) => return Err(format!("expected {WHAT}")),
        None => unit.strip_suffix('b').unwrap_or(&unit),
    };
    let shift = match letter {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("expected {WHAT}")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// A host: `ws://HOST[:PORT][/PREFIX]`, `wss://…`, or an address as in a code.
pub(crate) fn host_url(text: &str) -> Result<String, String> {
    // Of several addresses, the last may be the port of all.
    let whole = if text.starts_with(':') { format!("h,{text}") } else { text.to_owned() };
    match address::parse_list(&whole) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A STUN server: `stun:HOST[:PORT]`; the empty text is "none".
pub(crate) fn stun_url(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    check_authority(after_scheme(text, &["stun:", "stuns:"])?)?;
    Ok(text.to_owned())
}

/// A TURN server: `turn:HOST[:PORT][?transport=udp|tcp]` (RFC 7065); the empty text is "none".
pub(crate) fn turn_url(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let rest = after_scheme(text, &["turn:", "turns:"])?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    check_authority(authority)?;
    match query {
        "" | "transport=udp" | "transport=tcp" => Ok(text.to_owned()),
        _ => Err("after `?` only transport=udp or transport=tcp".to_owned()),
    }
}

fn split_number<'a>(text: &'a str, what: &str) -> Result<(u64, &'a str), String> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(format!("expected {what}"));
    }
    let number = digits.parse().map_err(|_| "too large".to_owned())?;
    Ok((number, unit))
}

fn bounded(duration: Duration) -> Result<Duration, String> {
    if duration > DURATION_MAX {
        return Err("longer than ten years".to_owned());
    }
    Ok(duration)
}

fn after_scheme<'a>(text: &'a str, schemes: &[&str]) -> Result<&'a str, String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("longer than {URL_BYTES_MAX} bytes"));
    }
    schemes
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or_else(|| format!("expected {}…", schemes.join("… or ")))
}

/// `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT`; never a user name, since argv is readable by others.
fn check_authority(authority: &str) -> Result<(), String> {
    if authority.contains('@') {
        return Err(
            "credentials do not belong in a URL; use environment or configuration".to_owned()
        );
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("`]` is missing")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "not an IPv6 address in `[]`")?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("expected `:PORT` after `]`".to_owned()),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("the host name is missing".to_owned());
    }
    let is_odd = |character: char| {
        character.is_whitespace() || character.is_control() || "/?#".contains(character)
    };
    if host.chars().any(is_odd) {
        return Err("not a host name".to_owned());
    }
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(port)) if port > 0 => Ok(()),
        Some(_) => Err("not a port number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let good = [
            ("0", 0),
            ("500ms", 500),
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ];
        for (text, milliseconds) in good {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1.5h", "5 s", "5w", "99999d", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        let good = [
            ("0", 0),
            ("17", 17),
            ("500k", 512_000),
            ("500K/s", 512_000),
            ("10M", 10 << 20),
            ("10MB", 10 << 20),
            ("1GiB", 1 << 30),
            ("2t", 2 << 40),
            ("7b", 7),
        ];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "1.5G", "1x", "1ib", "1kk", "18446744073709551615k", "1 G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls() {
        for text in [
            "a",
            "192.0.2.7",
            "2001:db8::1",
            ":81",
            "ws://a",
            "wss://a.example:443/x",
            "ws://[::1]:9750",
            "ws://127.0.0.1:1",
        ] {
            assert_eq!(host_url(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "ftp://a",
            "wss://a.example:443/x?y",
            "ws://",
            "ws://:80",
            "ws://a:0",
            "ws://a:x",
            "ws://a:70000",
            "ws://u:p@a",
            "ws://[::1",
            "ws://[zz]",
            "ws://[::1]80",
            "ws://a b",
            "ws:///x",
        ] {
            assert!(host_url(text).is_err(), "{text}");
        }
        for text in ["", "stun:a", "stuns:a:5349", "stun:[::1]:3478"] {
            assert_eq!(stun_url(text).as_deref(), Ok(text));
        }
        for text in ["turn:a", "stun:", "stun:a?transport=tcp", "stun://a"] {
            assert!(stun_url(text).is_err(), "{text}");
        }
        for text in ["", "turn:a", "turn:a:3478?transport=tcp", "turns:a?transport=udp"] {
            assert_eq!(turn_url(text).as_deref(), Ok(text));
        }
        for text in ["stun:a", "turn:", "turn:a?transport=x", "turn:a?x", "turn:u@a"] {
            assert!(turn_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_url_is_unbounded() {
        assert!(host_url(&format!("ws://{}", "a".repeat(URL_BYTES_MAX))).is_err());
    }
}
