//! Access log: one line per request, written by a thread of its own.
//!
//! A worker appends to a buffer, and hands it over when it is full and at every tick. If the log
//! thread cannot keep up, lines are discarded and counted, so that a blocked log never delays a
//! request.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Buffer size in bytes from which a buffer is handed over at once.
const FULL: usize = 32 * 1024;
/// Buffers that may queue for the log thread. Lines beyond them are lost.
const WAITING: usize = 64;

/// Longest texts of a line that a caller chose, in bytes. A longer one is clipped and ends with
/// `…`.
pub(in crate::proxy) const LONGEST_METHOD: usize = 64;
pub(in crate::proxy) const LONGEST_HOST: usize = 272;
pub(in crate::proxy) const LONGEST_PATH: usize = 2048;

/// Content of a log line. Texts that a caller chose are escaped when they are written.
pub struct Logged<'a> {
    /// When the request's head was read, in Unix seconds.
    pub time: i64,
    /// The request id that the client was sent.
    pub request_id: &'a str,
    /// The client's address, as seen through trusted proxies.
    pub client: IpAddr,
    /// The request's method.
    pub method: &'a str,
    /// The request's host.
    pub host: &'a str,
    /// The path without the query, which may hold secrets.
    pub path: &'a str,
    /// The protocol, for example `HTTP/1.1`.
    pub protocol: &'static str,
    /// The name of the API, or `None` if no API matched.
    pub api: Option<&'a str>,
    /// The id of the key, or `None` if no key was recognised.
    pub key: Option<&'a str>,
    /// Status of the response.
    pub status: u16,
    /// `forwarded`, `answered`, or the code of the reason why not.
    pub outcome: &'static str,
    /// Bytes of the response body.
    pub bytes: u64,
    /// Time from the request head to the end of the response, in microseconds.
    pub duration: u64,
    /// Time from the request head to the upstream's response head, in microseconds. `None` if there
    /// was no response head.
    pub upstream: Option<u64>,
}

/// A worker's handle to the log.
pub(in crate::proxy) struct AccessLog {
    buffer: RefCell<Buffer>,
    sender: SyncSender<String>,
    json: bool,
}

#[derive(Default)]
struct Buffer {
    text: String,
    lines: u64,
}

impl AccessLog {
    /// Appends a line. Returns the number of lines lost.
    pub(in crate::proxy) fn write(&self, line: &Logged<'_>) -> u64 {
        let mut buffer = self.buffer.borrow_mut();
        // Writing to a string cannot fail.
        let _ = if self.json {
            write_json(&mut buffer.text, line)
        } else {
            write_text(&mut buffer.text, line)
        };
        buffer.lines += 1;
        if buffer.text.len() < FULL { 0 } else { self.hand_over(&mut buffer) }
    }

    /// Hands over the buffered lines. Returns the number of lines lost.
    pub(in crate::proxy) fn flush(&self) -> u64 {
        self.hand_over(&mut self.buffer.borrow_mut())
    }

    fn hand_over(&self, buffer: &mut Buffer) -> u64 {
        if buffer.text.is_empty() {
            return 0;
        }
        let full = std::mem::take(buffer);
        match self.sender.try_send(full.text) {
            Ok(()) => 0,
            Err(_) => full.lines,
        }
    }
}

/// Flushes once more: requests that are ended by the drain timeout are logged after the worker's
/// last flush.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Thread that writes log lines to standard output.
pub struct LogWriter {
    sender: SyncSender<String>,
    json: bool,
    thread: std::thread::JoinHandle<()>,
}

