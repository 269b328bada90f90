//! F, I, N, O, P at the target: mounts below it, names that it folds, no room, directories that are closed.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::support::env::Finished;
use crate::support::lab::disk::{Kind, Mount};
use crate::support::lab::wrapped::{as_nobody, give_to_nobody, reachable};
use crate::support::lab::{Here, or_skip};
use crate::support::pair::{CODE, Pair};
use crate::support::tree::assert_same_content;

fn codes(run: &Finished) -> Vec<String> {
    let events = run.events().into_iter().filter(|event| event["event"] == "warning");
    let codes = events.map(|event| event["code"].as_str().unwrap().to_owned());
    codes.filter(|code| code != "command_line").collect()
}

fn stop(sender: crate::support::env::Running) {
    sender.signal(rustix::process::Signal::INT);
    sender.wait();
}

/// F (19): another file system, a bind mount of the same one and a read-only one below the target.
#[test]
fn mounts_below_the_target() {
    let pair = Pair::new();
    for name in ["tree/plain", "tree/tmpfs/deep/small", "tree/bound/x", "tree/readonly/y"] {
        pair.home.file(name, name);
    }
    pair.noise("tree/tmpfs/large", 3_000_000);
    std::os::unix::fs::symlink("large", pair.path("tree/tmpfs/link")).unwrap();
    for name in ["target/tree/tmpfs", "target/tree/bound", "target/tree/readonly", "elsewhere"] {
        fs::create_dir_all(pair.path(name)).unwrap();
    }
    let _tmpfs = or_skip!(Mount::at(&pair.path("target/tree/tmpfs"), Kind::Tmpfs, 20));
    let _bound = or_skip!(Mount::bind(&pair.path("elsewhere"), &pair.path("target/tree/bound")));
    let readonly = or_skip!(Mount::at(&pair.path("target/tree/readonly"), Kind::Tmpfs, 5));
    readonly.remount("ro");
    let sender = pair.sending("tree");
    let receiver = pair.receiving().run().expect_code(6);
    sender.wait().expect_code(6);
    assert_eq!(receiver.files("failed").len() + receiver.files("missing").len(), 1, "{receiver:?}");
    for name in ["plain", "tmpfs", "bound"] {
        assert_same_content(&pair.path("tree").join(name), &pair.path("target/tree").join(name));
    }
    for name in ["target", "target/tree/tmpfs", "elsewhere"] {
        assert!(!pair.path(name).join(".rejoin").exists(), "{name}");
    }
}

