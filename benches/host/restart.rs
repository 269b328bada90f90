//! Sessions whose host goes away and comes back: each member is a client as `send` and `receive` have it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin::signal::client::{Client, ClientEvent};
use rejoin::signal::code::HostAddress;
use rejoin::signal::protocol::HostMessage;
use tokio::sync::mpsc;

use super::host_member::{join, session};
use super::member::runtime;
use super::serving::Serving;

/// How long all are waited for.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn run(host: &str, sessions: usize) {
    for (is_kind, away) in [(true, 0), (false, 0), (false, 10)] {
        let serving = Serving::start(host, &["--max-rooms", &(sessions * 2 + 500).to_string()]);
        let (address, listen) = (serving.address, serving.address.to_string());
        runtime().block_on(async move {
            let (joined, mut joins) = mpsc::channel(1 << 16);
            let known: Arc<HostAddress> =
                Arc::new(HostAddress::new("127.0.0.1", address.port()).unwrap());
            for index in 0..sessions * 2 {
                let (joined, known) = (joined.clone(), Arc::clone(&known));
                tokio::spawn(async move {
                    let mut client = Client::start(vec![(*known).clone()], None);
                    let mut connection = None;
                    while let Some(event) = client.event().await {
                        match event {
                            ClientEvent::Connected(open) => {
                                let room = session(index / 2);
                                open.send(join(room, (index % 2) as u8 + 1)).unwrap();
                                connection = Some(open);
                            }
                            ClientEvent::Message(HostMessage::Joined { .. }) => {
                                joined.send((index, Instant::now())).await.unwrap();
                            }
                            ClientEvent::Message(_)
                            | ClientEvent::Lost { .. }
                            | ClientEvent::Unreachable { .. }
                            | ClientEvent::Stopped(_) => {}
                        }
                    }
                    drop(connection);
                });
            }
            let first = all(&mut joins, sessions * 2, Instant::now()).await;
            println!("{} members joined: {first}", sessions * 2);
            let gone = Instant::now();
            tokio::task::spawn_blocking(move || serving.stop(is_kind)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(away)).await;
            let host = host.to_owned();
            let rooms = (sessions * 2 + 500).to_string();
            let started = move || Serving::start_at(&host, &listen, &["--max-rooms", &rooms]);
            let serving = tokio::task::spawn_blocking(started).await.unwrap();
            let how = if is_kind { "stopped" } else { "killed" };
            let back = all(&mut joins, sessions * 2, gone).await;
            println!("{how}, away for {away} s: {back}; peak {} KiB", serving.peak_kib());
            tokio::task::spawn_blocking(move || drop(serving)).await.unwrap();
        });
    }
}

/// Waits until every member has joined since `begin`, and says when.
async fn all(
    joins: &mut mpsc::Receiver<(usize, Instant)>,
    members: usize,
    begin: Instant,
) -> String {
    let mut at: Vec<Option<Duration>> = vec![None; members];
    let mut missing = members;
    while missing > 0 {
        let next = tokio::time::timeout(PATIENCE, joins.recv()).await;
        let Ok(Some((index, when))) = next else { return format!("{missing} did not come back") };
        if at[index].is_none() && when > begin {
            at[index] = Some(when.saturating_duration_since(begin));
            missing -= 1;
        }
    }
    let mut at: Vec<Duration> = at.into_iter().flatten().collect();
    at.sort_unstable();
    let busiest = (0..members)
        .map(|first| {
            at[first..].partition_point(|then| *then < at[first] + Duration::from_millis(100))
        })
        .max();
    let seconds = |part: usize| at[(members - 1) * part / 100].as_secs_f64();
    format!(
        "half after {:.2} s, 99 % after {:.2} s, all after {:.2} s, at most {} in a tenth of a second",
        seconds(50),
        seconds(99),
        seconds(100),
        busiest.unwrap_or_default()
    )
}
