//! What is not in the manifest: told to the user, and to the receiver on every link.

use super::Sender;
use super::link_run::FRAMES_AHEAD;
use crate::event::{Event, FileStatus, PathText};
use crate::transfer::message::{MISSING_MAX, Message, bounded_text};
use crate::transfer::missing::{LeftOut, Missing, NAME_BYTES_MAX, NAMED_MAX};

impl Sender {
    /// The scan left something out. Its directory's page may come later, and with it the path.
    pub(super) fn on_left_out(&mut self, mut left_out: LeftOut) {
        left_out.name.truncate(NAME_BYTES_MAX);
        left_out.reason = bounded_text(&left_out.reason);
        self.left_outs_untold.push_back(left_out);
        self.tell_left_outs();
    }

    /// Tells those whose directories are known.
    pub(super) fn tell_left_outs(&mut self) {
        let end = self.check.totals().entries;
        while self
            .left_outs_untold
            .front()
            .is_some_and(|left_out| left_out.parent.is_none_or(|parent| parent < end))
        {
            let Some(left_out) = self.left_outs_untold.pop_front() else { return };
            let path =
                self.directories.path_of(left_out.parent, &left_out.name).unwrap_or_default();
            let path = PathText::new(path.as_bytes());
            let error = Some(left_out.reason.clone());
            self.event(Event::File { path, bytes: 0, status: FileStatus::Missing, error });
            self.left_outs.add(left_out);
        }
    }

    /// Sends the next of them; `true` once all are on their way.
    pub(super) fn send_left_outs(&mut self) -> bool {
        loop {
            let Some(run) = &mut self.run else { return false };
            let rest = self.left_outs.named().get(run.left_outs_sent..).unwrap_or_default();
            if rest.is_empty() {
                return self.left_outs_untold.is_empty();
            }
            if run.frames.len() >= FRAMES_AHEAD {
                return false;
            }
            let entries = rest[..rest.len().min(MISSING_MAX)].to_vec();
            run.left_outs_sent += entries.len();
            self.send_data(&Message::LeftOut { entries });
        }
    }

    /// The receiver names what it will not have.
    pub(super) fn on_missing(&mut self, entries: Vec<Missing>) {
        let end = self.check.totals().entries;
        if entries.iter().any(|missing| missing.entry >= end) {
            return self.protocol("it misses an entry that was never offered");
        }
        for Missing { entry, parent, name, kind, reason } in entries {
            // Each once, also where several links carry it.
            let is_known = self.failed_entries.contains_key(&entry);
            if is_known || self.missing.len() >= NAMED_MAX || !self.missing.insert(entry) {
                continue;
            }
            let path = self.directories.path_of(parent, &name).unwrap_or_default();
            let path = PathText::new(path.as_bytes());
            self.event(Event::File { path, bytes: 0, status: kind.status(), error: Some(reason) });
        }
    }
}
