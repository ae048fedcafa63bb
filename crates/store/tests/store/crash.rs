//! `kill -9` at any moment: what was acknowledged is there afterwards, and nothing is half there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use bytes::Bytes;
use store::logs::EventQuery;
use store::records::Write;
use store::{Options, Store};
use tokio::task::JoinSet;
use types::limits::Limits;
use types::log::{Line, Sink};

use crate::child::{Player, role, say};
use crate::zips;

/// More, by a thousand bytes each, than a test gives room for.
pub const LOG_LINES: usize = 4_000;
/// What an error is said with.
const FAILED: &str = "failed: ";
/// What follows the last thing shown.
pub const SHOWN: &str = "that is all";
const ROUNDS: usize = 30;
/// Writers at once, so that commits share a transaction.
const WRITERS: usize = 4;

pub fn open(directory: &Path) -> Store {
    Store::open(Options { directory: directory.to_owned(), ephemeral: false }).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// One step of a writer: now and then a new artifact, and always two records that belong together.
async fn step(store: &Store, writer: usize, number: usize) -> Result<String, String> {
    let mut digest = String::from("none");
    if number.is_multiple_of(8) {
        let zip = zips::valid(&format!("{writer} {number}"));
        let artifact = store.artifacts().put_zip(zip, &Limits::default()).await;
        digest = artifact.map_err(|error| error.to_string())?.digest;
    }
    let key = format!("{writer}-{number:06}");
    // Large enough that a commit spans pages.
    let value = Bytes::from(format!("{digest} {}", "x".repeat(number * 37 % 6000)));
    let writes = vec![
        Write::put("left", &key, value.clone()),
        Write::put("right", &key, value),
        Write::put("counter", &writer.to_string(), number.to_string()),
    ];
    store.records().commit(writes).await.map_err(|error| error.to_string())?;
    Ok(format!("{key} {digest}"))
}

/// Commits from several tasks until killed, saying each commit once it is acknowledged.
pub fn commit_for_ever(directory: &Path) {
    let store = open(directory);
    runtime().block_on(async {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            writers.spawn(async move {
                let counter = store.records().get("counter", &writer.to_string()).await.unwrap();
                let done = counter.map(|record| String::from_utf8(record.value.to_vec()).unwrap());
                let first = done.map_or(0, |done| done.parse::<usize>().unwrap() + 1);
                for number in first.. {
                    say(step(&store, writer, number).await.unwrap());
                }
            });
        }
        writers.join_all().await;
    });
}

/// Opens a store and commits until something fails, and says what.
pub fn commit_until_an_error(directory: &Path) {
    let store = match Store::open(Options { directory: directory.to_owned(), ephemeral: false }) {
        Ok(store) => store,
        Err(error) => return say(format_args!("{FAILED}{error}")),
    };
    runtime().block_on(async {
        for number in 0.. {
            match step(&store, 0, number).await {
                Ok(acknowledged) => say(acknowledged),
                Err(error) => return say(format_args!("{FAILED}{error}")),
            }
        }
    });
}

/// Opens a store, removes what nobody refers to, says what is there, and stays.
pub fn show_for_ever(directory: &Path) {
    let store = open(directory);
    let left = runtime().block_on(async {
        let left = store.records().list("left", "").await.unwrap();
        let live = left.iter().map(|record| digest_of(&record.value)).collect();
        store.artifacts().collect(&live).await.unwrap();
        left
    });
    for record in left {
        say(format_args!("{} {}", record.key, digest_of(&record.value)));
    }
    say(SHOWN);
    loop {
        thread::park();
    }
}

fn digest_of(value: &[u8]) -> String {
    String::from_utf8_lossy(value).split(' ').next().unwrap().to_owned()
}

fn log_line(number: usize) -> Line {
    Line {
        function: "f".into(),
        stream: "s".into(),
        timestamp_ms: i64::try_from(number).unwrap(),
        request_id: None,
        text: "x".repeat(1000),
    }
}

async fn kept_lines(store: &Store) -> usize {
    let query = EventQuery { function: "f".to_owned(), limit: usize::MAX, ..EventQuery::default() };
    store.logs().events(query).await.unwrap().items.len()
}

