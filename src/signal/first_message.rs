//! The first message of a connection to a host rides in the request that opens it: a round trip less. A WebSocket carries
//! nothing before the answer to its request (RFC 6455 §4.1), but a header may.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::protocol::ClientMessage;

/// The header. In the request: the message as it would be sent, base64url without padding. In the answer: [`TAKEN`].
pub(super) const NAME: &str = "rejoin-first-message";
/// What a host answers that handles the message.
pub(super) const TAKEN: &str = "taken";
/// Longest value. A longer message is sent as a message: servers bound the headers they read.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// The value for a message; `None` where it does not fit.
pub(super) fn encode(message: &ClientMessage) -> Option<String> {
    let value = URL_SAFE_NO_PAD.encode(message.encode().ok()?);
    (value.len() <= VALUE_BYTES_MAX).then_some(value)
}

/// The message in the values of a request, not decoded yet; `None` where there is none that could be taken. What is no
/// base64, or comes twice, is an empty message: malformed, like any other.
pub(super) fn decode<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Bytes> {
    let value = values.next().filter(|value| value.len() <= VALUE_BYTES_MAX)?;
    let is_one = values.next().is_none();
    let bytes = URL_SAFE_NO_PAD.decode(value).ok().filter(|_| is_one);
    Some(bytes.unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::keys::RoomName;

    fn read(values: &[&str]) -> Option<Bytes> {
        decode(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let message = ClientMessage::Leave { room: RoomName::Code(7) };
        let value = encode(&message).unwrap();
        assert_eq!(value, "AQAGAAc");
        assert_eq!(read(&[&value]), Some(message.encode().unwrap().into()));
    }

    #[test]
    fn what_is_too_long_is_left_to_a_message() {
        let to = crate::wire::MemberId([1; 16]);
        let of = |size| {
            let payload = vec![0; size];
            encode(&ClientMessage::Relay { room: RoomName::Code(7), to, payload })
        };
        let longest = (0..).take_while(|size| of(*size).is_some()).last().unwrap();
        assert_eq!(of(longest).unwrap().len(), VALUE_BYTES_MAX);
        assert!(read(&[&of(longest).unwrap()]).is_some_and(|bytes| bytes.len() > longest));
        assert_eq!(read(&[&"A".repeat(VALUE_BYTES_MAX + 1)]), None);
    }

    #[test]
    fn what_is_no_message_is_malformed_and_not_overlooked() {
        assert_eq!(read(&[]), None);
        for values in [&["AQAGAAc", "AQAGAAc"][..], &["AQAGAAc="], &["not base64"], &["A"], &[""]] {
            assert_eq!(read(values), Some(Bytes::new()), "{values:?}");
        }
    }
}
