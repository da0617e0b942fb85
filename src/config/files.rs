//! Reads the files that configure the gateway. A pipe or a device may never end, and waiting for it
//! would hold up later edits, such as revocations. Therefore only regular files are read, up to a
//! size limit.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The maximum size of `gateway.toml` in bytes, enough for about 300,000 keys. More keys belong in
/// the store.
pub const TOML: u64 = 64 << 20;
/// The maximum size of a certificate, private key or CA file in bytes.
pub const PEM: u64 = 4 << 20;
/// The maximum size of a secret's file in bytes.
pub(super) const SECRET: u64 = 64 << 10;

/// Returns the content of a regular file of at most `most` bytes.
///
/// # Errors
/// Returns the error of the operating system, [`io::ErrorKind::InvalidInput`] if the file is not a
/// regular file, or [`io::ErrorKind::FileTooLarge`] if it is larger than `most`.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Opening alone could block or have side effects: a pipe waits for a writer, and a device may
    // do anything.
    check(&path.metadata()?, most)?;
    let mut file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    // The path may refer to another file by now.
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