/// Writes more log lines than there is room for, and says how many can be read.
pub fn log_until_done(directory: &Path) {
    let store = open(directory);
    runtime().block_on(async {
        for number in 0..LOG_LINES {
            store.logs().write(log_line(number));
            if number.is_multiple_of(100) {
                store.logs().flush().await.unwrap();
            }
        }
        store.logs().flush().await.unwrap();
        say("all lines taken");
        say(kept_lines(&store).await);
    });
}

/// Writes log lines until killed, saying how many have been flushed.
fn log_for_ever(directory: &Path) {
    let store = open(directory);
    runtime().block_on(async {
        for number in 1.. {
            store.logs().write(log_line(number));
            store.logs().flush().await.unwrap();
            say(number);
        }
    });
}

/// The keys that were acknowledged, each with the digest of its artifact.
pub fn acknowledged(said: &[String]) -> BTreeMap<String, String> {
    let pair = |line: &String| line.split_once(' ').map(|(key, digest)| (key.to_owned(), digest.to_owned()));
    said.iter().filter_map(pair).collect()
}

/// What a process that commits until an error said: what was acknowledged, and the error.
pub fn until_the_error(mut player: Player) -> (BTreeMap<String, String>, String) {
    let said: Vec<String> = std::iter::from_fn(|| player.next()).collect();
    let (last, acks) = said.split_last().unwrap();
    let error = last.strip_prefix(FAILED).expect("it ended without an error");
    (acknowledged(acks), error.to_owned())
}

/// Opens what is left and checks it against what was acknowledged.
pub fn check(directory: &Path, acknowledged: &BTreeMap<String, String>) {
    let store = open(directory);
    assert_eq!(fs::read_dir(directory.join("tmp")).unwrap().count(), 0, "half-made files are left");
    runtime().block_on(async {
        let left = store.records().list("left", "").await.unwrap();
        let right = store.records().list("right", "").await.unwrap();
        assert_eq!(left, right, "half a commit is there");
        let there: BTreeMap<String, String> =
            left.into_iter().map(|record| (record.key, digest_of(&record.value))).collect();
        for (key, digest) in acknowledged {
            assert_eq!(there.get(key), Some(digest), "acknowledged commit {key} is lost");
        }
        // Every artifact a record refers to, acknowledged or not: the record came after it.
        for (key, digest) in there.iter().filter(|(_, digest)| *digest != "none") {
            let (writer, number) = key.split_once('-').unwrap();
            let expected = format!("{writer} {}", number.parse::<usize>().unwrap());
            let code = store.artifacts().path(digest).await.unwrap();
            assert_eq!(fs::read_to_string(code.join("package/app.py")).unwrap(), expected);
            let zip = store.artifacts().zip(digest).await.unwrap();
            assert_eq!(zip, zips::valid(&expected), "the zip of {key} has changed");
        }
        // No tree is seen that is not complete, referred to or not.
        for code in fs::read_dir(directory.join("code")).unwrap() {
            let content = fs::read_to_string(code.unwrap().path().join("package/app.py")).unwrap();
            assert!(content.contains(' '), "an incomplete tree is visible: {content:?}");
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if let Some(directory) = role() {
        return commit_for_ever(&directory.join("data"));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for round in 0..ROUNDS {
        let mut player = Player::start(
            "crash::nothing_acknowledged_is_lost_when_the_process_is_killed",
            directory.path(),
            &[],
        );
        // Any moment: at the start, and at points that move with each round.
        said.extend((0..round * 7 % 41).map(|_| player.next().unwrap()));
        said.extend(player.kill());
        if round % 5 == 4 {
            check(&directory.path().join("data"), &acknowledged(&said));
        }
    }
    assert!(said.len() > ROUNDS * 5, "only {} commits were made", said.len());
}

#[test]
fn flushed_log_lines_are_there_when_the_process_is_killed() {
    if let Some(directory) = role() {
        return log_for_ever(&directory.join("data"));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut flushed = 0;
    for round in 1..6 {
        let test = "crash::flushed_log_lines_are_there_when_the_process_is_killed";
        let mut player = Player::start(test, directory.path(), &[]);
        let mut said: Vec<String> = (0..round * 10).map(|_| player.next().unwrap()).collect();
        said.extend(player.kill());
        flushed += said.len();
        let kept = runtime().block_on(kept_lines(&open(&directory.path().join("data"))));
        assert!(kept >= flushed, "{kept} lines are there of {flushed}");
    }
}
