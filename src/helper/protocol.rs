//! What passes between a process and its helper. Every length is bounded on both sides.

use super::OUTPUT_BYTES_MAX;
use std::io::{self, Read, Write};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Words of a command, and their bytes in all.
const WORDS_MAX: usize = 1_024;
const WORDS_BYTES_MAX: usize = 128 * 1_024;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// What it printed.
    Output(Vec<u8>),
    /// It could not be started.
    Start(String),
    /// It ended as one that failed.
    Status(String),
    /// It was killed.
    Timeout,
    /// It printed more than is taken.
    TooLong,
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The command, said once.
pub(super) fn write_words(to: &mut impl Write, words: &[String]) -> io::Result<()> {
    let bytes: usize = words.iter().map(String::len).sum();
    if words.len() > WORDS_MAX || bytes > WORDS_BYTES_MAX {
        return Err(io::Error::other("the command is too long"));
    }
    let mut frame = Vec::with_capacity(bytes + 4 * (words.len() + 1));
    frame.extend((words.len() as u32).to_be_bytes());
    for word in words {
        frame.extend((word.len() as u32).to_be_bytes());
        frame.extend(word.as_bytes());
    }
    to.write_all(&frame)
}

/// The other end of [`write_words`].
pub(super) fn read_words(from: &mut impl Read) -> io::Result<Vec<String>> {
    let count = read_number(from)? as usize;
    if count > WORDS_MAX {
        return Err(invalid());
    }
    let mut left = WORDS_BYTES_MAX;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = read_number(from)? as usize;
        left = left.checked_sub(length).ok_or_else(invalid)?;
        let mut word = vec![0; length];
        from.read_exact(&mut word)?;
        words.push(String::from_utf8(word).map_err(|_| invalid())?);
    }
    Ok(words)
}

/// That it is run, for `limit` at most: all that is ever asked.
pub(super) async fn write_order(
    to: &mut (impl AsyncWrite + Unpin),
    limit: Duration,
) -> io::Result<()> {
    let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    to.write_all(&limit.to_be_bytes()).await
}

/// The other end of [`write_order`]; `None` at the end of the pipe.
pub(super) fn read_order(from: &mut impl Read) -> Option<Duration> {
    read_number(from).ok().map(|limit| Duration::from_millis(limit.into()))
}

fn read_number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

pub(super) fn write_reply(to: &mut impl Write, reply: &Reply) -> io::Result<()> {
    let (kind, text) = match reply {
        Reply::Output(output) => (0, &output[..]),
        Reply::Start(reason) => (1, reason.as_bytes()),
        Reply::Status(reason) => (2, reason.as_bytes()),
        Reply::Timeout => (3, &[][..]),
        Reply::TooLong => (4, &[][..]),
    };
    let text = &text[..text.len().min(OUTPUT_BYTES_MAX)];
    let mut frame = vec![kind];
    frame.extend((text.len() as u32).to_be_bytes());
    frame.extend(text);
    to.write_all(&frame)?;
    to.flush()
}

/// The other end of [`write_reply`].
pub(super) async fn read_reply(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Reply> {
    let kind = from.read_u8().await?;
    let length = from.read_u32().await? as usize;
    if length > OUTPUT_BYTES_MAX {
        return Err(invalid());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(match kind {
        0 => Reply::Output(bytes),
        1 => Reply::Start(text(bytes)),
        2 => Reply::Status(text(bytes)),
        3 => Reply::Timeout,
        4 => Reply::TooLong,
        _ => return Err(invalid()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let words = vec!["sh".to_owned(), String::new(), "a b".to_owned()];
        let mut bytes = Vec::new();
        write_words(&mut bytes, &words).unwrap();
        assert_eq!(read_words(&mut &bytes[..]).unwrap(), words);
        for length in 0..bytes.len() {
            assert!(read_words(&mut &bytes[..length]).is_err(), "{length}");
        }
        for reply in [
            Reply::Output(b"ann\n\xff".to_vec()),
            Reply::Start("no".to_owned()),
            Reply::Status("exit status: 1".to_owned()),
            Reply::Timeout,
            Reply::TooLong,
        ] {
            let mut bytes = Vec::new();
            write_reply(&mut bytes, &reply).unwrap();
            assert_eq!(read_reply(&mut &bytes[..]).await.unwrap(), reply);
        }
        let mut order = Vec::new();
        write_order(&mut order, Duration::from_secs(5)).await.unwrap();
        assert_eq!(read_order(&mut &order[..]), Some(Duration::from_secs(5)));
        assert_eq!(read_order(&mut &order[..3]), None);
    }

    #[tokio::test]
    async fn claimed_lengths_are_bounded() {
        let many = [0xff; 8];
        assert!(read_words(&mut &many[..]).is_err());
        let long = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert!(read_words(&mut &long[..]).is_err());
        let reply = [0, 0xff, 0xff, 0xff, 0xff];
        assert!(read_reply(&mut &reply[..]).await.is_err());
        let long = vec!["x".repeat(WORDS_BYTES_MAX + 1)];
        assert!(write_words(&mut Vec::new(), &long).is_err());
    }
}
