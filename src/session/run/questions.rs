//! Asking the user without holding up the loop.

use super::{RoleActions, Runner};
use crate::event::PathText;
use crate::question::{Conflict, Consent, Offer};
use crate::transfer::disk::OnConflict;
use crate::transfer::receiver::{Accepted, Answer, Ask};

impl<R: RoleActions> Runner<R> {
    /// Asks the user without holding up the loop.
    pub(super) fn ask(&self, ask: Ask) {
        let (ui, answers, from) =
            (self.around.ui.clone(), self.answers.0.clone(), self.around.peer_name.clone());
        tokio::spawn(async move {
            let answer = match ask {
                Ask::Accept { totals, is_complete, names, flagged, flagged_beyond, is_again } => {
                    let offer = Offer {
                        from,
                        names,
                        files: totals.files,
                        bytes: totals.bytes,
                        directories: totals.directories,
                        at_least: !is_complete,
                        flagged,
                        flagged_beyond,
                        again: is_again,
                    };
                    ui.ask_consent(offer).await.map(|consent| Answer::Accept(accepted(consent)))
                }
                Ask::Conflict { path, present_bytes, offered_bytes } => {
                    let path = PathText::new(path.as_bytes());
                    let conflict = Conflict { path, present_bytes, offered_bytes };
                    ui.ask_conflict(conflict).await.map(|answer| Answer::Conflict {
                        policy: OnConflict::from(answer.choice),
                        for_all: answer.for_all,
                    })
                }
            };
            // Where the run is over, nobody wants to know.
            let _ = answers.send(answer).await;
        });
    }
}

const fn accepted(consent: Consent) -> Accepted {
    match consent {
        Consent::Accepted => Accepted::This,
        Consent::AcceptedAll => Accepted::Everything,
        Consent::Declined => Accepted::No,
    }
}

impl From<crate::options::OnConflict> for OnConflict {
    fn from(choice: crate::options::OnConflict) -> Self {
        match choice {
            crate::options::OnConflict::Skip => Self::Skip,
            crate::options::OnConflict::Overwrite => Self::Overwrite,
            crate::options::OnConflict::Rename => Self::Rename,
            crate::options::OnConflict::Fail => Self::Fail,
        }
    }
}