impl LogWriter {
    /// Starts the thread. `json` selects JSON lines instead of text.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub fn start(json: bool) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread =
            std::thread::Builder::new().name("log".into()).spawn(move || write_all(&receiver))?;
        Ok(Self { sender, json, thread })
    }

    /// Returns a handle for one worker.
    pub(in crate::proxy) fn log(&self) -> AccessLog {
        AccessLog { buffer: RefCell::default(), sender: self.sender.clone(), json: self.json }
    }

    /// Waits until the lines handed over by the workers are written, but no longer than `timeout`:
    /// a log that nobody reads must not keep the process from exiting. Call it after the workers
    /// have ended.
    pub fn finish(self, timeout: Duration) {
        drop(self.sender);
        let deadline = Instant::now() + timeout;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Writes lines until the last sender is dropped. Write errors, such as a closed pipe, are no
/// reason to stop serving and are ignored.
fn write_all(receiver: &Receiver<String>) {
    let mut out = io::stdout().lock();
    while let Ok(text) = receiver.recv() {
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}

fn write_json(out: &mut String, line: &Logged<'_>) -> std::fmt::Result {
    write!(out, "{{\"time\":\"{}\",\"request_id\":\"", Time(line.time))?;
    escape(out, line.request_id);
    write!(out, "\",\"client\":\"{}\",\"method\":\"", line.client)?;
    escape(out, line.method);
    out.push_str("\",\"host\":\"");
    escape(out, line.host);
    out.push_str("\",\"path\":\"");
    escape(out, line.path);
    write!(out, "\",\"protocol\":\"{}\"", line.protocol)?;
    if let Some(api) = line.api {
        write!(out, ",\"api\":\"{api}\"")?;
    }
    if let Some(key) = line.key {
        write!(out, ",\"key\":\"{key}\"")?;
    }
    write!(
        out,
        ",\"status\":{},\"outcome\":\"{}\",\"bytes\":{},\"duration_us\":{}",
        line.status, line.outcome, line.bytes, line.duration
    )?;
    if let Some(upstream) = line.upstream {
        write!(out, ",\"upstream_us\":{upstream}")?;
    }
    out.push_str("}\n");
    Ok(())
}

fn write_text(out: &mut String, line: &Logged<'_>) -> std::fmt::Result {
    write!(out, "{} {} {} ", Time(line.time), line.client, line.status)?;
    escape(out, line.method);
    out.push(' ');
    escape(out, line.host);
    escape(out, line.path);
    write!(out, " {} {:.1}ms", line.outcome, line.duration as f64 / 1000.0)?;
    if let Some(key) = line.key {
        write!(out, " {key}")?;
    }
    out.push('\n');
    Ok(())
}

/// Displays Unix seconds as RFC 3339 in UTC.
struct Time(i64);

impl std::fmt::Display for Time {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(time) => write!(out, "{time}"),
            Err(_) => write!(out, "{}", self.0),
        }
    }
}

/// Appends `text`. Leaves printable ASCII as it is, and escapes everything that JSON or a terminal
/// could interpret.
fn escape(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
        return out.push_str(text);
    }
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// Returns `text`, or `[redacted]` if it may hold an API key.
pub(in crate::proxy) fn redacted(text: &str, holds_key: impl Fn(&str) -> bool) -> &str {
    if holds_key(text) { "[redacted]" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(path: &'a str, host: &'a str) -> Logged<'a> {
        Logged {
            time: 1_700_000_000,
            request_id: "r1",
            client: IpAddr::from([192, 0, 2, 1]),
            method: "GET",
            host,
            path,
            protocol: "HTTP/1.1",
            api: Some("desk"),
            key: None,
            status: 200,
            outcome: "forwarded",
            bytes: 12,
            duration: 345,
            upstream: Some(300),
        }
    }

    #[test]
    fn a_json_line_is_one_line_of_json_whatever_the_caller_sent() {
        let mut out = String::new();
        write_json(&mut out, &line("/a\"b\\c\n\u{1b}[31m\u{7f}é😀", "evil\r\nhost")).unwrap();
        assert_eq!(out.matches('\n').count(), 1);
        assert!(out.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{out}");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["path"], "/a\"b\\c\n\u{1b}[31m\u{7f}é😀");
        assert_eq!(value["time"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_blocked_writer_loses_lines_and_counts_them() {
        let (sender, _receiver) = sync_channel(1);
        let log = AccessLog { buffer: RefCell::default(), sender, json: true };
        log.write(&line("/1", "h"));
        assert_eq!(log.flush(), 0);
        log.write(&line("/2", "h"));
        log.write(&line("/3", "h"));
        assert_eq!(log.flush(), 2, "the one place is taken, so both lines are lost");
    }
}
