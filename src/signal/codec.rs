//! The byte form shared by everything that passes a host: a fixed version, then bincode, bounded on both sides.

use bincode::config::Configuration;

use crate::wire::PROTOCOL_VERSION;

/// Why bytes were not a value of ours, or a value had no byte form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than the limit of this kind of value.
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Size found.
        bytes: usize,
        /// Size allowed.
        limit: usize,
    },
    /// The other side speaks a protocol that we do not (F-04).
    #[error("protocol version {theirs} is not supported, this is version {ours}")]
    Version {
        /// What the bytes say.
        theirs: u16,
        /// What we speak.
        ours: u16,
    },
    /// Truncated, trailing bytes, an unknown variant, or a limit of a field exceeded.
    #[error("malformed message")]
    Malformed,
}

const VERSION_BYTES: usize = size_of::<u16>();

fn configuration<const LIMIT: usize>() -> Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<LIMIT>,
> {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Encodes `value` behind the protocol version, in at most `LIMIT` bytes.
pub(super) fn encode<const LIMIT: usize>(
    value: &impl bincode::Encode,
) -> Result<Vec<u8>, CodecError> {
    let mut bytes = PROTOCOL_VERSION.to_le_bytes().to_vec();
    bytes.extend(
        bincode::encode_to_vec(value, configuration::<LIMIT>())
            .map_err(|_| CodecError::Malformed)?,
    );
    check_size::<LIMIT>(&bytes)?;
    Ok(bytes)
}

/// Decodes what [`encode`] made. The size is checked before anything is read or allocated.
pub(super) fn decode<T: bincode::Decode<()>, const LIMIT: usize>(
    bytes: &[u8],
) -> Result<T, CodecError> {
    check_size::<LIMIT>(bytes)?;
    let (version, body) =
        bytes.split_first_chunk::<VERSION_BYTES>().ok_or(CodecError::Malformed)?;
    let theirs = u16::from_le_bytes(*version);
    if theirs != PROTOCOL_VERSION {
        return Err(CodecError::Version { theirs, ours: PROTOCOL_VERSION });
    }
    match bincode::decode_from_slice(body, configuration::<LIMIT>()) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok(_) | Err(_) => Err(CodecError::Malformed),
    }
}

const fn check_size<const LIMIT: usize>(bytes: &[u8]) -> Result<(), CodecError> {
    if bytes.len() > LIMIT {
        return Err(CodecError::TooLarge { bytes: bytes.len(), limit: LIMIT });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_version_size_and_end() {
        let bytes = encode::<64>(&(7_u32, "orbit".to_owned())).unwrap();
        assert_eq!(bytes[..2], [1, 0]);
        assert_eq!(decode::<(u32, String), 64>(&bytes), Ok((7, "orbit".to_owned())));

        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(
            decode::<(u32, String), 64>(&newer),
            Err(CodecError::Version { theirs: 2, ours: 1 })
        );

        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode::<(u32, String), 64>(&longer), Err(CodecError::Malformed));
        assert_eq!(
            decode::<(u32, String), 4>(&bytes),
            Err(CodecError::TooLarge { bytes: bytes.len(), limit: 4 })
        );
        assert!(encode::<8>(&vec![0_u8; 9]).is_err());
        for length in 0..bytes.len() {
            assert!(decode::<(u32, String), 64>(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        let mut bytes = PROTOCOL_VERSION.to_le_bytes().to_vec();
        bytes.extend([253, 255, 255, 255, 255, 255, 255, 255, 127]);
        assert_eq!(decode::<Vec<u8>, 64>(&bytes), Err(CodecError::Malformed));
    }
}
