//! G-09: many transfers from one machine to another, over a path that has less than they would take.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use crate::support::env::Running;
use crate::support::lab::network::Network;
use crate::support::lab::or_skip;
use crate::support::pair::{CODE, Pair};

const MIB: usize = 1 << 20;

/// How long rates are taken.
const MEASURED: Duration = Duration::from_secs(4);

/// Bytes that a receiver has of its transfer.
fn received(run: &Running) -> Option<u64> {
    let events = run.events_so_far();
    events.iter().rev().find(|event| event["event"] == "progress")?["bytes"].as_u64()
}

/// G-09: none of them starves: over some seconds each gets a part of its share of the path. More than six with `REJOIN_TEST_PAIRS`;
/// the figures are in docs/requirements.md.
#[test]
fn transfers_share_a_path() {
    let many: usize = std::env::var("REJOIN_TEST_PAIRS").map_or(6, |many| many.parse().unwrap());
    let network = or_skip!(Network::two());
    // The queue of the path is a tenth of a second.
    for (host, interface) in [("a", "va"), ("b", "vb")] {
        let shape = ["tc", "qdisc", "add", "dev", interface, "root", "tbf", "rate", "40mbit"];
        network.run(host, &[&shape[..], &["burst", "64kb", "latency", "100ms"]].concat());
    }
    // More than the path can carry in a minute: none is done while rates are taken.
    let bytes = 60 * 5 * MIB / many;
    let pairs: Vec<Pair> = (0..many).map(|_| Pair::new()).collect();
    let runs: Vec<(Running, Running)> = pairs
        .iter()
        .map(|pair| {
            pair.noise("large", bytes);
            let on = |host, run: crate::support::env::Invocation| {
                let run =
                    run.env("REJOIN_BWLIMIT", "").env("REJOIN_RUNTIME_DIR", pair.path("runtime"));
                run.deadline(Duration::from_secs(300)).through(network.host(host))
            };
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::create_dir(pair.path("runtime")).unwrap();
            std::fs::set_permissions(pair.path("runtime"), private).unwrap();
            let arguments = ["--json", "--code", CODE, "--code-out", "code", "large"];
            let sender = on("a", pair.send(arguments)).spawn();
            sender.event_where("code", |event| event["event"] == "code");
            let arguments = ["--json", "-y", "-o", "target", "--code-file", "code"];
            (sender, on("b", pair.receive(arguments)).spawn())
        })
        .collect();
    for (_, receiver) in &runs {
        receiver.event_where("progress", |event| {
            event["event"] == "progress" && event["bytes"].as_u64() > Some(0)
        });
    }
    let now = || -> Vec<u64> { runs.iter().map(|(_, run)| received(run).unwrap()).collect() };
    let (before, begun) = (now(), Instant::now());
    std::thread::sleep(MEASURED);
    let seconds = begun.elapsed().as_secs_f64();
    let mut rates: Vec<f64> = now()
        .iter()
        .zip(&before)
        .map(|(after, before)| (after - before) as f64 / seconds / 1_000.0)
        .collect();
    rates.sort_by(f64::total_cmp);
    let (least, most) = (rates[0], rates[many - 1]);
    eprintln!("{many} transfers: {least:.0} to {most:.0} kB/s, half below {:.0}", rates[many / 2]);
    let share = rates.iter().sum::<f64>() / many as f64;
    assert!(least > share / 20.0, "{rates:.0?}");
}
