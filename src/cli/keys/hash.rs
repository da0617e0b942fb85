//! `keygate keys hash`.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use zeroize::{Zeroize as _, Zeroizing};

use crate::cli::error::{BadUsage, with_hint};
use crate::cli::output::print;
use crate::policy::Digest;

/// Print the digest of an existing key
///
/// The key is read from the terminal without echo, or from standard input. It is never read from
/// the command line, which other users of the machine can see. The digest is the value of `sha256 =
/// "…"` of a [[key]] or an [[admin.token]].
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Accepted by clap so that the command can refuse it without printing it.
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    refused: Vec<OsString>,
}

/// Limit of the input in bytes: more than any header field that a server accepts.
const LONGEST: u64 = 64 * 1024;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.refused.is_empty() {
        bail!(BadUsage(
            "a key is not taken from the command line: the shell keeps it in its history, and \
                other users can see it\n  \
             hint: run `keygate keys hash` and type it, or send it to the standard input; if the \
             key is real, replace it"
        ));
    }
    print(digest(&read_key()?)?)
}

/// Reads the key from the terminal without echo, or from the standard input.
pub(super) fn read_key() -> anyhow::Result<Zeroizing<Vec<u8>>> {
    if io::stdin().is_terminal() { ask() } else { read(io::stdin().lock()) }
}

fn ask() -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let key =
        rpassword::prompt_password("Key (not shown): ").context("cannot read from the terminal")?;
    Ok(Zeroizing::new(key.into_bytes()))
}

fn read(input: impl Read) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    // Allocate everything at once: a growing vector leaves copies of the key in memory.
    let mut key = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    input.take(LONGEST + 1).read_to_end(&mut key).context("cannot read the standard input")?;
    ensure!(key.len() as u64 <= LONGEST, "this is too long for a key");
    if key.ends_with(b"\n") {
        let end = key.len() - if key.ends_with(b"\r\n") { 2 } else { 1 };
        key[end..].zeroize();
        key.truncate(end);
    }
    Ok(key)
}

/// Returns the digest of a key, if a client could send it in a header field.
pub(super) fn digest(key: &[u8]) -> anyhow::Result<Digest> {
    ensure!(
        !key.is_empty(),
        with_hint("there is no key", "type it, or send it to the standard input as one line")
    );
    ensure!(
        !key.contains(&b'\n') && !key.contains(&b'\r'),
        "there is more than one line; a key is one"
    );
    if key.iter().any(|byte| !byte.is_ascii_graphic()) {
        let hint = "look for spaces around it or a word too much";
        return Err(with_hint(
            anyhow!("a key has no spaces and only visible ASCII characters"),
            hint,
        ));
    }
    Ok(Digest::of(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(input: &[u8]) -> Result<String, String> {
        read(input)
            .and_then(|key| digest(&key))
            .map(|digest| digest.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_newline_at_the_end_does_not_count() {
        let digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
        assert_eq!(hash(b"key").as_deref(), Ok(digest));
        assert_eq!(hash(b"key\n").as_deref(), Ok(digest));
        assert_eq!(hash(b"key\r\n").as_deref(), Ok(digest));
    }

    #[test]
    fn what_cannot_be_one_key_is_refused_without_being_repeated() {
        for input in [
            "",
            "\n",
            "hidden\n\n",
            "hidden\nhidden",
            "hid den",
            " hidden",
            "hidden\t",
            "hiddén",
            "hid\0den",
        ] {
            let error = hash(input.as_bytes()).unwrap_err();
            assert!(!error.contains("hid"), "{error}");
        }
        assert!(hash(&vec![b'a'; 70_000]).is_err());
    }
}
