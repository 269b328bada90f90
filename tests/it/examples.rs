//! The library as others use it: the programs in `examples`, between two processes.

use std::path::Path;

use crate::support::env::{From, Home};
use crate::support::tree::assert_same;

#[test]
fn the_examples_move_a_tree() {
    let home = Home::new();
    home.file("tree/one", "1");
    home.file("tree/below/two", "22");
    let directory = Path::new(env!("CARGO_BIN_EXE_rejoin")).parent().unwrap().join("examples");
    let built = |name: &str| {
        let path = directory.join(name);
        assert!(
            path.exists(),
            "`cargo build --examples --features fault-injection` makes it: {}",
            path.display()
        );
        path.display().to_string()
    };
    let sender = home.shell(&format!("{} tree", built("send"))).spawn();
    let code = sender.line_where(From::Stdout, "the code", |line| line.contains('-'));
    let run =
        home.shell(&format!("{} {} target", built("receive"), code.trim())).run().expect_code(0);
    assert!(run.stdout.contains("2 files from "), "{}", run.stdout);
    assert!(
        run.stdout.contains("tree/below/two\n") && run.stdout.ends_with("2 files are here\n"),
        "{}",
        run.stdout
    );
    assert!(sender.wait().expect_code(0).stdout.ends_with("2 files arrived\n"));
    assert_same(&home.path().join("tree"), &home.path().join("target/tree"));
}
