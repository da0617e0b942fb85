//! Upstreams that use sockets directly and do what [`Upstream`](super::Upstream) never does. They
//! run until the process ends.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Starts an upstream that passes each connection to `serve`, on a thread of its own. Returns its
/// URL.
pub(crate) fn bare_upstream(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    url
}

/// Starts an upstream that reads the head of a request before it passes the connection to `serve`.
pub(crate) fn upstream_after_head(
    serve: impl Fn(BufReader<TcpStream>) + Send + Sync + 'static,
) -> String {
    bare_upstream(move |stream| {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
        }
        serve(stream);
    })
}
