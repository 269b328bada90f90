//! The figures of a campaign.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::Settings;
use super::faults::Kind;
use super::transfer::{Drop, Outcome};

/// What may be sent again for each drop: this share of what was missing, or so many bytes, whichever is more.
const RESENT_SHARE: f64 = 0.02;
const RESENT_BYTES: u64 = 8 << 20;

pub(crate) struct Report {
    head: String,
    started: Instant,
    pub(crate) outcomes: Vec<Outcome>,
}

/// Times in seconds, sorted.
struct Times(Vec<f64>);

impl Report {
    pub(crate) fn new(settings: &Settings) -> Self {
        let Settings { drops, seed, parallel, cut_max, stop, .. } = settings;
        let head = format!(
            "{drops} drops, {parallel} transfers at a time, cuts of 1 to {} s, stops of {} s, seed {seed}",
            cut_max.as_secs(),
            stop.as_secs()
        );
        Self { head, started: Instant::now(), outcomes: Vec::new() }
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        let Outcome { seed, drops, content, sent, elapsed, wrong, odd } = &outcome;
        let backs: Vec<String> = drops
            .iter()
            .map(|drop| match drop.back {
                Some(back) => format!("{:?} {:.1}", drop.kind, back.as_secs_f64()),
                None => format!("{:?} LOST", drop.kind),
            })
            .collect();
        eprintln!(
            "transfer {seed}: {:.0} s, {} of {} MiB sent again; {}",
            elapsed.as_secs_f64(),
            sent.saturating_sub(*content) >> 20,
            content >> 20,
            backs.join(", ")
        );
        wrong.iter().for_each(|what| eprintln!("transfer {seed}: WRONG: {what}"));
        odd.iter().for_each(|what| eprintln!("transfer {seed}: odd: {what}"));
        self.outcomes.push(outcome);
    }

    fn drops(&self) -> impl Iterator<Item = &Drop> {
        self.outcomes.iter().flat_map(|outcome| &outcome.drops)
    }

    /// Drops after which the transfer came back by itself, and all of them.
    pub(crate) fn recovered(&self) -> (usize, usize) {
        (self.drops().filter(|drop| drop.back.is_some()).count(), self.drops().count())
    }

    /// What must never be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let lines = self.outcomes.iter().flat_map(|outcome| {
            outcome.wrong.iter().map(move |what| format!("transfer {}: {what}", outcome.seed))
        });
        lines.collect()
    }

    /// Mean and 95th percentile of the time back.
    pub(crate) fn back(&self) -> (f64, f64) {
        let times = Times::new(self.drops());
        (times.mean(), times.percentile(95))
    }

    /// Transfers that sent more again than their drops allow.
    pub(crate) fn wasteful(&self) -> Vec<String> {
        let mut wasteful = Vec::new();
        for outcome in &self.outcomes {
            let share = |drop: &Drop| (drop.missing as f64 * RESENT_SHARE) as u64;
            let allowed: u64 = outcome.drops.iter().map(|drop| share(drop).max(RESENT_BYTES)).sum();
            let again = outcome.sent.saturating_sub(outcome.content);
            // Headers of frames and messages are no content: a hundredth covers them.
            if again > allowed + outcome.content / 100 {
                wasteful.push(format!("transfer {}: {again} of {allowed}", outcome.seed));
            }
        }
        wasteful
    }
}

impl Times {
    fn new<'a>(drops: impl Iterator<Item = &'a Drop>) -> Self {
        let mut times: Vec<f64> =
            drops.filter_map(|drop| drop.back).map(|back| back.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(index).copied().unwrap_or(0.0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<Option<Kind>, Vec<&Drop>> = BTreeMap::new();
        for drop in self.drops() {
            kinds.entry(Some(drop.kind)).or_default().push(drop);
        }
        let all: Vec<&Drop> = self.drops().collect();
        writeln!(formatter, "{}", self.head)?;
        writeln!(formatter, "| drop | times | back by itself | mean | p50 | p95 | max | outage |")?;
        writeln!(formatter, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        let named = kinds.into_iter().map(|(kind, drops)| (format!("{:?}", kind.unwrap()), drops));
        for (name, drops) in named.chain([("all".to_owned(), all)]) {
            let times = Times::new(drops.iter().copied());
            let outage: Duration = drops.iter().map(|drop| drop.outage).sum();
            writeln!(
                formatter,
                "| {name} | {} | {} | {:.2} s | {:.2} s | {:.2} s | {:.2} s | {:.1} s |",
                drops.len(),
                times.0.len(),
                times.mean(),
                times.percentile(50),
                times.percentile(95),
                times.percentile(100),
                outage.as_secs_f64() / drops.len().max(1) as f64,
            )?;
        }
        let content: u64 = self.outcomes.iter().map(|outcome| outcome.content).sum();
        let again = |outcome: &Outcome| outcome.sent.saturating_sub(outcome.content);
        let resent: u64 = self.outcomes.iter().map(again).sum();
        let drops = self.drops().count().max(1) as u64;
        let there = |outcome: &Outcome| {
            outcome.drops.iter().map(|drop| outcome.content - drop.missing).sum::<u64>()
        };
        let over: u64 = self.outcomes.iter().map(there).sum();
        writeln!(
            formatter,
            "{} transfers of {} MiB in {:.0} s; {} MiB sent again ({:.2} MiB a drop, headers included); starting over each \
             time would have sent {} MiB again",
            self.outcomes.len(),
            content >> 20,
            self.started.elapsed().as_secs_f64(),
            resent >> 20,
            resent as f64 / drops as f64 / f64::from(1 << 20),
            over >> 20,
        )
    }
}
