//! What one instance can do to another that was forked from the same ember: they have one id, one pid namespace, one
//! loopback. Every attack runs three times: with every layer (it must be refused); with each of the two that refuse,
//! the newborns' domain of Landlock or the filter, as the only one (refused by the one that is meant to); with neither
//! (it must succeed, or its refusal says nothing).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use sandbox::spec::Layers;

use crate::common::ember::{Ember, Forked, spec};
use crate::common::{Case, World};

pub const CASES: &[Case] = &[
    ("an instance can do nothing to its siblings, its ember and its init", attacks),
    ("what an instance may do to itself is left to it", itself),
];

/// By whom an attack is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Domain,
    Filter,
    /// Each alone.
    Both,
}

use By::{Both, Domain, Filter};

/// The victim notices a signal.
const HEAR: &str = "heard = []; signal.signal(signal.SIGUSR2, lambda *_: heard.append(1))";

/// Name, what the victim does first (its `answer` is `it`), the attack (its `answer` says whether it succeeded), and by
/// whom it is refused. `pid` is the victim's.
const ATTACKS: &[(&str, &str, &str, By)] = &[
    ("kill", "", "os.kill(pid, 0); answer = True", Domain),
    ("kill_group", HEAR, "signal.signal(signal.SIGUSR2, signal.SIG_IGN)
os.killpg(os.getpgid(pid), signal.SIGUSR2); time.sleep(0.1); answer = 'ask'", Domain),
    ("pidfd_send_signal", "", "signal.pidfd_send_signal(os.pidfd_open(pid), 0); answer = True", Domain),
    ("queue_signal", "", "libc.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
checked(libc.sigqueue(pid, 0, None)); answer = True", Domain),
    ("thread_signal", "", "call(234, pid, pid, 0); answer = True", Domain),
    ("process_vm_readv", "held = ctypes.create_string_buffer(b'secret'); answer = ctypes.addressof(held)",
     "mine = ctypes.create_string_buffer(6)
class Part(ctypes.Structure): _fields_ = [('at', ctypes.c_void_p), ('size', ctypes.c_size_t)]
call(310, pid, ctypes.byref(Part(ctypes.addressof(mine), 6)), 1, ctypes.byref(Part(it, 6)), 1, 0)
answer = mine.raw == b'secret'", Both),
    ("process_vm_writev", "held = ctypes.create_string_buffer(b'secret'); answer = ctypes.addressof(held)",
     "mine = ctypes.create_string_buffer(b'change')
class Part(ctypes.Structure): _fields_ = [('at', ctypes.c_void_p), ('size', ctypes.c_size_t)]
answer = call(311, pid, ctypes.byref(Part(ctypes.addressof(mine), 6)), 1, ctypes.byref(Part(it, 6)), 1, 0) == 6", Both),
    ("pidfd_getfd", "", "answer = call(438, os.pidfd_open(pid), 1, 0) >= 0", Both),
    ("memory_file", "held = ctypes.create_string_buffer(b'secret'); answer = ctypes.addressof(held)",
     "file = open(f'/proc/{pid}/mem', 'rb', 0); file.seek(it); answer = file.read(6) == b'secret'", Domain),
    ("root", "open('/tmp/mine', 'w').close()", "answer = 'mine' in os.listdir(f'/proc/{pid}/root/tmp')", Domain),
    ("working_directory", "open('/tmp/mine', 'w').close(); os.chdir('/tmp')", "answer = 'mine' in os.listdir(f'/proc/{pid}/cwd')", Domain),
    ("descriptors", "", "answer = len(os.listdir(f'/proc/{pid}/fd')) > 2", Domain),
    ("environment", "", "answer = b'LAMBENT' in open(f'/proc/{pid}/environ', 'rb').read()", Domain),
    ("command_line", "", "answer = b'python' in open(f'/proc/{pid}/cmdline', 'rb').read()", Domain),
    ("oom_score", "", "open(f'/proc/{pid}/oom_score_adj', 'w').write('1000'); answer = True", Domain),
    ("list_of_processes", "", "answer = str(pid) in os.listdir('/proc')", Domain),
    ("abstract_socket", "held = socket.socket(socket.AF_UNIX); held.bind('\\0victim'); held.listen()",
     "socket.socket(socket.AF_UNIX).connect('\\0victim'); answer = True", Domain),
    ("signal_by_io", HEAR,
     "import fcntl
one, two = socket.socketpair()
fcntl.fcntl(one, fcntl.F_SETOWN, pid); fcntl.fcntl(one, 10, 12)
fcntl.fcntl(one, fcntl.F_SETFL, fcntl.fcntl(one, fcntl.F_GETFL) | os.O_ASYNC)
two.send(b'x'); time.sleep(0.1); answer = 'ask'", Domain),
    ("limit_of_files", "", "call(302, pid, 4, ctypes.byref((ctypes.c_uint64 * 2)(0, 0)), 0); answer = True", Filter),
    ("read_limit", "", "call(302, pid, 4, 0, ctypes.byref((ctypes.c_uint64 * 2)())); answer = True", Filter),
    ("priority", "", "call(141, 0, pid, 5); answer = True", Filter),
    ("priority_of_all", "", "call(141, 2, 0, 6); answer = True", Filter),
    ("priority_of_group", "", "call(141, 1, 0, 7); answer = True", Filter),
    ("io_priority", "", "call(251, 1, pid, 2 << 13 | 5); answer = True", Filter),
    ("io_priority_of_all", "", "call(251, 3, os.getuid(), 2 << 13 | 6); answer = True", Filter),
    ("shared_memory", "answer = call(29, 77, 4096, 0o1666)", "answer = call(29, 77, 4096, 0) == it", Filter),
    ("semaphores", "answer = call(64, 77, 1, 0o1666)", "answer = call(64, 77, 1, 0) == it", Filter),
    ("messages", "answer = call(68, 77, 0o1666)", "answer = call(68, 77, 0) == it", Filter),
    ("message_queue", "answer = call(240, b'all', 0o102, 0o666, 0)",
     "answer = call(240, b'all', 2, 0, 0) >= 0", Filter),
    ("trace", "", "call(101, 0x4206, pid, 0, 0); answer = True", Both),
];

/// One ember with two instances, with these of the layers.
struct Family {
    _ember: Ember,
    attacker: Forked,
    victim: Forked,
    pid: String,
}

// === impl Family ===

impl Family {
    fn new(world: &World, domain: bool, filter: bool) -> Self {
        let layers = Layers { seccomp: filter, ..Layers::ALL };
        let init = ("INIT", "signal.signal(signal.SIGUSR2, signal.SIG_IGN)");
        let variables: &[(&str, &str)] = if domain { &[init] } else { &[init, ("OPEN", "1")] };
        let ember = Ember::with(world, spec(layers, variables));
        assert_eq!(ember.sharing(world).vetoes, Vec::<String>::new());
        let (mut attacker, mut victim) = (ember.fork(world), ember.fork(world));
        let imports = "import ctypes, os, signal, socket, time; answer = os.getpid()";
        attacker.run(imports);
        let pid = victim.run(imports);
        Self { _ember: ember, attacker, victim, pid }
    }

    /// Whether an attack succeeds, or how it is refused.
    fn attack(&mut self, prepare: &str, attack: &str) -> String {
        let it = self.victim.run(prepare);
        let it = if it == "null" { "None".to_owned() } else { it };
        let said = self.attacker.run(&format!("pid = {}; it = {it}\n{attack}", self.pid));
        if said == "\"ask\"" { self.victim.run("answer = bool(heard)") } else { said }
    }
}

fn attacks(world: &World) {
    let mut sealed = Family::new(world, true, true);
    let mut domain = Family::new(world, true, false);
    let mut filter = Family::new(world, false, true);
    let mut open = Family::new(world, false, false);
    let mut wrong = Vec::new();
    for &(name, prepare, attack, by) in ATTACKS {
        let mut expect = |family: &mut Family, layers: &str, refused: bool| {
            let said = family.attack(prepare, attack);
            if (said == "true") == refused {
                wrong.push(format!("{name} with {layers}: {said}"));
            }
        };
        expect(&mut sealed, "every layer", true);
        if by != Filter {
            expect(&mut domain, "the domain alone", true);
        }
        if by != Domain {
            expect(&mut filter, "the filter alone", true);
        }
        expect(&mut open, "neither", false);
    }
    for (name, script) in [
        ("ember", "os.kill(os.getppid(), 0); answer = True"),
        ("init", "os.kill(1, 0); answer = True"),
        ("ember's memory", "open(f'/proc/{os.getppid()}/mem', 'rb'); answer = True"),
        ("init's root", "os.listdir('/proc/1/root'); answer = True"),
        ("user namespace", "call(272, 0x10000000); answer = True"),
        ("other root", "os.chroot('/tmp'); answer = True"),
        (
            "way up",
            "at = os.open('/', os.O_PATH)\nfor _ in range(9): at = os.open('..', os.O_PATH, dir_fd=at)\nanswer = 'core' in os.listdir(at)",
        ),
    ] {
        let said = sealed.attacker.run(script);
        if said == "true" {
            wrong.push(format!("{name}: {said}"));
        }
    }
    assert_eq!(sealed.victim.run("answer = 1"), "1");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn itself(world: &World) {
    let mut family = Family::new(world, true, true);
    for script in [
        "os.kill(os.getpid(), 0); answer = True",
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); answer = True",
        "os.nice(1); answer = True",
        "import subprocess; held = subprocess.Popen(['/bin/sleep', '60']); held.kill(); answer = held.wait() == -9",
        "import subprocess; answer = subprocess.run(['/bin/cat', '/proc/self/comm'], capture_output=True).stdout == b'cat\\n'",
        "import multiprocessing
with multiprocessing.get_context('fork').Pool(2) as pool: answer = pool.map(abs, [-1, -2]) == [1, 2]",
        "import threading; held = []; one = threading.Thread(target=held.append, args=(1,)); one.start(); one.join(); answer = held == [1]",
        "import tempfile; answer = tempfile.NamedTemporaryFile().name.startswith('/tmp/')",
    ] {
        assert_eq!(family.attacker.run(script), "true", "{script}");
    }
}
