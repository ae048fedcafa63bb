//! Opening: what is refused, by which words, and what opening leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::records::Write;
use store::{OpenError, Options, Store};

use crate::child::{Player, role, say};

fn try_open(directory: &Path) -> Result<Store, OpenError> {
    Store::open(Options { directory: directory.to_owned(), ephemeral: false })
}

fn refusal(directory: &Path) -> String {
    let text = try_open(directory).err().expect("it was opened").to_string();
    assert!(!text.contains('\n') && !text.ends_with('.'), "not one calm line: {text}");
    text
}

fn ephemeral() -> Store {
    Store::open(Options { directory: PathBuf::new(), ephemeral: true }).unwrap()
}

#[test]
fn a_new_directory_is_private_and_made_with_its_parents() {
    let around = tempfile::tempdir().unwrap();
    let directory = around.path().join("not/yet/there");
    let store = try_open(&directory).unwrap();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(store.directory(), fs::canonicalize(&directory).unwrap());
    // Opening again finds it as it was, and clears what a crash left half-made.
    drop(store);
    fs::create_dir(directory.join("tmp/half")).unwrap();
    fs::write(directory.join("tmp/half/made"), "").unwrap();
    try_open(&directory).unwrap();
    assert_eq!(fs::read_dir(directory.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_directory_in_use_names_who_uses_it() {
    if let Some(directory) = role() {
        let _store = try_open(&directory.join("data")).unwrap();
        say("open");
        // Until killed.
        loop {
            std::thread::park();
        }
    }
    let around = tempfile::tempdir().unwrap();
    let directory = around.path().join("data");
    let mut player = Player::start("open::a_directory_in_use_names_who_uses_it", around.path(), &[]);
    assert_eq!(player.next().unwrap(), "open");
    let text = refusal(&directory);
    assert!(text.contains(&format!("in use by process {}", player.pid())), "{text}");
    assert!(text.contains("--data-dir"), "{text}");
    // However it ends, the directory is free afterwards.
    player.kill();
    try_open(&directory).unwrap();
}

#[tokio::test]
async fn the_lock_is_held_until_the_last_part_is_dropped() {
    let around = tempfile::tempdir().unwrap();
    let store = try_open(around.path()).unwrap();
    let (records, artifacts, logs) = (store.records(), store.artifacts(), store.logs());
    drop(store);
    assert!(refusal(around.path()).contains("in use"));
    // A commit nobody awaits does not hold it, nor does it hang the drop.
    let waiting = records.commit(vec![Write::put("thing", "a", "x")]);
    drop((records, logs));
    assert!(refusal(around.path()).contains("in use"));
    drop(artifacts);
    try_open(around.path()).unwrap();
    assert!(waiting.await.is_err());
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    for name in ["lambent.db", "logs.db"] {
        let around = tempfile::tempdir().unwrap();
        drop(try_open(around.path()).unwrap());
        let database = Connection::open(around.path().join(name)).unwrap();
        let known: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        database.pragma_update(None, "user_version", 77).unwrap();
        let text = refusal(around.path());
        let newer = format!("newer lambent (schema 77 > {known})");
        assert!(text.contains(&newer) && text.contains("backup"), "{text}");
        database.pragma_update(None, "user_version", known).unwrap();
        try_open(around.path()).unwrap();
    }
}

#[test]
fn what_is_no_data_directory_is_refused_and_left_alone() {
    let around = tempfile::tempdir().unwrap();
    let photographs = around.path().join("photographs");
    fs::create_dir(&photographs).unwrap();
    fs::write(photographs.join("holiday.jpg"), "x").unwrap();
    fs::set_permissions(&photographs, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(refusal(&photographs).contains("not a data directory"));
    assert_eq!(fs::read_dir(&photographs).unwrap().count(), 1);
    assert_eq!(fs::metadata(&photographs).unwrap().permissions().mode() & 0o777, 0o755);

    for path in [photographs.join("holiday.jpg"), photographs.join("holiday.jpg/data")] {
        assert!(refusal(&path).contains("not a directory"), "{}", path.display());
    }
    // A file system nobody can make directories in, root included.
    let text = refusal(Path::new("/sys/lambent"));
    assert!(text.contains("not writable"), "{text}");
}

#[test]
fn a_damaged_database_is_named() {
    for name in ["lambent.db", "logs.db"] {
        let around = tempfile::tempdir().unwrap();
        drop(try_open(around.path()).unwrap());
        fs::write(around.path().join(name), "x".repeat(8192)).unwrap();
        let text = refusal(around.path());
        assert!(text.contains(name) && text.contains("damaged"), "{text}");
    }
}

#[tokio::test]
async fn an_ephemeral_store_is_gone_with_its_last_part() {
    let store = ephemeral();
    let directory = store.directory().to_owned();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let records = store.records();
    drop(store);
    records.commit(vec![Write::put("thing", "a", "x")]).await.unwrap();
    assert!(directory.join("lambent.db").exists());
    drop(records);
    assert!(!directory.exists());
}

#[test]
fn an_ephemeral_store_clears_what_a_killed_one_left_and_nothing_else() {
    if role().is_some() {
        let store = ephemeral();
        say(store.directory().display());
        loop {
            std::thread::park();
        }
    }
    let around = tempfile::tempdir().unwrap();
    let start = || {
        let test = "open::an_ephemeral_store_clears_what_a_killed_one_left_and_nothing_else";
        let mut player = Player::start(test, around.path(), &[("TMPDIR", around.path().to_str().unwrap())]);
        let directory = PathBuf::from(player.next().unwrap());
        (player, directory)
    };
    let (killed, left) = start();
    killed.kill();
    assert!(left.exists());
    let (_living, used) = start();
    let (_third, _) = start();
    assert!(!left.exists(), "what the killed one left is still there");
    assert!(used.exists(), "a living one's directory was cleared");
}
