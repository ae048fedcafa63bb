//! Process trees that are tasks of the test and can be forked: everything the worker asks of an ember, with a
//! hand on each step. They speak native frames as a shim does and answer each event with what they are.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sandbox::handle::{Channels, Exit, Sharing, Signal, StartError, Status, Usage};
use sandbox::meter::Meter;
use sandbox::spec::{Assignment, Spec};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use types::invocation::Boxed;

use crate::frames::Connection;
use crate::frames::codec::Kind;
use crate::launcher::{Launcher, Tree};

/// Starts them.
#[derive(Clone, Default)]
pub(crate) struct Forks(Arc<Hand>);

/// The test's hand on all of them.
pub(crate) struct Hand {
    /// Inits that have begun, of embers and others.
    pub inits: AtomicU32,
    /// Those that began as embers.
    pub embers: AtomicU32,
    /// Forks that were asked for.
    pub forks: AtomicU32,
    /// An init ends once it gets a permit.
    pub init: Semaphore,
    /// A fork ends once it gets a permit.
    pub fork: Semaphore,
    /// What stands against sharing.
    pub vetoes: Mutex<Vec<String>>,
    /// Inits that are still to fail.
    pub init_failures: AtomicU32,
    /// Forks that are still to fail.
    pub fork_failures: AtomicU32,
    /// Those that began to stand by.
    pub standbys: AtomicU32,
    /// Those that are still to end before they wait.
    pub standby_failures: AtomicU32,
    /// Assignments that are still to fail.
    pub assign_failures: AtomicU32,
    /// The spec of the last that stands by.
    pub begun_with: Mutex<String>,
    /// What the last one was told.
    pub told: Mutex<String>,
    /// Everything that lives, in the order it was made.
    pub living: Mutex<Vec<Arc<Life>>>,
}

/// One of them, for the test to end.
pub(crate) struct Life {
    pub ember: bool,
    exit: watch::Sender<Option<Exit>>,
}

struct Task {
    hand: Arc<Hand>,
    life: Arc<Life>,
    id: u32,
}

/// So many permits that nothing ever waits.
const OPEN: usize = 1_000_000;

// === impl Forks ===

impl std::ops::Deref for Forks {
    type Target = Hand;

    fn deref(&self) -> &Hand {
        &self.0
    }
}

impl Default for Hand {
    fn default() -> Self {
        Self {
            inits: AtomicU32::new(0),
            embers: AtomicU32::new(0),
            forks: AtomicU32::new(0),
            init: Semaphore::new(OPEN),
            fork: Semaphore::new(OPEN),
            vetoes: Mutex::default(),
            init_failures: AtomicU32::new(0),
            fork_failures: AtomicU32::new(0),
            standbys: AtomicU32::new(0),
            standby_failures: AtomicU32::new(0),
            assign_failures: AtomicU32::new(0),
            begun_with: Mutex::default(),
            told: Mutex::default(),
            living: Mutex::default(),
        }
    }
}

impl Hand {
    /// The embers and others that live.
    pub fn counts(&self) -> (usize, usize) {
        let living = self.living.lock();
        let embers = living.iter().filter(|life| life.ember).count();
        (embers, living.len() - embers)
    }

    /// Ends the embers, as a signal from outside would.
    pub fn kill_embers(&self) {
        let embers: Vec<_> = self.living.lock().iter().filter(|life| life.ember).cloned().collect();
        embers.iter().for_each(|life| life.end());
    }

    fn born(self: &Arc<Self>, ember: bool) -> Task {
        let life = Arc::new(Life { ember, exit: watch::Sender::new(None) });
        self.living.lock().push(Arc::clone(&life));
        let id = self.inits.load(Ordering::Relaxed) * 1000 + self.forks.load(Ordering::Relaxed);
        Task { hand: Arc::clone(self), life, id }
    }
}

impl Launcher for Forks {
    fn expect_scratch(&self, _bytes: u64) {}

    fn start(&self, spec: Spec, channels: Channels) -> Boxed<Result<Arc<dyn Tree>, StartError>> {
        let hand = Arc::clone(&self.0);
        if spec.standby {
            return Box::pin(std::future::ready(Ok(stand_by(&hand, &spec, channels))));
        }
        hand.inits.fetch_add(1, Ordering::Relaxed);
        hand.embers.fetch_add(spec.ember.into(), Ordering::Relaxed);
        let stream = spec.process.environment.iter().find(|(name, _)| name == "AWS_LAMBDA_LOG_STREAM_NAME");
        let stream = stream.unwrap().1.clone();
        let task = hand.born(spec.ember);
        let life = Arc::clone(&task.life);
        let frames = channels.frames.unwrap();
        TaskTracker::new().spawn(async move {
            let mut frames = Connection::of(frames);
            hand.init.acquire().await.unwrap().forget();
            let (kind, head) = if take(&hand.init_failures) {
                (Kind::InitFailed, json!({"error_type": "ImportError", "message": "made to fail"}))
            } else {
                (Kind::Ready, json!({"serves": "handler"}))
            };
            let _ = frames.send(kind, 0, &head, b"").await;
            if kind == Kind::InitFailed {
                return life.end();
            }
            serve(frames, life, "init", stream).await;
        });
        let tree: Arc<dyn Tree> = Arc::new(task);
        Box::pin(std::future::ready(Ok(tree)))
    }
}

