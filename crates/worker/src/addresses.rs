//! Addresses for instances that share the host's network, each in use once. Only the reduced mode needs
//! them; an [`Address`] is free again when it is dropped.
//!
//! All of `127.0.0.0/8` is loopback. Each server begins in a block of its own, chosen by its process id, so
//! that two servers on one machine do not meet.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use parking_lot::Mutex;

/// Addresses of one block.
const BLOCK: u32 = 256;
/// Blocks to begin in; the last few are left for a server that needs more than one.
const BLOCKS: u32 = 0xff00;
/// The first address of a block that is used: the host's own servers like `.1`.
const FIRST: u32 = 2;

/// The addresses in use, by their distance from `127.0.0.0`.
#[derive(Debug)]
pub(crate) struct Addresses {
    first: u32,
    used: Mutex<BTreeSet<u32>>,
}

/// One address in use.
#[derive(Debug)]
pub(crate) struct Address {
    pub ip: Ipv4Addr,
    offset: u32,
    pool: Arc<Addresses>,
}

// === impl Addresses ===

impl Addresses {
    /// The block of the process with this id.
    pub fn new(process: u32) -> Self {
        Self { first: process % BLOCKS * BLOCK + FIRST, used: Mutex::default() }
    }

    /// The lowest address that is free.
    pub fn take(self: &Arc<Self>) -> Address {
        let mut used = self.used.lock();
        let mut offset = self.first;
        while used.contains(&offset) {
            offset += 1;
        }
        used.insert(offset);
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 0)).wrapping_add(offset));
        Address { ip, offset, pool: Arc::clone(self) }
    }
}

// === impl Address ===

impl Address {
    /// A port that is free on every address just now, for a program that binds to all of them.
    pub fn free_port(&self) -> io::Result<u16> {
        Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port())
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.pool.used.lock().remove(&self.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_use_once_and_comes_back() {
        let addresses = Arc::new(Addresses::new(0x0102));
        let (first, second) = (addresses.take(), addresses.take());
        assert_eq!([first.ip, second.ip], [Ipv4Addr::new(127, 1, 2, 2), Ipv4Addr::new(127, 1, 2, 3)]);
        drop(first);
        assert_eq!(addresses.take().ip, Ipv4Addr::new(127, 1, 2, 2));
        assert!(Arc::new(Addresses::new(u32::MAX)).take().ip.is_loopback());
    }
}
