//! Ports found by `listen()`, and connections into a sandbox without a proxy.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test's panic is its verdict")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sandbox::handle::Sandbox;
use sandbox::spec::{Layers, Listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{self, Case, Output, World};

pub const CASES: &[Case] = &[
    ("the address of a listener is known, and it can be connected to", found),
    ("an address that stands for all is reached on loopback", unspecified),
    ("the wanted port wins, else the first one is taken", wanted),
    ("a listener made by a thread is found", thread),
    ("a listen that fails, fails inside as usual", refused),
    ("UNIX sockets listen as usual, and nobody is told", unix),
    ("a program that ends without listening gives no address", never),
    ("with ordinary listening nobody is told", ordinary),
    ("a program that was not expected to listen is connected to all the same", unexpected),
    ("a program that listens for ever fills no memory and no queue", flood),
    ("more connections than sockets came with the start", many),
    ("two sandboxes listen on the same port", same_port),
    ("a program reaches the server's listener", server_listener),
    ("connecting to an ended sandbox fails", ended),
];

/// Accepts for ever, answers each connection with its name.
fn server(bind: &str) -> String {
    format!(
        "
import socket, threading
s = socket.socket({family}); s.bind(({bind:?}, 5000)); s.listen(64)
while True:
    c, a = s.accept(); c.sendall(socket.gethostname().encode()); c.close()",
        family = if bind.contains(':') { "socket.AF_INET6" } else { "socket.AF_INET" },
    )
}

fn start(world: &World, script: &str) -> (Sandbox, Output) {
    world.start(common::python(script, Layers::ALL)).unwrap()
}

fn listening(world: &World, sandbox: &Sandbox, wanted: Option<u16>) -> Option<SocketAddr> {
    world.runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), sandbox.listening(wanted)).await.unwrap()
    })
}

