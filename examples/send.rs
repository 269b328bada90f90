//! Sends files and directories, and prints the code: `cargo run --example send -- PATH…`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use rejoin::error::Error;
use rejoin::event::Event;
use rejoin::options::SendOptions;
use rejoin::{session, ui};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let paths = std::env::args_os().skip(1).map(Into::into).collect();
    // One end for the session, one for whoever shows and answers.
    let (session_end, mut our_end) = ui::pair();
    let showing = async {
        // Ends with the session.
        while let Some(event) = our_end.events.recv().await {
            if let Event::Code { code, .. } = event {
                println!("{code}");
            }
        }
    };
    let (outcome, ()) = tokio::join!(session::send(SendOptions::new(paths), session_end), showing);
    println!("{} files arrived", outcome?.files);
    Ok(())
}
