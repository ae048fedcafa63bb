//! What keeps a program from being forked: each veto with the init that earns it, and what earns none.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use sandbox::handle::StartError;
use sandbox::spec::Layers;

use crate::common::ember::Ember;
use crate::common::{Case, World};

pub const CASES: &[Case] = &[
    ("each thing that forks would fight over is a veto that names it", vetoes),
    ("an event loop, sockets to itself and one bound port are none", harmless),
    ("finished network traffic is a note", traffic),
    ("a program that was not asked, or was refused, is not forked", unasked),
    ("without the layers of an ember the program runs and says why it is not forked", hopeless),
];

/// What init does, and the beginning of the reason against sharing it.
const VETOES: &[(&str, &str)] = &[
    ("held = open('/tmp/a', 'w'); os.unlink('/tmp/a')", "it has the file /tmp/a (deleted) open for writing"),
    (
        "import sqlite3; held = sqlite3.connect('/tmp/x.db'); held.execute('create table t (a)')",
        "its init has left x.db in /tmp",
    ),
    (
        "import sqlite3; held = sqlite3.connect('/tmp/x.db'); held.execute('create table t (a)')",
        "it has the file /tmp/x.db open for writing",
    ),
    ("held = open('/etc/passwd')", "it has the file /etc/passwd open: its position"),
    ("held = os.open('/', os.O_RDONLY)", "it has the directory / open"),
    (
        "a = socket.create_server(('127.0.0.1', 5432)); held = [socket.create_connection(('127.0.0.1', 5432)), a.accept()]; a.close()",
        "it has a connection to 127.0.0.1:5432 open",
    ),
    (
        "a = socket.create_server(('127.0.0.1', 5432)); held = socket.create_connection(('127.0.0.1', 5432)); a.close()",
        "it has a connection open that the other end has closed",
    ),
    (
        "held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); held.connect(('127.0.0.1', 53))",
        "it has a socket to 127.0.0.1:53 open",
    ),
    ("held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "it has a datagram socket open"),
    ("held = socket.socket()", "it has a socket open that is not connected"),
    (
        "held = [socket.create_server(('127.0.0.1', port)) for port in (8001, 8002)]",
        "it has two sockets for callers (ports 8001 and 8002)",
    ),
    (
        "held = socket.socket(socket.AF_UNIX); held.bind('\\0name'); held.listen()",
        "it listens on a unix socket",
    ),
    (
        "held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "it has a unix socket open that is not connected",
    ),
    ("held = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "it has a netlink socket open"),
    ("held = os.pipe()", "it has a pipe open"),
    ("import mmap; held = mmap.mmap(-1, 4096)", "it has memory that forks would share (/dev/zero"),
    ("held = os.memfd_create('m')", "it has the file /memfd:m (deleted) open for writing"),
    ("held = call(283, 1, 0)", "it has [timerfd] open"),
    ("held = libc.inotify_init()", "it has inotify open"),
    (
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "it has 2 threads (python3.11): a fork",
    ),
    (
        "import subprocess; held = subprocess.Popen(['/bin/sleep', '60'])",
        "it has started the program sleep, which",
    ),
    ("os.system('/bin/sleep 60 &')", "it has left the program s"),
    ("open('/tmp/cache', 'w').close()", "its init has left cache in /tmp"),
    ("open('/dev/shm/a', 'w').close()", "its init has left a in /dev/shm"),
    (
        "import fcntl; held = open('/tmp/a', 'w'); fcntl.flock(held, fcntl.LOCK_EX)",
        "it holds a lock on a file",
    ),
    ("held = socket.create_server(('', 8000))", "its port 8000 is taken for all addresses"),
    ("held = socket.socket(); held.bind(('', 8000))", "its port 8000 is taken for all addresses"),
    (
        "held = ctypes.c_void_p(); checked(libc.timer_create(1, None, ctypes.byref(held)))",
        "it has set a timer",
    ),
];

fn vetoes(world: &World) {
    let mut wrong = Vec::new();
    for (init, expected) in VETOES {
        let ember = Ember::start(world, &[("INIT", init)]);
        let vetoes = ember.sharing(world).vetoes;
        if !vetoes.iter().any(|veto| veto.starts_with(expected)) {
            wrong.push(format!("{init}: {vetoes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn harmless(world: &World) {
    let init = "import asyncio, random, sqlite3, ssl, subprocess
loop = asyncio.new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
pair = socket.socketpair()
subprocess.run(['/bin/true'])
connection = sqlite3.connect(':memory:')
random_numbers = open('/dev/urandom', 'rb')
listener = socket.create_server(('127.0.0.1', 8000))";
    let ember = Ember::start(world, &[("INIT", init)]);
    let sharing = ember.sharing(world);
    assert_eq!(sharing.vetoes, Vec::<String>::new());
    assert_eq!(sharing.port, Some(8000));
    ember.fork(world);
    let init = "listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); listener.bind(('', 8000))";
    let ember = Ember::start(world, &[("INIT", init)]);
    assert_eq!(ember.sharing(world).vetoes, Vec::<String>::new());
    ember.fork(world);
}

fn traffic(world: &World) {
    let init = "a = socket.create_server(('127.0.0.1', 5432))
held = socket.create_connection(('127.0.0.1', 5432)); a.close(); held.close()";
    let ember = Ember::start(world, &[("INIT", init)]);
    let sharing = ember.sharing(world);
    assert_eq!(sharing.vetoes, Vec::<String>::new());
    assert!(sharing.notes[0].starts_with("its init has opened connections (1)"), "{sharing:?}");
}

fn unasked(world: &World) {
    let refusal = |ember: &Ember| match ember.try_fork(world, &[]) {
        Err(StartError::Step { step, reason }) => format!("{step}: {reason}"),
        other => panic!("{:?}", other.map(|_| ())),
    };
    let ember = Ember::start(world, &[]);
    assert!(refusal(&ember).starts_with("fork: nobody has asked yet"));
    let ember = Ember::start(world, &[("INIT", "held = os.pipe()")]);
    ember.sharing(world);
    assert!(refusal(&ember).starts_with("fork: it has a pipe open"));
    let (plain, _output) =
        world.start(crate::common::python("import time; time.sleep(60)", Layers::ALL)).unwrap();
    let vetoes = world.runtime.block_on(plain.sharing()).vetoes;
    assert!(vetoes[0].starts_with("it was not started as an ember"), "{vetoes:?}");
}

fn hopeless(world: &World) {
    let layers = Layers { ipc: false, ..Layers::ALL };
    let ember = Ember::with(world, crate::common::ember::spec(layers, &[]));
    assert_eq!(ember.sharing(world).vetoes, ["embers need every namespace"]);
    assert!(ember.try_fork(world, &[]).is_err());
}
