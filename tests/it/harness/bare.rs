//! Upstreams on bare sockets, for what the one that records requests is too well-behaved to do.
//! They end with the process.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Each connection is handed to `serve`, on a thread of its own. Returns the URL.
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

/// The same, once the head of a request has been read.
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
