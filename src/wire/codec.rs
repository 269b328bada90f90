//! The one place that calls bincode for the wire: values to bytes and back, under a limit.

use bincode::{Decode, Encode, config};
use thiserror::Error;

/// Why bytes are not a value, or a value not bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// Over the limit of its kind.
    #[error("{what} of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// What was encoded or decoded.
        what: &'static str,
        /// Its size, in bytes.
        bytes: usize,
        /// Our limit, in bytes.
        limit: usize,
    },
    /// Not the encoding of such a value, or bytes left over.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// What was decoded.
        what: &'static str,
        /// What the decoder said.
        detail: String,
    },
}

/// The encoding of every wire value: little endian, variable-length integers, enums by position (append only).
type Config =
    config::Configuration<config::LittleEndian, config::Varint, config::Limit<{ 16 << 20 }>>;

/// Allocation while decoding is bounded by 16 MiB whatever the bytes claim; the limit of each kind is checked beside it.
/// Half of it is what the ranges of the largest message take: two bytes each on the wire, sixteen in memory.
const CONFIG: Config = config::standard().with_limit::<{ 16 << 20 }>();

/// Encodes `value`; `what` names it in the error.
///
/// # Errors
/// [`CodecError::TooLarge`] beyond `limit` bytes.
pub fn encode<T: Encode>(
    value: &T,
    what: &'static str,
    limit: usize,
) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::encode_to_vec(value, CONFIG)
        .map_err(|error| CodecError::Malformed { what, detail: error.to_string() })?;
    check_size(bytes.len(), what, limit)?;
    Ok(bytes)
}

/// Decodes the whole of `bytes`; `what` names it in the error.
///
/// # Errors
/// [`CodecError::TooLarge`] beyond `limit` bytes; [`CodecError::Malformed`] for anything else that is not exactly one value.
pub fn decode<T: Decode<()>>(
    bytes: &[u8],
    what: &'static str,
    limit: usize,
) -> Result<T, CodecError> {
    check_size(bytes.len(), what, limit)?;
    let (value, read) = bincode::decode_from_slice(bytes, CONFIG)
        .map_err(|error| CodecError::Malformed { what, detail: error.to_string() })?;
    if read != bytes.len() {
        return Err(CodecError::Malformed {
            what,
            detail: format!("{} bytes left over", bytes.len() - read),
        });
    }
    Ok(value)
}

const fn check_size(bytes: usize, what: &'static str, limit: usize) -> Result<(), CodecError> {
    if bytes > limit { Err(CodecError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// The error for bytes that break a rule above the encoding.
pub(crate) fn malformed(what: &'static str, detail: &str) -> CodecError {
    CodecError::Malformed { what, detail: detail.to_owned() }
}
