//! Codes in files: read for `--code-file`, written for `--code-out`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::Path;

use rejoin::error::{Error, ErrorKind};

/// A code is a room, some words and a host: a file that is larger is another file.
const CODE_BYTES_MAX: u64 = 1024;

/// The one line of `file`, or of standard input where it is `-`.
pub(crate) fn read(file: &Path) -> Result<String, Error> {
    let text = if file == Path::new("-") {
        read_bounded(io::stdin().lock())
    } else {
        File::open(file).and_then(read_bounded)
    };
    let text = text.map_err(|error| failed("read the code from", file, &error))?;
    let code = text.trim();
    if code.is_empty() || code.contains('\n') {
        let message = format!("there is no code in {}", file.display());
        return Err(
            Error::new(ErrorKind::Usage, message).with_hint("one line with the code is expected")
        );
    }
    Ok(code.to_owned())
}

/// Puts `code` in `file`, whole or not at all, readable by its owner only from the first byte.
pub(crate) fn write(file: &Path, code: &str) -> Result<(), Error> {
    write_then_rename(file, code).map_err(|error| failed("write the code to", file, &error))
}

fn read_bounded(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(CODE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CODE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too long for a code"));
    }
    Ok(text)
}

fn write_then_rename(file: &Path, code: &str) -> io::Result<()> {
    // A pipe or a terminal cannot be replaced, and must not be.
    if let Ok(metadata) = std::fs::metadata(file)
        && !metadata.is_file()
    {
        return OpenOptions::new()
            .write(true)
            .open(file)?
            .write_all(format!("{code}\n").as_bytes());
    }
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(format!(".{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&fresh)
        .and_then(|mut opened| opened.write_all(format!("{code}\n").as_bytes()))
        .and_then(|()| std::fs::rename(&fresh, file));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&fresh);
    }
    written
}

fn failed(what: &str, file: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::Disk, format!("cannot {what} {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_its_file_and_replaces_an_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("code");
        std::fs::write(&file, "older").unwrap();
        write(&file, "7-crane-velvet-orbit").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "7-crane-velvet-orbit\n");
        assert_eq!(read(&file).unwrap(), "7-crane-velvet-orbit");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_holds_no_code_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("code");
        for (text, kind) in [
            (String::new(), ErrorKind::Usage),
            (" \n".to_owned(), ErrorKind::Usage),
            ("a\nb\n".to_owned(), ErrorKind::Usage),
            ("x".repeat(2000), ErrorKind::Disk),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file).unwrap_err().kind, kind);
        }
        assert_eq!(read(&directory.path().join("none")).unwrap_err().kind, ErrorKind::Disk);
        assert_eq!(
            write(&directory.path().join("none/code"), "x").unwrap_err().kind,
            ErrorKind::Disk
        );
    }
}
