//! Stdout has results only, so what of it could not be written is told, and is no success. A reader that left wanted no more.

use std::io::{self, Write};
use std::process::ExitCode;

use rejoin::error::ErrorKind;
use rejoin::visible::cause;

/// A stream of results.
pub(super) struct Results<W = io::Stdout> {
    sink: W,
    /// Nothing more is written after the first that was not.
    end: Option<End>,
}

enum End {
    /// Nobody reads any more (P-14).
    Left,
    Failed(io::Error),
}

impl Results {
    pub(super) fn new() -> Self {
        Self::to(io::stdout())
    }
}

impl<W: Write> Results<W> {
    pub(super) const fn to(sink: W) -> Self {
        Self { sink, end: None }
    }

    /// Writes at once.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.end.is_some() {
            return;
        }
        let written = self.sink.write_all(bytes).and_then(|()| self.sink.flush());
        self.end = written.err().map(End::of);
    }

    pub(super) const fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Why results are missing that somebody may still want.
    pub(super) const fn failure(&self) -> Option<&io::Error> {
        match &self.end {
            Some(End::Failed(error)) => Some(error),
            Some(End::Left) | None => None,
        }
    }

    #[cfg(test)]
    pub(super) fn into_sink(self) -> W {
        self.sink
    }
}

impl End {
    fn of(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Left } else { Self::Failed(error) }
    }
}

/// What a person is told of it, and the exit code of a run that did all else.
pub(super) fn told(error: &io::Error) -> (String, u8) {
    let is_space = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    let kind = if is_space { ErrorKind::Disk } else { ErrorKind::Failure };
    (format!("error: what was written to stdout is cut off: {}", cause(error)), kind.exit_code())
}

/// The exit code of a command that did nothing but write.
pub(crate) fn exit(written: io::Result<()>) -> ExitCode {
    match written.map_err(End::of) {
        Ok(()) | Err(End::Left) => ExitCode::SUCCESS,
        Err(End::Failed(error)) => {
            let (text, exit) = told(&error);
            super::say_early(&text);
            ExitCode::from(exit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind, u32);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_ends_the_writing_only() {
        let mut results = Results::to(Failing(io::ErrorKind::BrokenPipe, 0));
        results.write(b"a");
        results.write(b"b");
        assert!(results.is_over() && results.failure().is_none());
        assert_eq!(results.into_sink().1, 1);
    }

    #[test]
    fn what_could_not_be_written_is_known() {
        for (kind, exit) in [(io::ErrorKind::StorageFull, 8), (io::ErrorKind::WriteZero, 1)] {
            let mut results = Results::to(Failing(kind, 0));
            results.write(b"a");
            assert_eq!(told(results.failure().unwrap()).1, exit);
        }
    }
}
