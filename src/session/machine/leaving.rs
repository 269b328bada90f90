//! How runs end for each other: the last word of this side, and what becomes of the other one.
//!
//! The rule: a run that ends while its link is up says why, once, whatever ends it. What ends one side alone and can be
//! continued (its user, its system, its time, its disk) is waited for; what the same command would not cure ends this side
//! too, as an interruption; a refusal and content that cannot be verified are the same end on both. A side that says
//! nothing any more is asked as soon as there is evidence: its place at the host is empty, or its host is gone.

use super::{Meeting, Session, SessionOutput, Transfer};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, LeaveReason};
use crate::signal::RoomName;
use crate::signal::message::SignalMessage;
use crate::signal::protocol::HostMessage;
use crate::time::Instant;
use crate::transfer::message::{ByeReason, Message, bounded_text};
use crate::wire::Channel;
use crate::wire::frame::{Assembler, Frame};
use bytes::Bytes;
use std::time::Duration;

/// How long one who may be gone has to answer, at least; a ping that waits for a few round trips is none that is lost.
const DOUBT: Duration = Duration::from_secs(1);
const DOUBT_ROUND_TRIPS: u32 = 3;

/// There is evidence that the other side is gone, and a ping went out to it.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The ping that settles it.
    pub(super) ping: u64,
    patience: Duration,
    /// When it is gone, if nothing comes until then.
    pub(super) at: Instant,
}

impl Doubt {
    /// Something came. It may have been on its way before: only the answer settles anything.
    pub(super) fn handle_activity(&mut self, now: Instant) {
        self.at = now + self.patience;
    }
}

impl Session {
    /// The directory that this side writes to, for a person: a full disk is named by it.
    #[must_use]
    pub fn with_place(mut self, place: String) -> Self {
        self.place = place;
        self
    }

    /// The user, the system or the time wants this run to stop: the other side is told, and that we may come back.
    pub fn handle_stop(&mut self, reason: ByeReason, text: &str, now: Instant) {
        if !self.is_finished() {
            self.send(Channel::Control, &Message::Bye { reason, text: bounded_text(text) });
        }
        self.drain(now);
    }

    /// This run ends with `error`: the other side is told, if it was not yet.
    pub fn handle_end(&mut self, error: &Error, now: Instant) {
        self.say_bye(error);
        if let Meeting::Opening(opening) = &mut self.meeting {
            opening.handle_end();
        }
        self.drain(now);
    }

    /// The host says what may mean that the other side is gone.
    pub(super) fn watch_presence(&mut self, message: &HostMessage, now: Instant) {
        if let HostMessage::PeerLeft { room: RoomName::Session(_), .. } = message {
            self.doubt(now);
        }
    }

    /// The host's socket was closed, and not for being silent: where the host is the other side's own, that is gone with it.
    pub fn handle_host_closed(&mut self, now: Instant) {
        self.doubt(now);
        self.drain(now);
    }

    fn doubt(&mut self, now: Instant) {
        // A path that is lost has deadlines of its own.
        if !self.ice.is_steady() {
            return;
        }
        let Some(up) = self.up.as_mut().filter(|up| up.doubt.is_none()) else { return };
        let rtt = up.health.rtt().unwrap_or_default();
        let patience = DOUBT.max(rtt * DOUBT_ROUND_TRIPS);
        let ping = up.health.ping_now(now);
        up.doubt = Some(Doubt { ping, patience, at: now + patience });
        self.send(Channel::Pulse, &Message::Ping { number: ping });
    }

    /// One who may be gone did not answer.
    pub(super) fn watch_doubt(&mut self, now: Instant) {
        let doubt = self.up.as_ref().and_then(|up| up.doubt.as_ref());
        if doubt.is_some_and(|doubt| now >= doubt.at) {
            if self.left.is_none() {
                let what = "is gone (killed, or its machine or network went off)";
                self.leave(LeaveReason::Gone, what.to_owned(), true);
            }
            self.on_dead("the other side is gone", now);
        }
    }

    /// Says why this run ends; nothing where the other side said that it ends, or was told.
    pub(super) fn say_bye(&mut self, error: &Error) {
        let reason = match error.kind {
            ErrorKind::Refused => ByeReason::Refused,
            ErrorKind::Disk => ByeReason::Disk,
            ErrorKind::Integrity => ByeReason::Integrity,
            ErrorKind::SignalInterrupt => ByeReason::Stopped,
            ErrorKind::SignalTerminate => ByeReason::Terminated,
            ErrorKind::Timeout => ByeReason::TimedOut,
            ErrorKind::Failure
            | ErrorKind::Usage
            | ErrorKind::Authentication
            | ErrorKind::Unreachable
            | ErrorKind::Interrupted
            | ErrorKind::Partial => ByeReason::Failed,
        };
        let is_unnamed = reason == ByeReason::Disk
            && !self.place.is_empty()
            && !error.message.contains(&self.place);
        let text = match is_unnamed {
            true => format!("{} (in {})", error.message, self.place),
            false => error.message.clone(),
        };
        self.send(Channel::Control, &Message::Bye { reason, text: bounded_text(&text) });
    }

