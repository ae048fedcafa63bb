//! Zips that attack, each beside a twin that differs only in the attack and is taken.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use proptest::test_runner::TestRunner;
use proptest::{collection, prop_assert_eq};
use store::artifacts::Error;
use store::{Options, Store};
use types::limits::Limits;

use crate::zips::{self, DIRECTORY, Entry, FILE, LINK, entry, file};

/// A store in a directory of its own, beside which an escaping entry would show.
struct World {
    store: Store,
    around: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        let options = Options { directory: around.path().join("data"), ephemeral: false };
        Self { store: Store::open(options).unwrap(), around }
    }

    async fn put(&self, zip: Bytes, limits: &Limits) -> Result<(), Error> {
        self.store.artifacts().put_zip(zip, limits).await.map(|_| ())
    }

    /// Everything a refused zip could have left, as a number of files.
    fn left(&self) -> usize {
        ["data/blobs", "data/code", "data/tmp"].iter().map(|part| count(&self.around.path().join(part))).sum()
    }
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Puts an attack and its twin; answers with why the attack was refused.
async fn refused(attack: Bytes, twin: Bytes, limits: &Limits) -> Error {
    let world = World::new();
    let around = count(world.around.path());
    let error = world.put(attack, limits).await.expect_err("the attack was taken");
    assert_eq!(world.left(), 0, "{error} has left something");
    assert_eq!(count(world.around.path()), around, "{error} has left something outside");
    world.put(twin, limits).await.expect("the twin was refused");
    error
}

async fn refused_entries(attack: &[Entry], twin: &[Entry]) -> Error {
    refused(zips::zip(attack), zips::zip(twin), &Limits::default()).await
}

#[tokio::test]
async fn names_that_lead_outside() {
    for (attack, twin) in [
        ("../evil", "evil"),
        ("/tmp/evil", "tmp/evil"),
        ("a/../../evil", "a/b/evil"),
        ("a/..", "a/b"),
        ("..", "..."),
        ("../", "./a/"),
    ] {
        let error = refused_entries(&[file(attack)], &[file(twin)]).await;
        assert!(matches!(&error, Error::Escapes { entry } if entry == attack), "{attack}: {error}");
    }
}

#[tokio::test]
async fn names_no_tree_can_have() {
    let long = "x".repeat(256);
    let deep = "x/".repeat(1100);
    for (attack, twin) in [("..\\evil", "evil"), ("a\0b", "ab"), (&long, &long[1..]), (&deep, &deep[..200])] {
        let error = refused_entries(&[file(attack)], &[file(twin)]).await;
        assert!(matches!(&error, Error::Unreadable { .. }), "{attack}: {error}");
    }
}

#[tokio::test]
async fn links_that_lead_outside() {
    let link = |name: &str, target: &str| entry(name, target, LINK);
    for (attack, twin) in [
        (vec![link("a", "/etc/passwd")], vec![link("a", "etc/passwd")]),
        (vec![link("d/a", "../../x")], vec![link("d/a", "../x")]),
        (
            vec![link("a/b/up", "../.."), link("out", "a/b/up/../x")],
            vec![link("a/b/up", "../.."), link("out", "a/b/up/x")],
        ),
        (vec![link("a", "b"), link("b", "a")], vec![link("a", "b"), file("b")]),
    ] {
        let error = refused_entries(&attack, &twin).await;
        assert!(matches!(error, Error::Escapes { .. }), "{error}");
    }
}

#[tokio::test]
async fn entries_in_each_others_way() {
    let link = entry("d", "elsewhere", LINK);
    for (attack, twin) in [
        // Through a link, in either order.
        (vec![link.clone(), file("d/evil")], vec![link.clone(), file("e/evil")]),
        (vec![file("d/evil"), link], vec![file("d/evil"), entry("e", "d", LINK)]),
        (vec![file("a"), file("a")], vec![file("a"), file("A")]),
        (vec![file("a"), file("./a")], vec![file("a"), file("./b")]),
        (vec![file("a//b"), file("a/b")], vec![file("a//b"), file("b/a")]),
        (vec![file("a"), file("a/b")], vec![file("a"), file("b/a")]),
        (vec![file("a"), entry("a/", "", DIRECTORY)], vec![file("a/b"), entry("a/", "", DIRECTORY)]),
    ] {
        let error = refused_entries(&attack, &twin).await;
        assert!(matches!(error, Error::Duplicate { .. }), "{error}");
    }
}

