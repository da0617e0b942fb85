//! The upstream of the benchmarks.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Responds to every request with a body of 160 bytes.
pub(crate) async fn upstream(listener: TcpListener) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 160\r\n\r\n{}",
        "x".repeat(160)
    );
    let answer: Arc<[u8]> = answer.into_bytes().into();
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let mut buffer = Vec::with_capacity(8192);
            loop {
                buffer.clear();
                while !buffer.ends_with(b"\r\n\r\n") {
                    match stream.read_buf(&mut buffer).await {
                        Ok(read) if read > 0 => {}
                        _ => return,
                    }
                }
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        });
    }
}
