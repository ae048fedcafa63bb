//! What every back end of records must do: one list of cases, made into tests for each back end by
//! [`conformance!`]. A new back end adds one line at the end.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Error, Expected, Record, Records, Sqlite, Write};
use crate::open::{Options, Store};

/// A back end with nothing in it, and what must live as long as it.
struct Fixture {
    records: Arc<dyn Records>,
    _keep: Option<tempfile::TempDir>,
}

macro_rules! conformance {
    ($back_end:ident: $open:expr => $($case:ident),+ $(,)?) => {
        mod $back_end {
            $(
                #[tokio::test]
                async fn $case() {
                    let fixture: super::Fixture = $open;
                    super::$case(fixture.records.as_ref()).await;
                }
            )+
        }
    };
}

macro_rules! conformance_of_each {
    ($($back_end:ident: $open:expr),+ $(,)?) => {
        $(conformance!($back_end: $open =>
            reads_back_what_it_took,
            has_nothing_at_first,
            lists_a_prefix_in_order_of_bytes,
            keeps_kinds_apart,
            makes_all_writes_or_none,
            checks_what_a_write_expects,
            sees_earlier_writes_of_the_same_commit,
            never_uses_a_revision_twice,
            loses_no_update_of_many_at_once,
            fails_only_the_commit_in_conflict,
            goes_on_with_a_commit_nobody_waits_for,
        );)+
    };
}

conformance_of_each! {
    sqlite_on_disk: super::on_disk(),
    sqlite_in_memory: super::in_memory(),
}

fn on_disk() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { directory: directory.path().join("data"), ephemeral: false };
    Fixture { records: Store::open(options).unwrap().records(), _keep: Some(directory) }
}

fn in_memory() -> Fixture {
    Fixture { records: Arc::new(Sqlite::in_memory().unwrap()), _keep: None }
}

async fn reads_back_what_it_took(records: &dyn Records) {
    let large = Bytes::from(vec![7; 1024 * 1024]);
    for (key, value) in [("a", Bytes::from_static(b"\0\xff{}")), ("empty", Bytes::new()), ("large", large)] {
        let revision = records.commit(vec![Write::put("thing", key, value.clone())]).await.unwrap();
        let expected = Record { key: key.to_owned(), value, revision };
        assert_eq!(records.get("thing", key).await.unwrap(), Some(expected));
    }
    records.commit(vec![Write::put("thing", "a", "second")]).await.unwrap();
    assert_eq!(records.get("thing", "a").await.unwrap().unwrap().value, "second");
}

async fn has_nothing_at_first(records: &dyn Records) {
    assert_eq!(records.get("thing", "a").await.unwrap(), None);
    assert_eq!(records.list("thing", "").await.unwrap(), []);
    // Removing what is not there is no error.
    records.commit(vec![Write::delete("thing", "a")]).await.unwrap();
}

async fn lists_a_prefix_in_order_of_bytes(records: &dyn Records) {
    let keys = ["b", "a", "ab", "a%", "a_c", "aé", "a\u{10ffff}", "B", ""];
    let writes = keys.iter().map(|key| Write::put("thing", key, "x")).collect();
    records.commit(writes).await.unwrap();
    let listed = |found: Vec<Record>| found.into_iter().map(|record| record.key).collect::<Vec<_>>();
    let mut all = keys.to_vec();
    all.sort_unstable();
    assert_eq!(listed(records.list("thing", "").await.unwrap()), all);
    let below_a = ["a", "a%", "a_c", "ab", "aé", "a\u{10ffff}"];
    assert_eq!(listed(records.list("thing", "a").await.unwrap()), below_a);
    assert_eq!(listed(records.list("thing", "a%").await.unwrap()), ["a%"]);
    assert_eq!(listed(records.list("thing", "c").await.unwrap()), [""; 0]);
}

async fn keeps_kinds_apart(records: &dyn Records) {
    records.commit(vec![Write::put("one", "key", "1"), Write::put("two", "key", "2")]).await.unwrap();
    records.commit(vec![Write::delete("one", "key")]).await.unwrap();
    assert_eq!(records.get("one", "key").await.unwrap(), None);
    assert_eq!(records.get("two", "key").await.unwrap().unwrap().value, "2");
    assert_eq!(records.list("one", "").await.unwrap(), []);
}

async fn makes_all_writes_or_none(records: &dyn Records) {
    let before = records.commit(vec![Write::put("thing", "kept", "old")]).await.unwrap();
    let writes = |last| vec![Write::put("thing", "kept", "new"), Write::delete("thing", "gone"), last];
    let refused = records.commit(writes(Write::create("thing", "kept", "x"))).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
    let kept = records.get("thing", "kept").await.unwrap().unwrap();
    assert_eq!((kept.value.as_ref(), kept.revision), (b"old".as_slice(), before));
    // The same commit without the conflict is made.
    let revision = records.commit(writes(Write::create("thing", "fresh", "x"))).await.unwrap();
    for key in ["kept", "fresh"] {
        assert_eq!(records.get("thing", key).await.unwrap().unwrap().revision, revision);
    }
}

