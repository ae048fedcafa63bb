//! Random sequences of commits and restarts against a map that does the same.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use store::records::{Error, Expected, Write};

use crate::crash::open;

/// What a generated write expects, before it is known what is there.
#[derive(Debug, Clone, Copy)]
enum Guess {
    Any,
    Absent,
    /// The revision that is there.
    Current,
    /// Some revision that may be there.
    Number(u64),
}

#[derive(Debug, Clone)]
struct Change {
    kind: &'static str,
    key: String,
    value: Option<Vec<u8>>,
    guess: Guess,
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    Reopen,
}

type Model = BTreeMap<(&'static str, String), (Vec<u8>, u64)>;

fn change() -> impl Strategy<Value = Change> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    let guess = prop_oneof![
        4 => Just(Guess::Any),
        1 => Just(Guess::Absent),
        3 => Just(Guess::Current),
        1 => (0_u64..20).prop_map(Guess::Number),
    ];
    (prop::sample::select(vec!["one", "two"]), "[ab%]{0,2}", value, guess)
        .prop_map(|(kind, key, value, guess)| Change { kind, key, value, guess })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![9 => prop::collection::vec(change(), 1..4).prop_map(Step::Commit), 1 => Just(Step::Reopen)]
}

/// Turns changes into writes and makes them in a copy of the model; `None` where one must be refused.
fn plan(model: &Model, changes: &[Change], revision: u64) -> (Vec<Write>, Option<Model>) {
    let (mut after, mut refused) = (model.clone(), false);
    let mut writes = Vec::new();
    for change in changes {
        let place = (change.kind, change.key.clone());
        // Guessed from what was there before the commit, like a caller who has just read it.
        let known = model.get(&place).map(|(_, revision)| *revision);
        let expected = match change.guess {
            Guess::Any => Expected::Any,
            Guess::Absent => Expected::Absent,
            Guess::Current => known.map_or(Expected::Absent, Expected::Revision),
            Guess::Number(number) => Expected::Revision(number),
        };
        let found = after.get(&place).map(|(_, revision)| *revision);
        refused |= match expected {
            Expected::Any => false,
            Expected::Absent => found.is_some(),
            Expected::Revision(revision) => found != Some(revision),
        };
        match &change.value {
            Some(value) => after.insert(place, (value.clone(), revision)),
            None => after.remove(&place),
        };
        let write = match &change.value {
            Some(value) => Write::put(change.kind, &change.key, value.clone()),
            None => Write::delete(change.kind, &change.key),
        };
        writes.push(write.expecting(expected));
    }
    (writes, if refused { None } else { Some(after) })
}

async fn check_all(store: &store::Store, model: &Model) {
    for kind in ["one", "two"] {
        for prefix in ["", "a", "b", "%", "ab"] {
            let listed = store.records().list(kind, prefix).await.unwrap();
            let listed: Vec<_> = listed
                .into_iter()
                .map(|record| (record.key, record.value.to_vec(), record.revision))
                .collect();
            let expected: Vec<_> = model
                .iter()
                .filter(|((of, key), _)| *of == kind && key.starts_with(prefix))
                .map(|((_, key), (value, revision))| (key.clone(), value.clone(), *revision))
                .collect();
            assert_eq!(listed, expected, "{kind} {prefix}");
        }
    }
}

async fn run(directory: &Path, steps: Vec<Step>) {
    let mut store = open(directory);
    let (mut model, mut newest) = (Model::new(), 0);
    for step in steps {
        let changes = match step {
            Step::Commit(changes) => changes,
            Step::Reopen => {
                drop(store);
                store = open(directory);
                check_all(&store, &model).await;
                continue;
            }
        };
        let (writes, after) = plan(&model, &changes, newest + 1);
        match (store.records().commit(writes).await, after) {
            (Ok(revision), Some(after)) => {
                newest += 1;
                assert_eq!(revision, newest);
                model = after;
            }
            (Err(Error::Conflict { .. }), None) => {}
            (result, after) => panic!("{result:?}, but expected success: {}", after.is_some()),
        }
        check_all(&store, &model).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn records_are_a_map_with_revisions(steps in prop::collection::vec(step(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&directory.path().join("data"), steps));
    }
}
