//! `rejoin sessions` and `rejoin resume`: what this machine keeps, and going on with it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use rejoin::error::Error;
use rejoin::event::{Layer, Role};
use rejoin::session::stored::{self, Continuation, SHORT_ID, StoredSession};

use super::args::{ConnectArgs, OutputArgs};
use super::output::{Printer, Subject, escape, fail_early, listing, units, warn_early};

use super::receive::PresentArgs;
use super::run::Run;
use super::{Setting, before, usage};

#[derive(Args, Debug)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List the stored sessions, the newest first
    List(ListArgs),
    /// Show one session
    Show(OneArgs),
    /// Forget a session, and remove its partial files; what is complete stays
    Discard(OneArgs),
    /// Discard what nobody used for seven days
    Prune(ListArgs),
    /// Print a one-time code for a receiver that lost its session
    Invite(OneArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Directory where sessions are stored
    #[arg(long, value_name = "DIR", env = "REJOIN_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long, env = "REJOIN_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

#[derive(Args, Debug)]
struct OneArgs {
    /// Its id, or the beginning of it
    id: String,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ResumeArgs {
    /// The session's id, or the beginning of it; none: the only one
    id: Option<String>,
    /// Accept without asking; existing files that differ stay untouched
    #[arg(short, long, env = "REJOIN_YES", value_parser = BoolishValueParser::new())]
    yes: bool,
    #[command(flatten)]
    present: PresentArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &SessionsArgs, setting: &Setting) -> ExitCode {
    let list = match &args.action {
        Action::List(list) | Action::Prune(list) => list,
        Action::Show(one) | Action::Discard(one) | Action::Invite(one) => &one.list,
    };
    warn_early(&setting.warnings);
    if let Action::Invite(one) = &args.action {
        return invite(one);
    }
    match act(&args.action) {
        Ok(sessions) => {
            let mut lines = shown(&sessions, list.json);
            if matches!(args.action, Action::Show(_)) && !list.json {
                lines.extend(sessions.iter().flat_map(details));
            }
            listing(&lines)
        }
        Err(error) => fail_early(error, list.json),
    }
}

fn act(action: &Action) -> Result<Vec<StoredSession>, Error> {
    match action {
        Action::List(list) => stored::list(list.state_dir.as_deref()),
        Action::Show(one) | Action::Invite(one) => {
            stored::find(one.list.state_dir.as_deref(), &one.id)
        }
        Action::Prune(list) => stored::prune(list.state_dir.as_deref()),
        Action::Discard(one) => {
            let found = stored::find(one.list.state_dir.as_deref(), &one.id)?;
            for session in &found {
                stored::discard(one.list.state_dir.as_deref(), session)?;
            }
            Ok(found)
        }
    }
}

fn invite(one: &OneArgs) -> ExitCode {
    let state_directory = one.list.state_dir.as_deref();
    let invited = stored::find(state_directory, &one.id).and_then(|found| {
        // Both sides may be here: the sender's is the one that invites.
        let sender = found.iter().find(|session| session.role == Role::Sender);
        sender.or(found.first()).map_or_else(
            || Err(usage("no such session")),
            |session| stored::invite(state_directory, session),
        )
    });
    match invited {
        Ok(invited) if one.list.json => {
            listing(&[serde_json::to_string(&invited).unwrap_or_default()])
        }
        Ok(invited) => {
            let mut lines = vec![
                format!("Code: {}", invited.code),
                "On the other machine, in the directory of the interrupted transfer, run:"
                    .to_owned(),
                String::new(),
                format!("    {}", invited.command),
                String::new(),
                "The code is good for one hour and one use.".to_owned(),
            ];
            if !invited.is_running {
                let id = invited.id.chars().take(SHORT_ID).collect::<String>();
                lines.push(format!("On this machine, run: rejoin resume {id}"));
            }
            listing(&lines)
        }
        Err(error) => fail_early(error, one.list.json),
    }
}

/// Continues a stored session in its stored role.
pub(crate) fn resume(args: ResumeArgs, setting: Setting) -> ExitCode {
    let timeout = args.connect.timeout;
    let is_confined = args.connect.is_confined();
    let output = args.output.to_options();
    let Setting { turn, helper, warnings } = setting;
    let common = args.connect.into_options(turn, helper);
    let consent = args.present.consenting(args.yes);
    let chosen = choose(common.state_directory.as_deref(), args.id.as_deref())
        .and_then(|session| stored::continuation(&common, &session))
        .map(|continuation| match continuation {
            Continuation::Receive(options) => {
                Continuation::Receive(args.present.apply(options, consent))
            }
            Continuation::Send(options) => Continuation::Send(options),
        });
    let prepared = chosen.and_then(|continuation| {
        let note = match &continuation {
            Continuation::Send(options) => before::send(options, is_confined)?,
            Continuation::Receive(options) => before::receive(options, is_confined)?,
        };
        Ok((continuation, note))
    });
    let subject = match &prepared {
        Ok((Continuation::Send(_), _)) => Subject::Sending("the session".to_owned()),
        Ok((Continuation::Receive(_), _)) | Err(_) => Subject::Receiving,
    };
    // It has a thread, and so comes after the confinement.
    let printer = Printer::new(&output, subject);
    let (continuation, note) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return printer.fail(error),
    };
    warnings.iter().for_each(|warning| printer.warn(warning));
    before::tell(&printer, &output, note);
    let run = Run { printer, timeout, code_out: None, consent };
    match continuation {
        Continuation::Send(options) => run.drive(|ui| rejoin::session::send(options, ui)),
        Continuation::Receive(options) => run.drive(|ui| rejoin::session::receive(options, ui)),
    }
}

/// The session meant: the one named, or the only one that can be continued.
fn choose(
    state_directory: Option<&std::path::Path>,
    id: Option<&str>,
) -> Result<StoredSession, Error> {
    let mut found = match id {
        Some(id) => stored::find(state_directory, id)?,
        None => stored::list(state_directory)?
            .into_iter()
            .filter(|session| session.is_paired && !session.is_complete && !session.is_running)
            .collect(),
    };
    match (found.pop(), found.is_empty()) {
        (Some(session), true) => Ok(session),
        (None, _) => Err(usage("there is no session to continue")),
        (Some(last), false) => {
            found.push(last);
            let ids: Vec<String> = found.iter().map(line).collect();
            Err(usage(&format!("several sessions can be continued: {}", ids.join("; ")))
                .with_hint("rejoin resume ID, with one of these"))
        }
    }
}

fn shown(sessions: &[StoredSession], json: bool) -> Vec<String> {
    let to_json = |session| serde_json::to_string(session).unwrap_or_default();
    sessions.iter().map(|session| if json { to_json(session) } else { line(session) }).collect()
}

/// What `show` says beyond the line.
fn details(session: &StoredSession) -> Vec<String> {
    let name = |layer| match layer {
        Layer::Ice => "ice",
        Layer::Host => "host",
        Layer::Connection => "connection",
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let servers =
        session.servers.iter().map(|url| format!("  server   {}", escape::for_person(url)));
    let attempts = session.attempts.iter().map(|attempt| {
        let age = units::remaining(now.saturating_sub(attempt.at_ms / 1000));
        format!("  attempt  {age:>8} ago  {:<10}  {}", name(attempt.layer), attempt.outcome)
    });
    servers.chain(attempts).collect()
}

/// One session in one line.
fn line(session: &StoredSession) -> String {
    let role = match session.role {
        Role::Sender => "send",
        Role::Receiver => "receive",
    };
    let state = match (&session.damage, session.is_running, session.is_complete, session.is_paired)
    {
        (Some(_), ..) => "damaged",
        (None, true, ..) => "running",
        (None, false, true, _) => "complete",
        (None, false, false, true) => "unfinished",
        (None, false, false, false) => "never joined",
    };
    let places: Vec<_> = session
        .places
        .iter()
        .map(|place| escape::name_for_person(&place.path).into_owned())
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let age = units::remaining(now.saturating_sub(session.updated));
    let id = &session.id[..SHORT_ID.min(session.id.len())];
    let damage = session.damage.as_ref().map(|damage| format!(" ({damage})")).unwrap_or_default();
    format!("{id}  {role:<7}  {state:<12}  {age:>8} ago  {}{damage}", places.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin::event::PathText;
    use rejoin::session::stored::StoredAttempt;

    #[test]
    fn a_line_names_what_a_person_needs() {
        let session = StoredSession {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            role: Role::Receiver,
            places: vec![PathText::new(b"/tmp/a\x1b")],
            peer: "laptop".to_owned(),
            is_paired: true,
            is_complete: false,
            is_running: false,
            created: 1,
            updated: u64::MAX,
            epoch: 3,
            attempts: vec![StoredAttempt { at_ms: 5_000, layer: Layer::Ice, outcome: "timed out" }],
            servers: vec!["turn:a\u{1b}".to_owned()],
            damage: None,
        };
        let [server, attempt] = &details(&session)[..] else { panic!("other details") };
        assert!(server.contains("turn:a\\u{1b}"), "{server}");
        assert!(attempt.ends_with("ice         timed out"), "{attempt}");
        let text = line(&session);
        assert!(text.starts_with("0123456789ab  receive  unfinished"), "{text}");
        assert!(text.contains("/tmp/a\\u{1b}") && !text.contains('\u{1b}'), "{text}");
    }
}
