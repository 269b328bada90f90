//! File systems of every kind, mounted for one test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{
    Absent, Here, Place, kernel_has, note_mount, program, root, run, skip, try_run, unmount,
};
use crate::support::pair::Pair;

/// A kind of file system, and how it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Times of nanoseconds.
    Ext4,
    /// Inodes of 128 bytes: times of whole seconds, none after 2038.
    Ext4WholeSeconds,
    /// Directories at its root fold case (`chattr +F` is set on it).
    Ext4Casefold,
    Btrfs,
    Xfs,
    /// `ntfs-3g` as it mounts by itself: every mode is 0777.
    Ntfs,
    /// Modes 0755, `umask=022`.
    NtfsUmask022,
    /// `lowntfs-3g -o ignore_case`: names are folded to small letters.
    NtfsFolding,
    /// `exfat-fuse`, modes 0777.
    Exfat,
    Vfat,
    Tmpfs,
}

impl Kind {
    /// Those that a tree can be sent to here without more words.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ext4,
        Self::Ext4WholeSeconds,
        Self::Ext4Casefold,
        Self::Btrfs,
        Self::Xfs,
        Self::Ntfs,
        Self::NtfsUmask022,
        Self::NtfsFolding,
        Self::Exfat,
        Self::Tmpfs,
    ];
}

/// Runs `test` on a new file system of each kind that is here.
pub(crate) fn on_each(kinds: &[Kind], mebibytes: u64, test: impl Fn(Kind, &Pair, &Path)) {
    for &kind in kinds {
        let pair = Pair::new();
        match Mount::new(kind, mebibytes) {
            Ok(mount) => test(kind, &pair, mount.path()),
            Err(absent) => skip(&absent),
        }
    }
}

/// Something mounted; unmounted, with its image, when it is dropped.
///
/// Make it after the home that it is mounted in, so that it is dropped before it.
#[derive(Debug)]
pub(crate) struct Mount {
    path: PathBuf,
    loop_device: Option<String>,
    /// Its image and, unless it was asked for elsewhere, its mount point.
    _place: Place,
}

impl Mount {
    /// A new file system of `mebibytes`, in a directory of its own.
    pub(crate) fn new(kind: Kind, mebibytes: u64) -> Here<Self> {
        Self::make(kind, mebibytes, None, &[])
    }

    /// A new file system mounted at a directory that exists.
    pub(crate) fn at(path: &Path, kind: Kind, mebibytes: u64) -> Here<Self> {
        Self::make(kind, mebibytes, Some(path), &[])
    }

    /// A new file system with mount options more (`ro`, `nr_inodes=100`, …).
    pub(crate) fn with(kind: Kind, mebibytes: u64, options: &[&str]) -> Here<Self> {
        Self::make(kind, mebibytes, None, options)
    }

    /// A directory, a second time, at another one.
    pub(crate) fn bind(source: &Path, path: &Path) -> Here<Self> {
        root()?;
        let source = source.as_os_str();
        Self::make_with(Place::new(), path, None, |path| {
            run("mount", ["--bind".as_ref(), source, path.as_os_str()]);
        })
    }