/// F (19): subvolumes of one btrfs have numbers of their own.
#[test]
fn a_subvolume_below_the_target() {
    let pair = Pair::new();
    let mount = or_skip!(Mount::new(Kind::Btrfs, 120));
    let btrfs = or_skip!(crate::support::lab::program("btrfs"));
    pair.noise("tree/below/large", 3_000_000);
    let out = mount.path().join("out");
    fs::create_dir_all(out.join("tree")).unwrap();
    let made = std::process::Command::new(btrfs)
        .args(["subvolume", "create"])
        .arg(out.join("tree/below"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let sender = pair.sending("tree");
    pair.receive(["--json", "-y", "-o", out.to_str().unwrap(), CODE]).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("tree"), &out.join("tree"));
    assert!(!out.join("tree/below/.rejoin").exists());
}

/// P (9): a directory of ours that is closed is opened for the time, and closed again.
#[test]
fn closed_directories_take_what_is_new() {
    let pair = Pair::new();
    let nobody = or_skip!(as_nobody());
    pair.home.file("tree/new", "new");
    pair.home.file("tree/sub/deep/new", "new");
    pair.home.file("target/tree/old", "old");
    fs::create_dir_all(pair.path("target/tree/sub")).unwrap();
    for name in ["target/tree/sub", "target/tree"] {
        fs::set_permissions(pair.path(name), fs::Permissions::from_mode(0o555)).unwrap();
    }
    give_to_nobody(pair.home.path());
    fs::set_permissions(pair.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let sender = pair.send(["--json", "--code", CODE, "tree"]).spawn();
    let code = sender.event_where("code", |event| event["event"] == "code");
    let words = code["command"].as_str().unwrap().to_owned();
    let binary = reachable(Path::new(env!("CARGO_BIN_EXE_rejoin")));
    let code = words.rsplit(' ').next().unwrap();
    let line = format!("{} receive --json -y -o target {code}", binary.display());
    pair.shell("receive", &line).through(nobody).run().expect_code(0);
    sender.wait().expect_code(0);
    for name in ["new", "sub/deep/new", "old"] {
        assert!(pair.path("target/tree").join(name).exists(), "{name}");
    }
    for name in ["target/tree/sub", "target/tree"] {
        let mode = fs::metadata(pair.path(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o555, "{name}");
    }
}

/// N (29): holes take no room.
#[test]
fn a_sparse_file_fits() {
    let pair = Pair::new();
    let file = fs::File::create(pair.path("sparse")).unwrap();
    file.set_len(100_000_000).unwrap();
    let mount = or_skip!(Mount::new(Kind::Tmpfs, 16));
    let sender = pair.sending("sparse");
    let out = mount.path().to_str().unwrap();
    let receiver = pair.receive(["--json", "-y", "-o", out, CODE]).run().expect_code(0);
    sender.wait().expect_code(0);
    assert_eq!(codes(&receiver), ["space_short"]);
    assert_same_content(&pair.path("sparse"), &mount.path().join("sparse"));
}

/// N (30): on a full disk what is whole has its name, and the message names the file.
#[test]
fn a_full_disk_keeps_what_is_whole() {
    let pair = Pair::new();
    for number in 0..20 {
        pair.noise(&format!("tree/{number:02}"), 1_000_000);
    }
    let mount = or_skip!(Mount::new(Kind::Tmpfs, 8));
    let sender = pair.sending("tree");
    let out = mount.path().to_str().unwrap();
    let receiver = pair.receive(["--json", "-y", "-o", out, CODE]).run().expect_code(8);
    stop(sender);
    assert!(codes(&receiver).contains(&"space_short".to_owned()), "{receiver:?}");
    let message = receiver.outcome()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("{out}/tree/")), "{message}");
    let whole = fs::read_dir(mount.path().join("tree")).unwrap().count();
    assert!((5..=8).contains(&whole), "{whole} files");
}

/// Two names that the disk to receive on takes for one.
fn with_twins(kind: Kind) -> Here<(Pair, Mount)> {
    let pair = Pair::new();
    pair.home.file("tree/xt_DSCP.c", "one");
    pair.home.file("tree/xt_dscp.c", "two");
    Ok((pair, Mount::new(kind, 30)?))
}

/// I (16): names that the disk takes for one are two files: none replaces the other.
#[test]
fn folded_names_are_never_lost() {
    let kinds = [Kind::NtfsFolding, Kind::Exfat];
    let arguments = [&["-y"][..], &["-y", "--overwrite"], &["-y", "--on-conflict", "fail"]];
    for (kind, arguments) in
        kinds.iter().flat_map(|kind| arguments.iter().map(move |arguments| (*kind, *arguments)))
    {
        let (pair, mount) = or_skip!(with_twins(kind));
        let out = mount.path().join("out");
        let sender = pair.sending("tree");
        let all = [&["--json", "-o", out.to_str().unwrap(), CODE], arguments].concat();
        let receiver = pair.receive(all).run();
        assert_eq!(receiver.code(), 6, "{kind:?} {arguments:?}: {receiver:?}");
        sender.wait().expect_code(6);
        let names = fs::read_dir(out.join("tree")).unwrap();
        let contents: Vec<_> = names.map(|name| fs::read(name.unwrap().path()).unwrap()).collect();
        assert_eq!(
            contents,
            [b"one".to_vec()],
            "{kind:?} {arguments:?}: the first one was replaced"
        );
    }
}

/// I (16): what the flags say settles names that meet only on the disk, too.
#[test]
fn folded_names_are_settled_by_the_policy() {
    let policies = [("rename", &["one", "two"][..]), ("skip", &["one"])];
    for (kind, (policy, expected)) in [Kind::NtfsFolding, Kind::Exfat]
        .iter()
        .flat_map(|kind| policies.map(|policy| (*kind, policy)))
    {
        let (pair, mount) = or_skip!(with_twins(kind));
        let out = mount.path().join("out");
        let sender = pair.sending("tree");
        let arguments =
            ["--json", "-y", "--on-conflict", policy, "-o", out.to_str().unwrap(), CODE];
        let receiver = pair.receive(arguments).run().expect_code(0);
        sender.wait().expect_code(0);
        let names = fs::read_dir(out.join("tree")).unwrap();
        let mut contents: Vec<_> =
            names.map(|name| fs::read_to_string(name.unwrap().path()).unwrap()).collect();
        contents.sort();
        assert_eq!(contents, expected, "{policy}: {receiver:?}");
        let skipped = receiver.outcome()["skipped_files"].as_u64().unwrap();
        assert_eq!(skipped, 2 - expected.len() as u64, "{policy}: {receiver:?}");
        if policy == "rename" {
            assert!(out.join("tree/xt_dscp (1).c").exists(), "{receiver:?}");
        }
    }
}

/// I: what a disk refuses to name is listed with its reason, or arrives under a name that it takes, once, if the user says so.
#[test]
fn refused_names_are_told_or_spelled_otherwise() {
    let odd = ["a:b", "a?b", "a_b", "what?.txt", "new\nline", "star*"];
    let pair = Pair::new();
    for name in odd {
        pair.home.file(&format!("tree/{name}"), if name.contains("_b") { "a:b" } else { name });
    }
    pair.home.file("directory:/file", "in a directory");
    let mount = or_skip!(Mount::new(Kind::Exfat, 20));
    let out = mount.path().join("out");
    let sender = pair.sending("directory:");
    let receiver =
        pair.receive(["--json", "-y", "-o", out.to_str().unwrap(), CODE]).run().expect_code(6);
    sender.wait().expect_code(6);
    let errors =
        receiver.events().into_iter().filter_map(|event| Some(event["error"].as_str()?.to_owned()));
    assert!(errors.clone().any(|error| error.contains("does not take the name")), "{receiver:?}");
    let run = |arguments: &[&str]| {
        let sender = pair.sending("tree");
        let all = [&["--json", "-y", "-o", out.to_str().unwrap(), CODE], arguments].concat();
        let receiver = pair.receive(all).run();
        assert_eq!(sender.wait().code(), receiver.code());
        receiver
    };
    let refusing = run(&[]);
    assert_eq!(refusing.code(), 6, "{refusing:?}");
    for told in refusing.events().iter().filter(|event| event["status"] == "failed") {
        let error = told["error"].as_str().unwrap();
        assert!(error.contains("does not take the name"), "{error}");
        assert!(error.contains("--on-conflict rename"), "{error}");
    }
    assert_eq!(refusing.files("failed").len(), 5, "{refusing:?}");
    for _ in 0..2 {
        run(&["--on-conflict", "rename"]).expect_code(0);
        let names = fs::read_dir(out.join("tree")).unwrap();
        let mut found: Vec<_> = names
            .map(|name| name.unwrap())
            .map(|of| {
                (of.file_name().into_string().unwrap(), fs::read_to_string(of.path()).unwrap())
            })
            .collect();
        found.sort();
        let expected = [
            ("a_b", "a:b"),
            ("a_b (1)", "a:b"),
            ("a_b (2)", "a?b"),
            ("new_line", "new\nline"),
            ("star_", "star*"),
            ("what_.txt", "what?.txt"),
        ];
        let expected = expected.map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(found, expected);
    }
}

/// What is below a directory: names with contents, directories with nothing.
fn below(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let content = match path.is_dir() {
                true => String::new(),
                false => fs::read_to_string(&path).unwrap(),
            };
            found.push((name, content));
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
    found.sort();
    found
}

/// B-I: directories whose names a disk refuses get those that it takes, by the rule of files, if the user says so: no two of
/// them one, and every later run finds them there, one of another session, too.
#[test]
fn refused_names_of_directories_are_spelled_otherwise() {
    for kind in [Kind::Exfat, Kind::NtfsFolding] {
        let pair = Pair::new();
        let files =
            ["a:b/x", "a:b/c?d/deep", "a?b/x", "a_b/x", "plain/x", "A:B/x", "a:b/a:b/x", "a*/f:1"];
        for name in files {
            pair.home.file(&format!("tree/{name}"), name);
        }
        fs::create_dir(pair.path("tree/empty:")).unwrap();
        let mount = or_skip!(Mount::new(kind, 30));
        let out = mount.path().join("out");
        if fs::create_dir_all(out.join("a:b")).is_ok() {
            // It takes such names: nothing to respell.
            continue;
        }
        let receive = |arguments: &[&str]| {
            let all = [&["--json", "-y", "-o", out.to_str().unwrap()], arguments].concat();
            pair.receive(all)
        };
        let renaming = ["--on-conflict", "rename", CODE];
        let sender = pair.sending("tree");
        let first = receive(&renaming).run();
        assert_eq!((first.code(), sender.wait().code()), (0, 0), "{kind:?}: {}", first.stdout);
        let told = codes(&first);
        assert!(told.contains(&"directory_renamed".to_owned()), "{told:?}");
        let there = below(&out.join("tree"));
        let contents: Vec<_> = there.iter().map(|(_, content)| content.as_str()).collect();
        for name in files {
            assert_eq!(contents.iter().filter(|of| **of == name).count(), 1, "{there:?}");
        }
        // No two directories became one: each has one `x`.
        let directories = there.iter().filter(|(_, content)| content.is_empty()).count();
        assert_eq!(directories, 9, "{there:?}");
        assert!(there.contains(&("a_b/x".to_owned(), "a_b/x".to_owned())), "{there:?}");
        for arguments in [&["--json", "tree"][..], &["--json", "--new", "tree"]] {
            let arguments = [&["--code", CODE], arguments].concat();
            let sender = pair.send(arguments).spawn();
            sender.event_where("code", |event| event["event"] == "code");
            let again = receive(&renaming).run();
            assert_eq!((again.code(), sender.wait().code()), (0, 0), "{}", again.stdout);
            assert_eq!(below(&out.join("tree")), there, "{kind:?}: {}", again.stdout);
            // A file under another name is compared once it came.
            let moved = again.outcome()["wire_bytes"].as_u64().unwrap();
            assert!(moved <= 10, "{kind:?}: {}", again.stdout);
        }
    }
}

/// B-I: a directory under another name goes on where it was, after a kill of the receiver.
#[test]
fn a_respelled_directory_goes_on_after_a_kill() {
    let pair = Pair::new();
    pair.home.file("tree/a:b/a-small", "small");
    pair.noise("tree/a:b/c:d/large", 48 << 20);
    let mount = or_skip!(Mount::new(Kind::Exfat, 120));
    let out = mount.path().join("out");
    let receiving = || {
        let out = out.to_str().unwrap();
        pair.receive(["--json", "-y", "--on-conflict", "rename", "-o", out, CODE])
    };
    let sender = pair.sending("tree");
    let receiver = receiving().spawn();
    receiver.event_where("the small one", |event| event["event"] == "file");
    receiver.signal(rustix::process::Signal::KILL);
    receiver.wait();
    let receiver = receiving().run();
    assert_eq!((receiver.code(), sender.wait().code()), (0, 0), "{}", receiver.stdout);
    assert!(receiver.outcome()["kept_bytes"].as_u64().unwrap() > 0, "{}", receiver.stdout);
    assert_eq!(entries(&out.join("tree")), 1);
    let (source, target) = (pair.path("tree/a:b"), out.join("tree/a_b"));
    for (from, to) in [("a-small", "a-small"), ("c:d/large", "c_d/large")] {
        assert!(fs::read(source.join(from)).unwrap() == fs::read(target.join(to)).unwrap());
    }
}

/// B-Q: a directory under another name makes room for a file like any other.
#[test]
fn a_respelled_directory_makes_room() {
    let pair = Pair::new();
    pair.home.file("tree/d/a:b/x", "x");
    let large = pair.noise("tree/z-large", 48 << 20);
    let mount = or_skip!(Mount::new(Kind::Exfat, 120));
    let out = mount.path().join("out");
    let receiving = || {
        let out = out.to_str().unwrap();
        pair.receive(["--json", "-y", "--on-conflict", "rename", "-o", out, CODE])
    };
    let (sender, receiver) = (pair.sending("tree"), receiving().spawn());
    receiver.event_where("the small one", |event| event["event"] == "file");
    for run in [receiver, sender] {
        run.signal(rustix::process::Signal::KILL);
        run.wait();
    }
    assert!(out.join("tree/d/a_b/x").exists());
    fs::remove_dir_all(pair.path("tree/d")).unwrap();
    pair.home.file("tree/d", "a file");
    fs::write(large, "short").unwrap();
    let sender = pair.sending("tree");
    let receiver = receiving().run();
    assert_eq!((receiver.code(), sender.wait().code()), (0, 0), "{}", receiver.stdout);
    assert_same_content(&pair.path("tree"), &out.join("tree"));
}

/// B-D: what is made below a setgid directory is setgid, as the disk makes it; the sender says nothing of that bit.
#[test]
fn new_directories_keep_what_they_inherit() {
    let pair = Pair::new();
    for name in ["tree/a/deep/x", "tree/closed/x"] {
        pair.home.file(name, name);
    }
    fs::set_permissions(pair.path("tree/closed"), fs::Permissions::from_mode(0o500)).unwrap();
    fs::set_permissions(pair.path("target"), fs::Permissions::from_mode(0o2775)).unwrap();
    pair.transfer("tree", &["-y"], (0, 0));
    for (name, mode) in
        [("tree", 0o755), ("tree/a", 0o755), ("tree/a/deep", 0o755), ("tree/closed", 0o500)]
    {
        let found = fs::metadata(pair.path("target").join(name)).unwrap().mode() & 0o7777;
        assert_eq!(found, 0o2000 | mode, "{name}: {found:o}");
    }
    let sticky = fs::metadata(pair.path("target/tree/a/deep/x")).unwrap().mode() & 0o7777;
    assert_eq!(sticky, 0o644);
}

/// I: a name that only Windows reads as a path is a name.
#[test]
fn names_with_drives_and_backslashes_arrive() {
    let pair = Pair::new();
    for name in ["C:bad", "a\\..\\b", "\\host", "C:/in"] {
        pair.home.file(&format!("tree/{name}"), name);
    }
    std::os::unix::fs::symlink("C:bad", pair.path("tree/link")).unwrap();
    let sender = pair.sending("tree");
    pair.receiving().run().expect_code(0);
    sender.wait().expect_code(0);
    assert_same_content(&pair.path("tree"), &pair.path("target/tree"));
}

/// O: nothing is written into a state directory, whatever its name is.
#[test]
fn a_state_directory_is_no_target() {
    let pair = Pair::new();
    for name in ["x", "sending/x", "sending/planted/record", "new/deep/er/x"] {
        pair.home.file(&format!("tree/state/{name}"), name);
    }
    pair.home.file("tree/beside", "beside");
    fs::create_dir_all(pair.path("target/tree")).unwrap();
    let sender = pair.sending("tree");
    let state = pair.path("target/tree/state");
    let receiver = pair.receiving().env("REJOIN_STATE_DIR", &state).run().expect_code(6);
    sender.wait().expect_code(6);
    for name in ["x", "sending/x", "sending/planted", "new"] {
        assert!(!state.join(name).exists(), "{name}: {receiver:?}");
    }
    assert!(pair.path("target/tree/beside").exists());
    // Each once, however deep: none of them was tried.
    let below = receiver
        .events()
        .into_iter()
        .filter(|event| event["error"].as_str() == Some("its directory could not be made"));
    assert_eq!(below.count(), 9, "{receiver:?}");
    let of_state = receiver.events().into_iter().find(|event| event["path"] == "tree/state");
    let told = of_state.unwrap()["error"].as_str().unwrap().to_owned();
    assert!(told.contains("rejoin's own") && told.contains("--out"), "{told}");
}

/// B-1: nor is what lies in one, or in a directory of unfinished transfers; nothing is made there.
#[test]
fn nothing_in_a_directory_of_ours_is_a_target() {
    let pair = Pair::new();
    let state = pair.path("state");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(pair.path("target/.rejoin")).unwrap();
    std::os::unix::fs::symlink("../state", pair.path("target/link")).unwrap();
    let receive = |out: &str| {
        let words = ["--json", "-y", "-o", out, CODE];
        let run = pair.receive(words).env("REJOIN_STATE_DIR", &state).run().expect_code(8);
        let message = run.outcome()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("rejoin's own") && message.contains("--out"), "{message}");
    };
    // The first one makes and marks it.
    for out in ["state/sending/new/deep", "state", "target/link/x", "target/.rejoin/x"] {
        receive(out);
    }
    for name in ["state/sending/new", "state/sending/x", "state/.rejoin", "target/.rejoin/x"] {
        assert!(!pair.path(name).exists(), "{name}");
    }
}

