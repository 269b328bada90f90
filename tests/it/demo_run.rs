//! `rejoin demo`, the whole of it.

use crate::support::env::Home;

#[test]
fn the_demo_shows_a_verified_transfer_and_leaves_nothing() {
    let home = Home::new();
    let seconds = std::time::Duration::from_secs(20);
    let run = home.rejoin(["demo"]).deadline(seconds).run().expect_code(0);
    assert!(run.stderr.contains("Verified: 9 entries"), "{}", run.stderr);
    let steps = ["link was cut for 1.5s: ", "receiver was killed: ", "sender was killed: "];
    for step in steps {
        let kept = run.stderr.lines().find_map(|line| line.split_once(step));
        let kept = kept.unwrap_or_else(|| panic!("no {step} in {}", run.stderr)).1;
        assert!(kept.ends_with("MiB kept") && !kept.starts_with("0 "), "{step}{kept}");
    }
    assert_eq!(run.stdout, "");
    let left: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
