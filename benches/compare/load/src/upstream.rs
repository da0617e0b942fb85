//! The upstream for large bodies. It responds to GET with 1 MiB. It reads the body of a PUT to its
//! end, and responds with the number of bytes received.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Options;
use crate::transfer::DOWNLOAD;

pub async fn run(options: &Options) {
    let listener =
        TcpListener::bind(("127.0.0.1", options.number("port") as u16)).await.expect("a port");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
        Content-Length: {DOWNLOAD}\r\n\r\n"
    );
    let download: Arc<Vec<u8>> = Arc::new([head.as_bytes(), &vec![b'x'; DOWNLOAD]].concat());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.set_nodelay(true);
        let download = download.clone();
        // The client notices a broken connection itself.
        tokio::spawn(async move { serve(stream, &download).await.unwrap_or(()) });
    }
}

async fn serve(mut stream: TcpStream, download: &[u8]) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(256 << 10);
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window: &[u8]| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let (is_put, chunked) = (text.starts_with("put "), text.contains("\r\ntransfer-encoding:"));
        let mut read = buffer.len() - end;
        buffer.clear();
        if !is_put {
            stream.write_all(download).await?;
            continue;
        }
        let (Some(length), false) = (length, chunked) else {
            return stream
                .write_all(
                    b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\
                Connection: close\r\n\r\n",
                )
                .await;
        };
        while read < length {
            buffer.clear();
            match stream.read_buf(&mut buffer).await? {
                0 => return Ok(()),
                more => read += more,
            }
        }
        buffer.clear();
        let answer = format!("{{\"received\": {read}}}");
        stream
            .write_all(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                    Content-Length: {}\r\n\r\n{answer}",
                    answer.len()
                )
                .as_bytes(),
            )
            .await?;
    }
}
