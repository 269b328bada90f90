//! The one integration binary: scenarios through the binary and rules about the source, a module each.

#![expect(
    clippy::unwrap_used,
    reason = "in a test a panic is the report; the lint knows only the functions marked as tests"
)]
#![allow(clippy::print_stderr, reason = "what a failed process said belongs beside the failure")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test that gets another reply than it waits for fails, whichever it is"
)]

mod addresses;
#[cfg(target_os = "linux")]
#[cfg(feature = "fault-injection")]
mod allocation;
mod architecture;
mod at_once;
mod burnt;
#[cfg(all(unix, feature = "fault-injection"))]
mod campaign;
mod cli;
mod completed;
#[cfg(target_os = "linux")]
mod confinement;
mod conflict;
mod consent;
mod continuing;
mod crash_power;
#[cfg(all(unix, feature = "fault-injection"))]
mod cut;
mod demo_run;
mod documents;
mod end_to_end;
#[cfg(unix)]
mod examples;
mod found_again;
#[cfg(feature = "fault-injection")]
mod fuzz_corpora;
mod host_attacks;
mod host_load;
mod hostile;
mod kill;
mod lab_changes;
mod lab_disks;
mod lab_everything;
mod lab_fairness;
mod lab_networks;
mod lab_relatives;
mod lab_services;
mod lab_targets;
mod lab_trees;
#[cfg(unix)]
mod leaving;
mod limits;
mod long_run;
mod meeting;
mod memory;
mod moving_kinds;
mod moving_sources;
mod named_sources;
mod no_code;
mod outcomes;
#[cfg(target_os = "linux")]
mod path_mtu;
mod pointed_out;
mod policy;
#[cfg(unix)]
mod provenance;
#[cfg(unix)]
mod provenance_property;
#[cfg(unix)]
mod provenance_races;
mod recovery;
mod relay;
mod resume_large;
mod rot;
mod secrets;
mod services;
mod sessions;
mod simulation;
mod simulation_faults;
mod source_changes;
mod stats;
mod store_crash;
mod store_faults;
mod store_source;
mod store_state;
mod store_target;
mod store_versions;
#[cfg(all(target_os = "linux", feature = "fault-injection"))]
mod strangers;
mod support;
mod target_disks;
mod target_metadata;
mod target_places;
mod transfer;
mod trees;
mod wire;

use std::collections::BTreeSet;
use std::path::Path;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_file_of_this_directory_is_a_module_of_it() {
    for (directory, list) in [("tests/it", "main.rs"), ("tests/it/support", "mod.rs")] {
        let directory = root().join(directory);
        let text = std::fs::read_to_string(directory.join(list)).unwrap();
        let listed: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'))
            .map(str::to_owned)
            .collect();
        let present: BTreeSet<String> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != list)
            .map(|name| name.trim_end_matches(".rs").to_owned())
            .collect();
        assert_eq!(listed, present, "modules listed in {list} and files beside it");
    }
}