/// Row 20: a link in the place of a directory.
fn with_links() -> Pair {
    let pair = Pair::new();
    for name in ["tree/inner/new", "tree/out/new", "tree/absolute/new", "tree/own/new", "tree/top"]
    {
        pair.home.file(name, name);
    }
    pair.home.file("tree/inner/sub/deep", "deep");
    for name in ["target/real/place", "target/tree", "outside"] {
        fs::create_dir_all(pair.path(name)).unwrap();
    }
    let absolute = pair.path("target/real");
    for (to, name) in [
        (Path::new("../real/place"), "inner"),
        (Path::new("../../outside"), "out"),
        (&absolute, "absolute"),
        (Path::new("../.rejoin"), "own"),
    ] {
        std::os::unix::fs::symlink(to, pair.path("target/tree").join(name)).unwrap();
    }
    pair
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Row 20: without the option a link where a directory is to be is a conflict that names the option.
#[test]
fn links_in_the_place_of_directories_are_conflicts() {
    let pair = with_links();
    let sender = pair.sending("tree");
    let receiver = pair.receiving().run().expect_code(7);
    sender.wait().expect_code(7);
    let events = receiver.events();
    let told = events.iter().filter(|event| {
        event["error"].as_str().is_some_and(|error| error.contains("--follow-target"))
    });
    assert_eq!(told.count(), 4, "{receiver:?}");
    assert!(pair.path("target/tree/top").exists());
    assert_eq!(entries(&pair.path("target/real/place")) + entries(&pair.path("outside")), 0);
}

/// Row 20: with the option one that leads to a directory inside the target is followed, and no other.
#[test]
fn inner_links_are_followed_where_asked_for() {
    let pair = with_links();
    for _ in 0..2 {
        let sender = pair.sending("tree");
        let receiver =
            pair.receive(["--json", "-y", "--follow-target", "-o", "target", CODE]).run();
        assert_eq!(receiver.code(), 7, "{receiver:?}");
        sender.wait().expect_code(7);
        let place = pair.path("target/real/place");
        assert_eq!(fs::read_to_string(place.join("new")).unwrap(), "tree/inner/new");
        assert_eq!(fs::read_to_string(place.join("sub/deep")).unwrap(), "deep");
        assert!(pair.path("target/tree/inner").is_symlink());
        assert_eq!(entries(&pair.path("outside")), 0, "{receiver:?}");
        assert_eq!(entries(&pair.path("target/real")), 1, "{receiver:?}");
        assert!(!pair.path("target/.rejoin").exists(), "{receiver:?}");
    }
}

/// Row 20: two entries that a link leads to one name: neither replaces the other.
#[test]
fn entries_that_meet_by_a_link_are_never_lost() {
    let pair = Pair::new();
    for (name, content) in
        [("tree/a/x", "by the link"), ("tree/b/x", "by itself"), ("tree/b/old", "new")]
    {
        pair.home.file(name, content);
    }
    pair.home.file("target/tree/b/old", "older");
    std::os::unix::fs::symlink("b", pair.path("target/tree/a")).unwrap();
    let sender = pair.sending("tree");
    let arguments = ["--json", "-y", "--overwrite", "--follow-target", "-o", "target", CODE];
    let receiver = pair.receive(arguments).run().expect_code(6);
    sender.wait().expect_code(6);
    assert_eq!(receiver.files("failed").len(), 1, "{receiver:?}");
    let read = |name: &str| fs::read_to_string(pair.path("target/tree/b").join(name)).unwrap();
    assert_eq!((read("x").as_str(), read("old").as_str()), ("by the link", "new"), "{receiver:?}");
}
