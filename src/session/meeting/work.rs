//! Work that a host under attack asks for before it lets anybody try a number. It is done beside the loop; what it yields is
//! good on the connection that asked, and nowhere else.

use crate::error::{Error, ErrorKind};
use crate::signal::work::{BITS_MAX, Challenge};

/// How often a host may ask for work in a row before it lets us in.
const IN_A_ROW_MAX: u32 = 16;

/// Work to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The code room's number.
    pub number: u32,
    /// For what.
    pub challenge: Challenge,
    /// How much.
    pub bits: u8,
}

impl Work {
    /// What a host asks for, within what we do; `in_a_row` counts how often it did.
    ///
    /// # Errors
    /// It asks for more.
    pub(super) fn asked(
        number: u32,
        challenge: Challenge,
        bits: u8,
        in_a_row: &mut u32,
    ) -> Result<Self, Error> {
        *in_a_row += 1;
        if bits > BITS_MAX || *in_a_row > IN_A_ROW_MAX {
            let text = "the host asks for more work than rejoin does for a host";
            return Err(Error::new(ErrorKind::Unreachable, text).with_hint("use another --host"));
        }
        Ok(Self { number, challenge, bits })
    }
}
