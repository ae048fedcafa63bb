//! The three addresses a server listens on. Bound early, before privileges are dropped and before
//! anything else is started, so that a taken port is the first thing a person hears of.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::error::Error;
use crate::options::Options;

/// Bound and listening; nothing is accepted yet.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub api: TcpListener,
    pub gateway: TcpListener,
    pub admin: TcpListener,
}

/// Where the listeners are, ports known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub api: SocketAddr,
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
}

// === impl Listeners ===

impl Listeners {
    /// Binds all three, or none.
    pub(crate) fn bind(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            api: bind(options.listen, "--listen")?,
            gateway: bind(options.gateway_listen, "--gateway-listen")?,
            admin: bind(options.admin_listen, "--admin-listen")?,
        })
    }

    /// Where they are.
    pub(crate) fn addresses(&self) -> Result<Addresses, Error> {
        let address = |listener: &TcpListener| {
            listener
                .local_addr()
                .map_err(|source| Error::System { action: "read the address of a listener", source })
        };
        Ok(Addresses {
            api: address(&self.api)?,
            gateway: address(&self.gateway)?,
            admin: address(&self.admin)?,
        })
    }
}

fn bind(address: SocketAddr, option: &'static str) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken { address, option },
        _ => Error::Listen { address, option, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_option_that_moves_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let options = Options {
            listen: any,
            gateway_listen: holder.local_addr().unwrap(),
            admin_listen: any,
            ..Options::default()
        };
        drop(taken);
        let error = Listeners::bind(&options).unwrap_err().to_string();
        assert!(error.contains("is in use") && error.contains("--gateway-listen"), "{error}");
    }
}
