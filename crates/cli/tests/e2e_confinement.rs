//! The real server has given up what it does not need: read from outside, where it cannot lie.
#![expect(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod fixture;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fixture::{HELLO, deploy, host, world};

/// `CAP_NET_BIND_SERVICE`, the one capability that may be left.
const BIND: u64 = 1 << 10;

#[test]
fn every_thread_of_the_server_is_confined_and_the_broker_is_not() {
    let world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    assert_eq!(world.get(&host("hello"), "/").unwrap().status, 200);
    let threads = fs::read_dir(format!("/proc/{}/task", world.ready().pid)).unwrap();
    let threads: Vec<_> = threads.map(|thread| thread.unwrap().path().join("status")).collect();
    assert!(threads.len() > 1, "{threads:?}");
    for thread in &threads {
        let status = fs::read_to_string(thread).unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(u64::from_str_radix(field(&status, set), 16).unwrap() & !BIND, 0, "{set}: {status}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{status}");
        assert_eq!(field(&status, "Seccomp"), "2", "{status}");
    }
    let broker = fs::read_to_string(format!("/proc/{}/status", world.ready().broker_pid)).unwrap();
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(
        field(&broker, "Seccomp"),
        field(&ours, "Seccomp"),
        "a filter of the server's reached the broker"
    );
}

/// The data directory holds what the code of functions is unpacked into: its modes are set without the calls
/// that are refused, and a function's own user can read it.
#[test]
fn code_is_unpacked_for_everybody_by_a_confined_server() {
    let world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    let code = fs::read_dir(world.data_dir().join("code")).unwrap().next().unwrap().unwrap();
    assert_eq!(code.metadata().unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn only_a_kernel_without_landlock_is_complained_of() {
    let world = world().start().unwrap();
    let doctor = world.lambent(&["doctor"]).unwrap().stdout;
    let line = doctor.lines().find(|line| line.contains("landlock")).unwrap_or_else(|| panic!("{doctor}"));
    let complains = world.said().contains("outside its data directory");
    assert_eq!(complains, !line.starts_with("ok"), "{doctor}\n{}", world.said());
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.unwrap().trim()
}
