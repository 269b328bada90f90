//! What both ends of a transfer say of it.

use std::collections::BTreeMap;

use crate::support::env::Finished;

/// What did not arrive, by path, with its status: as a run in NDJSON says it.
pub(crate) fn left_out(run: &Finished) -> BTreeMap<String, String> {
    let events = run.events();
    let files = events.iter().filter(|event| event["event"] == "file");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    files
        .filter(|event| {
            !["received", "sent", "unchanged"].contains(&event["status"].as_str().unwrap())
        })
        .map(|event| (text(&event["path"]), text(&event["status"])))
        .collect()
}

/// Both ends name the same paths as missing and end with the same code; returns those paths.
#[track_caller]
pub(crate) fn assert_agreed(sender: &Finished, receiver: &Finished) -> Vec<String> {
    let (sent, received) = (left_out(sender), left_out(receiver));
    let paths = |list: &BTreeMap<String, String>| list.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        paths(&sent),
        paths(&received),
        "sender and receiver miss different files\n{sent:#?}\n{received:#?}\n{}\n{}",
        sender.stderr,
        receiver.stderr
    );
    assert_eq!(sender.code(), receiver.code(), "{sent:#?}\n{}\n{}", sender.stderr, receiver.stderr);
    let (sent, received) = (sender.outcome(), receiver.outcome());
    for figure in ["files", "skipped_files", "failed_files", "exit"] {
        assert_eq!(sent[figure], received[figure], "{figure}\n{sent}\n{received}");
    }
    paths(&left_out(receiver))
}