async fn checks_what_a_write_expects(records: &dyn Records) {
    let first = records.commit(vec![Write::create("thing", "a", "1")]).await.unwrap();
    let expecting = |expected| vec![Write::put("thing", "a", "2").expecting(expected)];
    for wrong in [Expected::Absent, Expected::Revision(first + 1), Expected::Revision(0)] {
        match records.commit(expecting(wrong)).await.unwrap_err() {
            Error::Conflict { kind, key, found } => {
                assert_eq!((kind.as_str(), key.as_str(), found), ("thing", "a", Some(first)));
            }
            other => panic!("{wrong:?} was refused with {other}"),
        }
    }
    let second = records.commit(expecting(Expected::Revision(first))).await.unwrap();
    let stale = Write::delete("thing", "a").expecting(Expected::Revision(first));
    assert!(records.commit(vec![stale]).await.is_err());
    let fresh = Write::delete("thing", "a").expecting(Expected::Revision(second));
    records.commit(vec![fresh]).await.unwrap();
    let gone = records.commit(expecting(Expected::Revision(second))).await.unwrap_err();
    assert!(matches!(gone, Error::Conflict { found: None, .. }), "{gone}");
}

async fn sees_earlier_writes_of_the_same_commit(records: &dyn Records) {
    let twice = vec![Write::create("thing", "a", "1"), Write::create("thing", "a", "2")];
    assert!(records.commit(twice).await.is_err());
    let again =
        vec![Write::create("thing", "a", "1"), Write::delete("thing", "a"), Write::create("thing", "a", "2")];
    records.commit(again).await.unwrap();
    assert_eq!(records.get("thing", "a").await.unwrap().unwrap().value, "2");
}

async fn never_uses_a_revision_twice(records: &dyn Records) {
    let mut newest = 0;
    for _ in 0..5 {
        for write in [Write::create("thing", "a", "x"), Write::delete("thing", "a")] {
            let revision = records.commit(vec![write]).await.unwrap();
            assert!(revision > newest, "{revision} after {newest}");
            newest = revision;
        }
    }
}

async fn add_one(records: &dyn Records) -> Result<u64, Error> {
    let counter = records.get("counter", "only").await?.unwrap();
    let value = std::str::from_utf8(&counter.value).unwrap().parse::<u64>().unwrap() + 1;
    let write = Write::put("counter", "only", value.to_string());
    records.commit(vec![write.expecting(Expected::Revision(counter.revision))]).await
}

async fn loses_no_update_of_many_at_once(records: &dyn Records) {
    records.commit(vec![Write::create("counter", "only", "0")]).await.unwrap();
    let adding = async || {
        let mut added = 0;
        while added < 5 {
            match add_one(records).await {
                Ok(_) => added += 1,
                Err(Error::Conflict { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::join!(adding(), adding(), adding(), adding());
    let counter = records.get("counter", "only").await.unwrap().unwrap();
    assert_eq!(counter.value, "20");
}

async fn fails_only_the_commit_in_conflict(records: &dyn Records) {
    records.commit(vec![Write::create("thing", "taken", "x")]).await.unwrap();
    let mut commits = JoinSet::new();
    for number in 0..100 {
        // The first write of a commit in conflict must not stay because others of the group do.
        let mut writes = vec![Write::create("thing", &number.to_string(), "x")];
        if number % 3 == 0 {
            writes.push(Write::create("thing", "taken", "x"));
        }
        let commit = records.commit(writes);
        commits.spawn(async move { (number, commit.await) });
    }
    let mut revisions = Vec::new();
    while let Some(joined) = commits.join_next().await {
        let (number, result) = joined.unwrap();
        assert_eq!(result.is_err(), number % 3 == 0, "{number}: {result:?}");
        revisions.extend(result);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 66, "commits share a revision");
    assert_eq!(records.list("thing", "").await.unwrap().len(), 67);
}

async fn goes_on_with_a_commit_nobody_waits_for(records: &dyn Records) {
    let mut commit = records.commit(vec![Write::put("thing", "left", "x")]);
    // Polled once, then dropped.
    let _ = tokio::select! {
        biased;
        result = &mut commit => Some(result),
        () = std::future::ready(()) => None,
    };
    drop(commit);
    // Commits are made in order, so a later one is proof that the first was looked at.
    records.commit(vec![Write::put("thing", "later", "x")]).await.unwrap();
    assert!(records.get("thing", "left").await.unwrap().is_some());
}
