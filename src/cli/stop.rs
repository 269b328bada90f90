//! What reaches a run from outside: what ends it (signals and `--timeout`), and the wish to renew its path (SIGUSR1).

use std::time::Duration;

use rejoin::ui::Stop;

/// Waits for one cause after the other.
pub(crate) struct Stops {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    deadline: Option<tokio::time::Instant>,
}

impl Stops {
    /// Takes the signals over; the time of `timeout` starts now. Needs a runtime.
    pub(crate) fn new(timeout: Option<Duration>) -> std::io::Result<Self> {
        let deadline = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hangup =
                if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup,
                deadline,
            })
        }
        #[cfg(not(unix))]
        Ok(Self { deadline })
    }

    /// The next cause. Cancel safe.
    pub(crate) async fn next(&mut self) -> Stop {
        let deadline = self.deadline;
        let timeout = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        #[cfg(unix)]
        {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => Stop::Interrupt,
                _ = self.terminate.recv() => Stop::Terminate,
                _ = hangup => Stop::Hangup,
                () = timeout => {
                    self.deadline = None;
                    Stop::Timeout
                }
            }
        }
        #[cfg(not(unix))]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Stop::Interrupt,
            () = timeout => {
                self.deadline = None;
                Stop::Timeout
            }
        }
    }
}

/// Wishes to restart ICE by hand: SIGUSR1, which would end the process otherwise. None come on other platforms.
pub(crate) struct Wishes {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Wishes {
    /// Takes the signal over. Needs a runtime.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1())?,
        })
    }

    /// The next wish. Cancel safe.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

/// Whether we were started by `nohup`: then a lost terminal is not to end the run. Known on Linux only.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

#[cfg(unix)]
fn ignores_hangup(status: &str) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_recognised() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup("SigIgn:\tzz\n"));
        assert!(!ignores_hangup(""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_comes_once_and_in_time() {
        let start = tokio::time::Instant::now();
        let mut stops = Stops::new(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(stops.next().await, Stop::Timeout);
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        let again = tokio::time::timeout(Duration::from_secs(3600), stops.next());
        assert!(again.await.is_err());
    }
}
