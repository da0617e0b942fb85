//! Length-prefixed JSON messages, and file descriptors (`SCM_RIGHTS`). The two processes may be
//! different versions. With JSON, each ignores members that it does not know.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Limit of a message, in bytes. Longer data is sent in parts.
const LARGEST: usize = 16 << 20;

fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    check(length)?;
    Ok(frame)
}

fn check(length: u32) -> io::Result<usize> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LARGEST {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"))
    } else {
        Ok(length)
    }
}

/// Writes a message. Blocks.
///
/// # Errors
/// Fails if the peer is gone, or does not read within the socket's timeout.
pub fn write(mut stream: impl Write, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&frame(message)?)
}

/// Reads a message, and no byte after it. Blocks.
///
/// # Errors
/// Fails if the peer is gone, sends an invalid message, or sends none within the socket's timeout.
pub fn read<M: DeserializeOwned>(mut stream: impl Read) -> io::Result<M> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; check(u32::from_be_bytes(length))?];
    stream.read_exact(&mut message)?;
    Ok(serde_json::from_slice(&message)?)
}

/// Does the same as [`write()`] asynchronously.
///
/// # Errors
/// Fails if the peer is gone.
pub async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    stream.write_all(&frame(message)?).await
}

/// Does the same as [`read`] asynchronously. Not cancel-safe: a dropped future loses its bytes.
///
/// # Errors
/// Fails if the peer is gone or sends an invalid message.
pub async fn receive<M: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut message = vec![0; check(u32::from_be_bytes(length))?];
    stream.read_exact(&mut message).await?;
    Ok(serde_json::from_slice(&message)?)
}

/// Sends a file descriptor, with one byte.
///
/// # Errors
/// Fails with the system's error: [`io::ErrorKind::WouldBlock`] if a non-blocking socket is full.
pub fn pass(stream: impl AsFd, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(stream, &[IoSlice::new(&[0])], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Receives a file descriptor. Programs started later do not inherit it.
///
/// # Errors
/// Fails if the message has no descriptor, or the peer is gone.
pub fn take(stream: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let passed = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    passed.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "a socket is missing"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sockets_and_messages_arrive_in_their_order() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        write(&mut here, &vec!["one", "two"]).unwrap();
        pass(&here, listener.as_fd()).unwrap();
        write(&mut here, &3).unwrap();
        assert_eq!(read::<Vec<String>>(&mut there).unwrap(), ["one", "two"]);
        let passed = TcpListener::from(take(&there).unwrap());
        assert_eq!(passed.local_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(read::<u32>(&mut there).unwrap(), 3);
        drop(here);
        assert!(read::<u32>(&mut there).is_err());
        assert!(take(&there).is_err());
    }

    #[test]
    fn message_that_claims_to_be_endless_is_refused_before_room_is_made_for_it() {
        let claims = u32::MAX.to_be_bytes();
        assert_eq!(read::<String>(&claims[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
