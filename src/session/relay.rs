//! TURN servers of a run: which ones a connection gets, with which credentials, and what is learned from what they say.
//!
//! Pure; `source` asks. Credentials are asked for at the start, again before they expire, and again when a server
//! refuses them (X15). Refused a second time, or where the source has no others to give, they are wrong: that is said
//! once, with the server's name, and never tried blindly again (K-13). A server that fails otherwise is left alone by its
//! breaker for a while, and the others come first (F-38, K-12).

pub mod grant;
#[cfg(not(target_family = "wasm"))]
pub(super) mod source;
mod stored;

pub(super) use stored::{keep, paths, restore};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::link::{Allocation, TurnServer};
use crate::options::{CommonOptions, PathPolicy, TurnSource};
use crate::time::{CircuitBreaker, Instant};
use grant::Grant;
use std::collections::VecDeque;
use std::time::Duration;

/// Servers given to one connection: each one costs a request per local address, and two rarely fail at once.
const SERVERS_PER_LINK: usize = 2;

/// Credentials are asked for again this long before they expire, or a sixth of their time, if that is less (K-34).
const MARGIN_MAX: Duration = Duration::from_secs(600);

/// Answers in a row that were expired already: the source's clock or ours is wrong, and asking on does not help.
const EXPIRED_MAX: u32 = 3;

/// Failures of a source in a row after which it is left alone for [`SOURCE_PAUSE`] (K-33).
const SOURCE_FAILURES_MAX: u32 = 3;

/// How long (K-33).
const SOURCE_PAUSE: Duration = Duration::from_secs(60);

/// Now, by both clocks: the monotonic one may stand still while the machine sleeps, the other may be set.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Of the monotonic clock.
    pub now: Instant,
    /// Seconds since 1970.
    pub unix: u64,
}

/// What the surroundings shall do.
#[derive(Debug, PartialEq)]
pub enum RelayOutput {
    /// Ask the source, then call [`Relays::handle_answer`].
    Ask,
    /// Nothing is asked for any more: what waited for credentials may go on.
    Settled,
    /// Credentials that expire then, in seconds since 1970, were taken: for the record.
    Taken(Option<u64>),
    /// The connection that is being built cannot get a relay: build another.
    Rebuild,
    /// A fact to show.
    Event(Event),
    /// Without a relay there is no path, and there will be none.
    Failed(Error),
}

#[derive(Debug)]
struct Server {
    url: String,
    breaker: CircuitBreaker,
    /// In a row.
    failures: u32,
    /// Whether it was given to a connection and said nothing yet.
    is_tried: bool,
    /// What was said about it last, so that it is not repeated.
    said: Option<Allocation>,
}

/// Credentials in use.
#[derive(Debug)]
struct Held {
    grant: Grant,
    /// When to ask again, by the monotonic clock and by the other.
    renew_at: Option<(Instant, u64)>,
}

/// The TURN servers of a run.
#[derive(Debug)]
pub struct Relays {
    servers: Vec<Server>,
    /// Whether there is no other path.
    is_only: bool,
    /// Whether the source gives the same for ever.
    is_fixed: bool,
    has_source: bool,
    held: Option<Held>,
    is_asking: bool,
    /// Failures of the source in a row, and until when it is left alone.
    source_failures: u32,
    pause_until: Option<Instant>,
    expired: u32,
    /// Refusals of credentials in a row, and the last that were refused.
    refusals: u32,
    refused: Option<Grant>,
    /// Nothing that the source gives is taken: no relay in this run.
    is_denied: bool,
    outputs: VecDeque<RelayOutput>,
}

impl Relays {
    /// The servers that `options` name.
    ///
    /// # Errors
    /// `--relay-only` without a server that can be used.
    pub fn new(options: &CommonOptions) -> Result<Self, Error> {
        let mut outputs = VecDeque::new();
        let is_only = options.path_policy == PathPolicy::RelayOnly;
        let mut servers = Vec::new();
        for url in &options.turn {
            if let Some(transport) = unusable_transport(url) {
                let message = format!(
                    "{url} is not used: TURN over {transport} is not supported yet, only over UDP (turn:HOST:PORT)"
                );
                outputs.push_back(warning("turn_transport", message));
            } else if options.path_policy != PathPolicy::DirectOnly {
                servers.push(Server {
                    url: url.clone(),
                    breaker: CircuitBreaker::new(),
                    failures: 0,
                    is_tried: false,
                    said: None,
                });
            }
        }
        if is_only && servers.is_empty() {
            let text = match options.turn.len() {
                0 => "--relay-only needs a TURN server".to_owned(),
                _ => format!("--relay-only: no server can be used ({})", options.turn.join(", ")),
            };
            let hint = "name a server that takes UDP: --turn turn:HOST:PORT";
            return Err(Error::new(ErrorKind::Usage, text).with_hint(hint));
        }
        let has_source = options.turn_source != TurnSource::None;
        if !servers.is_empty() && !has_source {
            let message = "TURN servers without credentials: set REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, \
                           REJOIN_TURN_SECRET, or a turn-credentials-command";
            outputs.push_back(warning("turn_credentials", message.to_owned()));
        }
        Ok(Self {
            servers,
            is_only,
            is_fixed: matches!(options.turn_source, TurnSource::Fixed { .. }),
            has_source,
            held: None,
            is_asking: false,
            source_failures: 0,
            pause_until: None,
            expired: 0,
            refusals: 0,
            refused: None,
            is_denied: false,
            outputs,
        })
    }

