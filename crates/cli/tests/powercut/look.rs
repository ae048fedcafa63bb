//! What a server has, seen through its API, its gateway and its files, against what it should have.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};

use serde_json::Value;
use testkit::World;

use super::model::{Function, Version, url_id};
use super::work::Functions;
use crate::fixture;

/// Looks at every function and settles what is known of it. What is wrong, a line each.
pub fn differences(world: &World, known: &mut Functions) -> Vec<String> {
    let mut wrong = Vec::new();
    let listed = listed(world);
    let unknown = listed.iter().filter(|name| name.starts_with("made-") && !known.contains_key(*name));
    wrong.extend(unknown.map(|name| format!("{name} is listed, and nobody made it")));
    for (name, known) in known.iter_mut() {
        let seen = match seen(world, name) {
            Ok(seen) => seen,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        if listed.contains(name) != seen.is_some() {
            wrong.push(format!("{name} is listed: {}, and there: {}", listed.contains(name), seen.is_some()));
        }
        let pending = known.pending.as_ref().map(|(_, after)| after);
        if !is(&known.acknowledged, &seen) && !pending.is_some_and(|after| is(after, &seen)) {
            let (acknowledged, pending) = (&known.acknowledged, &known.pending);
            wrong.push(format!("{name}:\n  is {seen:?}\n  acknowledged {acknowledged:?}\n  or {pending:?}"));
        }
        known.settle(seen);
    }
    wrong
}

/// Calls some of the functions: the right code runs, under every name. What is wrong, a line each.
pub fn misbehaviour(world: &World, known: &Functions, round: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |what: String, answer: testkit::Response, code: &str| {
        if answer.status != 200 || answer.text().trim_matches('"') != code {
            wrong.push(format!("{what} should answer {code}: {} {}", answer.status, answer.text()));
        }
    };
    for (position, (name, known)) in known.iter().enumerate() {
        for url in &known.gone {
            let answer = world.get(&host(url), "/").unwrap();
            assert_eq!(answer.status, 404, "{name}: {url} is gone: {}", answer.text());
        }
        let Some(function) = &known.acknowledged else {
            let answer = fixture::invoke(world, name, "{}");
            assert_eq!(answer.status, 404, "{name} is deleted: {}", answer.text());
            continue;
        };
        if !fixture::is_soak() && position % 3 != round % 3 {
            continue;
        }
        expect(name.clone(), fixture::invoke(world, name, "{}"), &function.latest.code);
        if let Some(version) =
            function.live.as_ref().and_then(|live| function.versions.get(&live.parse().ok()?))
        {
            expect(
                format!("{name}:live"),
                fixture::invoke(world, &format!("{name}:live"), "{}"),
                &version.code,
            );
        }
        if let Some(url) = &function.url {
            expect(host(url), world.get(&host(url), "/").unwrap(), &function.latest.code);
        }
    }
    wrong
}

fn is(expected: &Option<Function>, seen: &Option<Function>) -> bool {
    match (expected, seen) {
        (Some(expected), Some(seen)) => expected.is(seen),
        (expected, seen) => expected.is_none() && seen.is_none(),
    }
}

fn host(url: &str) -> String {
    format!("{url}.lambda-url.us-east-1.localhost")
}

fn listed(world: &World) -> Vec<String> {
    let answer = get(world, "/2015-03-31/functions").unwrap().unwrap();
    let functions = answer["Functions"].as_array().unwrap();
    functions.iter().map(|function| function["FunctionName"].as_str().unwrap().to_owned()).collect()
}

/// One function, whole, its code included.
fn seen(world: &World, name: &str) -> Result<Option<Function>, String> {
    let path = format!("/2015-03-31/functions/{name}");
    let Some(shown) = get(world, &path)? else { return Ok(None) };
    let mut versions = BTreeMap::new();
    let listed = get(world, &format!("{path}/versions"))?.ok_or("its versions are not there")?;
    for version in listed["Versions"].as_array().unwrap() {
        let Ok(number) = version["Version"].as_str().unwrap().parse::<u64>() else { continue };
        let shown = get(world, &format!("{path}?Qualifier={number}"))?;
        let shown = shown.ok_or_else(|| format!("version {number} is listed and not there"))?;
        versions.insert(number, self::version(world, &shown)?);
    }
    let live = get(world, &format!("{path}/aliases/live"))?;
    let url = get(world, &format!("/2021-10-31/functions/{name}/url"))?;
    let tags = shown["Tags"].as_object().cloned().unwrap_or_default();
    Ok(Some(Function {
        latest: version(world, &shown)?,
        versions,
        live: live.map(|live| live["FunctionVersion"].as_str().unwrap().to_owned()),
        tags: tags.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect(),
        url: url.map(|url| url_id(&url)),
        reserved: shown["Concurrency"]["ReservedConcurrentExecutions"].as_u64(),
    }))
}

/// One version: its zip and the tree that would be run have to hold the same code.
fn version(world: &World, shown: &Value) -> Result<Version, String> {
    let location = shown["Code"]["Location"].as_str().unwrap();
    let digest = location.rsplit('/').next().unwrap();
    let zip = world.aws("GET", &format!("/_lambent/code/{digest}"), "").unwrap();
    if zip.status != 200 {
        return Err(format!("its zip cannot be read: {}", zip.text()));
    }
    let mut packed = String::new();
    let mut zip = zip::ZipArchive::new(Cursor::new(zip.body)).map_err(|error| error.to_string())?;
    let mut file = zip.by_name("package/answer.txt").map_err(|error| error.to_string())?;
    file.read_to_string(&mut packed).map_err(|error| error.to_string())?;
    let tree = world.data_dir().join("code").join(digest);
    let unpacked = fs::read_to_string(tree.join("package/answer.txt")).map_err(|error| error.to_string())?;
    if packed != unpacked {
        return Err(format!("its zip holds {packed:.40?}, its tree {unpacked:.40?}"));
    }
    let description = shown["Configuration"]["Description"].as_str().unwrap().to_owned();
    Ok(Version { code: packed.split(' ').next().unwrap().to_owned(), description })
}

/// A `GET` of the API; `None` for 404.
fn get(world: &World, path: &str) -> Result<Option<Value>, String> {
    let answer = world.aws("GET", path, "").unwrap();
    match answer.status {
        200 => Ok(Some(serde_json::from_slice(&answer.body).unwrap())),
        404 => Ok(None),
        status => Err(format!("{path}: {status} {}", answer.text())),
    }
}
