//! Artifacts as they should be used: kept once, unpacked as they were packed, found, collected.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bytes::Bytes;
use store::artifacts::{Collected, Error};
use store::{Options, Store};
use tokio::task::JoinSet;
use types::limits::Limits;

use crate::zips::{self, entry, file};

fn open() -> (Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { directory: directory.path().join("data"), ephemeral: false };
    (Store::open(options).unwrap(), directory)
}

async fn put(store: &Store, zip: &Bytes) -> String {
    store.artifacts().put_zip(zip.clone(), &Limits::default()).await.unwrap().digest
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn unpacks_what_was_packed() {
    let (store, _keep) = open();
    let zip = zips::zip(&[
        entry("app.py", "import this", 0o100_600),
        entry("bin/run", "#!/bin/sh\n", 0o104_711),
        entry("empty/", "", 0o040_700),
        entry("no-mode", "", 0),
        entry("bin/again", "run", zips::LINK),
        entry("up", "bin/../app.py", zips::LINK),
        entry("naïve/größe.txt", "x", zips::FILE),
    ]);
    let artifact = store.artifacts().put_zip(zip.clone(), &Limits::default()).await.unwrap();
    assert_eq!(artifact.size, zip.len() as u64);
    assert_eq!(artifact.unpacked_size, 11 + 10 + 1);
    let code = store.artifacts().path(&artifact.digest).await.unwrap();
    assert_eq!(fs::read_to_string(code.join("up")).unwrap(), "import this");
    assert_eq!(fs::read_link(code.join("bin/again")).unwrap(), Path::new("run"));
    assert_eq!(fs::read_to_string(code.join("naïve/größe.txt")).unwrap(), "x");
    // No one's setuid bit, and readable for whoever the function runs as.
    for (path, expected) in [
        ("", 0o755),
        ("app.py", 0o644),
        ("bin", 0o755),
        ("bin/run", 0o755),
        ("empty", 0o755),
        ("no-mode", 0o644),
    ] {
        assert_eq!(mode(&code.join(path)), expected, "{path}");
    }
    assert_eq!(store.artifacts().zip(&artifact.digest).await.unwrap(), zip);
}

/// What Python's own zipfile and the zip crate write must be read like what we make by hand.
#[tokio::test]
async fn reads_deflated_zips() {
    let (store, _keep) = open();
    let digest = put(&store, &zips::zeros(100_000)).await;
    let code = store.artifacts().path(&digest).await.unwrap();
    assert_eq!(fs::read(code.join("zeros")).unwrap(), vec![0; 100_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_zip_many_times_at_once_is_kept_once() {
    let (store, keep) = open();
    let mut puts = JoinSet::new();
    for number in 0..16 {
        let (store, zip) = (store.clone(), zips::valid(if number % 4 == 0 { "other" } else { "same" }));
        puts.spawn(async move { put(&store, &zip).await });
    }
    let digests: HashSet<String> = puts.join_all().await.into_iter().collect();
    assert_eq!(digests.len(), 2);
    for digest in &digests {
        let code = store.artifacts().path(digest).await.unwrap();
        assert!(code.join("package/deep/er/file.txt").is_file());
    }
    assert_eq!(fs::read_dir(keep.path().join("data/code")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(keep.path().join("data/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_missing_tree_is_unpacked_again_and_a_damaged_zip_is_not() {
    let (store, keep) = open();
    let digest = put(&store, &zips::valid("content")).await;
    let code = store.artifacts().path(&digest).await.unwrap();
    fs::remove_dir_all(&code).unwrap();
    assert_eq!(store.artifacts().path(&digest).await.unwrap(), code);
    assert_eq!(fs::read_to_string(code.join("package/link")).unwrap(), "content");

    fs::remove_dir_all(&code).unwrap();
    let blob = keep.path().join("data/blobs").join(&digest[..2]).join(&digest);
    fs::write(&blob, zips::valid("forged!")).unwrap();
    assert!(matches!(store.artifacts().path(&digest).await, Err(Error::Damaged { .. })));
    assert!(matches!(store.artifacts().zip(&digest).await, Err(Error::Damaged { .. })));
    assert!(!code.exists());
    // Deploying the same code again heals it.
    fs::remove_file(&blob).unwrap();
    assert!(matches!(store.artifacts().path(&digest).await, Err(Error::Unknown { .. })));
    put(&store, &zips::valid("content")).await;
    assert!(store.artifacts().path(&digest).await.unwrap().join("bootstrap").is_file());
}

#[tokio::test]
async fn a_digest_from_outside_is_never_a_path() {
    let (store, _keep) = open();
    for digest in ["", "../../etc", &"Z".repeat(64), &"0".repeat(64)] {
        assert!(matches!(store.artifacts().path(digest).await, Err(Error::Unknown { .. })), "{digest}");
        assert!(matches!(store.artifacts().zip(digest).await, Err(Error::Unknown { .. })), "{digest}");
    }
}

#[tokio::test]
async fn collects_what_nobody_refers_to() {
    let (store, keep) = open();
    let artifacts = store.artifacts();
    let kept = put(&store, &zips::valid("kept")).await;
    let zip = zips::valid("gone");
    let gone = put(&store, &zip).await;
    let live = HashSet::from([kept.clone()]);
    // Its record may be on its way: the first collect after a put spares it.
    assert_eq!(artifacts.collect(&live).await.unwrap(), Collected::default());
    // Removal gets through trees that have become read-only, and does not follow links out of them.
    let code = artifacts.path(&gone).await.unwrap();
    let outside = keep.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    symlink(&outside, code.join("out")).unwrap();
    for read_only in ["package", ""] {
        fs::set_permissions(code.join(read_only), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let collected = artifacts.collect(&live).await.unwrap();
    assert_eq!(collected, Collected { artifacts: 1, bytes: zip.len() as u64 });
    assert!(!code.exists() && outside.join("precious").exists());
    assert!(matches!(artifacts.path(&gone).await, Err(Error::Unknown { .. })));
    assert!(artifacts.path(&kept).await.unwrap().join("bootstrap").is_file());
    assert_eq!(fs::read_dir(keep.path().join("data/tmp")).unwrap().count(), 0);
    // A put in time protects what is there already.
    put(&store, &zips::valid("kept")).await;
    assert_eq!(artifacts.collect(&HashSet::new()).await.unwrap(), Collected::default());
    assert_eq!(artifacts.collect(&HashSet::new()).await.unwrap().artifacts, 1);
}

#[tokio::test]
async fn a_tree_lost_with_its_blob_kept_is_collected_too() {
    let (store, keep) = open();
    let digest = put(&store, &zips::zip(&[file("a")])).await;
    store.artifacts().collect(&HashSet::new()).await.unwrap();
    fs::remove_dir_all(store.artifacts().path(&digest).await.unwrap()).unwrap();
    assert_eq!(store.artifacts().collect(&HashSet::new()).await.unwrap().artifacts, 1);
    assert_eq!(fs::read_dir(keep.path().join("data/blobs").join(&digest[..2])).unwrap().count(), 0);
}
