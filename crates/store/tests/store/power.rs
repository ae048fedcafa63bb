//! Power cuts: what is acknowledged is synced. The store runs on `tests/fault/powercut.c`, is killed, and
//! is opened again in the directory as it would be had the machine lost power at that moment.
//!
//! The layer is proved first: under it a program that does not sync loses data, and the same program
//! loses none once it syncs.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use crate::child::{Player, role, say};
use crate::crash::{
    LOG_LINES, acknowledged, check, commit_for_ever, commit_until_an_error, log_until_done, until_the_error,
};

/// The layer, compiled once by each run.
static LAYER: LazyLock<PathBuf> = LazyLock::new(|| {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("powercut.so");
    let aside = library.with_extension(std::process::id().to_string());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fault/powercut.c");
    let status = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"])
        .args([&aside, &source])
        .args(["-ldl", "-lpthread"])
        .status()
        .expect("the fault layer needs a C compiler (cc)");
    assert!(status.success(), "the fault layer does not compile");
    // At once: another run may be using the one that is there.
    fs::rename(&aside, &library).unwrap();
    library
});

/// A world on the layer: the directory that processes work in and the shadow of what was synced.
struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        Self { directory }
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.directory.path().join("root")).unwrap()
    }

    fn shadow(&self) -> PathBuf {
        self.directory.path().join("shadow")
    }

    /// Starts a process on the layer, which breaks as `limits` say.
    fn play(&self, test: &str, limits: &[(&str, &str)]) -> Player {
        fs::create_dir_all(self.shadow().join("files")).unwrap();
        fs::create_dir_all(self.shadow().join("directories")).unwrap();
        let (root, shadow) = (self.root(), self.shadow());
        // What was there before the process started is taken to be on disk.
        remember(&root, &shadow);
        let mut environment = vec![
            ("LD_PRELOAD", LAYER.to_str().unwrap()),
            ("POWERCUT_ROOT", root.to_str().unwrap()),
            ("POWERCUT_SHADOW", shadow.to_str().unwrap()),
        ];
        environment.extend(limits);
        Player::start(test, &root, &environment)
    }

    /// Puts the directory into the state that a power cut leaves. `lucky` files, chosen by their position,
    /// made it to the disk with everything that was written, as the kernel may well do.
    fn cut_power(&self, lucky: impl Fn(usize) -> bool) {
        let (root, shadow) = (self.root(), self.shadow());
        let rebuilt = self.directory.path().join("rebuilt");
        fs::create_dir(&rebuilt).unwrap();
        let mut count = 0;
        rebuild(&key(&root), &root, &rebuilt, &shadow, &mut || {
            count += 1;
            lucky(count)
        });
        fs::remove_dir_all(&root).unwrap();
        fs::remove_dir_all(&shadow).unwrap();
        fs::rename(&rebuilt, &root).unwrap();
    }
}

/// The layer's name for an inode.
fn key(path: &Path) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    let birth = metadata.created().unwrap().duration_since(UNIX_EPOCH).unwrap();
    format!("{}-{}-{}", metadata.ino(), birth.as_secs(), birth.subsec_nanos())
}

/// Takes a tree into the shadow, as if all of it had been synced.
fn remember(directory: &Path, shadow: &Path) {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut target = PathBuf::new();
        if metadata.is_dir() {
            remember(&path, shadow);
        } else if metadata.is_symlink() {
            target = fs::read_link(&path).unwrap();
        } else {
            fs::copy(&path, shadow.join("files").join(key(&path))).unwrap();
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let line = format!("{}\0{:o}\0{name}\0{}\0", key(&path), metadata.mode(), target.display());
        entries.extend(line.into_bytes());
    }
    fs::write(shadow.join("directories").join(key(directory)), entries).unwrap();
}

/// Rebuilds a directory from its last synced entries, and files from their last synced content.
fn rebuild(of: &str, live: &Path, out: &Path, shadow: &Path, lucky: &mut impl FnMut() -> bool) {
    // A directory that was never synced has no entries.
    let Ok(entries) = fs::read_to_string(shadow.join("directories").join(of)) else { return };
    let fields: Vec<&str> = entries.split_terminator('\0').collect();
    for entry in fields.chunks_exact(4) {
        let [key_of_entry, mode, name, target] = entry else { unreachable!() };
        let mode = u32::from_str_radix(mode, 8).unwrap();
        let (now, path) = (live.join(name), out.join(name));
        match mode & 0o170_000 {
            0o040_000 => {
                fs::create_dir(&path).unwrap();
                rebuild(key_of_entry, &now, &path, shadow, lucky);
            }
            0o120_000 => {
                symlink(target, &path).unwrap();
                continue;
            }
            _ => {
                let same = fs::symlink_metadata(&now).is_ok_and(|_| key(&now) == *key_of_entry);
                let synced = shadow.join("files").join(key_of_entry);
                if lucky() && same {
                    fs::copy(&now, &path).unwrap();
                } else if synced.exists() {
                    fs::copy(&synced, &path).unwrap();
                } else {
                    File::create(&path).unwrap();
                }
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777)).unwrap();
    }
}

