//! The file on the disk: found, opened without ever waiting for anybody, read up to a limit.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rejoin::error::{Error, ErrorKind};
use rejoin::visible::cause;
use toml::Table;

use crate::cli::output::escape;

/// A configuration is a page of text; more is another file (I-11).
const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// What one can do about a file that is there.
const REMEDY: &str =
    "mend or remove it, or name another directory for configurations with XDG_CONFIG_HOME";

/// What stands in the file's place.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A configuration.
    Table(Table),
    /// Something that cannot be used.
    Unusable(Error),
    /// What is there is not for us: its directory is closed, or others can write it.
    Foreign(Error),
}

/// Where it is on this machine, for this user.
pub(super) fn place() -> Option<PathBuf> {
    let directories = directories::ProjectDirs::from("", "", "rejoin")?;
    let path = directories.config_dir().join("config.toml");
    // A relative HOME is another place in every directory.
    path.is_absolute().then_some(path)
}

/// Reads it.
pub(super) fn read(path: &Path) -> Found {
    let unusable = |kind, message: &str| Found::Unusable(error(kind, path, message));
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_absent(&error) => return Found::Nothing,
        Err(reason) if reason.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("{}; it is not used", cause(&reason));
            return Found::Foreign(error(ErrorKind::Disk, path, &message).with_hint(
                "HOME and XDG_CONFIG_HOME say where configurations are; is it another user's?",
            ));
        }
        Err(error) => return unusable(ErrorKind::Disk, &cause(&error)),
    };
    if is_null(&metadata) {
        return Found::Nothing;
    }
    let opened = open(path, &metadata);
    #[cfg(unix)]
    if let Ok(file) = &opened
        && let Some(who) = file.metadata().ok().as_ref().and_then(crate::cli::code_file::strangers)
    {
        // It may name a command that would run as us.
        let message = format!("{who} can write it; it is not used");
        return Found::Foreign(error(ErrorKind::Disk, path, &message).with_hint(
            "make it your own (chown, chmod go-w), or name another directory for configurations with XDG_CONFIG_HOME",
        ));
    }
    let bytes = opened.and_then(|file| {
        let mut bytes = Vec::new();
        file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if is_absent(&error) => return Found::Nothing,
        Err(error) => return unusable(ErrorKind::Disk, &cause(&error)),
    };
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        let message = format!("larger than {} KiB", CONFIG_BYTES_MAX / 1024);
        return unusable(ErrorKind::Usage, &message);
    }
    match String::from_utf8(bytes)
        .map_err(|_| "no UTF-8 text".to_owned())
        .and_then(|text| parse(&text))
    {
        Ok(table) => Found::Table(table),
        Err(message) => unusable(ErrorKind::Usage, &message),
    }
}

/// What is wrong is told by its line, which is not shown: a secret may stand in it (H-15).
pub(super) fn parse(text: &str) -> Result<Table, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.parse::<Table>().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("no TOML, line {}: {}", before.matches('\n').count() + 1, error.message())
    })
}

/// Whether the path leads nowhere: a part of it is missing, is a file, or can be no name here.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

/// Opens a regular file only: a FIFO would wait for its writer, a device may do anything.
fn open(path: &Path, metadata: &Metadata) -> io::Result<File> {
    let odd = || Err(io::Error::other("no regular file"));
    if !metadata.is_file() {
        return odd();
    }
    let mut options = OpenOptions::new();
    options.read(true);
    // Whatever took the file's place meanwhile.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.union(rustix::fs::OFlags::NOCTTY).bits().cast_signed(),
    );
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { odd() }
}

/// Whether it is `/dev/null`, which is how one masks a file.
#[cfg(unix)]
fn is_null(metadata: &Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let null = std::fs::metadata("/dev/null").map(|null| null.rdev());
    metadata.file_type().is_char_device() && null.is_ok_and(|null| null == metadata.rdev())
}

#[cfg(not(unix))]
fn is_null(_: &Metadata) -> bool {
    false
}

pub(super) fn error(kind: ErrorKind, path: &Path, message: &str) -> Error {
    let name = escape::os_for_person(path.as_os_str());
    Error::new(kind, format!("configuration {name}: {message}")).with_hint(REMEDY)
}