    /// Asks for credentials if there are none, or they are about to expire: at the start, before a new connection and
    /// before an ICE restart. `true`: wait for [`RelayOutput::Settled`].
    pub fn prepare(&mut self, at: Moment) -> bool {
        if self.is_asking {
            return true;
        }
        let is_held_back = self.pause_until.is_some_and(|until| at.now < until);
        let is_needed = !self.servers.is_empty() && self.has_source && !self.is_denied;
        if !is_needed || is_held_back || !self.is_stale(at) {
            return false;
        }
        self.is_asking = true;
        self.outputs.push_back(RelayOutput::Ask);
        true
    }

    fn is_stale(&self, at: Moment) -> bool {
        match &self.held {
            None => true,
            Some(Held { renew_at, .. }) => {
                renew_at.is_some_and(|(now, unix)| at.now >= now || at.unix >= unix)
                    && !self.is_fixed
                    && self.expired < EXPIRED_MAX
            }
        }
    }

    /// The source gave credentials, or why it gave none.
    pub fn handle_answer(&mut self, answer: Result<Grant, String>, at: Moment) {
        self.is_asking = false;
        match answer {
            Ok(grant) => self.on_grant(grant, at),
            Err(reason) => {
                self.source_failures += 1;
                if self.source_failures >= SOURCE_FAILURES_MAX {
                    self.source_failures = 0;
                    self.pause_until = Some(at.now + SOURCE_PAUSE);
                }
                // Ones that are held may be good a little longer.
                let has_some = self.held.is_some();
                let then = if has_some { "; the ones at hand are used" } else { "" };
                let message = format!("no TURN credentials: {reason}{then}");
                self.outputs.push_back(warning("turn_credentials", message));
                if self.is_only && !has_some && self.pause_until.is_some() {
                    return self.fail(format!("--relay-only, and no TURN credentials: {reason}"));
                }
                self.outputs.push_back(RelayOutput::Settled);
            }
        }
    }

    fn on_grant(&mut self, grant: Grant, at: Moment) {
        self.source_failures = 0;
        self.pause_until = None;
        if self.refused.as_ref() == Some(&grant) {
            return self.deny("and the source has no others");
        }
        let left = grant.expires.map(|expires| expires.saturating_sub(at.unix));
        if left == Some(0) {
            self.expired += 1;
            if !self.is_fixed && self.expired < EXPIRED_MAX {
                tracing::info!(target: "rejoin::turn", "credentials had expired, asked for again");
                self.is_asking = true;
                return self.outputs.push_back(RelayOutput::Ask);
            }
            let message = "the TURN credentials have expired, or a clock is wrong".to_owned();
            self.outputs.push_back(warning("turn_credentials", message));
        } else {
            self.expired = 0;
        }
        let renew_at = left.map(|seconds| {
            let seconds = seconds - (seconds / 6).min(MARGIN_MAX.as_secs());
            (at.now + Duration::from_secs(seconds), at.unix.saturating_add(seconds))
        });
        tracing::info!(target: "rejoin::turn", seconds = left, "credentials taken");
        self.outputs.push_back(RelayOutput::Taken(grant.expires));
        let is_other = self.refused.is_some();
        self.held = Some(Held { grant, renew_at });
        self.outputs.push_back(RelayOutput::Settled);
        if is_other && self.is_only {
            self.outputs.push_back(RelayOutput::Rebuild);
        }
    }

