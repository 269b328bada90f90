//! Connections that get TURN credentials of the moment: what needs them waits, in order, while the source is asked.

use super::{RoleActions, Runner};
use crate::error::Error;
use crate::link::{CloseReason, LinkCommand, LinkEvent, TurnServer};
use crate::options::CommonOptions;
use crate::session::relay::grant::Grant;
use crate::session::relay::{self, Moment, RelayOutput, Relays, source};
use crate::session::surroundings;
use std::time::Instant;
use tokio::sync::mpsc;

/// Commands that wait for credentials; a description and its candidates are about 50, and the peer's are bounded, too.
const HELD_MAX: usize = 256;

/// The TURN servers of a run, and what waits for their credentials.
pub(in crate::session) struct Relaying {
    relays: Relays,
    options: CommonOptions,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    held: Vec<Held>,
    /// When the credentials at hand expire, if they do: for the record.
    expires: Option<u64>,
}

type Answer = Result<Grant, String>;

/// What waits.
enum Held {
    Start { is_carried: bool },
    Command(LinkCommand),
}

impl Relaying {
    /// With the servers that `options` name; asks for credentials when the run begins.
    ///
    /// # Errors
    /// `--relay-only` without a usable server.
    pub(in crate::session) fn new(options: &CommonOptions) -> Result<Self, Error> {
        let mut relays = Relays::new(options)?;
        relays.prepare(moment());
        Ok(Self {
            relays,
            options: options.clone(),
            answers: mpsc::channel(1),
            held: Vec::new(),
            expires: None,
        })
    }

    /// What the source said.
    pub(super) async fn answered(&mut self) -> Option<Answer> {
        self.answers.1.recv().await
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.relays.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.relays.poll_timeout().is_some_and(|at| now >= at) {
            self.relays.prepare(moment());
        }
    }

    /// The path is bad: what a reconnection needs is fetched before it is needed.
    pub(super) fn renew(&mut self) {
        self.relays.prepare(moment());
    }

    pub(super) fn handle_answer(&mut self, answer: Answer) {
        self.relays.handle_answer(answer, moment());
    }

    pub(super) fn handle_link(&mut self, event: &LinkEvent) {
        if let LinkEvent::Allocation { url, outcome } = event {
            self.relays.handle_allocation(url, *outcome, moment());
        }
    }

    /// The connection that waits, if one does, is not wanted any more.
    pub(super) fn forget_held(&mut self) {
        self.held.clear();
    }

    fn ask(&self) {
        let (source, answers) = (self.options.turn_source.clone(), self.answers.0.clone());
        let helper = self.options.helper.clone();
        tokio::spawn(async move {
            let answer =
                source::ask(&source, helper.as_ref()).await.map_err(|error| error.to_string());
            // The run may be over.
            let _ = answers.send(answer).await;
        });
    }
}

fn moment() -> Moment {
    Moment { now: Instant::now(), unix: surroundings::unix_time() }
}

impl<R: RoleActions> Runner<R> {
    /// Does what the TURN servers' machine asks for.
    pub(super) async fn drive_relays(&mut self) -> Result<(), Error> {
        while let Some(output) = self.around.relaying.relays.poll_output() {
            match output {
                RelayOutput::Ask => self.around.relaying.ask(),
                RelayOutput::Settled => self.release().await?,
                RelayOutput::Taken(expires) => {
                    self.around.relaying.expires = expires;
                    self.keep_relays();
                }
                RelayOutput::Rebuild => self.end_attempt("other TURN credentials are there"),
                RelayOutput::Event(event) => self.around.ui.emit(event).await,
                RelayOutput::Failed(error) => self.ending = Some(Err(error)),
            }
        }
        Ok(())
    }

    /// Notes the servers in the session record, so that `resume` needs no flags.
    pub(super) fn keep_relays(&mut self) {
        let Relaying { options, expires, .. } = &self.around.relaying;
        let has_servers = !(options.turn.is_empty() && options.stun.is_empty());
        if has_servers {
            let (options, expires) = (options.clone(), *expires);
            self.around.role.note(|record| relay::keep(record, &options, expires));
        }
    }

    /// Starts a connection, once there are credentials for it.
    pub(super) async fn begin_link(&mut self, is_carried: bool) -> Result<(), Error> {
        self.stop_link();
        if self.around.relaying.relays.prepare(moment()) {
            self.around.relaying.held.push(Held::Start { is_carried });
            return Ok(());
        }
        self.start_with_servers(is_carried).await
    }

    /// Passes a command on, behind what waits. Before candidates are gathered anew, the credentials are looked at.
    pub(super) fn command(&mut self, command: LinkCommand) {
        let gathers_anew = match command {
            LinkCommand::RestartIce => true,
            LinkCommand::Answer { .. } => self.session.is_up(),
            LinkCommand::Offer
            | LinkCommand::AcceptAnswer { .. }
            | LinkCommand::AddCandidate(_)
            | LinkCommand::Carry(_)
            | LinkCommand::SetTurnServers(_)
            | LinkCommand::Close
            | LinkCommand::CloseNow => false,
        };
        let relaying = &mut self.around.relaying;
        let must_wait = !relaying.held.is_empty()
            || gathers_anew && self.connection.is_some() && relaying.relays.prepare(moment());
        if !must_wait {
            return self.pass_on(command, gathers_anew);
        }
        if relaying.held.len() < HELD_MAX {
            relaying.held.push(Held::Command(command));
        } else {
            tracing::warn!(target: "rejoin::turn", "too many commands wait for credentials, one lost");
        }
    }

    async fn release(&mut self) -> Result<(), Error> {
        for held in std::mem::take(&mut self.around.relaying.held) {
            match held {
                Held::Start { is_carried } => self.start_with_servers(is_carried).await?,
                Held::Command(command) => {
                    let gathers_anew = matches!(command, LinkCommand::RestartIce)
                        || matches!(command, LinkCommand::Answer { .. }) && self.session.is_up();
                    self.pass_on(command, gathers_anew);
                }
            }
        }
        Ok(())
    }

    async fn start_with_servers(&mut self, is_carried: bool) -> Result<(), Error> {
        let servers = self.around.relaying.relays.begin(Instant::now());
        if servers.is_empty() && self.around.relaying.relays.is_only_path() {
            self.end_attempt("no TURN server can be used now");
            return Ok(());
        }
        self.start_link(servers, is_carried).await
    }

    fn pass_on(&mut self, command: LinkCommand, gathers_anew: bool) {
        let Some(connection) = &self.connection else { return };
        let servers: Vec<TurnServer> =
            if gathers_anew { self.around.relaying.relays.current() } else { Vec::new() };
        let first = (!servers.is_empty()).then_some(LinkCommand::SetTurnServers(servers));
        for command in first.into_iter().chain([command]) {
            if let Err(error) = connection.handle.command(command) {
                tracing::info!(target: "rejoin::link", %error, "a command was refused");
            }
        }
    }

    /// Ends the attempt at hand, or the one that could not begin, as one that failed; the schedules go on from there.
    fn end_attempt(&mut self, reason: &str) {
        if self.session.is_up() {
            return;
        }
        self.stop_link();
        let reason = CloseReason::Transport(reason.to_owned());
        self.session.handle_link(LinkEvent::Closed { reason }, Instant::now());
    }
}
