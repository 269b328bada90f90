//! What processes take of the machine over time.

use std::fmt;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::process::{kib, status};

const INTERVAL: Duration = Duration::from_secs(2);

/// A figure of a sample, by its name.
type Figure = (&'static str, fn(&Sample) -> f64);

/// One look at a process.
#[derive(Clone, Copy, Debug)]
struct Sample {
    seconds: f64,
    memory_kib: f64,
    files: f64,
    threads: f64,
}

/// All looks at some processes, by their names.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    processes: Vec<(&'static str, Vec<Sample>)>,
}

pub(crate) struct Meter {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Usage>,
}

impl Meter {
    /// Looks at them now and then.
    pub(crate) fn start(processes: &[(&'static str, Option<u32>)]) -> Self {
        let processes: Vec<_> =
            processes.iter().filter_map(|(name, id)| Some((*name, (*id)?))).collect();
        let (stop, stopped) = mpsc::channel();
        let start = Instant::now();
        let thread = std::thread::spawn(move || {
            let mut usage = Usage {
                processes: processes.iter().map(|(name, _)| (*name, Vec::new())).collect(),
            };
            while stopped.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                for ((_, id), (_, samples)) in processes.iter().zip(&mut usage.processes) {
                    samples.extend(look(*id, start.elapsed().as_secs_f64()));
                }
            }
            usage
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Usage {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

/// None where it has ended.
fn look(id: u32, seconds: f64) -> Option<Sample> {
    let files = std::fs::read_dir(format!("/proc/{id}/fd")).ok()?.count() as f64;
    let memory_kib = kib(id, "VmRSS")? as f64;
    let threads = status(id, "Threads")?.parse().ok()?;
    Some(Sample { seconds, memory_kib, files, threads })
}

/// What a figure does after the first fifth, while everything warms up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trend {
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) max: f64,
    /// Of the line that fits best.
    pub(crate) per_hour: f64,
}

impl Usage {
    /// Name of process and figure, and how it goes.
    pub(crate) fn trends(&self) -> Vec<(&'static str, &'static str, Trend)> {
        let figures: [Figure; 3] = [
            ("KiB of memory", |sample| sample.memory_kib),
            ("open files", |sample| sample.files),
            ("threads", |sample| sample.threads),
        ];
        let mut trends = Vec::new();
        for (name, samples) in &self.processes {
            for (figure, value) in figures {
                let warm = &samples[samples.len() / 5..];
                let points: Vec<(f64, f64)> =
                    warm.iter().map(|sample| (sample.seconds, value(sample))).collect();
                trends.extend(trend(&points).map(|trend| (*name, figure, trend)));
            }
        }
        trends
    }
}

/// None of fewer than ten points, which say nothing.
fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    if points.len() < 10 {
        return None;
    }
    let count = points.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let run: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    // A tenth at either end: single values jump.
    let edge = points.len() / 10;
    let average = |points: &[(f64, f64)]| {
        points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64
    };
    Some(Trend {
        first: average(&points[..edge]),
        last: average(&points[points.len() - edge..]),
        max: points.iter().map(|point| point.1).fold(0.0, f64::max),
        per_hour: rise / run * 3600.0,
    })
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, figure, trend) in self.trends() {
            let Trend { first, last, max, per_hour } = trend;
            writeln!(
                formatter,
                "{name}: {first:.0} to {last:.0} {figure}, at most {max:.0}; {per_hour:+.1} an hour"
            )?;
        }
        Ok(())
    }
}

#[test]
fn a_line_is_found_in_its_points() {
    let points: Vec<(f64, f64)> =
        (0..20).map(|second| (f64::from(second), 7.0 + f64::from(second) / 3600.0)).collect();
    let trend = trend(&points).unwrap();
    assert!((trend.per_hour - 1.0).abs() < 1e-6, "{trend:?}");
    assert!(trend.last > trend.first && trend.max < 7.01, "{trend:?}");
}
