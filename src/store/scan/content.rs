//! Whether a file still has the content that an earlier run read: by the values that were remembered of it.

use crate::fs::{File, read_exact_at};
use crate::store::values::Values;
use crate::transfer::UNIT_BYTES;
use crate::transfer::layout::{Layout, Segment};
use crate::transfer::manifest::{EntryIndex, Page};
use crate::transfer::merge::{Value, unit_value};
use std::io::{self, IoSliceMut};

/// Values of units that are compared at once.
const UNITS_AT_ONCE: u64 = 4_096;

/// What earlier runs know: roots of whole files, and values of units of large ones.
pub(in crate::store) struct KnownContent<F> {
    parts: Values<F>,
    roots: Values<F>,
    /// First units and sizes of large files, by entry.
    first_units: Vec<(EntryIndex, (u64, u64))>,
    next_unit: u64,
}

impl<F: File> KnownContent<F> {
    pub(in crate::store) const fn new(parts: Values<F>, roots: Values<F>) -> Self {
        Self { parts, roots, first_units: Vec::new(), next_unit: 0 }
    }

    /// The next stored page.
    pub(super) fn add_page(&mut self, page: &Page) {
        let layout = Layout::new(page, &vec![Ok(()); page.entries.len()], self.next_unit);
        self.next_unit = layout.end_unit;
        self.first_units.extend(layout.segments.iter().filter_map(|segment| match segment {
            Segment::File { entry, first_unit, bytes } => Some((*entry, (*first_unit, *bytes))),
            Segment::Pack { .. } => None,
        }));
    }

    /// Whether everything that is known of an entry is so in `file`; `false` where nothing is known.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn is_same(&self, file: &F, entry: EntryIndex, bytes: u64) -> io::Result<bool> {
        // A cache that cannot be read knows nothing.
        let root = self.roots.load(entry..entry + 1, |entry| entry).unwrap_or_default();
        if let Some(root) = root.first().copied().flatten() {
            return Ok(root_of(file, bytes)? == Some(root));
        }
        let Ok(at) = self.first_units.binary_search_by_key(&entry, |(entry, _)| *entry) else {
            return Ok(false);
        };
        let ((first, promised), mut room) = (self.first_units[at].1, vec![0; UNIT_BYTES as usize]);
        if promised != bytes {
            return Ok(false);
        }
        let (end, mut is_known, mut start) = (first + bytes.div_ceil(UNIT_BYTES), false, first);
        while start < end {
            let units = start..end.min(start + UNITS_AT_ONCE);
            let values = self.parts.load(units.clone(), |_| entry).unwrap_or_default();
            for (unit, value) in units.clone().zip(values) {
                let Some(value) = value else { continue };
                let offset = (unit - first) * UNIT_BYTES;
                let buffer = &mut room[..UNIT_BYTES.min(bytes - offset) as usize];
                match read_exact_at(file, buffer, offset) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                    outcome => outcome?,
                }
                if unit_value([&*buffer], offset, bytes) != value {
                    return Ok(false);
                }
                is_known = true;
            }
            start = units.end;
        }
        Ok(is_known)
    }
}

/// The root of the first `bytes`; `None` where there are not so many.
fn root_of(file: &impl File, bytes: u64) -> io::Result<Option<Value>> {
    let (mut hasher, mut offset) = (blake3::Hasher::new(), 0);
    let mut room = vec![0; UNIT_BYTES.min(bytes) as usize];
    while offset < bytes {
        let length = UNIT_BYTES.min(bytes - offset) as usize;
        match file.read_at(&mut [IoSliceMut::new(&mut room[..length])], offset)? {
            0 => return Ok(None),
            read => {
                hasher.update(&room[..read]);
                offset += read as u64;
            }
        }
    }
    Ok(Some(*hasher.finalize().as_bytes()))
}
