//! `rejoin demo`, the whole of it.

use crate::support::env::Home;

#[test]
fn the_demo_shows_a_verified_transfer_and_leaves_nothing() {
    let home = Home::new();
    let seconds = std::time::Duration::from_secs(10);
    let run = home.rejoin(["demo"]).deadline(seconds).run().expect_code(0);
    assert!(run.stderr.contains("Verified: 9 entries"), "{}", run.stderr);
    assert!(
        run.stderr.contains("Both were killed") && run.stderr.contains("were kept"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout, "");
    let left: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
