//! Reading the files that the gateway is configured by. A pipe or a device may never end, and
//! whoever waits for it sees no later edit, such as a revocation; so only regular files are read,
//! and none without bound.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The most that `gateway.toml` may hold, in bytes: some 300,000 keys. More keys belong in the
/// store.
pub const TOML: u64 = 64 << 20;
/// The same for certificates, private keys and authorities.
pub const PEM: u64 = 4 << 20;
/// The same for a secret.
pub(super) const SECRET: u64 = 64 << 10;

/// The whole content of a regular file of at most so many bytes.
///
/// # Errors
/// What the system says, and files of other kinds or sizes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Opening alone could wait for ever, or do something: a pipe for whoever writes to it, a device
    // for anything.
    check(&path.metadata()?, most)?;
    let mut file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    // By now it may be another one.
    let metadata = file.metadata()?;
    check(&metadata, most)?;
    let size = usize::try_from(metadata.len()).unwrap_or(0);
    let mut content = Vec::with_capacity(size + 1);
    (&mut file).take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most { Err(too_large(most)) } else { Ok(content) }
}

fn check(metadata: &Metadata, most: u64) -> io::Result<()> {
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    if metadata.len() > most { Err(too_large(most)) } else { Ok(()) }
}

fn too_large(most: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!(
            "this file is larger than {}",
            super::units::show_size(usize::try_from(most).unwrap_or(usize::MAX))
        ),
    )
}
