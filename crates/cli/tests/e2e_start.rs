//! Starting where it is not possible: one clear line each, and an exit status by kind.
#![expect(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod fixture;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fixture::{SmallDisk, not_run, world};

/// Where SQLite keeps `user_version` in a database file.
const USER_VERSION: u64 = 60;

#[test]
fn a_taken_port_is_named() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--listen", "--gateway-listen", "--admin-listen"] {
        let output = serve(&home.path().join("data"), &[option, &address]);
        refused(&output, 69, &[&format!("{address} is in use"), option]);
    }
}

#[test]
fn an_address_that_is_not_here_is_named() {
    let home = tempfile::tempdir().unwrap();
    let output = serve(&home.path().join("data"), &["--gateway-listen", "192.0.2.1:8080"]);
    refused(&output, 69, &["cannot listen on 192.0.2.1:8080", "--gateway-listen"]);
}

#[test]
fn a_data_directory_in_use_is_named_with_its_holder() {
    let world = world().start().unwrap();
    let output = serve(&world.data_dir(), &[]);
    refused(&output, 75, &["is in use", &world.ready().pid.to_string()]);
    assert_eq!(world.admin("/healthz").unwrap().status, 200, "the first server goes on");
}

#[test]
fn a_newer_schema_is_not_touched() {
    let mut world = world().start().unwrap();
    world.stop().unwrap();
    let database = world.data_dir().join("lambent.db");
    let mut file = File::options().write(true).open(&database).unwrap();
    file.seek(SeekFrom::Start(USER_VERSION)).unwrap();
    file.write_all(&9999_u32.to_be_bytes()).unwrap();
    drop(file);
    let before = fs::read(&database).unwrap();
    // Whatever the host allows, it must come as far as the database.
    let output = serve(&world.data_dir(), &["--isolation", &world.ready().isolation]);
    refused(&output, 78, &["newer lambent", "9999"]);
    assert_eq!(fs::read(&database).unwrap(), before);
}

#[test]
fn other_peoples_files_are_not_taken_over() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("thesis.txt"), "mine").unwrap();
    refused(&serve(home.path(), &[]), 73, &["holds other files", "--data-dir"]);
    refused(&serve(&home.path().join("thesis.txt"), &[]), 73, &["is not a directory"]);
}

#[test]
fn a_full_disk_is_named() {
    let Some(disk) = SmallDisk::mount("16k") else {
        return not_run("a_full_disk_is_named", "mounting a small disk needs root");
    };
    refused(&serve(&disk.path().join("data"), &[]), 74, &["no space left"]);
}

#[test]
fn a_host_without_namespaces_is_told_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/without-namespaces");
    let works = Command::new(&wrapper).arg("true").stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return not_run("a_host_without_namespaces_is_told_what_to_do", "cannot pretend to be one here");
    }
    let mut command = Command::new(&wrapper);
    command.arg(env!("CARGO_BIN_EXE_lambent"));
    let output = serve_with(command, &home.path().join("data"), &[]);
    refused(&output, 77, &["refuses namespaces", "--isolation=process", "lambent doctor"]);
}

#[test]
fn options_that_are_none_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    refused(&serve(&data, &["--log", "gateway=loud"]), 78, &["not a log filter"]);
    refused(&serve(&data, &["--isolation", "docker"]), 2, &["namespaces", "process"]);
}

/// Runs `lambent serve`, which is expected to end by itself.
fn serve(data: &Path, options: &[&str]) -> Output {
    serve_with(Command::new(env!("CARGO_BIN_EXE_lambent")), data, options)
}

fn serve_with(mut command: Command, data: &Path, options: &[&str]) -> Output {
    command.args(["serve", "--data-dir"]).arg(data);
    for option in ["--listen", "--gateway-listen", "--admin-listen"] {
        if !options.contains(&option) {
            command.args([option, "127.0.0.1:0"]);
        }
    }
    command.args(options).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
}

fn refused(output: &Output, status: i32, texts: &[&str]) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{talk}");
    for text in texts {
        assert!(talk.contains(text), "no `{text}` in:\n{talk}");
    }
    let errors = talk.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "one clear line:\n{talk}");
}
