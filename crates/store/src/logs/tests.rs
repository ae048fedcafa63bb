//! What logs keep, drop and find again.

use std::time::{Duration, Instant};

use types::log::{Line, Sink};
use types::request_id::RequestId;

use super::{Event, EventQuery, Logs, Options, Order, SCHEMA, StreamQuery};
use crate::durable::Durability;
use crate::sqlite::Database;

struct Fixture {
    logs: Logs,
    _keep: tempfile::TempDir,
}

fn open(options: Options) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::file(&directory.path().join("logs.db"), Durability::Synced, false, SCHEMA);
    let logs = Logs::start(&database, database.writer().unwrap(), options, None).unwrap();
    Fixture { logs, _keep: directory }
}

fn line(function: &str, stream: &str, timestamp_ms: i64, text: &str) -> Line {
    Line {
        function: function.into(),
        stream: stream.into(),
        timestamp_ms,
        request_id: None,
        text: text.to_owned(),
    }
}

fn query(function: &str) -> EventQuery {
    EventQuery { function: function.to_owned(), limit: 100, ..EventQuery::default() }
}

fn texts(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.text.as_str()).collect()
}

async fn found(logs: &Logs, query: EventQuery) -> Vec<String> {
    logs.events(query).await.unwrap().items.into_iter().map(|event| event.text).collect()
}

#[tokio::test]
async fn finds_lines_by_time_stream_and_words() {
    let Fixture { logs, _keep } = open(Options::default());
    let request_id = RequestId::new();
    logs.write(line("f", "s1", 20, "second"));
    logs.write(Line { request_id: Some(request_id), ..line("f", "s1", 10, "first") });
    logs.write(line("f", "s2", 20, "third, as late as the second"));
    logs.write(line("f", "t", 30, "fourth"));
    logs.write(line("other", "s1", 15, "not ours"));
    logs.flush().await.unwrap();

    let all = logs.events(query("f")).await.unwrap();
    assert_eq!(texts(&all.items), ["first", "second", "third, as late as the second", "fourth"]);
    assert_eq!(all.next, None);
    assert_eq!(all.items[0].request_id, Some(request_id.to_string()));

    let streams = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let of_one = EventQuery { streams: streams(&["s1"]), ..query("f") };
    assert_eq!(found(&logs, of_one).await, ["first", "second"]);
    let of_two = EventQuery { streams: streams(&["s1", "t"]), ..query("f") };
    assert_eq!(found(&logs, of_two).await, ["first", "second", "fourth"]);
    let of_prefix = EventQuery { stream_prefix: Some("s".to_owned()), ..query("f") };
    assert_eq!(found(&logs, of_prefix).await.len(), 3);
    let between = EventQuery { start_ms: Some(10), end_ms: Some(20), ..query("f") };
    assert_eq!(found(&logs, between).await, ["first"]);
    let with_word = EventQuery { pattern: "second -third".parse().unwrap(), ..query("f") };
    assert_eq!(found(&logs, with_word).await, ["second"]);
    assert_eq!(found(&logs, query("nobody")).await, [""; 0]);
}

#[tokio::test]
async fn pages_go_through_everything_once_in_both_directions() {
    let Fixture { logs, _keep } = open(Options::default());
    // Seven to a millisecond, so that pages end inside one.
    let expected: Vec<String> = (0..50).map(|number| format!("{number:02}")).collect();
    for (time, text) in expected.iter().enumerate().map(|(number, text)| (number as i64 / 7, text)) {
        logs.write(line("f", if time % 2 == 0 { "even" } else { "odd" }, time, text));
    }
    logs.flush().await.unwrap();
    for order in [Order::Oldest, Order::Newest] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = logs.events(EventQuery { limit: 8, order, after, ..query("f") }).await.unwrap();
            assert!(page.items.len() <= 8);
            let page_texts = page.items.into_iter().map(|event| event.text);
            match order {
                Order::Oldest => seen.extend(page_texts),
                Order::Newest => drop(seen.splice(0..0, page_texts.collect::<Vec<_>>())),
            }
            let Some(next) = page.next else { break };
            after = Some(next.parse().unwrap());
        }
        assert_eq!(seen, expected, "{order:?}");
    }
    assert!("12:".parse::<super::Cursor>().is_err());
}

