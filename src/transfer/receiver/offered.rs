//! What the question shows of a manifest: its top-level names, and the names that run or configure programs.

use super::NAMES_MAX;
use super::agreement::{Acting, ActingPath, LISTED_MAX};
use super::pages::is_remark;
use crate::event::PathText;
use crate::transfer::manifest::{DirectoryTable, Page, RelativePath, Verdict};
use crate::transfer::name::folded;
use std::collections::BTreeSet;

/// Files by whose name alone a program runs them or does as they say, in lower case: of shells and sessions, of editors and
/// tools, of desktops and servers.
const FILES: &[&str] = &[
    // Shells and logins.
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".cshrc",
    ".envrc",
    ".inputrc",
    ".kshrc",
    ".login",
    ".logout",
    ".mkshrc",
    ".pam_environment",
    ".profile",
    ".tcshrc",
    ".xinitrc",
    ".xprofile",
    ".xserverrc",
    ".xsession",
    ".xsessionrc",
    ".zlogin",
    ".zlogout",
    ".zprofile",
    ".zshenv",
    ".zshrc",
    "authorized_keys",
    "authorized_keys2",
    ".rhosts",
    ".shosts",
    ".netrc",
    ".forward",
    ".procmailrc",
    // Editors, debuggers, interpreters.
    ".emacs",
    ".exrc",
    ".gdbinit",
    ".gvimrc",
    ".irbrc",
    ".lldbinit",
    ".nanorc",
    ".nvimrc",
    ".perltidyrc",
    ".pryrc",
    ".psqlrc",
    ".pythonrc",
    ".pythonstartup",
    ".rprofile",
    ".screenrc",
    ".sqliterc",
    ".tmux.conf",
    ".vimrc",
    "sitecustomize.py",
    "usercustomize.py",
    // Tools that read what is in the directory that they run in.
    ".condarc",
    ".curlrc",
    ".direnvrc",
    ".gemrc",
    ".gitattributes",
    ".gitconfig",
    ".gitmodules",
    ".hgrc",
    ".mailcap",
    ".npmrc",
    ".pnpmfile.cjs",
    ".pre-commit-config.yaml",
    ".pypirc",
    ".wgetrc",
    ".yarnrc",
    ".yarnrc.yml",
    // Desktops and servers.
    "autorun.inf",
    "desktop.ini",
    ".htaccess",
    ".user.ini",
    "web.config",
];

/// Directories whose files do so.
const DIRECTORIES: &[&str] = &[
    ".aws",
    ".bashrc.d",
    ".cargo",
    ".config",
    ".docker",
    ".emacs.d",
    ".git",
    ".gnupg",
    ".hg",
    ".husky",
    ".idea",
    ".kde",
    ".kube",
    ".local",
    ".ssh",
    ".svn",
    ".vim",
    ".vscode",
    ".zsh",
    "cron.d",
    "init.d",
    "launchagents",
    "launchdaemons",
    "profile.d",
    "startup",
];

/// Endings of files that a double click runs, or that a desktop runs by itself.
const ENDINGS: &[&str] = &[".desktop", ".lnk", ".pif", ".scf", ".scr", ".url", ".library-ms"];

/// What is known of it so far, bounded by [`NAMES_MAX`] and [`LISTED_MAX`].
#[derive(Debug)]
pub(super) struct Offered {
    /// Top-level names.
    pub(super) names: Vec<PathText>,
    /// Paths that act, the first of those that no question told of.
    flagged: Vec<PathText>,
    /// All of them, as far as an agreement can list them.
    untold: BTreeSet<ActingPath>,
    /// How many there are beyond that.
    beyond: u64,
    /// What the question that is out tells of.
    told: BTreeSet<ActingPath>,
    /// What the user agreed to.
    agreed: Acting,
}

impl Offered {
    /// Before the first page of a run, whose user agreed to this in an earlier one.
    pub(super) const fn new(agreed: Acting) -> Self {
        Self {
            names: Vec::new(),
            flagged: Vec::new(),
            untold: BTreeSet::new(),
            beyond: 0,
            told: BTreeSet::new(),
            agreed,
        }
    }

