//! An HTTP/1.1 server that misbehaves on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Request,
    Close,
    Reset,
}

/// Handles a request.
pub(super) type Fault = fn(&mut BufReader<TcpStream>) -> Next;

struct Shared {
    fault: Mutex<Fault>,
    killed: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// The server. It runs until it is killed or the process ends.
pub(super) struct Faulty {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Sends this text and returns `next`.
pub(super) fn say(stream: &mut BufReader<TcpStream>, text: &str, next: Next) -> Next {
    let _ = stream.get_mut().write_all(text.as_bytes());
    next
}

fn well(stream: &mut BufReader<TcpStream>) -> Next {
    say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell", Next::Request)
}

impl Faulty {
    /// Starts a server that answers correctly.
    pub(super) fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// Starts a server that answers correctly, at this address.
    pub(super) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            fault: Mutex::new(well),
            killed: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.killed.load(Ordering::SeqCst) {
                    return;
                }
                let shared = serving.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Handles every request with `fault` from now on.
    pub(super) fn break_with(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Answers every request correctly from now on.
    pub(super) fn heal(&self) {
        self.break_with(well);
    }

    /// Closes the listener and all connections.
    pub(super) fn kill(self) {
        self.shared.killed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        crate::harness::wait_for("nobody listens", || {
            TcpStream::connect(self.address).is_err().then_some(())
        });
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let _ = stream.set_nodelay(true);
        self.open.lock().unwrap().extend(stream.try_clone());
        let mut stream = BufReader::new(stream);
        while read_request(&mut stream).is_some() {
            let fault = *self.fault.lock().unwrap();
            match fault(&mut stream) {
                Next::Request => {}
                Next::Close => break,
                Next::Reset => {
                    let _ =
                        socket2::SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO));
                    break;
                }
            }
        }
        // The clone in `open` would keep the connection open.
        let port = stream.get_ref().peer_addr().ok();
        self.open.lock().unwrap().retain(|other| other.peer_addr().ok() != port);
    }
}

fn read_request(stream: &mut BufReader<TcpStream>) -> Option<()> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.trim().parse().ok()?;
        }
        if line == "\r\n" {
            stream.read_exact(&mut vec![0; length]).ok()?;
            return Some(());
        }
    }
}
