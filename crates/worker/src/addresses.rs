//! Addresses for instances that share the host's network: `127.0.0.2` and up, each in use once.
//! Only the reduced mode needs them; an [`Address`] is free again when it is dropped.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use parking_lot::Mutex;

const FIRST: u32 = 2;

/// The addresses in use, by their distance from `127.0.0.0`.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<BTreeSet<u32>>);

/// One address in use.
#[derive(Debug)]
pub(crate) struct Address {
    pub ip: Ipv4Addr,
    offset: u32,
    pool: Arc<Addresses>,
}

// === impl Addresses ===

impl Addresses {
    /// The lowest address that is free.
    pub fn take(self: &Arc<Self>) -> Address {
        let mut used = self.0.lock();
        let mut offset = FIRST;
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
        self.pool.0.lock().remove(&self.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_use_once_and_comes_back() {
        let addresses = Arc::new(Addresses::default());
        let (first, second) = (addresses.take(), addresses.take());
        assert_eq!([first.ip, second.ip], [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)]);
        drop(first);
        assert_eq!(addresses.take().ip, Ipv4Addr::new(127, 0, 0, 2));
    }
}
