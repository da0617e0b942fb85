//! Generates load that must be timed or counted more precisely than common tools do. Also provides
//! the upstream for large bodies.
//!
//! Usage: `load MODE name=value …`. The modes that measure print lines of JSON. All connections of
//! a process run on one thread, and only on loopback.

mod client;
mod handshakes;
mod idle;
mod open_loop;
mod transfer;
mod upstream;

use std::collections::HashMap;

/// The options of the command line, by name.
struct Options(HashMap<String, String>);

impl Options {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("{name}= is missing"))
    }

    fn number(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name}= is no number"))
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the keys to use: the lines of the file `keys=`.
    fn keys(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.text("keys")).expect("the keys");
        text.lines().map(str::to_owned).collect()
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mode = words.next().expect("a mode");
    let pair = |word: String| {
        word.split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .expect("name=value")
    };
    let options = Options(words.map(pair).collect());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match mode.as_str() {
        "handshakes" => runtime.block_on(handshakes::run(&options)),
        "idle" => runtime.block_on(idle::run(&options)),
        "open-loop" => open_loop::run(runtime, &options),
        "transfer" => runtime.block_on(transfer::run(&options)),
        "upstream" => runtime.block_on(upstream::run(&options)),
        other => panic!("there is no mode {other}"),
    }
}
