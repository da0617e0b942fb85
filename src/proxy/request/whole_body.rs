//! Reads the whole body of a request that Keygate itself answers.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use crate::policy::Refusal;
use crate::proxy::worker::body::ClientBody;

/// Reads a body of at most so many bytes. `None` is an empty one.
///
/// # Errors
/// Returns `BodyTooLarge`, or `ClientAborted` if the client leaves.
pub(in crate::proxy) async fn whole(
    body: Option<Rc<dyn ClientBody>>,
    largest: usize,
) -> Result<Bytes, Refusal> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.poll(cx)).await {
        let Ok(data) = frame.map_err(|_| Refusal::ClientAborted)?.into_data() else { continue };
        if bytes.len() + data.len() > largest {
            return Err(Refusal::BodyTooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}
