//! When a transfer was back after a drop, read from what its receiver says.

use std::time::{Duration, Instant};

use serde_json::Value;

/// What is to be seen before a transfer counts as back for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Longest time between two reports that show more, while all is well.
    pub(crate) gap_max: Duration,
    /// For how long more and more is to be there.
    pub(crate) settled: Duration,
}

/// A receiver since some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// When the link came back last, if it came back since then.
    pub(crate) link: Option<Instant>,
    /// First and last report of the present flow that show more than before.
    pub(crate) flow: Option<(Instant, Instant)>,
    /// What is there.
    pub(crate) bytes: u64,
}

impl View {
    /// Of `events` since `since`, when `bytes` were there.
    pub(crate) fn new(
        events: &[(Instant, Value)],
        since: Instant,
        bytes: u64,
        pace: &Pace,
    ) -> Self {
        let mut view = Self { bytes, ..Self::default() };
        for (at, event) in events.iter().filter(|(at, _)| *at >= since) {
            match event["event"].as_str().unwrap_or_default() {
                "link" => {
                    view.flow = None;
                    view.link = (event["state"] == "connected").then_some(*at);
                }
                // The host is another matter: content flows without it.
                "recovered" if event["layer"] != "host" => {
                    view.flow = None;
                    view.link = Some(*at);
                }
                "progress" => {
                    let now = event["bytes"].as_u64().unwrap();
                    if now > view.bytes {
                        let first = match view.flow {
                            Some((first, last)) if *at - last <= pace.gap_max => first,
                            Some(_) | None => *at,
                        };
                        view.flow = Some((first, *at));
                        view.bytes = now;
                    }
                }
                "done" => view.flow = Some(view.flow.map_or((*at, *at), |(first, _)| (first, *at))),
                _ => {}
            }
        }
        view
    }

    /// Whether it flows again for good.
    pub(crate) fn is_settled(&self, pace: &Pace) -> bool {
        self.flow.is_some_and(|(first, last)| last - first >= pace.settled)
    }

    /// How long it took: until the link was back, or, where it never went away, until there was more.
    pub(crate) fn back(&self, since: Instant) -> Option<Duration> {
        let (first, _) = self.flow?;
        Some(self.link.unwrap_or(first) - since)
    }
}

#[test]
fn a_transfer_is_back_when_its_last_link_is() {
    let pace = Pace { gap_max: Duration::from_secs(2), settled: Duration::from_secs(3) };
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let progress = |bytes: u64| serde_json::json!({"event": "progress", "bytes": bytes});
    let link = |state: &str| serde_json::json!({"event": "link", "state": state});
    let mut events = vec![(at(1), progress(5)), (at(2), progress(9)), (at(3), progress(9))];
    let view = View::new(&events, at(2), 5, &pace);
    assert_eq!((view.back(at(2)), view.is_settled(&pace)), (Some(Duration::ZERO), false));
    events.extend([(at(9), link("disconnected")), (at(10), link("connected"))]);
    assert_eq!(View::new(&events, at(2), 5, &pace).back(at(2)), None);
    events.extend([(at(11), progress(10)), (at(13), progress(11)), (at(14), progress(12))]);
    let view = View::new(&events, at(2), 5, &pace);
    assert_eq!(view.back(at(2)), Some(Duration::from_secs(8)));
    assert!(view.is_settled(&pace));
    // A pause begins the flow anew.
    events.push((at(17), progress(13)));
    assert!(!View::new(&events, at(2), 5, &pace).is_settled(&pace));
}
