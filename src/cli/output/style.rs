//! Colours and weights: four of them.

/// Wraps text in ANSI sequences, or leaves it alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub(super) is_colored: bool,
}

impl Style {
    pub(super) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(super) fn caution(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.is_colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