    /// The user is asked now: the first paths that act, and how many more there are.
    pub(super) fn show(&mut self) -> (Vec<PathText>, u64) {
        let flagged = std::mem::take(&mut self.flagged);
        self.told = std::mem::take(&mut self.untold);
        let all = self.told.len() as u64 + std::mem::take(&mut self.beyond);
        let beyond = all.saturating_sub(flagged.len() as u64);
        (flagged, beyond)
    }

    /// The user takes what the question told of.
    pub(super) fn agree_to_shown(&mut self) {
        self.agreed.extend(std::mem::take(&mut self.told));
    }

    /// The user takes whatever comes.
    pub(super) fn agree_to_any(&mut self) {
        self.agreed = Acting::Any;
    }

    /// What the user agreed to so far.
    pub(super) const fn agreed(&self) -> &Acting {
        &self.agreed
    }

    /// Whether a path came that is to be pointed out, and that no question told of.
    pub(super) fn has_untold(&self) -> bool {
        self.agreed != Acting::Any && !self.untold.is_empty()
    }

    /// Takes a page in, whose directories are known; what is refused is not shown.
    pub(super) fn add_page(
        &mut self,
        page: &Page,
        verdicts: &[Verdict],
        directories: &DirectoryTable,
    ) {
        let entries = || {
            let judged = page.entries.iter().zip(verdicts);
            judged.filter(|(of, verdict)| verdict.is_ok() && !is_remark(of)).map(|(entry, _)| entry)
        };
        for entry in entries().filter(|entry| entry.parent.is_none()) {
            let name = PathText::new(&entry.name);
            // A later version is no other name.
            if self.names.len() < NAMES_MAX && !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        let acting = entries().filter(|entry| acts(&entry.name));
        for path in acting.filter_map(|entry| directories.path(entry)) {
            self.add_acting(&path);
        }
    }

    /// A later version of what was told of is nothing new: the same name, and what is in it was never shown.
    fn add_acting(&mut self, path: &RelativePath) {
        let known = ActingPath::from(path);
        if self.agreed.covers(&known) || self.told.contains(&known) || self.untold.contains(&known)
        {
            return;
        }
        // One more than an agreement lists: who agrees to that agrees to any.
        if self.untold.len() > LISTED_MAX {
            self.beyond = self.beyond.saturating_add(1);
            return;
        }
        self.untold.insert(known);
        if self.flagged.len() < NAMES_MAX {
            self.flagged.push(PathText::new(path.as_bytes()));
        }
    }
}

/// Whether a file or directory of this name runs or configures programs, where some disk or system takes the name for it:
/// without regard to case and composition, to characters that nobody sees, and to dots and spaces at its end.
fn acts(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    // Most names, and all of a tree come here: without Unicode's tables it takes a tenth of the time.
    let name = if name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        name.to_ascii_lowercase()
    } else {
        let seen = |character: &char| !crate::visible::is_hidden(*character);
        folded(&name.chars().filter(seen).collect::<String>()).to_lowercase()
    };
    // Another stream of the same file, on NTFS; what FAT drops is at the end of what stands before it.
    let name = name.split(':').next().unwrap_or_default();
    let name = name.trim_end_matches(['.', ' ']);
    FILES.contains(&name)
        || DIRECTORIES.contains(&name)
        || ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::acts;

    #[test]
    fn names_that_act_are_known_in_every_spelling() {
        for name in [
            ".bashrc",
            ".BashRC",
            ".ssh",
            ".git",
            ".GIT",
            "authorized_keys",
            "autorun.inf",
            "AUTORUN.INF",
            "autorun.inf.",
            "autorun.inf ",
            ".g\u{200c}it",
            ".git::$INDEX_ALLOCATION",
            ".git.::$INDEX_ALLOCATION",
            "autorun.inf .:x",
            ".ba\u{17f}hrc",
            "\u{ff0e}ssh",
            "game.desktop",
            "photo.jpg.lnk",
            ".config",
        ] {
            assert!(acts(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "photo.jpg",
            "bashrc",
            "git",
            ".gitignore",
            ".hidden",
            "README",
            ".lnk",
            "url",
            "startup.rs",
        ] {
            assert!(!acts(name.as_bytes()), "{name}");
        }
        assert!(!acts(b"\xff"));
    }
}