/// One that waits to be told what it is for.
fn stand_by(hand: &Arc<Hand>, spec: &Spec, channels: Channels) -> Arc<dyn Tree> {
    hand.standbys.fetch_add(1, Ordering::Relaxed);
    *hand.begun_with.lock() = serde_json::to_string(spec).unwrap();
    let task = hand.born(false);
    let (life, hand) = (Arc::clone(&task.life), Arc::clone(hand));
    let mut frames = Connection::of(channels.frames.unwrap());
    TaskTracker::new().spawn(async move {
        if take(&hand.standby_failures) {
            return life.end();
        }
        let _ = frames.send(Kind::Waiting, 0, &json!({}), b"").await;
        let Ok(assignment) = frames.receive().await else { return life.end() };
        assert_eq!(assignment.kind, Kind::Assign);
        *hand.told.lock() = String::from_utf8(assignment.head.to_vec()).unwrap();
        let _ = frames.send(Kind::Ready, 0, &json!({"serves": "handler"}), b"").await;
        serve(frames, life, "standby", String::new()).await;
    });
    Arc::new(task)
}

/// Answers events until it has to end.
async fn serve(mut frames: Connection, life: Arc<Life>, born: &'static str, stream: String) {
    let mut exit = life.exit.subscribe();
    loop {
        let frame = tokio::select! {
            _ = exit.wait_for(Option::is_some) => return,
            frame = frames.receive() => frame,
        };
        let Ok(frame) = frame else { return life.end() };
        let answer = json!({"born": born, "stream": stream}).to_string();
        let _ = frames.send(Kind::Result, frame.stream, &json!({}), answer.as_bytes()).await;
    }
}

/// Whether one of so many is left.
fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

// === impl Life ===

impl Life {
    /// Ends it.
    pub fn end(&self) {
        let exit = Exit { status: Status::Signaled(9), out_of_memory: false, usage: Usage::default() };
        self.exit.send_if_modified(|known| known.is_none() && known.replace(exit).is_none());
    }
}

// === impl Task ===

impl Tree for Task {
    fn id(&self) -> String {
        format!("task-{}", self.id)
    }

    fn listening(self: Arc<Self>, _wanted: Option<u16>) -> Boxed<Option<SocketAddr>> {
        Box::pin(std::future::pending())
    }

    fn connect(self: Arc<Self>, address: SocketAddr) -> Boxed<io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }

    fn take_listener(&self) -> Option<TcpListener> {
        None
    }

    fn exited(self: Arc<Self>) -> Boxed<Exit> {
        let mut exit = self.life.exit.subscribe();
        Box::pin(async move {
            let _tree = self;
            exit.wait_for(Option::is_some).await.unwrap().unwrap()
        })
    }

    fn signal(&self, _signal: Signal) {
        self.life.end();
    }

    fn freeze(&self) {}

    fn thaw(&self) {}

    fn sharing(self: Arc<Self>) -> Boxed<Sharing> {
        let vetoes = self.hand.vetoes.lock().clone();
        Box::pin(std::future::ready(Sharing { vetoes, ..Sharing::default() }))
    }

    fn fork(
        self: Arc<Self>,
        channels: Channels,
        environment: Vec<(String, String)>,
    ) -> Boxed<Result<Arc<dyn Tree>, StartError>> {
        self.hand.forks.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let failed =
                |reason: &str| StartError::Step { step: "fork".to_owned(), reason: reason.to_owned() };
            let mut exit = self.life.exit.subscribe();
            tokio::select! {
                biased;
                _ = exit.wait_for(Option::is_some) => return Err(failed("it has ended")),
                permit = self.hand.fork.acquire() => permit.unwrap().forget(),
            }
            if take(&self.hand.fork_failures) {
                return Err(failed("made to fail"));
            }
            let newborn = self.hand.born(false);
            let frames: OwnedFd = channels.frames.unwrap();
            let (_, stream) = environment.into_iter().next().unwrap();
            let life = Arc::clone(&newborn.life);
            TaskTracker::new().spawn(serve(Connection::of(frames), life, "fork", stream));
            let tree: Arc<dyn Tree> = Arc::new(newborn);
            Ok(tree)
        })
    }

    fn assign(self: Arc<Self>, _assignment: Assignment) -> Boxed<Result<(), StartError>> {
        let failed = take(&self.hand.assign_failures) || self.life.exit.borrow().is_some();
        let (step, reason) = ("assign".to_owned(), "made to fail".to_owned());
        let done = if failed { Err(StartError::Step { step, reason }) } else { Ok(()) };
        Box::pin(std::future::ready(done))
    }

    fn meter(&self) -> Meter {
        Meter::default()
    }

    fn usage(self: Arc<Self>) -> Boxed<Usage> {
        Box::pin(std::future::ready(Usage { memory_bytes: 10 << 20, ..Usage::default() }))
    }

    fn stop(self: Arc<Self>, _grace: Duration) -> Boxed<Exit> {
        self.life.end();
        self.exited()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.life.end();
        self.hand.living.lock().retain(|life| !Arc::ptr_eq(life, &self.life));
    }
}
