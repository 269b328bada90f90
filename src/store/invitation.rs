//! A one-time code that lets a member back into a stored session: left in the session's directory by one process, picked
//! up by the one that runs the session (F-27, F-53).

use crate::fs::{Directory, read_file, remove_if_present, replace_file};
use std::io;

/// Its file, beside the session's record.
const INVITATION: &[u8] = b"invitation";

/// A line that says what it is, a code, a number.
const BYTES_MAX: usize = 1024;

const HEADING: &str = "rejoin invitation 1";

/// A code for one member of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The code, in its canonical spelling.
    pub code: String,
    /// When it is of no use any more, in seconds since 1970.
    pub expires: u64,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Invitation(…, {})", self.expires)
    }
}

/// Leaves an invitation in the directory of a session; an earlier one is replaced.
///
/// # Errors
/// As the system says.
pub fn write<D: Directory>(directory: &D, invitation: &Invitation) -> io::Result<()> {
    let Invitation { code, expires } = invitation;
    replace_file(directory, INVITATION, format!("{HEADING}\n{code}\n{expires}\n").as_bytes())
}

/// The invitation in the directory of a session, if there is one that is good at `now` (seconds since 1970).
///
/// # Errors
/// As the system says; `InvalidData` for a file that is none.
pub fn read<D: Directory>(directory: &D, now: u64) -> io::Result<Option<Invitation>> {
    let Some(bytes) = read_file(directory, INVITATION, BYTES_MAX)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut lines = text.lines();
    let (heading, code, expires) = (lines.next(), lines.next(), lines.next());
    let expires = expires.and_then(|line| line.parse().ok());
    match (heading, code, expires) {
        (Some(HEADING), Some(code), Some(expires)) if expires > now => {
            Ok(Some(Invitation { code: code.to_owned(), expires }))
        }
        (Some(HEADING), Some(_), Some(_)) => Ok(None),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Removes the invitation, used or not.
///
/// # Errors
/// As the system says, but for an absent one.
pub fn remove<D: Directory>(directory: &D) -> io::Result<()> {
    remove_if_present(directory, INVITATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryDisk;

    #[test]
    fn is_read_until_it_expires_or_is_removed() {
        let root = MemoryDisk::new().root();
        assert_eq!(read(&root, 5).unwrap(), None);
        let invitation = Invitation { code: "7-crane-velvet-orbit".to_owned(), expires: 10 };
        write(&root, &invitation).unwrap();
        assert_eq!(read(&root, 9).unwrap(), Some(invitation.clone()));
        assert_eq!(read(&root, 10).unwrap(), None);
        assert!(!format!("{invitation:?}").contains("crane"));
        remove(&root).unwrap();
        assert_eq!(read(&root, 9).unwrap(), None);
        remove(&root).unwrap();
    }

    #[test]
    fn anything_else_is_refused() {
        let root = MemoryDisk::new().root();
        for text in ["", "rejoin invitation 2\na\n99\n", "rejoin invitation 1\na\nb\n"] {
            replace_file(&root, INVITATION, text.as_bytes()).unwrap();
            assert_eq!(read(&root, 1).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text}");
        }
    }
}