#[tokio::test]
async fn lists_groups_and_streams() {
    let Fixture { logs, _keep } = open(Options::default());
    for (stream, time) in [("b", 10), ("a", 30), ("c", 20), ("a", 5)] {
        logs.write(line("f", stream, time, "1234"));
    }
    logs.write(line("g", "a", 1, ""));
    logs.flush().await.unwrap();
    let groups = logs.groups().await.unwrap();
    let measures: Vec<_> = groups.iter().map(|group| (group.function.as_str(), group.stored_bytes)).collect();
    assert_eq!(measures, [("f", 4 * 30), ("g", 26)]);

    let first = StreamQuery { function: "f".to_owned(), limit: 2, ..StreamQuery::default() };
    for (by_last_event, descending, expected) in [
        (false, false, ["a", "b", "c"]),
        (false, true, ["c", "b", "a"]),
        (true, false, ["b", "c", "a"]),
        (true, true, ["a", "c", "b"]),
    ] {
        let query = StreamQuery { by_last_event, descending, ..first.clone() };
        let page = logs.streams(query.clone()).await.unwrap();
        let after = Some(page.next.unwrap().parse().unwrap());
        let rest = logs.streams(StreamQuery { after, ..query }).await.unwrap();
        let names: Vec<_> = page.items.iter().chain(&rest.items).map(|stream| &stream.name).collect();
        assert_eq!(
            (names, rest.next),
            (expected.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().iter().collect(), None)
        );
    }
    let of_prefix = StreamQuery { prefix: Some("a".to_owned()), ..first };
    let page = logs.streams(of_prefix).await.unwrap();
    assert_eq!((page.items[0].first_ms, page.items[0].last_ms, page.items.len()), (5, 30, 1));
}