    /// On the link the last word stands behind what was queued before, a second of content perhaps: by the host it is there
    /// at once.
    pub(super) fn say_by_host(&mut self, frames: &[Bytes]) {
        let message = SignalMessage::Bye { word: frames.concat() };
        let is_sent = match &mut self.meeting {
            Meeting::Opening(opening) => opening.send(&message),
            Meeting::Joining(joining) => joining.send(&message),
        };
        tracing::debug!(target: "rejoin::lifecycle", is_sent, "the last word by the host");
    }

    /// A last word came by the host.
    pub(super) fn on_word(&mut self, word: Vec<u8>, now: Instant) {
        let frame = Assembler::default().handle_frame(&Bytes::from(word));
        if let Ok(Some(Frame::Message(bytes))) = frame
            && let Ok(Message::Bye { reason, text }) = Message::decode(&bytes)
        {
            self.on_bye(reason, &text, true, now);
        }
    }

    /// The other side ends. What it sent before on the link comes yet, where the word came `by_host`.
    pub(super) fn on_bye(&mut self, reason: ByeReason, text: &str, by_host: bool, now: Instant) {
        let is_known = self.left.is_some();
        if let Some(up) = &mut self.up {
            up.is_ending = true;
        }
        let text = bounded_text(text);
        let because = if text.is_empty() { String::new() } else { format!(": {text}") };
        let (leave, what) = match reason {
            ByeReason::Stopped => (LeaveReason::Stopped, "was stopped (Ctrl-C)".to_owned()),
            ByeReason::Terminated => (LeaveReason::Terminated, format!("was terminated{because}")),
            ByeReason::TimedOut => {
                (LeaveReason::Timeout, "stopped: the time of its --timeout is over".to_owned())
            }
            ByeReason::Disk => (LeaveReason::Disk, format!("has trouble with its disk{because}")),
            ByeReason::Refused => (LeaveReason::Refused, format!("refused{because}")),
            ByeReason::Integrity => (LeaveReason::Integrity, format!("could not verify{because}")),
            ByeReason::Protocol => (LeaveReason::Failed, format!("could not go on{because}")),
            ByeReason::NoSession => {
                (LeaveReason::Failed, format!("cannot continue this session{because}"))
            }
            ByeReason::Failed => (LeaveReason::Failed, format!("failed{because}")),
        };
        let kind = match leave {
            LeaveReason::Stopped
            | LeaveReason::Terminated
            | LeaveReason::Timeout
            | LeaveReason::Disk
            | LeaveReason::Gone => {
                if !is_known {
                    self.leave(leave, what, true);
                }
                if by_host {
                    return self.doubt(now);
                }
                return self.on_dead("the other side stopped; it can continue later", now);
            }
            LeaveReason::Refused => ErrorKind::Refused,
            LeaveReason::Integrity => ErrorKind::Integrity,
            LeaveReason::Failed => ErrorKind::Interrupted,
        };
        self.leave(leave, what.clone(), false);
        self.fail(Error::new(kind, format!("the {} {what}", self.other())));
    }

    /// Tells that the other side ended.
    fn leave(&mut self, reason: LeaveReason, text: String, waiting: bool) {
        tracing::info!(target: "rejoin::lifecycle", ?reason, waiting, "the other side ended");
        self.left = waiting.then(|| text.clone());
        let name = self.peer_name.clone();
        self.event(Event::Left { name, reason, text, waiting });
    }

    /// An error of waiting in vain, with what is known of who was waited for, and where.
    #[must_use]
    pub fn with_reason(&self, mut error: Error) -> Error {
        if !matches!(error.kind, ErrorKind::Interrupted | ErrorKind::Unreachable) {
            return error;
        }
        match (&self.left, &self.unreachable) {
            // Its host went with it.
            (Some(left), _) => error.message = format!("{}; it {left}", error.message),
            (None, Some(what)) => {
                error.message = format!("{}; {what}", error.message);
                error.hint =
                    "check the address, and that the host or the other side runs".to_owned();
            }
            (None, None) => {}
        }
        error
    }

    const fn other(&self) -> &'static str {
        match (&self.transfer, &self.meeting) {
            (Transfer::Sender(_), _) | (_, Meeting::Opening(_)) => "receiver",
            (_, Meeting::Joining(_)) => "sender",
        }
    }

    /// The peer sent what no correct one sends: nothing more of it is believed.
    pub(super) fn on_violation(&mut self, what: &str) {
        let text = format!("the other side broke the protocol: {what}");
        let reason = ByeReason::Protocol;
        self.send(Channel::Control, &Message::Bye { reason, text: bounded_text(what) });
        self.fail(Error::new(ErrorKind::Failure, text));
    }

    pub(super) fn on_dead(&mut self, reason: &str, now: Instant) {
        match &mut self.meeting {
            Meeting::Opening(opening) => opening.handle_dead(reason, now),
            Meeting::Joining(joining) => joining.handle_dead(reason, now),
        }
    }

    pub(super) fn end(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.outputs.push_back(SessionOutput::Done);
        }
    }

    pub(super) fn fail(&mut self, error: Error) {
        if !self.is_over {
            self.is_over = true;
            self.say_bye(&error);
            self.outputs.push_back(SessionOutput::Failed(error));
        }
    }
}
