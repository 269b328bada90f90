//! Questions: answered by flags, else by the person at the terminal, else refused with the flag's name (exit code 7).

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use rejoin::error::{Error, ErrorKind};
use rejoin::options::OnConflict;
use rejoin::question::{Conflict, ConflictAnswer, Consent, NAMES_MAX, Offer, Question};
use tokio::sync::oneshot;

use super::output::escape::name_for_person;
use super::output::{PrinterHandle, units};

/// Most of a line that is read: answers are words.
const LINE_BYTES_MAX: u64 = 4_096;

/// What the flags say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Consenting {
    /// `-y`.
    pub(crate) yes: bool,
    /// `--on-conflict`.
    pub(crate) on_conflict: Option<OnConflict>,
}

impl Consenting {
    /// What settles every conflict without a question; `None`: the person is asked.
    pub(crate) fn policy(self, interactive: bool) -> Option<OnConflict> {
        let is_unasked = self.yes || !interactive;
        self.on_conflict.or(is_unasked.then_some(OnConflict::Fail))
    }
}

/// A prompt needs both: one to ask on, one to hear from.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Answers `question`; waits for the person where it comes to that.
pub(crate) async fn answer(
    question: Question,
    consenting: Consenting,
    printer: PrinterHandle,
    interactive: bool,
) {
    match question {
        Question::Accept { offer, reply } => {
            let answer = match (consenting.yes, interactive) {
                (true, _) => Ok(Consent::AcceptedAll),
                (false, true) => ask_consent(&offer, &printer).await,
                (false, false) => Err(nobody("accept the transfer", "-y")),
            };
            // A session that has ended no longer needs the answer.
            let _ = reply.send(answer);
        }
        Question::Conflict { conflict, reply } => {
            let settled = |choice| ConflictAnswer { choice, for_all: true };
            let answer = match consenting.policy(interactive) {
                Some(choice) => Ok(settled(choice)),
                None => ask_conflict(&conflict, &printer).await,
            };
            let _ = reply.send(answer);
        }
    }
}

async fn ask_consent(offer: &Offer, printer: &PrinterHandle) -> Result<Consent, Error> {
    loop {
        let line = ask(consent_text(offer), printer, "-y").await?;
        match parse_consent(&line, offer) {
            Some(consent) => return Ok(consent),
            None => printer.line("Please answer y or n.".to_owned()).await,
        }
    }
}

async fn ask_conflict(
    conflict: &Conflict,
    printer: &PrinterHandle,
) -> Result<ConflictAnswer, Error> {
    loop {
        let line = ask(conflict_text(conflict), printer, "--on-conflict").await?;
        match parse_conflict(&line) {
            Some(answer) => return Ok(answer),
            None => printer.line("Please answer s, o, r or f.".to_owned()).await,
        }
    }
}

/// One line from the person, typed after the question: what was typed before it is no answer to it.
async fn ask(text: String, printer: &PrinterHandle, flag: &str) -> Result<String, Error> {
    terminal::forget_typed();
    printer.prompt(text).await;
    let (reply, line) = oneshot::channel();
    // Not a blocking task of the runtime: reading a terminal cannot be cancelled, and must not hold up the exit.
    std::thread::spawn(move || {
        let mut line = Vec::new();
        let read = std::io::stdin().lock().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let _ = reply.send(read.ok().filter(|bytes| *bytes > 0).map(|_| line));
    });
    let line = line.await.ok().flatten();
    printer.prompt_done().await;
    match line {
        Some(line) => Ok(String::from_utf8_lossy(&line).into_owned()),
        // As the signal says that comes with it, whichever is first.
        None if terminal::is_gone() => {
            Err(Error::new(ErrorKind::SignalTerminate, "the terminal is gone"))
        }
        None => Err(nobody("answer", flag)),
    }
}