#[tokio::test]
async fn entries_that_are_neither_file_nor_directory_nor_link() {
    for kind in [0o020_000, 0o060_000, 0o010_000, 0o140_000] {
        let error = refused_entries(&[entry("x", "", kind | 0o666)], &[entry("x", "", FILE)]).await;
        assert!(matches!(error, Error::Special { .. }), "{kind:o}: {error}");
    }
}

#[tokio::test]
async fn entries_that_cannot_be_read() {
    let plain = file("a");
    let encrypted = Entry { flags: 1, ..plain.clone() };
    let error = refused_entries(&[encrypted], std::slice::from_ref(&plain)).await;
    assert!(error.to_string().contains("`a`") && error.to_string().contains("password"), "{error}");
    let unknown_method = Entry { method: 98, ..plain.clone() };
    let error = refused_entries(&[unknown_method], &[plain]).await;
    assert!(error.to_string().contains("98") && error.to_string().contains("deflate"), "{error}");
}

#[tokio::test]
async fn more_than_the_limits_allow() {
    let four = Limits { code_entries: 4, ..Limits::default() };
    let many =
        |count: usize| zips::zip(&(0..count).map(|number| file(&format!("f{number}"))).collect::<Vec<_>>());
    // Directories count, also those that have no entry of their own.
    for (attack, twin) in
        [(many(5), many(4)), (zips::zip(&[file("a/b/c/d/e")]), zips::zip(&[file("a/b/c/d")]))]
    {
        let error = refused(attack, twin, &four).await;
        assert!(matches!(error, Error::TooManyEntries { limit: 4 }), "{error}");
        assert!(error.to_string().contains("--limit-code-entries"), "{error}");
    }

    let million = Limits { code_unzipped: 1_000_000, ..Limits::default() };
    let error = refused(zips::zeros(1_000_001), zips::zeros(1_000_000), &million).await;
    assert!(matches!(error, Error::TooLarge { limit: 1_000_000 }), "{error}");
    assert!(error.to_string().contains("--limit-code-unzipped"), "{error}");

    let (large, small) = (zips::zip(&[file("name")]), zips::zip(&[file("nam")]));
    let zip_limit = Limits { code_zip: small.len() as u64, ..Limits::default() };
    let error = refused(large, small, &zip_limit).await;
    assert!(error.to_string().contains("--limit-code-zip"), "{error}");
}

/// A bomb that declares a small size, in the local header and in the directory.
#[tokio::test]
async fn a_bomb_that_lies_about_its_size() {
    let honest = zips::zeros(8_000_000);
    let declared = 8_000_000_u32.to_le_bytes();
    let lie = 10_u32.to_le_bytes();
    let mut bomb = honest.to_vec();
    let mut lies = 0;
    while let Some(at) = bomb.windows(4).position(|window| window == declared) {
        bomb[at..at + 4].copy_from_slice(&lie);
        lies += 1;
    }
    assert!(lies >= 1, "the size is written in another way");
    let limits = Limits { code_unzipped: 8_000_000, ..Limits::default() };
    let error = refused(bomb.into(), honest, &limits).await;
    assert!(matches!(error, Error::NotAZip { .. } | Error::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn bytes_that_are_no_zip() {
    let good = zips::valid("content");
    let middle = good.len() / 2;
    let mut flipped = good.to_vec();
    let content = good.windows(7).position(|window| window == b"content").unwrap();
    flipped[content] ^= 1;
    for (what, attack) in [
        ("nothing", Bytes::new()),
        ("text", Bytes::from_static(b"def handler(event, context): pass")),
        ("its first half", good.slice(..middle)),
        ("its second half", good.slice(middle..)),
        ("with a flipped bit", flipped.into()),
    ] {
        let error = refused(attack, good.clone(), &Limits::default()).await;
        assert!(matches!(error, Error::NotAZip { .. }), "{what}: {error}");
    }
    let error = refused(zips::zip(&[]), good, &Limits::default()).await;
    assert!(matches!(error, Error::Empty), "{error}");
}

/// Whatever bytes are changed, the answer is an error or a tree, never a panic or a file outside.
#[test]
fn damaged_zips_do_no_harm() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let changes = collection::vec((0_usize..2000, 0_u8..255), 1..6);
    let checked = TestRunner::default().run(&changes, |changes| {
        let mut zip = zips::valid("content").to_vec();
        let length = zip.len();
        for (at, byte) in changes {
            zip[at % length] = byte;
        }
        // Either way is fine.
        let _ = runtime.block_on(world.put(zip.into(), &Limits::default()));
        prop_assert_eq!(count(world.around.path()), 1);
        prop_assert_eq!(count(&world.around.path().join("data/tmp")), 0);
        Ok(())
    });
    checked.unwrap();
}
