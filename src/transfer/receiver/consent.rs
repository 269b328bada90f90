//! How far the user agrees, and what waits for it.
//!
//! **What counts is what costs** (S-09): files and symlinks, their bytes, directories, and the manifest itself, which is kept
//! on the disk. `--max-files N` allows N files and N directories. `--max-size` bounds the bytes of files, and by the same number
//! what directories and manifest take beyond [`DIRECTORIES_FREE`] and [`MANIFEST_BYTES_FREE`]. A question names directories,
//! and what was agreed to holds for them, too.

use super::{Agreement, Ask, Receiver, ReceiverOutput};
use crate::error::{Error, ErrorKind};
use crate::time::Instant;
use crate::transfer::manifest::Totals;
use crate::transfer::message::{ByeReason, Message, bounded_text};
use crate::transfer::receiver::Accepted;
use std::time::Duration;

/// How long a question waits for the scan to end, so that it can name the whole.
pub(super) const ASK_DELAY: Duration = Duration::from_secs(2);

/// Outputs that are to be carried out before another page's survey is used: where the consent comes late, there are many, and
/// each may have something to say of each of its entries.
const OUTPUTS_AHEAD: usize = 1_024;

/// Directories that cost nothing towards `--max-size`: every tree has some.
const DIRECTORIES_FREE: u64 = 64;

/// What a directory takes on most disks, in bytes.
const DIRECTORY_BYTES: u64 = 4_096;

/// Bytes of manifest that cost nothing towards `--max-size`: the names of a million files.
const MANIFEST_BYTES_FREE: u64 = 64 << 20;

/// Bytes of a manifest, at most: its entries, at most, with names of 255 bytes. What they are by number may be names of 60,000.
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 << 30;

/// How far the user's consent goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// Not asked yet; the instant at which to ask with what is known then.
    Pending(Option<Instant>),
    /// Asked, for this much.
    Asked(Totals),
    /// Given, for at most this much.
    Given(Totals),
}

impl Receiver {
    /// Asks for consent when it is time, and for more of it when the manifest outgrew what was asked.
    pub(super) fn ask_consent(&mut self, now: Instant) {
        // Estimates are what the sender claims, pages what it means to send: whichever is more.
        let (claimed, seen) = (self.progress.totals, self.check.totals());
        let known = Totals {
            entries: claimed.entries.max(seen.entries),
            files: claimed.files.max(seen.files),
            bytes: claimed.bytes.max(seen.bytes),
            directories: claimed.directories.max(seen.directories),
        };
        let is_complete = self.progress.is_complete;
        let is_due = match self.consent {
            // The first page brings the names that the question shows.
            Consent::Pending(Some(at)) => {
                (is_complete && (self.pages > 0 || self.end.is_some())) || now >= at
            }
            // Once more at most: what is beyond the consent waits until the sender has counted everything.
            Consent::Given(_) => is_complete && self.exceeds_consent(),
            Consent::Pending(None) | Consent::Asked(_) => false,
        };
        if let Some(text) = self.beyond_limits(&known) {
            return self.refuse(&text);
        }
        if is_due {
            let is_again = matches!(self.consent, Consent::Given(_));
            self.consent = Consent::Asked(known);
            let names = self.offered.names.clone();
            let (flagged, flagged_beyond) = self.offered.show();
            let ask = Ask::Accept {
                totals: known,
                is_complete,
                names,
                flagged,
                flagged_beyond,
                is_again,
            };
            self.outputs.push_back(ReceiverOutput::Ask(ask));
        }
    }

    /// Why it is more than the user's limits allow, and what counts.
    fn beyond_limits(&self, known: &Totals) -> Option<String> {
        let Totals { files, bytes, directories, .. } = *known;
        let (files_max, bytes_max) = (self.config.files_max, self.config.bytes_max);
        if files > files_max || directories > files_max {
            return Some(format!(
                "{files} files in {directories} directories are more than --max-files allows: {files_max} files, and as many directories"
            ));
        }
        if bytes > bytes_max {
            return Some(format!("{bytes} bytes are more than --max-size allows"));
        }
        let counted = directories.saturating_sub(DIRECTORIES_FREE);
        if counted.saturating_mul(DIRECTORY_BYTES) > bytes_max {
            return Some(format!(
                "{directories} directories are more than --max-size allows: beyond {DIRECTORIES_FREE}, each counts {DIRECTORY_BYTES} bytes"
            ));
        }
        if self.manifest_bytes.saturating_sub(MANIFEST_BYTES_FREE) > bytes_max {
            let kept = self.manifest_bytes;
            return Some(format!("a list of names of {kept} bytes is more than --max-size allows"));
        }
        None
    }

    pub(super) fn on_consent(&mut self, accepted: Accepted) {
        let Consent::Asked(totals) = self.consent else { return };
        match accepted {
            Accepted::No => self.refuse("the transfer was declined"),
            Accepted::This => {
                self.offered.agree_to_shown();
                self.give_consent(totals);
            }
            Accepted::Everything => {
                self.offered.agree_to_any();
                self.give_consent(self.config.everything());
            }
        }
    }

    fn give_consent(&mut self, most: Totals) {
        self.consent = Consent::Given(most);
        let agreement = Agreement { most, acting: self.offered.agreed().clone() };
        self.outputs.push_back(ReceiverOutput::Consented(agreement));
    }

    /// Whether the pages that came hold more than the user agreed to, or what has to be pointed out first.
    pub(super) fn exceeds_consent(&self) -> bool {
        let seen = self.check.totals();
        match self.consent {
            Consent::Given(most) => {
                seen.files > most.files
                    || seen.bytes > most.bytes
                    || seen.directories > most.directories
                    || self.offered.has_untold()
            }
            Consent::Pending(_) | Consent::Asked(_) => true,
        }
    }

    pub(super) fn refuse(&mut self, text: &str) {
        self.send(Message::Bye { reason: ByeReason::Refused, text: bounded_text(text) });
        self.fail(Error::new(ErrorKind::Refused, text));
    }

    /// Whether a page can go on, since its survey is here and the user has agreed.
    pub(super) fn has_usable_survey(&self) -> bool {
        let may_go_on = !self.is_over && self.full.is_none();
        may_go_on && !self.surveys.is_empty() && !self.exceeds_consent()
    }

    /// Goes on with the pages whose surveys are here, as far as the consent goes.
    pub(super) fn use_surveys(&mut self) {
        while self.has_usable_survey()
            && self.outputs.len() < OUTPUTS_AHEAD
            && let Some((number, existing)) = self.surveys.pop_front()
        {
            self.on_surveyed(number, existing);
        }
    }
}
