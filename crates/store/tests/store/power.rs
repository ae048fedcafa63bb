//! Power cuts: what is acknowledged is synced. The store runs on the file layer of
//! `testkit::powercut`, is killed, and is opened again in the directory as it would be had the machine lost
//! power at that moment.
//!
//! The layer is proved first: under it a program that does not sync loses data, and the same program
//! loses none once it syncs.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use testkit::powercut::{Disk, Layer, Luck};

use crate::child::{Player, role, say};
use crate::crash::{
    LOG_LINES, SHOWN, acknowledged, check, commit_for_ever, commit_until_an_error, log_until_done,
    show_for_ever, until_the_error,
};

/// Below directories that have to be made, whose names a power cut takes as well.
const DATA: &str = "var/lib/data";
/// Makes a process show what is there instead of adding to it.
const SHOW: &str = "LAMBENT_STORE_TEST_SHOW";

static LAYER: LazyLock<Layer> =
    LazyLock::new(|| Layer::compile(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap());

/// A disk, and processes that work on it.
struct World {
    disk: Disk,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(&LAYER, &directory.path().join("root")).unwrap();
        Self { disk, _directory: directory }
    }

    fn root(&self) -> PathBuf {
        self.disk.root().to_owned()
    }

    /// Starts a process on the layer, which breaks as `limits` say.
    fn play(&self, test: &str, limits: &[(&str, &str)]) -> Player {
        let on_layer = self.disk.environment().map(|(name, value)| (name, value.to_str().unwrap()));
        let environment: Vec<(&str, &str)> = on_layer.iter().chain(limits).copied().collect();
        Player::start(test, self.disk.root(), &environment)
    }

    fn cut_power(&self, luck: Luck) {
        self.disk.cut_power(luck).unwrap();
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
    world.cut_power(Luck::Nothing);
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
fn control_names_may_outlive_content() {
    if let Some(root) = role() {
        return write_for_ever(&root, false);
    }
    let world = World::new();
    let mut player = world.play("power::control_names_may_outlive_content", &[]);
    let said: Vec<String> = (0..20).map(|_| player.next().unwrap()).collect();
    drop(player.kill());
    world.cut_power(Luck::Names);
    for number in said {
        let content = fs::read_to_string(world.root().join(format!("file-{number}"))).unwrap();
        assert_eq!(content, "", "content that was not synced is there");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    if let Some(root) = role() {
        return commit_for_ever(&root.join(DATA));
    }
    let world = World::new();
    let mut said = Vec::new();
    for round in 0..16_usize {
        let mut player = world.play("power::nothing_acknowledged_is_lost_when_the_power_goes", &[]);
        // From the first commit, which makes the files, to one of many.
        said.extend((0..1 + round * 5).map(|_| player.next().unwrap()));
        said.extend(player.kill());
        world.cut_power(match round % 4 {
            0 => Luck::Nothing,
            1 => Luck::Names,
            2 => Luck::Chance(round as u64),
            _ => Luck::Everything,
        });
        check(&world.root().join(DATA), &acknowledged(&said));
        world.disk.settle().unwrap();
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    if let Some(root) = role() {
        return commit_until_an_error(&root.join(DATA));
    }
    // Enough to open it; then the room ends in the middle of things.
    for room in ["600000", "700000", "900000"] {
        let world = World::new();
        let limits = [("POWERCUT_ROOM", room)];
        let player = world.play("power::a_full_disk_is_named_and_loses_nothing", &limits);
        let (acks, error) = until_the_error(player);
        assert!(error.starts_with("no space left"), "with room for {room}: {error}");
        assert!(room < "900000" || !acks.is_empty(), "nothing fitted into {room}");
        check(&world.root().join(DATA), &acks);
    }
}

#[test]
fn a_disk_that_is_full_from_the_start_is_named() {
    if let Some(root) = role() {
        return commit_until_an_error(&root.join(DATA));
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
        return commit_until_an_error(&root.join(DATA));
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
        world.cut_power(Luck::Nothing);
        check(&world.root().join(DATA), &acks);
    }
    assert!(commits > 20, "only {commits} commits were made");
}

/// What a start finds may be a commit that was written and not yet synced: once shown, and once acted on by
/// removing what nobody refers to, it must not change any more.
#[test]
fn what_is_shown_after_a_kill_is_durable() {
    if let Some(root) = role() {
        return match std::env::var_os(SHOW) {
            Some(_) => show_for_ever(&root.join(DATA)),
            None => commit_until_an_error(&root.join(DATA)),
        };
    }
    let test = "power::what_is_shown_after_a_kill_is_durable";
    let mut unacknowledged = 0;
    for syncs in (40..80).step_by(5) {
        let world = World::new();
        // The last commit is written, but its sync fails.
        let limit = syncs.to_string();
        let (acks, _) = until_the_error(world.play(test, &[("POWERCUT_SYNCS", &limit)]));
        let mut player = world.play(test, &[(SHOW, "1")]);
        let mut shown: Vec<String> =
            std::iter::from_fn(|| player.next()).take_while(|said| said != SHOWN).collect();
        shown.extend(player.kill());
        unacknowledged += shown.len() - acks.len();
        world.cut_power(Luck::Nothing);
        check(&world.root().join(DATA), &acknowledged(&shown));
    }
    assert!(unacknowledged > 0, "no commit was left unsynced");
}

/// A put may find names that an earlier one made and did not live to sync: they count as kept only once they
/// are synced.
#[test]
fn what_a_failed_put_has_left_is_made_durable_by_the_next() {
    if let Some(root) = role() {
        return match std::env::var_os("POWERCUT_SYNCS") {
            Some(_) => commit_until_an_error(&root.join(DATA)),
            None => commit_for_ever(&root.join(DATA)),
        };
    }
    let test = "power::what_a_failed_put_has_left_is_made_durable_by_the_next";
    for syncs in 8..32 {
        let world = World::new();
        // The first process fails at each of the syncs of its first put in turn.
        let limit = syncs.to_string();
        let first = world.play(test, &[("POWERCUT_SYNCS", &limit)]);
        drop(until_the_error(first));
        let mut player = world.play(test, &[]);
        let mut said: Vec<String> = (0..8).map(|_| player.next().unwrap()).collect();
        said.extend(player.kill());
        world.cut_power(Luck::Nothing);
        check(&world.root().join(DATA), &acknowledged(&said));
    }
}

/// Lines go on being taken, and are counted, while there is no room for them.
#[test]
fn logs_on_a_full_disk_do_not_stop_who_writes_them() {
    if let Some(root) = role() {
        return log_until_done(&root.join(DATA));
    }
    let world = World::new();
    let limits = [("POWERCUT_ROOM", "2000000")];
    let mut player = world.play("power::logs_on_a_full_disk_do_not_stop_who_writes_them", &limits);
    assert_eq!(player.next().as_deref(), Some("all lines taken"));
    let kept: usize = player.next().unwrap().parse().unwrap();
    assert!(kept > 0 && kept < LOG_LINES, "{kept} lines fitted");
}