async fn ask(sandbox: &Sandbox, address: SocketAddr) -> std::io::Result<String> {
    let mut stream = sandbox.connect(address).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn found(world: &World) {
    let begin = Instant::now();
    let (sandbox, _output) = start(world, &server("127.0.0.1"));
    let address = listening(world, &sandbox, None).unwrap();
    println!("    start of Python to its port known: {} ms", begin.elapsed().as_millis());
    assert_eq!(address, "127.0.0.1:5000".parse().unwrap());
    assert_eq!(world.runtime.block_on(ask(&sandbox, address)).unwrap(), "sandbox");
}

fn unspecified(world: &World) {
    for (bind, expected) in [("0.0.0.0", "127.0.0.1:5000"), ("::", "[::1]:5000")] {
        let (sandbox, _output) = start(world, &server(bind));
        let address = listening(world, &sandbox, None).unwrap();
        assert_eq!(address, expected.parse().unwrap());
        assert_eq!(world.runtime.block_on(ask(&sandbox, address)).unwrap(), "sandbox");
    }
}

fn wanted(world: &World) {
    let script = "
import socket, time
a = socket.socket(); a.bind(('127.0.0.1', 7001)); a.listen()
b = socket.socket(); b.bind(('127.0.0.1', 7002)); b.listen()
print('both'); time.sleep(60)";
    let (read, write) = std::io::pipe().unwrap();
    let channels = sandbox::handle::Channels { output: write.into(), frames: None };
    let sandbox =
        world.runtime.block_on(world.handle.start(common::python(script, Layers::ALL), channels)).unwrap();
    std::io::Read::read_exact(&mut &read, &mut [0; 5]).unwrap();
    let second_known = || listening(world, &sandbox, Some(7002)).unwrap().port() == 7002;
    assert!(common::eventually(Duration::from_secs(10), second_known));
    assert_eq!(listening(world, &sandbox, Some(1)).unwrap().port(), 7001);
}

fn thread(world: &World) {
    let script = "
import socket, threading, time
def work():
    s = socket.socket(); s.bind(('127.0.0.1', 5001)); s.listen()
    time.sleep(60)
threading.Thread(target=work).start()";
    let (sandbox, _output) = start(world, script);
    assert_eq!(listening(world, &sandbox, None).unwrap().port(), 5001);
}

fn refused(world: &World) {
    let script = "
import socket
a = socket.socket(); a.bind(('127.0.0.1', 5000)); a.listen()
b = socket.create_connection(('127.0.0.1', 5000))
try: b.listen()
except OSError as error: print(error.errno)";
    assert_eq!(world.python(script, Layers::ALL).output, "22\n");
}

fn unix(world: &World) {
    let script = "
import socket
a = socket.socket(socket.AF_UNIX); a.bind('/tmp/socket'); a.listen()
b = socket.socket(socket.AF_UNIX); b.connect('/tmp/socket'); print('connected')";
    let (sandbox, output) = start(world, script);
    assert_eq!(listening(world, &sandbox, None), None);
    assert_eq!(world.finish(&sandbox, output).output, "connected\n");
}

fn never(world: &World) {
    let (sandbox, _output) = start(world, "pass");
    assert_eq!(listening(world, &sandbox, None), None);
}

fn ordinary(world: &World) {
    let script = "import socket; s = socket.socket(); s.listen(); print('listens')";
    let mut spec = common::python(script, Layers::ALL);
    spec.listen = Listen::Ordinary;
    let (sandbox, output) = world.start(spec).unwrap();
    assert_eq!(listening(world, &sandbox, None), None);
    assert_eq!(world.finish(&sandbox, output).output, "listens\n");
}

fn unexpected(world: &World) {
    let mut spec = common::python(
        &server("127.0.0.1").replace("while True", "print('up', flush=True)\nwhile True"),
        Layers::ALL,
    );
    spec.listen = Listen::Ordinary;
    let (mut read, write) = std::io::pipe().unwrap();
    let channels = sandbox::handle::Channels { output: write.into(), frames: None };
    let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
    std::io::Read::read_exact(&mut read, &mut [0; 2]).unwrap();
    for _ in 0..20 {
        let address = "127.0.0.1:5000".parse().unwrap();
        assert_eq!(world.runtime.block_on(ask(&sandbox, address)).unwrap(), "sandbox");
    }
}

fn flood(world: &World) {
    let script = "
import socket
for _ in range(3000):
    s = socket.socket(); s.listen(); s.close()
s = socket.socket(); s.bind(('127.0.0.1', 0))
for _ in range(3000): s.listen()
print('done')";
    let (sandbox, output) = start(world, script);
    assert_eq!(world.python("print(1)", Layers::ALL).output, "1\n", "others start beside it");
    assert_eq!(world.finish(&sandbox, output).output, "done\n");
}

fn many(world: &World) {
    let (sandbox, _output) = start(world, &server("127.0.0.1"));
    let address = listening(world, &sandbox, None).unwrap();
    let sandbox = std::sync::Arc::new(sandbox);
    world.runtime.block_on(async {
        let tasks = tokio_util::task::TaskTracker::new();
        let asked: Vec<_> = (0..60)
            .map(|_| {
                let sandbox = std::sync::Arc::clone(&sandbox);
                tasks.spawn(async move { ask(&sandbox, address).await })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap().unwrap(), "sandbox");
        }
    });
}

fn same_port(world: &World) {
    let sandboxes: Vec<(Sandbox, Output)> = ["left", "right"]
        .map(|name| {
            let mut spec = common::python(&server("127.0.0.1"), Layers::ALL);
            spec.hostname = name.to_owned();
            world.start(spec).unwrap()
        })
        .into();
    for ((sandbox, _), name) in sandboxes.iter().zip(["left", "right"]) {
        let address = listening(world, sandbox, None).unwrap();
        assert_eq!(world.runtime.block_on(ask(sandbox, address)).unwrap(), name);
    }
}

fn server_listener(world: &World) {
    let script = "
import socket
s = socket.create_connection(('127.0.0.1', 9001)); print(s.recv(100).decode())";
    let mut spec = common::python(script, Layers::ALL);
    spec.server_listener = Some("127.0.0.1:9001".parse().unwrap());
    let (sandbox, output) = world.start(spec).unwrap();
    world.runtime.block_on(async {
        let listener = sandbox.take_listener().unwrap();
        assert!(sandbox.take_listener().is_none(), "once");
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"next").await.unwrap();
    });
    assert_eq!(world.finish(&sandbox, output).output, "next\n");
}

fn ended(world: &World) {
    let (sandbox, _output) = start(world, "pass");
    world.runtime.block_on(async {
        sandbox.exited().await;
        let address = "127.0.0.1:5000".parse().unwrap();
        for _ in 0..20 {
            assert!(sandbox.connect(address).await.is_err());
        }
    });
}
