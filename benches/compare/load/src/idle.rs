//! Opens `count=` connections, sends one request on each, and keeps them open and idle until the
//! end of standard input.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::Options;
use crate::client::{Stream, Target, head, read_answer};

/// Limit of concurrent handshakes.
const AT_ONCE: usize = 32;

pub async fn run(options: &Options) {
    let (target, keys, count) = (Target::new(options), options.keys(), options.number("count"));
    let path = options.text("path").to_owned();
    let local = tokio::task::LocalSet::new();
    let mut open: Vec<Box<dyn Stream>> = Vec::with_capacity(count);
    local
        .run_until(async {
            let openers: Vec<_> = (0..AT_ONCE)
                .map(|first| {
                    let (target, path) = (target.clone(), path.clone());
                    let mine: Vec<String> = (first..count)
                        .step_by(AT_ONCE)
                        .map(|at| keys[at % keys.len()].clone())
                        .collect();
                    tokio::task::spawn_local(async move {
                        let (mut opened, mut buffer) =
                            (Vec::with_capacity(mine.len()), Vec::with_capacity(4096));
                        for key in mine {
                            let mut stream = target.connect().await.expect("a connection");
                            stream
                                .write_all(head("GET", &path, &key, "").as_bytes())
                                .await
                                .expect("a request");
                            let (status, ..) =
                                read_answer(&mut stream, &mut buffer).await.expect("an answer");
                            assert_eq!(status, 200);
                            opened.push(stream);
                        }
                        opened
                    })
                })
                .collect();
            for opener in openers {
                open.extend(opener.await.expect("an opener"));
            }
        })
        .await;
    println!("{{\"opened\": {}}}", open.len());

    let _ = std::io::read_to_string(std::io::stdin());
    // Lets the runtime notice connections that were closed meanwhile.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut still_open = 0;
    for stream in &mut open {
        let (mut byte, stream) = ([0], Pin::new(stream));
        let mut byte = ReadBuf::new(&mut byte);
        still_open += u32::from(!is_readable(stream, &mut byte).await);
    }
    println!("{{\"still_open\": {still_open}}}");
}

/// Returns whether there are bytes to read, or an end of file. An open idle connection has neither.
async fn is_readable(mut stream: Pin<&mut Box<dyn Stream>>, byte: &mut ReadBuf<'_>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(stream.as_mut().poll_read(context, byte).is_ready()))
        .await
}