/// The terminal on standard input.
mod terminal {
    #[cfg(unix)]
    pub(super) fn forget_typed() {
        // Where it is none there is nothing to forget.
        let _ = rustix::termios::tcflush(
            rustix::stdio::stdin(),
            rustix::termios::QueueSelector::IFlush,
        );
    }

    /// Whether there was one, and nobody holds its other end any more.
    #[cfg(unix)]
    pub(super) fn is_gone() -> bool {
        rustix::termios::tcgetattr(rustix::stdio::stdin()).err() == Some(rustix::io::Errno::IO)
    }

    #[cfg(not(unix))]
    pub(super) const fn forget_typed() {}

    #[cfg(not(unix))]
    pub(super) const fn is_gone() -> bool {
        false
    }
}

fn nobody(what: &str, flag: &str) -> Error {
    Error::new(ErrorKind::Refused, format!("nobody is there to {what}"))
        .with_hint(format!("pass {flag} to answer without a terminal"))
}

fn consent_text(offer: &Offer) -> String {
    let mut text = String::new();
    for path in offer.flagged.iter().take(NAMES_MAX) {
        text.push_str(&format!(
            "Mind {}: it can run or configure programs.\n",
            name_for_person(&path.path)
        ));
    }
    if offer.flagged_beyond > 0 {
        text.push_str(&format!("Mind {} more such names.\n", offer.flagged_beyond));
    }
    let names: Vec<_> =
        offer.names.iter().take(3).map(|name| name_for_person(&name.path)).collect();
    let names = match (names.is_empty(), offer.names.len() > names.len()) {
        (true, _) => String::new(),
        (false, more) => format!("{}{}: ", names.join(", "), if more { ", …" } else { "" }),
    };
    let size = units::tree(offer.files, offer.directories, offer.bytes);
    let so_far = if offer.at_least { " so far, and more to come" } else { "" };
    let again = if offer.again { "It is more than you accepted. " } else { "" };
    let choice = if is_yes_default(offer) { "Y/n" } else { "y/N" };
    text.push_str(&format!(
        "{again}Accept {names}{size}{so_far} from {}? ({choice}) ",
        name_for_person(&offer.from)
    ));
    text
}

/// Yes by default, as users of such tools know it; no where something needs a second look.
fn is_yes_default(offer: &Offer) -> bool {
    offer.flagged.is_empty() && !offer.again
}

fn parse_consent(line: &str, offer: &Offer) -> Option<Consent> {
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Some(Consent::Accepted),
        "n" | "no" => Some(Consent::Declined),
        "" if is_yes_default(offer) => Some(Consent::Accepted),
        "" => Some(Consent::Declined),
        _ => None,
    }
}

fn conflict_text(conflict: &Conflict) -> String {
    format!(
        "{} is there already and differs ({} here, {} offered).\n\
         [s]kip, [o]verwrite, [r]ename, [f]ail; a capital letter for all? (s) ",
        name_for_person(&conflict.path.path),
        units::size(conflict.present_bytes),
        units::size(conflict.offered_bytes)
    )
}

fn parse_conflict(line: &str) -> Option<ConflictAnswer> {
    let line = line.trim();
    let choice = match line.to_lowercase().as_str() {
        "" | "s" | "skip" => OnConflict::Skip,
        "o" | "overwrite" => OnConflict::Overwrite,
        "r" | "rename" => OnConflict::Rename,
        "f" | "fail" => OnConflict::Fail,
        _ => return None,
    };
    let for_all = line.starts_with(char::is_uppercase);
    Some(ConflictAnswer { choice, for_all })
}

#[cfg(test)]
mod tests {
    use rejoin::event::PathText;

    use super::*;

    fn offer() -> Offer {
        Offer {
            from: "lap\u{1b}top".to_owned(),
            names: vec![PathText::new(b"photos"), PathText::new(b"\xff\x9b")],
            files: 3,
            bytes: 1_288_490_189,
            ..Offer::default()
        }
    }