#[tokio::test]
async fn a_line_is_visible_at_once_and_without_a_flush() {
    let Fixture { logs, _keep } = open(Options::default());
    // The first one pays for opening a connection.
    logs.write(line("f", "s", 0, "warm"));
    logs.flush().await.unwrap();
    assert_eq!(found(&logs, query("f")).await.len(), 1);
    logs.write(line("f", "s", 1, "now"));
    let deadline = Instant::now() + Duration::from_secs(5);
    while found(&logs, query("f")).await.len() < 2 {
        assert!(Instant::now() < deadline, "the line never became visible");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keeps_the_newest_lines_of_each_function_within_its_share() {
    let Fixture { logs, _keep } = open(Options { kept_bytes: 10_000, ..Options::default() });
    logs.write(line("quiet", "s", 0, "still here"));
    for number in 0..1_000 {
        let stream = format!("s{}", number / 100);
        logs.write(line("loud", &stream, number, &format!("{number:074}")));
        if number % 50 == 0 {
            logs.flush().await.unwrap();
        }
    }
    logs.flush().await.unwrap();
    let kept = logs.events(EventQuery { limit: 1_000, ..query("loud") }).await.unwrap().items;
    // Each line counts 100 bytes; at most an eighth of the share is given up early.
    assert!((87..=100).contains(&kept.len()), "{}", kept.len());
    let expected: Vec<i64> = (1_000 - kept.len() as i64..1_000).collect();
    assert_eq!(kept.iter().map(|event| event.timestamp_ms).collect::<Vec<_>>(), expected);
    let groups = logs.groups().await.unwrap();
    assert_eq!(groups[0].stored_bytes, 100 * kept.len() as u64);
    let streams = StreamQuery { function: "loud".to_owned(), limit: 100, ..StreamQuery::default() };
    assert!(logs.streams(streams).await.unwrap().items.len() <= 2, "empty streams are left");
    assert_eq!(found(&logs, query("quiet")).await, ["still here"]);
}

#[tokio::test]
async fn a_share_of_nothing_keeps_nothing_and_goes_on() {
    let Fixture { logs, _keep } = open(Options { kept_bytes: 0, ..Options::default() });
    for number in 0..10_000 {
        logs.write(line("f", "s", number, "x"));
    }
    logs.flush().await.unwrap();
    assert_eq!(found(&logs, query("f")).await.len(), 0);
}

/// What a notice says was dropped.
fn said(text: &str) -> Option<usize> {
    text.strip_prefix("lambent: ")?.split(' ').next()?.parse().ok()
}

#[tokio::test]
async fn every_line_is_kept_or_counted() {
    for queued_lines in [0, 16, 100_000] {
        let Fixture { logs, _keep } = open(Options { queued_lines, ..Options::default() });
        for number in 0..20_000 {
            logs.write(line("f", "s", number, "x"));
        }
        logs.flush().await.unwrap();
        let all = logs.events(EventQuery { limit: 100_000, ..query("f") }).await.unwrap().items;
        let dropped: usize = all.iter().filter_map(|event| said(&event.text)).sum();
        let kept = all.iter().filter(|event| event.text == "x").count();
        assert_eq!(kept + dropped, 20_000, "with room for {queued_lines}");
        match queued_lines {
            0 => assert_eq!(dropped, 20_000),
            100_000 => assert_eq!(dropped, 0),
            _ => {}
        }
    }
}

#[tokio::test]
async fn deletes_what_was_written_before_and_only_that() {
    let Fixture { logs, _keep } = open(Options::default());
    logs.write(line("f", "s", 1, "before"));
    logs.write(line("g", "s", 1, "another's"));
    logs.delete("f").await.unwrap();
    logs.write(line("f", "s", 2, "after"));
    logs.flush().await.unwrap();
    assert_eq!(found(&logs, query("f")).await, ["after"]);
    assert_eq!(found(&logs, query("g")).await, ["another's"]);
    let groups = logs.groups().await.unwrap();
    assert_eq!(groups[0].stored_bytes, 26 + 5);
}

#[tokio::test]
async fn dropping_the_last_handle_writes_what_waits() {
    let Fixture { logs, _keep } = open(Options::default());
    for number in 0..1_000 {
        logs.write(line("f", "s", number, "x"));
    }
    drop(logs);
    let database = Database::file(&_keep.path().join("logs.db"), Durability::Synced, false, SCHEMA);
    let again = Logs::start(&database, database.writer().unwrap(), Options::default(), None).unwrap();
    let all = again.events(EventQuery { limit: 2_000, ..query("f") }).await.unwrap();
    assert_eq!(all.items.len(), 1_000);
}

#[tokio::test]
async fn lines_of_the_first_schema_are_found_after_the_step_to_chunks() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("logs.db");
    let old = Database::file(&path, Durability::Synced, false, &SCHEMA[..1]).writer().unwrap();
    old.execute_batch(
        "INSERT INTO functions VALUES (1, 'f', 5, 58);
         INSERT INTO streams VALUES (1, 1, 's', 5, 10, 20, 6);
         INSERT INTO events VALUES (41, 1, 1, 10, 6, 'a-request', 'zwölf');
         INSERT INTO events VALUES (42, 1, 1, 20, 6, NULL, '');",
    )
    .unwrap();
    drop(old);
    let database = Database::file(&path, Durability::Synced, false, SCHEMA);
    let logs = Logs::start(&database, database.writer().unwrap(), Options::default(), None).unwrap();
    logs.write(line("f", "s", 30, "new"));
    logs.flush().await.unwrap();
    let events = logs.events(query("f")).await.unwrap().items;
    let seen: Vec<_> =
        events.iter().map(|event| (event.id, event.timestamp_ms, event.text.as_str())).collect();
    assert_eq!(seen, [(41, 10, "zwölf"), (42, 20, ""), (43, 30, "new")]);
    assert_eq!(events[0].request_id.as_deref(), Some("a-request"));
    assert_eq!(events[1].request_id, None);
}
