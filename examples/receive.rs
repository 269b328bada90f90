//! Receives into a directory whatever the sender offers: `cargo run --example receive -- CODE DIRECTORY`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use rejoin::error::{Error, ErrorKind};
use rejoin::event::Event;
use rejoin::options::{OnConflict, ReceiveOptions, Secret};
use rejoin::question::{Consent, Question};
use rejoin::{session, ui};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let (Some(code), Some(target)) = (words.next(), words.next()) else {
        return Err(Error::new(ErrorKind::Usage, "CODE and DIRECTORY are needed"));
    };
    let options = ReceiveOptions {
        code: Some(Secret::new(code)),
        // Without this every file that is there and differs is a question.
        on_conflict: Some(OnConflict::Fail),
        ..ReceiveOptions::new(target.into())
    };
    let (session_end, mut our_end) = ui::pair();
    let showing = async {
        while let Some(event) = our_end.events.recv().await {
            if let Event::File { path, .. } = event {
                println!("{}", path.path);
            }
        }
    };
    let answering = async {
        while let Some(question) = our_end.questions.recv().await {
            if let Question::Accept { offer, reply } = question {
                println!("{} files from {}", offer.files, offer.from);
                // A session that has ended needs no answer.
                let _ = reply.send(Ok(Consent::Accepted));
            }
        }
    };
    let running = session::receive(options, session_end);
    let (outcome, (), ()) = tokio::join!(running, showing, answering);
    println!("{} files are here", outcome?.files);
    Ok(())
}
