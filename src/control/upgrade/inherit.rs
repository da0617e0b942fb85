//! The process that takes over, until it does. It serves no one yet, so it may block.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use super::message::{Purpose, ToPredecessor, ToSuccessor, VERSION};
use crate::control::controller::Controller;
use crate::handover;
use crate::state::{Clock, Shared};

/// What a process receives from the one before it.
#[derive(Debug)]
pub struct Inheritance {
    stream: UnixStream,
    clock: u64,
    sockets: Vec<(Purpose, SocketAddr, TcpListener)>,
    links: Vec<UnixStream>,
}

impl Inheritance {
    /// Starts the handover over the socket on standard input.
    ///
    /// # Errors
    /// Fails if standard input is not a socket, or if the peer speaks another protocol.
    pub fn accept() -> io::Result<Self> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let unexpected =
            || io::Error::other("this is for Keygate's own use: `keygate upgrade` starts it");
        stream.peer_addr().map_err(|_| unexpected())?;
        // Later readers of standard input get an end of file.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let Ok(ToSuccessor::Hello { version, clock, sockets: named }) = handover::read(&stream)
        else {
            return Err(unexpected());
        };
        let mut inheritance = Self { stream, clock, sockets: Vec::new(), links: Vec::new() };
        if version != VERSION {
            let why = format!(
                "the running gateway hands over by version {version}, this program takes over by \
                    version {VERSION}: restart"
            );
            inheritance.fail(&why);
            return Err(io::Error::other(why));
        }
        for (purpose, address) in named {
            let listener = TcpListener::from(handover::take(&inheritance.stream)?);
            inheritance.sockets.push((purpose, address, listener));
        }
        Ok(inheritance)
    }

    /// Returns the clock that both processes share.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock::with_zero(self.clock)
    }

    /// Returns the inherited socket for this address of the configuration, or `None`.
    pub fn socket(&mut self, purpose: Purpose, address: SocketAddr) -> Option<TcpListener> {
        let found = self
            .sockets
            .iter()
            .position(|(known, named, _)| (*known, *named) == (purpose, address))?;
        Some(self.sockets.remove(found).2)
    }

    /// Reports that everything is checked, and waits until the store is closed.
    ///
    /// # Errors
    /// Fails if the previous process has cancelled the upgrade.
    pub fn wait_for_store(&mut self) -> io::Result<()> {
        // Close the sockets of addresses that the configuration no longer names.
        self.sockets.clear();
        self.say(&ToPredecessor::Checked)?;
        let ToSuccessor::Store { links } = self.hear()? else { return Err(out_of_turn()) };
        for _ in 0..links {
            self.links.push(handover::take(&self.stream).map(|socket: OwnedFd| socket.into())?);
        }
        Ok(())
    }

    /// Imports the previous process's state of the keys, and starts to count for it.
    ///
    /// # Errors
    /// Fails if the previous process has cancelled the upgrade.
    pub fn take_counts(&mut self, controller: &Controller, shared: &Arc<Shared>) -> io::Result<()> {
        self.say(&ToPredecessor::Opened)?;
        loop {
            match self.hear()? {
                ToSuccessor::Counts(counts) => controller.import(&counts),
                ToSuccessor::Counted => break,
                _ => return Err(out_of_turn()),
            }
        }
        for link in std::mem::take(&mut self.links) {
            let (shared, relay) = (shared.clone(), shared.counting.add_relay());
            thread::Builder::new().name("count-relay".to_owned()).spawn(move || {
                handover::serve(&link, |order| relay.count(order, || shared.charge(order)));
                shared.counting.remove_relay(&relay);
            })?;
        }
        Ok(())
    }

    /// Reports that everything is ready, and waits for the order to take over.
    ///
    /// # Errors
    /// Fails if the previous process has cancelled the upgrade.
    pub fn wait_for_start(&mut self) -> io::Result<()> {
        self.say(&ToPredecessor::Loaded)?;
        let ToSuccessor::Start = self.hear()? else { return Err(out_of_turn()) };
        Ok(())
    }

    /// Reports that this process has taken over. Returns the socket for further messages.
    ///
    /// # Errors
    /// Fails if the previous process is gone.
    pub fn taken_over(self) -> io::Result<UnixStream> {
        self.say(&ToPredecessor::Serving)?;
        Ok(self.stream)
    }

    /// Reports why this process ends.
    pub fn fail(&mut self, why: &str) {
        // The previous process may have ended.
        let _ = self.say(&ToPredecessor::Failed(why.to_owned()));
    }

    fn say(&self, message: &ToPredecessor) -> io::Result<()> {
        handover::write(&self.stream, message)
    }

    fn hear(&self) -> io::Result<ToSuccessor> {
        handover::read(&self.stream)
    }
}

fn out_of_turn() -> io::Error {
    io::Error::other("the running gateway said something out of turn")
}
