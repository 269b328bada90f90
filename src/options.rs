//! What a run was asked to do: plain values, parsed and checked, that `cli` fills in and a session reads.
//!
//! The module knows neither flags nor files; it stands below `session`, which may not import `cli`.

mod timing;

pub use timing::{Profile, Timing};

#[cfg(not(target_family = "wasm"))]
use crate::helper::Helper;
use crate::wire::SessionId;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroize as _;

/// Words in a fresh code; three give 33 bits (design §4).
pub const CODE_WORDS: u8 = 3;
/// How long a lost connection is looked for before the run ends resumable (cli.md, `--retry-for`).
pub const RETRY_FOR: Duration = Duration::from_secs(30 * 60);
/// Where `rejoin host` listens unless told otherwise.
pub const HOST_LISTEN: &str = "127.0.0.1:9750";

/// Which paths a link may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathPolicy {
    /// Direct, else through TURN.
    #[default]
    Any,
    /// Never through TURN.
    DirectOnly,
    /// Through TURN only.
    RelayOnly,
}

/// A text that no log may show; overwritten when it is dropped (I-05).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Credentials for TURN servers; from environment or configuration, never argv.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnCredentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// Which of the two gave credentials that are as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Variables of the environment.
    Environment,
    /// The configuration file.
    Configuration,
}

/// Where the credentials of TURN servers come from. It is asked again when they are about to expire (X15).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TurnSource {
    /// There is none.
    #[default]
    None,
    /// Always these.
    Fixed {
        /// They.
        credentials: TurnCredentials,
        /// Who gave them.
        origin: Origin,
    },
    /// The secret that the server knows, too (coturn's `use-auth-secret`): credentials for an hour are made of it.
    SharedSecret(Secret),
    /// A program and its arguments, which prints them; run without a shell by [`CommonOptions::helper`].
    Command(Vec<String>),
}

/// What sending and receiving have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonOptions {
    /// `ws://` and `wss://` URLs of hosts, tried in order; none: the embedded host, or the one inside the code.
    pub hosts: Vec<String>,
    /// `stun:` and `stuns:` URLs.
    pub stun: Vec<String>,
    /// `turn:` and `turns:` URLs.
    pub turn: Vec<String>,
    /// Where their credentials come from.
    pub turn_source: TurnSource,
    /// Who runs the command that it may be.
    #[cfg(not(target_family = "wasm"))]
    pub helper: Option<Helper>,
    /// Which paths a link may use.
    pub path_policy: PathPolicy,
    /// Where sessions live; none: the platform's place.
    pub state_directory: Option<PathBuf>,
    /// Reconnection budget.
    pub retry_for: Duration,
    /// Intervals, tries and limits that a user may tune.
    pub timing: Timing,
    /// Most bytes a second that are sent; none: as many as the path takes.
    pub rate_limit: Option<u64>,
    /// Whether DTLS travels in datagrams of our own where the peer can do that too ([`crate::carrier`]).
    pub is_carried: bool,
    /// Largest UDP payload that is tried; none: as large as the path takes.
    pub datagram_bytes_max: Option<u16>,
}

/// As the program has them without any option.
impl Default for CommonOptions {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            stun: Vec::new(),
            turn: Vec::new(),
            turn_source: TurnSource::default(),
            #[cfg(not(target_family = "wasm"))]
            helper: None,
            path_policy: PathPolicy::default(),
            state_directory: None,
            retry_for: RETRY_FOR,
            timing: Timing::default(),
            rate_limit: None,
            is_carried: true,
            datagram_bytes_max: None,
        }
    }
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// Shared options.
    pub common: CommonOptions,
    /// Files and directories, as typed.
    pub sources: Vec<PathBuf>,
    /// A code chosen by the user.
    pub code: Option<Secret>,
    /// Words in a fresh code.
    pub code_words: u8,
    /// Start afresh, whatever unfinished session there is.
    pub is_new: bool,
}

impl SendOptions {
    /// These files and directories, with a code that is made for them.
    #[must_use]
    pub fn new(sources: Vec<PathBuf>) -> Self {
        let common = CommonOptions::default();
        Self { common, sources, code: None, code_words: CODE_WORDS, is_new: false }
    }
}

/// What happens to an existing file that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// It stays; that is what the user wanted.
    Skip,
    /// It is replaced.
    Overwrite,
    /// It stays, and the new one takes another name.
    Rename,
    /// It stays and is listed; the rest is received; exit code 7.
    Fail,
}

/// What the receiver refuses to take more of, whatever it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Bytes of content in all.
    pub bytes: Option<u64>,
    /// Files and symlinks in all.
    pub files: Option<u64>,
}

/// What to receive. Consent is asked as a `Question`, and so are conflicts that `on_conflict` does not settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// Shared options.
    pub common: CommonOptions,
    /// The code as given, with the host inside it if there is one; none: the stored session of `target`.
    pub code: Option<Secret>,
    /// The one that is meant where several of `target` are stored.
    pub session: Option<SessionId>,
    /// The directory to receive into.
    pub target: PathBuf,
    /// What to refuse.
    pub limits: ReceiveLimits,
    /// How long to wait for a sender or room that is not there yet; none: not at all.
    pub wait: Option<Duration>,
    /// Files that are there are compared by content, not by size and mtime.
    pub checksum: bool,
    /// What happens to an existing file that differs, found before or when a name is given; none: ask.
    pub on_conflict: Option<OnConflict>,
    /// A symlink inside the target that stands where a directory is to be is followed; else it is a conflict.
    pub follow_target: bool,
}

/// What is done about directories at the target that cannot be had under their own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryNames {
    /// A symlink inside the target is followed.
    pub(crate) is_following: bool,
    /// They get other names.
    pub(crate) is_renaming: bool,
}

impl ReceiveOptions {
    /// Into `target`: what the only unfinished session there was about, unless a code is set.
    #[must_use]
    pub fn new(target: PathBuf) -> Self {
        Self {
            common: CommonOptions::default(),
            code: None,
            session: None,
            target,
            limits: ReceiveLimits::default(),
            wait: None,
            checksum: false,
            on_conflict: None,
            follow_target: false,
        }
    }

    pub(crate) fn directory_names(&self) -> DirectoryNames {
        DirectoryNames {
            is_following: self.follow_target,
            is_renaming: self.on_conflict == Some(OnConflict::Rename),
        }
    }
}

/// How to be a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Address and port, `127.0.0.1:9750`; port 0 takes a free one.
    pub listen: String,
    /// What members are told to connect to, where it is not the address listened on.
    pub public_url: Option<String>,
    /// Rooms open at once; none: the host's own default.
    pub max_rooms: Option<usize>,
    /// Members in a room; none: the host's own default.
    pub max_members: Option<usize>,
    /// How long a room lives without its owner; none: the host's own default.
    pub room_lease: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_keeps_secrets_to_itself() {
        let credentials = TurnCredentials {
            username: "ann".to_owned(),
            password: Secret::new("hunter2".to_owned()),
        };
        let text = format!("{credentials:?}");
        assert!(text.contains("ann") && !text.contains("hunter2"), "{text}");
        assert_eq!(credentials.password.expose(), "hunter2");
    }
}
