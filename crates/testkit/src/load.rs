//! Load from threads: constant until told to stop ([`Load`]), or a fixed number at once ([`burst`]).
//! Counts what came back; judging it is the test's work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::Client;

/// Errors kept word by word; further ones are only counted.
const ERRORS_KEPT: usize = 20;

/// Constant load from a number of threads, each sending its next request when the last is answered.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Counts>>,
}

/// What a load came to.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub broken: u64,
    /// What went wrong, in the client's and the server's words; the first few.
    pub errors: Vec<String>,
    /// Answers of status 200 by their body.
    pub bodies: BTreeMap<String, u64>,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

// === impl Load ===

impl Load {
    /// Starts `threads` threads that `GET` a path.
    #[must_use]
    pub fn start(address: SocketAddr, host: &str, path: &str, threads: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let threads = (0..threads)
            .map(|_| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                let (host, path) = (host.to_owned(), path.to_owned());
                thread::spawn(move || {
                    let mut sender = Sender::new(address, host, path);
                    while !stop.load(Ordering::Relaxed) {
                        sender.send();
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    sender.counts
                })
            })
            .collect();
        Self { stop, answered, threads }
    }

    /// Requests that have come to an end so far, well or not.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits for the last answers.
    #[must_use]
    pub fn stop(self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        gather(self.threads)
    }
}

/// Sends `requests` requests, at most `concurrency` at once, and waits for all of them.
#[must_use]
pub fn burst(address: SocketAddr, host: &str, path: &str, requests: u64, concurrency: usize) -> Counts {
    let sent = Arc::new(AtomicU64::new(0));
    let threads = (0..concurrency)
        .map(|_| {
            let sent = Arc::clone(&sent);
            let (host, path) = (host.to_owned(), path.to_owned());
            thread::spawn(move || {
                let mut sender = Sender::new(address, host, path);
                while sent.fetch_add(1, Ordering::Relaxed) < requests {
                    sender.send();
                }
                sender.counts
            })
        })
        .collect();
    gather(threads)
}

// === impl Counts ===

impl Counts {
    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.broken
    }

    /// Requests answered with 200.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.statuses.get(&200).copied().unwrap_or(0)
    }

    /// Requests that did not come back with 200.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.total() - self.ok()
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (body, count) in other.bodies {
            *self.bodies.entry(body).or_default() += count;
        }
        self.broken += other.broken;
        self.errors.extend(other.errors);
        self.errors.truncate(ERRORS_KEPT);
        self.slowest = self.slowest.max(other.slowest);
    }

    fn complain(&mut self, error: String) {
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push(error);
        }
    }
}

/// One thread's connection and counts.
struct Sender {
    client: Client,
    host: String,
    path: String,
    counts: Counts,
}

// === impl Sender ===

impl Sender {
    fn new(address: SocketAddr, host: String, path: String) -> Self {
        Self { client: Client::keeping_alive(address), host, path, counts: Counts::default() }
    }

    fn send(&mut self) {
        let begun = Instant::now();
        match self.client.get(&self.host, &self.path) {
            Ok(response) => {
                *self.counts.statuses.entry(response.status).or_default() += 1;
                if response.status == 200 {
                    *self.counts.bodies.entry(response.text()).or_default() += 1;
                } else {
                    self.counts.complain(format!("{}: {}", response.status, response.text()));
                }
            }
            Err(error) => {
                self.counts.broken += 1;
                self.counts.complain(format!("{error:#}"));
                // A server that is gone is asked again, not hammered.
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.counts.slowest = self.counts.slowest.max(begun.elapsed());
    }
}

fn gather(threads: Vec<JoinHandle<Counts>>) -> Counts {
    let mut counts = Counts::default();
    for thread in threads {
        match thread.join() {
            Ok(own) => counts.add(own),
            Err(_) => counts.complain("a thread of the load generator panicked".to_owned()),
        }
    }
    counts
}