    #[test]
    fn the_prompt_shows_what_is_offered_and_escapes_it() {
        assert_eq!(
            consent_text(&offer()),
            "Accept photos, \\xff\\x9b: 3 files, 1.2 GiB from lap\\u{1b}top? (Y/n) "
        );
        let deep = Offer { files: 1, bytes: 1, directories: 30_000, names: Vec::new(), ..offer() };
        assert_eq!(
            consent_text(&deep),
            "Accept 1 file in 30000 directories, 1 B from lap\\u{1b}top? (Y/n) "
        );
        let flagged = Offer {
            flagged: vec![PathText::new(b".bashrc")],
            at_least: true,
            names: Vec::new(),
            ..offer()
        };
        assert_eq!(
            consent_text(&flagged),
            "Mind .bashrc: it can run or configure programs.\n\
             Accept 3 files, 1.2 GiB so far, and more to come from lap\\u{1b}top? (y/N) "
        );
    }

    #[test]
    fn the_prompt_counts_what_it_does_not_name() {
        let flagged = vec![PathText::new(b".ssh")];
        let text = consent_text(&Offer { flagged, flagged_beyond: 12, ..offer() });
        assert!(text.contains("\nMind 12 more such names.\n"), "{text}");
    }

    #[test]
    fn enter_is_yes_only_where_nothing_needs_a_second_look() {
        let harmless = offer();
        let again = Offer { again: true, ..offer() };
        assert_eq!(parse_consent("\n", &harmless), Some(Consent::Accepted));
        assert_eq!(parse_consent("\n", &again), Some(Consent::Declined));
        assert_eq!(parse_consent(" YES \n", &again), Some(Consent::Accepted));
        assert_eq!(parse_consent("n\n", &harmless), Some(Consent::Declined));
        assert_eq!(parse_consent("what\n", &harmless), None);
    }

    #[test]
    fn a_capital_letter_settles_all_conflicts() {
        let answer = |choice, for_all| Some(ConflictAnswer { choice, for_all });
        assert_eq!(parse_conflict("\n"), answer(OnConflict::Skip, false));
        assert_eq!(parse_conflict("o\n"), answer(OnConflict::Overwrite, false));
        assert_eq!(parse_conflict("R\n"), answer(OnConflict::Rename, true));
        assert_eq!(parse_conflict("Fail\n"), answer(OnConflict::Fail, true));
        assert_eq!(parse_conflict("x\n"), None);
    }

    async fn consent_without_terminal(consenting: Consenting) -> Result<Consent, Error> {
        let (reply, answered) = oneshot::channel();
        let question = Question::Accept { offer: offer(), reply };
        answer(question, consenting, PrinterHandle::unheard(), false).await;
        answered.await.unwrap()
    }

    async fn conflict_without_terminal(consenting: Consenting) -> ConflictAnswer {
        let (reply, answered) = oneshot::channel();
        let conflict = Conflict { path: PathText::new(b"a"), present_bytes: 1, offered_bytes: 2 };
        let question = Question::Conflict { conflict, reply };
        answer(question, consenting, PrinterHandle::unheard(), false).await;
        answered.await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn without_a_terminal_flags_answer_or_the_flag_is_named() {
        let error = consent_without_terminal(Consenting::default()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.hint.contains("-y"), "{}", error.hint);
        let yes = Consenting { yes: true, on_conflict: None };
        assert_eq!(consent_without_terminal(yes).await, Ok(Consent::AcceptedAll));
        assert_eq!(conflict_without_terminal(yes).await.choice, OnConflict::Fail);
        assert_eq!(conflict_without_terminal(Consenting::default()).await.choice, OnConflict::Fail);
        let overwrite = Consenting { on_conflict: Some(OnConflict::Overwrite), ..yes };
        assert_eq!(conflict_without_terminal(overwrite).await.choice, OnConflict::Overwrite);
    }
}
