//! How fast the disk side alone is: `cargo bench --bench store [DIRECTORY]`, by default on /dev/shm.
//!
//! Prints, for a large file (five times) and for many small ones, reading with hashing and framing, and verifying with writing and
//! publishing. Syncs are measured apart.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

use bytes::Bytes;
use rejoin::platform::OsDirectory;
use rejoin::store::{SourceRoots, TargetLimits, TargetOptions, TargetStore, source};
use rejoin::transfer::UNIT_BYTES;
use rejoin::transfer::disk::{
    FileMetadata, OnConflict, Publish, PublishKind, ScanReport, SourceFile, SourceReply,
    SourceRequest, TargetReply, TargetRequest, UnitContent,
};
use rejoin::transfer::layout::{Layout, Segment};
use rejoin::transfer::manifest::{DirectoryTable, EntryKind, Page, PageCheck};
use rejoin::transfer::merge::root;
use rejoin::wire::SessionId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SESSION: SessionId = SessionId([1; 16]);

fn main() {
    let directory = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let base = tempfile::tempdir_in(directory).unwrap();
    // Small enough that a virtual machine need not be given memory for it: that would be measured, too.
    let large = base.path().join("large");
    std::fs::create_dir(&large).unwrap();
    let mut content = vec![0; 256 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    std::fs::write(large.join("file"), &content).unwrap();
    content.truncate(1 << 20);
    content.shrink_to_fit();
    for _ in 0..5 {
        run(base.path(), "one file of 256 MiB", &large);
    }
    std::fs::remove_dir_all(&large).unwrap();

    let small = base.path().join("small");
    for number in 0..100_000 {
        let directory = small.join((number / 1_000).to_string());
        if number % 1_000 == 0 {
            std::fs::create_dir_all(&directory).unwrap();
        }
        std::fs::write(directory.join(number.to_string()), &content[number..][..1_024]).unwrap();
    }
    drop(content);
    run(base.path(), "100,000 files of 1 KiB", &small);
}

fn run(base: &Path, what: &str, path: &Path) {
    let (state, out) = (base.join("state"), base.join("out"));
    for directory in [&state, &out] {
        std::fs::create_dir(directory).unwrap();
    }
    let roots = SourceRoots::open(&[path.to_path_buf()]).unwrap();
    let session = OsDirectory::open(&state).unwrap();
    let options = TargetOptions {
        session: SESSION,
        boot: [0; 16],
        umask: 0o022,
        key: [0; 32],
        secret: [0; 32],
        limits: TargetLimits::default(),
    };
    let (mut target, _) = TargetStore::open(OsDirectory::open(&out).unwrap(), options).unwrap();
    let (mut scan, mut store) = source::open(&roots, &session, SESSION).unwrap();
    let (mut check, mut table, mut next_unit) = (PageCheck::new(), DirectoryTable::new(), 0);
    let mut times = [Duration::ZERO; 4];
    let (mut bytes, mut files) = (0, 0);
    let mut values = BTreeMap::new();
    let mut publish = Vec::new();
    loop {
        let start = Instant::now();
        let report = scan.next_report();
        times[0] += start.elapsed();
        let stored = match report {
            Some(ScanReport::Page(stored)) => stored,
            Some(ScanReport::End { .. }) => break,
            report => panic!("{report:?}"),
        };
        let page = Page::decode(&stored.encoded).unwrap();
        let verdicts = check.check(&page).unwrap();
        table.add_page(&page);
        let number = page.number;
        let encoded = stored.encoded;
        target.handle(TargetRequest::KeepPage { number, encoded });
        let directories = page
            .iter()
            .filter(|(_, entry)| entry.kind == EntryKind::Directory)
            .map(|(index, entry)| (index, table.path(entry).unwrap(), entry.mode))
            .collect();
        target.handle(TargetRequest::CreateDirectories { directories });
        let source_file = |entry: u64| SourceFile {
            is_retried: false,
            entry,
            path: table.path(page.entry(entry).unwrap()).unwrap(),
            stamp: stored.stamps[(entry - page.first_entry) as usize].unwrap(),
        };
        let layout = Layout::new(&page, &verdicts, next_unit);
        next_unit = layout.end_unit;
        for segment in &layout.segments {
            for request in requests(segment, &source_file) {
                let start = Instant::now();
                let reply = store.handle(request);
                times[1] += start.elapsed();
                let (unit, content, frames) = content(reply, segment, &page);
                match &content {
                    UnitContent::Part { entry, value, .. } => {
                        values.entry(*entry).or_insert_with(Vec::new).push(*value);
                    }
                    UnitContent::Pack { files, .. } => {
                        values.extend(files.iter().map(|(entry, file)| (*entry, vec![file.root])));
                    }
                }
                let payload: Vec<Bytes> = frames.iter().map(|frame| frame.slice(1..)).collect();
                bytes += payload.iter().map(Bytes::len).sum::<usize>();
                let write = TargetRequest::Write { unit, content, payload };
                let start = Instant::now();
                let reply = target.handle(write);
                times[2] += start.elapsed();
                assert_eq!(reply, Some(TargetReply::Written { unit }));
            }
        }
        for (index, entry) in page.iter() {
            if let EntryKind::File { bytes } = entry.kind {
                files += 1;
                publish.push(Publish {
                    entry: index,
                    path: table.path(entry).unwrap(),
                    kind: PublishKind::File {
                        bytes,
                        root: root(&values.remove(&index).unwrap()).unwrap(),
                        recheck: Vec::new(),
                    },
                    mode: entry.mode,
                    modified: entry.modified,
                    on_conflict: OnConflict::Fail,
                    replaces: None,
                });
            }
        }
        if publish.len() > 4_000 {
            let publish = std::mem::take(&mut publish);
            let start = Instant::now();
            target.handle(TargetRequest::Barrier { publish });
            times[3] += start.elapsed();
        }
    }
    let start = Instant::now();
    let reply = target.handle(TargetRequest::Barrier { publish });
    times[3] += start.elapsed();
    assert!(matches!(reply, Some(TargetReply::BarrierDone { .. })));
    drop(target);
    let start = Instant::now();
    let (target, found) = TargetStore::open(OsDirectory::open(&out).unwrap(), options).unwrap();
    let opening = start.elapsed();
    assert_eq!(found.complete.len(), u64::try_from(files).unwrap());
    target.cleanup().unwrap();
    println!("{what}: opened again in {opening:?}");
    for (name, time) in ["scan", "read and hash", "verify and write", "barriers"].iter().zip(times)
    {
        let seconds = time.as_secs_f64();
        println!(
            "  {name:17} {seconds:7.3} s  {:6.2} GB/s  {:9.0} files/s",
            bytes as f64 / seconds / 1e9,
            f64::from(files) / seconds
        );
    }
    for directory in [&state, &out] {
        std::fs::remove_dir_all(directory).unwrap();
    }
}

fn requests(segment: &Segment, file: &impl Fn(u64) -> SourceFile) -> Vec<SourceRequest> {
    match segment {
        Segment::File { entry, bytes, first_unit } => (*first_unit..)
            .zip((0..*bytes).step_by(UNIT_BYTES as usize))
            .map(|(unit, offset)| SourceRequest::ReadPart {
                unit,
                file: file(*entry),
                offset,
                bytes: (bytes - offset).min(UNIT_BYTES),
            })
            .collect(),
        Segment::Pack { unit, files } => vec![SourceRequest::ReadPack {
            unit: *unit,
            files: files.iter().map(|(entry, _)| file(*entry)).collect(),
        }],
    }
}

fn content(reply: SourceReply, segment: &Segment, page: &Page) -> (u64, UnitContent, Vec<Bytes>) {
    match (reply, segment) {
        (
            SourceReply::Part { unit, entry, content, .. },
            Segment::File { bytes, first_unit, .. },
        ) => {
            let (frames, value) = content.unwrap();
            let offset = (unit - first_unit) * UNIT_BYTES;
            let content = UnitContent::Part { entry, offset, file_bytes: *bytes, value };
            (unit, content, frames)
        }
        (SourceReply::Pack { unit, files, frames }, _) => {
            let files: Vec<_> =
                files.into_iter().map(|(entry, file)| (entry, file.unwrap())).collect();
            let metadata = files
                .iter()
                .filter_map(|(entry, _)| page.entry(*entry))
                .map(FileMetadata::from)
                .collect();
            (unit, UnitContent::Pack { files, metadata }, frames)
        }
        (reply, _) => panic!("{reply:?}"),
    }
}
