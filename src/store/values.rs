//! Values that the sender has computed, in sparse files of fixed slots: a cache, never synced.

use crate::fs::{Access, Directory, File};
use crate::transfer::merge::Value;
use crate::wire::SessionId;
use std::io::{self, IoSliceMut};

const VALUE_BYTES: usize = 32;
const CHECK_BYTES: usize = 8;
const SLOT_BYTES: usize = VALUE_BYTES + CHECK_BYTES;

/// Slots read at once.
const READ_SLOTS: u64 = 4_096;

/// One file of slots. A slot that was never written, or not wholly, is known by its check.
pub(super) struct Values<F> {
    file: F,
    key: [u8; 32],
}

impl<F: File> Values<F> {
    /// Opens or makes the file `name`.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn open<D: Directory<File = F>>(
        directory: &D,
        name: &[u8],
        session: SessionId,
    ) -> io::Result<Self> {
        let file = match directory.open_file(name, Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                directory.create_file(name, 0o600)?
            }
            outcome => outcome?,
        };
        let mut hasher = blake3::Hasher::new_derive_key("rejoin 2026 values v1");
        hasher.update(name).update(&session.0);
        let key = *hasher.finalize().as_bytes();
        Ok(Self { file, key })
    }

    /// Keeps the values of consecutive slots from `first`, of one `owner` or each of its own.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn keep(&self, first: u64, values: &[(u64, Value)]) -> io::Result<()> {
        let mut slots = Vec::with_capacity(values.len() * SLOT_BYTES);
        for (slot, (owner, value)) in (first..).zip(values) {
            slots.extend_from_slice(value);
            slots.extend_from_slice(&self.check(slot, *owner, value));
        }
        self.file.write_at(&[&slots], position(first))
    }

    /// The values of `slots` that were kept for the `owner` of each.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn load(
        &self,
        slots: std::ops::Range<u64>,
        owner: impl Fn(u64) -> u64,
    ) -> io::Result<Vec<Option<Value>>> {
        let mut values = Vec::new();
        let mut buffer = Vec::new();
        let mut slot = slots.start;
        while slot < slots.end {
            let count = (slots.end - slot).min(READ_SLOTS);
            buffer.clear();
            buffer.resize(usize::try_from(count).unwrap_or(0) * SLOT_BYTES, 0);
            // Beyond the end of the file the buffer stays zero, which no check fits.
            let mut filled = 0;
            while filled < buffer.len() {
                let rest = &mut [IoSliceMut::new(&mut buffer[filled..])];
                match self.file.read_at(rest, position(slot) + filled as u64)? {
                    0 => break,
                    read => filled += read,
                }
            }
            for (slot, bytes) in (slot..).zip(buffer.chunks_exact(SLOT_BYTES)) {
                let mut value = [0; VALUE_BYTES];
                value.copy_from_slice(&bytes[..VALUE_BYTES]);
                let is_kept = bytes[VALUE_BYTES..] == self.check(slot, owner(slot), &value);
                values.push(is_kept.then_some(value));
            }
            slot += count;
        }
        Ok(values)
    }

    fn check(&self, slot: u64, owner: u64, value: &Value) -> [u8; CHECK_BYTES] {
        let mut content = [0; 16 + VALUE_BYTES];
        content[..8].copy_from_slice(&slot.to_le_bytes());
        content[8..16].copy_from_slice(&owner.to_le_bytes());
        content[16..].copy_from_slice(value);
        let hash = blake3::keyed_hash(&self.key, &content);
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
        check
    }
}

const fn position(slot: u64) -> u64 {
    slot.saturating_mul(SLOT_BYTES as u64)
}
