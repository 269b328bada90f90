//! What the sender owes at a moment: a link on which none of it comes is of no use, however well pings pass.

use super::pages::PageState;
use super::{LinkPhase, Receiver};

impl Receiver {
    /// Whether the sender owes something (for the stall watchdog): the estimate with which it begins every link, the
    /// answer to the request once its scan is over, a page that the estimate promised, units that are wanted.
    #[must_use]
    pub fn is_expecting(&self) -> bool {
        if self.link == LinkPhase::Down {
            return false;
        }
        if !self.has_estimate {
            return true;
        }
        match self.link {
            LinkPhase::Down | LinkPhase::Up(_) => false,
            LinkPhase::Recovering => self.progress.is_complete,
            LinkPhase::Receiving => {
                let is_page_due = self.window.is_empty()
                    && self.progress.totals.entries > self.check.totals().entries;
                is_page_due || self.window.values().any(PageState::is_expecting)
            }
        }
    }
}