    /// `bindfs OPTIONS` over a directory: `--chmod-deny`, `--chown-deny`, `--force-user=…`, …
    pub(crate) fn bindfs(source: &Path, options: &[&str]) -> Here<Self> {
        root()?;
        program("bindfs")?;
        kernel_has("fuse")?;
        let place = Place::new();
        let path = mount_point(&place);
        Self::make_with(place, &path, None, |path| {
            let options = options.iter().map(OsString::from);
            run("bindfs", options.chain([source.into(), path.into()]));
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        run("mount", ["-o".as_ref(), options.as_ref(), self.path.as_os_str()]);
    }

    fn make(kind: Kind, mebibytes: u64, path: Option<&Path>, options: &[&str]) -> Here<Self> {
        root()?;
        let place = Place::new();
        let path = path.map_or_else(|| mount_point(&place), Path::to_owned);
        let mebibytes = mebibytes.max(kind.mebibytes_min());
        if kind == Kind::Tmpfs {
            let size = format!("size={mebibytes}M");
            let options = [&[&*size], options].concat().join(",");
            return Self::make_with(place, &path, None, |path| {
                let words = ["-t", "tmpfs", "-o", &options, "tmpfs"].map(OsString::from);
                run("mount", words.into_iter().chain([path.into()]));
            });
        }
        let image = place.path().join("image");
        kind.format(&image, mebibytes)?;
        let options = [&[kind.options()], options].concat();
        let options: Vec<&str> = options.into_iter().filter(|option| !option.is_empty()).collect();
        match kind.helper() {
            // What a helper mounts is a device to it.
            Some(helper) => {
                program(helper)?;
                kernel_has("fuse")?;
                let image = image.display().to_string();
                let device = run_for("losetup", &["--find", "--show", &image])?;
                let joined = options.join(",");
                Self::make_with(place, &path, Some(device.clone()), |path| {
                    let mut words: Vec<OsString> = vec![];
                    if !joined.is_empty() {
                        words.extend(["-o".into(), joined.clone().into()]);
                    }
                    run(helper, words.into_iter().chain([device.into(), path.into()]));
                })
            }
            None => {
                let options = [&["loop"], &options[..]].concat().join(",");
                Self::make_with(place, &path, None, |path| {
                    let words = ["-o".into(), OsString::from(&options), image.into(), path.into()];
                    run("mount", words);
                    // An empty directory is what tests expect; others have none.
                    let _ = std::fs::remove_dir(path.join("lost+found"));
                })
            }
        }
    }

    fn make_with(
        place: Place,
        path: &Path,
        loop_device: Option<String>,
        mount: impl FnOnce(&Path),
    ) -> Here<Self> {
        note_mount(path);
        // Owned before it is mounted: what panics half-way is taken away.
        let made = Self { path: path.to_owned(), loop_device, _place: place };
        mount(path);
        Ok(made)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(&self.path);
        if let Some(device) = &self.loop_device {
            // Where it is still in use the kernel detaches it later.
            let _ = try_run("losetup", ["--detach", device]);
        }
    }
}

impl Kind {
    const fn mebibytes_min(self) -> u64 {
        match self {
            Self::Btrfs => 120,
            Self::Xfs => 300,
            _ => 1,
        }
    }

    const fn options(self) -> &'static str {
        match self {
            Self::NtfsUmask022 => "umask=022",
            Self::NtfsFolding => "ignore_case",
            _ => "",
        }
    }

    /// The program that mounts it, where it is not the kernel.
    const fn helper(self) -> Option<&'static str> {
        match self {
            Self::Ntfs | Self::NtfsUmask022 => Some("ntfs-3g"),
            Self::NtfsFolding => Some("lowntfs-3g"),
            Self::Exfat => Some("mount.exfat-fuse"),
            _ => None,
        }
    }