    /// When to call [`Self::prepare`], so that a reconnection does not wait for credentials.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_renewable = !self.is_asking && !self.is_denied && !self.is_fixed;
        let (renew_at, _) = self.held.as_ref()?.renew_at.filter(|_| is_renewable)?;
        // A source that failed, or gives what has expired, is not asked in a circle.
        let is_circle = self.expired > 0 || self.source_failures > 0;
        (!is_circle).then(|| self.pause_until.map_or(renew_at, |until| until.max(renew_at)))
    }

    /// The servers that a new connection gets: those that did not fail lately, and not more than two.
    pub fn begin(&mut self, now: Instant) -> Vec<TurnServer> {
        // Without an outcome the link was replaced; a breaker that let one try through must hear of it.
        for server in &mut self.servers {
            if std::mem::take(&mut server.is_tried) && !server.breaker.is_closed() {
                server.breaker.handle_failure(now);
            }
        }
        self.servers.sort_by_key(|server| server.failures);
        let mut chosen = Vec::new();
        for server in &mut self.servers {
            if chosen.len() < SERVERS_PER_LINK && server.breaker.try_pass(now) {
                server.is_tried = true;
                chosen.push(server.url.clone());
            }
        }
        // No other path: layer C's schedule is the pace of the tries then.
        if chosen.is_empty() && self.is_only {
            chosen.extend(self.servers.first().map(|server| server.url.clone()));
        }
        self.with_credentials(chosen)
    }

    /// The same servers as for the connection at hand, with the credentials of now: for an ICE restart.
    #[must_use]
    pub fn current(&self) -> Vec<TurnServer> {
        let tried = self.servers.iter().filter(|server| server.is_tried || server.failures == 0);
        self.with_credentials(
            tried.take(SERVERS_PER_LINK).map(|server| server.url.clone()).collect(),
        )
    }

    fn with_credentials(&self, urls: Vec<String>) -> Vec<TurnServer> {
        let Some(Held { grant, .. }) = self.held.as_ref().filter(|_| !self.is_denied) else {
            return Vec::new();
        };
        let server = |url| TurnServer {
            url,
            username: grant.username.clone(),
            password: grant.password.expose().to_owned(),
        };
        urls.into_iter().map(server).collect()
    }

    /// Whether a connection without any TURN server would be useless.
    #[must_use]
    pub const fn is_only_path(&self) -> bool {
        self.is_only
    }

    /// A server said something about the connection at hand.
    pub fn handle_allocation(&mut self, url: &str, outcome: Allocation, at: Moment) {
        let Some(server) = self.servers.iter_mut().find(|server| server.url == url) else { return };
        server.is_tried = false;
        let is_news = server.said.replace(outcome) != Some(outcome);
        tracing::info!(target: "rejoin::turn", url, ?outcome, "allocation");
        let message = match outcome {
            Allocation::Granted => {
                server.failures = 0;
                server.breaker.handle_success();
                self.refusals = 0;
                self.refused = None;
                return;
            }
            Allocation::Refused(401 | 403 | 441) => return self.on_refusal(url, at),
            Allocation::Refused(486) => format!("TURN server {url} refuses: quota reached (486)"),
            Allocation::Refused(508) => format!("TURN server {url} has no room (508)"),
            Allocation::Refused(code) => format!("TURN server {url} refuses (error {code})"),
            Allocation::Silent => format!("TURN server {url} does not answer"),
        };
        server.failures += 1;
        server.breaker.handle_failure(at.now);
        if is_news {
            self.outputs.push_back(warning("turn_server", message));
        }
    }

    /// The credentials are not taken: one other answer of the source is tried, never the same again (K-13).
    fn on_refusal(&mut self, url: &str, at: Moment) {
        // Of two servers with the same credentials, the second says nothing new.
        let is_known = self.is_asking || self.refused.is_some() && self.refusals >= 2;
        if is_known || self.is_denied {
            return;
        }
        self.refusals += 1;
        let message = format!("TURN server {url} refuses the credentials");
        self.outputs.push_back(warning("turn_auth", message));
        self.refused = self.held.take().map(|held| held.grant);
        if self.is_fixed || self.refusals >= 2 {
            return self.deny(&format!("({url})"));
        }
        self.pause_until = None;
        self.prepare(at);
    }

    fn deny(&mut self, why: &str) {
        self.is_denied = true;
        self.held = None;
        let text = format!("TURN credentials are refused {why}");
        if self.is_only {
            return self.fail(text);
        }
        self.outputs.push_back(RelayOutput::Settled);
    }

    fn fail(&mut self, text: String) {
        let hint = "check REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET or \
                    turn-credentials-command, then run the same command again";
        let error = Error::new(ErrorKind::Authentication, text).with_hint(hint);
        self.outputs.push_back(RelayOutput::Failed(error));
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<RelayOutput> {
        self.outputs.pop_front()
    }
}

/// Why the stack would pass over a server in silence, where it would.
fn unusable_transport(url: &str) -> Option<&'static str> {
    if url.starts_with("turns:") {
        Some("TLS")
    } else if url.ends_with("?transport=tcp") {
        Some("TCP")
    } else {
        None
    }
}

fn warning(code: &str, message: String) -> RelayOutput {
    RelayOutput::Event(Event::Warning { code: code.to_owned(), message })
}

#[cfg(test)]
mod tests;
