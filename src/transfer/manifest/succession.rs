//! Which entries later ones replace, and of which nothing is left.

use super::{EntryIndex, EntryKind, Page};
use crate::transfer::ranges::Ranges;
use std::collections::BTreeMap;

/// What the pages so far say of the entries of earlier ones.
///
/// A later version of a file, or a word that something is gone, leaves nothing of the earlier entry. A later version of a
/// directory only gives it other metadata: its children keep naming the first, so that both stand for what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Succession {
    gone: Ranges,
    /// Directories that only gave others newer metadata, each with the one before it; also one that came again, with the
    /// entry that said that it was gone.
    renewed: BTreeMap<EntryIndex, EntryIndex>,
}

impl Succession {
    /// Takes in a page.
    pub fn add_page(&mut self, page: &Page) {
        for (index, entry) in page.iter() {
            let Some(old) = entry.supersedes else { continue };
            if entry.kind == EntryKind::Directory {
                self.renewed.insert(index, old);
                continue;
            }
            let mut at = Some(old);
            while let Some(old) = at {
                self.gone.insert(old);
                at = self.renewed.remove(&old);
            }
        }
    }

    /// Takes in what a sender says of a page that is to come.
    pub fn add_gone(&mut self, entries: &Ranges) {
        entries.as_slice().iter().for_each(|range| self.gone.insert_range(range.clone()));
    }

    /// Entries of which nothing is to be there: neither they themselves nor what only gave them other metadata.
    #[must_use]
    pub const fn gone(&self) -> &Ranges {
        &self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::{Entry, ModifiedTime};

    /// B-Q: a directory that is gone is gone with all that only gave it other metadata; one that is there is not.
    #[test]
    fn a_directory_is_gone_with_all_its_versions() {
        let entry = |kind, supersedes| Entry {
            parent: None,
            name: b"d".to_vec(),
            kind,
            mode: 0o755,
            modified: ModifiedTime { seconds: 0, nanoseconds: 0 },
            supersedes,
        };
        let mut of = Succession::default();
        let mut add = |first_entry, entries| {
            of.add_page(&Page { number: first_entry, first_entry, entries });
            of.gone().iter().collect::<Vec<_>>()
        };
        let directory = |supersedes| entry(EntryKind::Directory, supersedes);
        assert_eq!(add(0, vec![directory(None), directory(Some(0))]), [0; 0]);
        assert_eq!(add(2, vec![entry(EntryKind::Gone, Some(1))]), [0, 1]);
        assert_eq!(add(3, vec![directory(Some(2)), directory(Some(3))]), [0, 1]);
        assert_eq!(add(5, vec![entry(EntryKind::Gone, Some(4))]), [0, 1, 2, 3, 4]);
        let file = |supersedes| entry(EntryKind::File { bytes: 1 }, Some(supersedes));
        assert_eq!(add(6, vec![file(5), file(6)]), [0, 1, 2, 3, 4, 5, 6]);
    }
}
