//! Transfers large bodies: `total=` downloads or uploads (`kind=`), shared among `connections=`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;

use crate::Options;
use crate::client::{Target, head, read_answer};

pub const DOWNLOAD: usize = 1 << 20;
const UPLOAD: usize = 64 << 20;

// Longer than 60 lines: the set-up and the loop share all that is measured.
pub async fn run(options: &Options) {
    let (target, keys, path) =
        (Target::new(options), options.keys(), options.text("path").to_owned());
    let uploads = match options.text("kind") {
        "download" => false,
        "upload" => true,
        other => panic!("there is no kind {other}"),
    };
    let left = Rc::new(Cell::new(options.number("total")));
    let start = Instant::now();
    let local = tokio::task::LocalSet::new();
    let clients: Vec<_> = (0..options.number("connections"))
        .map(|client| {
            let (target, left, path, key) =
                (target.clone(), left.clone(), path.clone(), keys[client].clone());
            local.spawn_local(async move {
                let mut stream = target.connect().await.expect("a connection");
                let mut buffer = Vec::with_capacity(256 << 10);
                let chunk = vec![b'x'; 64 << 10];
                let mut bytes = 0;
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    if uploads {
                        let more = format!(
                            "Content-Length: {UPLOAD}\r\n\
                            Content-Type: application/octet-stream\r\n"
                        );
                        stream
                            .write_all(head("PUT", &path, &key, &more).as_bytes())
                            .await
                            .expect("a request");
                        for _ in 0..UPLOAD / chunk.len() {
                            stream.write_all(&chunk).await.expect("a body");
                        }
                        stream.flush().await.expect("a body");
                        let (status, _, answer) =
                            read_answer(&mut stream, &mut buffer).await.expect("an answer");
                        assert!(
                            status == 200 && answer == format!("{{\"received\": {UPLOAD}}}"),
                            "{status} {answer}"
                        );
                        bytes += UPLOAD;
                    } else {
                        stream
                            .write_all(head("GET", &path, &key, "").as_bytes())
                            .await
                            .expect("a request");
                        let (status, length, _) =
                            read_answer(&mut stream, &mut buffer).await.expect("an answer");
                        assert!(status == 200 && length == DOWNLOAD, "{status}, {length} bytes");
                        bytes += length;
                    }
                }
                bytes
            })
        })
        .collect();
    let bytes = local
        .run_until(async {
            let mut bytes = 0;
            for client in clients {
                bytes += client.await.expect("a client");
            }
            bytes
        })
        .await;
    println!("{{\"bytes\": {bytes}, \"seconds\": {:.3}}}", start.elapsed().as_secs_f64());
}