    fn format(self, image: &Path, mebibytes: u64) -> Here<()> {
        std::fs::File::create(image).unwrap().set_len(mebibytes << 20).unwrap();
        let (name, arguments): (&str, &[&str]) = match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-I", "256"]),
            // A fixed block size: what is small would get blocks of 1 KiB.
            Self::Ext4WholeSeconds => ("mkfs.ext4", &["-q", "-I", "128"]),
            Self::Ext4Casefold => ("mkfs.ext4", &["-q", "-I", "256", "-O", "casefold"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q"]),
            Self::Xfs => ("mkfs.xfs", &["-q"]),
            Self::Ntfs | Self::NtfsUmask022 | Self::NtfsFolding => ("mkntfs", &["-F", "-Q", "-q"]),
            Self::Exfat => ("mkfs.exfat", &[]),
            Self::Vfat => ("mkfs.vfat", &[]),
            Self::Tmpfs => return Ok(()),
        };
        match self {
            Self::Ext4 | Self::Ext4WholeSeconds => kernel_has("ext4")?,
            Self::Ext4Casefold => {
                kernel_has("ext4")?;
                if !Path::new("/sys/fs/ext4/features/casefold").exists() {
                    return Err(Absent("the kernel has no casefold (CONFIG_UNICODE)".into()));
                }
            }
            Self::Btrfs => kernel_has("btrfs")?,
            Self::Xfs => kernel_has("xfs")?,
            Self::Vfat => kernel_has("vfat")?,
            Self::Ntfs | Self::NtfsUmask022 | Self::NtfsFolding | Self::Exfat | Self::Tmpfs => {}
        }
        let arguments = arguments.iter().map(OsString::from).chain([image.into()]);
        program(name)?;
        run(name, arguments);
        Ok(())
    }
}

fn mount_point(place: &Place) -> PathBuf {
    let path = place.path().join("mount");
    std::fs::create_dir(&path).unwrap();
    path
}

fn run_for(name: &str, arguments: &[&str]) -> Here<String> {
    program(name)?;
    Ok(try_run(name, arguments).unwrap_or_else(|said| panic!("{said}")).trim().to_owned())
}

/// Sets up one of each kind, writes to it and takes it away again.
#[test]
fn every_kind_is_mounted_and_gone_afterwards() {
    for kind in Kind::ALL.into_iter().chain([Kind::Vfat]) {
        let mount = match Mount::new(kind, 20) {
            Ok(mount) => mount,
            Err(absent) => {
                skip(&absent);
                continue;
            }
        };
        let path = mount.path().to_owned();
        std::fs::write(path.join("file"), "x").unwrap();
        assert!(super::mounted_below(&path), "{kind:?}");
        drop(mount);
        assert!(!super::mounted_below(&path) && !path.exists(), "{kind:?}");
    }
}

#[test]
fn directories_are_shown_at_other_places() {
    let mount = super::or_skip!(Mount::new(Kind::Tmpfs, 4));
    let (original, other) = (mount.path().join("original"), mount.path().join("other"));
    std::fs::create_dir(&original).unwrap();
    std::fs::create_dir(&other).unwrap();
    let bound = super::or_skip!(Mount::bind(&original, &other));
    std::fs::write(original.join("file"), "x").unwrap();
    assert!(other.join("file").exists());
    bound.remount("ro,bind");
    assert!(std::fs::write(other.join("file"), "y").is_err());
    let refusing = super::or_skip!(Mount::bindfs(&original, &["--chmod-deny"]));
    super::try_run("chmod", ["600".as_ref(), refusing.path().join("file").as_os_str()])
        .unwrap_err();
    let full = super::or_skip!(Mount::with(Kind::Tmpfs, 4, &["nr_inodes=2"]));
    std::fs::write(full.path().join("one"), "x").unwrap();
    assert!(std::fs::write(full.path().join("two"), "x").is_err());
}

/// The properties that tests rely on.
#[test]
fn a_kind_is_what_it_is_said_to_be() {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let coarse = super::or_skip!(Mount::new(Kind::Ext4WholeSeconds, 20));
    let file = coarse.path().join("file");
    std::fs::write(&file, "x").unwrap();
    crate::support::tree::set_mtime(&file, 1_600_000_000, 5);
    assert_eq!(std::fs::metadata(&file).unwrap().mtime_nsec(), 0);
    let ntfs = super::or_skip!(Mount::new(Kind::Ntfs, 20));
    std::fs::DirBuilder::new().mode(0o700).create(ntfs.path().join("closed")).unwrap();
    assert_eq!(std::fs::metadata(ntfs.path().join("closed")).unwrap().mode() & 0o777, 0o777);
    let folding = super::or_skip!(Mount::new(Kind::NtfsFolding, 20));
    std::fs::write(folding.path().join("A"), "x").unwrap();
    assert!(folding.path().join("a").exists());
}
