//! Measures full TLS handshakes, one after the other on each of `connections=` clients. One
//! response proves each of them.
//!
//! The request is refused at once, so that its cost is small compared with that of the handshake.
//! Its response shows that the server has received the client's last message.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::Options;
use crate::client::{Target, head, read_answer};

pub async fn run(options: &Options) {
    let target = Target::new(options);
    let until = Instant::now() + Duration::from_millis(options.number("milliseconds") as u64);
    let path = options.text("path").to_owned();
    let client = |target: Target, path: String| async move {
        let (mut made, mut buffer) = (0, Vec::with_capacity(4096));
        while Instant::now() < until {
            let mut stream = target.connect().await.expect("a handshake");
            stream
                .write_all(head("GET", &path, "unknown", "").as_bytes())
                .await
                .expect("a request");
            let (status, ..) = read_answer(&mut stream, &mut buffer).await.expect("an answer");
            assert_eq!(status, 401);
            let _ = stream.shutdown().await;
            made += 1;
        }
        made
    };
    let local = tokio::task::LocalSet::new();
    let clients: Vec<_> = (0..options.number("connections"))
        .map(|_| local.spawn_local(client(target.clone(), path.clone())))
        .collect();
    let made = local
        .run_until(async {
            let mut made = 0u64;
            for client in clients {
                made += client.await.expect("a client");
            }
            made
        })
        .await;
    println!("{{\"handshakes\": {made}}}");
}
