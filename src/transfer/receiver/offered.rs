//! What the question shows of a manifest: its top-level names, and the names that run or configure programs.

use super::NAMES_MAX;
use super::pages::is_remark;
use crate::event::PathText;
use crate::transfer::manifest::{DirectoryTable, Entry, Page, Verdict};
use crate::transfer::name::folded;

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

/// What is known of it so far, each bounded by [`NAMES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Offered {
    /// Top-level names.
    pub(super) names: Vec<PathText>,
    /// Paths that run or configure something.
    pub(super) flagged: Vec<PathText>,
    /// How many of them the last question showed; `None` where whatever comes is accepted.
    shown: Option<usize>,
}

impl Offered {
    /// The user is asked now, with all that is known.
    pub(super) const fn show(&mut self) {
        self.shown = Some(self.flagged.len());
    }

    /// The user takes whatever comes.
    pub(super) const fn show_nothing_more(&mut self) {
        self.shown = None;
    }

    /// Whether a path came that is to be pointed out, and that the last question did not show.
    pub(super) fn has_unshown(&self) -> bool {
        self.shown.is_some_and(|shown| self.flagged.len() > shown)
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
        let room = NAMES_MAX.saturating_sub(self.names.len());
        let top = entries().filter(|entry| entry.parent.is_none());
        self.names.extend(top.take(room).map(|entry| PathText::new(&entry.name)));
        let room = NAMES_MAX.saturating_sub(self.flagged.len());
        let flagged = entries().filter(|entry| acts(&entry.name)).take(room);
        let path = |entry: &Entry| Some(PathText::new(directories.path(entry)?.as_bytes()));
        self.flagged.extend(flagged.filter_map(path));
    }
}

/// Whether a file or directory of this name runs or configures programs, where some disk or system takes the name for it:
/// without regard to case and composition, to characters that nobody sees, and to dots and spaces at its end.
fn acts(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let seen = |character: &char| !crate::visible::is_hidden(*character);
    let name = folded(&name.chars().filter(seen).collect::<String>()).to_lowercase();
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