/// Writes numbered files for ever, and says each; the parent directory decides whether it syncs.
fn write_for_ever(root: &Path, syncs: bool) {
    for number in 0.. {
        let aside = root.join("aside");
        let mut file = File::create(&aside).unwrap();
        write!(file, "content {number}").unwrap();
        if syncs {
            file.sync_all().unwrap();
        }
        fs::rename(&aside, root.join(format!("file-{number}"))).unwrap();
        if syncs {
            File::open(root).unwrap().sync_all().unwrap();
        }
        say(number);
    }
}

/// How many of the files it had said are complete after a power cut.
fn survivors(test: &str) -> (usize, usize) {
    let world = World::new();
    let mut player = world.play(test, &[]);
    let mut said: Vec<String> = (0..20).map(|_| player.next().unwrap()).collect();
    said.extend(player.kill());
    world.cut_power(|_| false);
    let complete = |number: &&String| {
        fs::read_to_string(world.root().join(format!("file-{number}")))
            .is_ok_and(|content| content == format!("content {number}"))
    };
    (said.iter().filter(complete).count(), said.len())
}

#[test]
fn control_without_sync_everything_is_lost() {
    if let Some(root) = role() {
        return write_for_ever(&root, false);
    }
    let (survived, said) = survivors("power::control_without_sync_everything_is_lost");
    assert_eq!(survived, 0, "the layer keeps what {said} unsynced writes left");
}

#[test]
fn control_with_sync_nothing_is_lost() {
    if let Some(root) = role() {
        return write_for_ever(&root, true);
    }
    let (survived, said) = survivors("power::control_with_sync_nothing_is_lost");
    assert_eq!(survived, said, "the layer loses what was synced");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    if let Some(root) = role() {
        return commit_for_ever(&root.join("data"));
    }
    let world = World::new();
    let mut said = Vec::new();
    for round in 0..12_usize {
        let mut player = world.play("power::nothing_acknowledged_is_lost_when_the_power_goes", &[]);
        // From the first commit, which makes the files, to one of many.
        said.extend((0..1 + round * 5).map(|_| player.next().unwrap()));
        said.extend(player.kill());
        // In turn: nothing unsynced made it to the disk, all of it did, every other file did.
        world.cut_power(|file| match round % 3 {
            0 => false,
            1 => file % 2 == round % 2,
            _ => true,
        });
        check(&world.root().join("data"), &acknowledged(&said));
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    if let Some(root) = role() {
        return commit_until_an_error(&root.join("data"));
    }
    // Enough to open it; then the room ends in the middle of things.
    for room in ["600000", "700000", "900000"] {
        let world = World::new();
        let limits = [("POWERCUT_ROOM", room)];
        let player = world.play("power::a_full_disk_is_named_and_loses_nothing", &limits);
        let (acks, error) = until_the_error(player);
        assert!(error.starts_with("no space left"), "with room for {room}: {error}");
        assert!(room < "900000" || !acks.is_empty(), "nothing fitted into {room}");
        check(&world.root().join("data"), &acks);
    }
}

#[test]
fn a_disk_that_is_full_from_the_start_is_named() {
    if let Some(root) = role() {
        return commit_until_an_error(&root.join("data"));
    }
    let world = World::new();
    let limits = [("POWERCUT_ROOM", "10")];
    let player = world.play("power::a_disk_that_is_full_from_the_start_is_named", &limits);
    let (_, error) = until_the_error(player);
    assert!(error.starts_with("no space left") && error.contains("--data-dir"), "{error}");
}

#[test]
fn a_disk_that_cannot_sync_is_named_and_loses_nothing() {
    if let Some(root) = role() {
        return commit_until_an_error(&root.join("data"));
    }
    let mut commits = 0;
    for syncs in (1..80).step_by(6) {
        let world = World::new();
        let limit = syncs.to_string();
        let limits = [("POWERCUT_SYNCS", limit.as_str())];
        let player = world.play("power::a_disk_that_cannot_sync_is_named_and_loses_nothing", &limits);
        let (acks, error) = until_the_error(player);
        assert!(error.contains("disk"), "after {syncs} syncs: {error}");
        commits += acks.len();
        world.cut_power(|_| false);
        check(&world.root().join("data"), &acks);
    }
    assert!(commits > 20, "only {commits} commits were made");
}

/// Lines go on being taken, and are counted, while there is no room for them.
#[test]
fn logs_on_a_full_disk_do_not_stop_who_writes_them() {
    if let Some(root) = role() {
        return log_until_done(&root.join("data"));
    }
    let world = World::new();
    let limits = [("POWERCUT_ROOM", "2000000")];
    let mut player = world.play("power::logs_on_a_full_disk_do_not_stop_who_writes_them", &limits);
    assert_eq!(player.next().as_deref(), Some("all lines taken"));
    let kept: usize = player.next().unwrap().parse().unwrap();
    assert!(kept > 0 && kept < LOG_LINES, "{kept} lines fitted");
}
