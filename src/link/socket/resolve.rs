//! Names of STUN and TURN servers, with a bound on the wait and a memory of the last answer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long gathering may wait for one name; a resolver that is alive answers in well under a second.
const RESOLVE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Most names remembered, which is the most servers of a link.
const NAMES_MAX: usize = crate::link::config::SERVERS_MAX;

/// Resolves names and remembers answers for the life of the link, so that an ICE restart works without DNS.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    answers: Mutex<BTreeMap<String, Vec<SocketAddr>>>,
}

impl Resolver {
    /// The addresses of `host` (`name:port`). A remembered answer is given at once.
    ///
    /// # Errors
    ///
    /// `TimedOut` after 1.5 s, or what the system's resolver says.
    pub(super) async fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let known = self.known(host);
        if !known.is_empty() {
            return Ok(known);
        }
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(host)).await??;
        let found: Vec<_> = found.collect();
        let mut answers = self.lock();
        if answers.len() < NAMES_MAX {
            answers.insert(host.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// The addresses of `host` as far as they are known.
    pub(super) fn known(&self, host: &str) -> Vec<SocketAddr> {
        match host.parse() {
            Ok(literal) => vec![literal],
            Err(_) => self.lock().get(host).cloned().unwrap_or_default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<SocketAddr>>> {
        // Nothing panics while it is held, and a map is whole after any of its methods.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_need_no_resolver_and_answers_are_remembered() {
        let resolver = Resolver::default();
        let literal: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        assert_eq!(resolver.resolve("192.0.2.1:3478").await.unwrap(), [literal]);
        assert!(resolver.lock().is_empty());

        resolver.lock().insert("stun.invalid:3478".into(), vec![literal]);
        assert_eq!(resolver.resolve("stun.invalid:3478").await.unwrap(), [literal]);
    }
}
