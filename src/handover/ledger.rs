//! One count for two processes. While connections of the old process continue, the new process
//! counts their requests together with its own. No window therefore exceeds its limit.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire;
use crate::policy::{Allowance, Charge, Digest, Exhausted, Limit};

/// Timeout for the other process. It responds in microseconds, and only requests on old connections
/// ever wait for it. They also wait while the new process imports the counts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A request to be counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Name of the API.
    pub api: String,
    /// The digest of the presented secret.
    pub digest: Digest,
    /// The limits to count against. Never empty.
    pub limits: Vec<Limit>,
}

/// The result of counting a request.
pub type Outcome = Result<Option<Allowance>, Exhausted>;

/// The connection over which one thread counts its requests in the other process.
#[derive(Debug)]
pub struct Link(UnixStream);

impl Link {
    /// Returns a link over a socket whose other end is [`serve`]d.
    ///
    /// # Errors
    /// Fails if the socket's timeouts cannot be set.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self(stream))
    }

    /// Counts a request at the other end. Blocks. Returns `None` if the other process does not know
    /// the key.
    ///
    /// # Errors
    /// Fails if there is no response. The link is then unusable and must be dropped.
    fn ask(&self, order: &Order) -> io::Result<Option<Outcome>> {
        wire::write(&self.0, order)?;
        wire::read(&self.0)
    }

    /// Counts a request at the other end, or with `count` in this process if that fails.
    ///
    /// A request that the other end admits is counted here too, so that this process can continue
    /// alone. A link that fails is dropped.
    pub fn count(
        link: &mut Option<Self>,
        order: &Order,
        count: impl FnOnce() -> Option<Outcome>,
    ) -> Option<Outcome> {
        if let Some(known) = link {
            match known.ask(order) {
                Ok(Some(outcome)) => {
                    if outcome.is_ok() {
                        let _ = count();
                    }
                    return Some(outcome);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "the process that takes over does not count; counting \
                        alone");
                    *link = None;
                }
            }
        }
        count()
    }
}

impl From<&Charge<'_>> for Order {
    fn from(charge: &Charge<'_>) -> Self {
        Self {
            api: charge.api.as_ref().to_owned(),
            digest: *charge.digest,
            limits: charge.limits.to_vec(),
        }
    }
}

/// Counts requests that arrive from a [`Link`] until its end is closed. Blocks.
pub fn serve(stream: &UnixStream, mut count: impl FnMut(&Order) -> Option<Outcome>) {
    while let Ok(order) = wire::read(stream) {
        if wire::write(stream, &count(&order)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let limits = vec![Limit { count: 3, window: 60_000_000_000 }];
        Order { api: "desk".into(), digest: Digest::of(b"key"), limits }
    }

    #[test]
    fn request_is_counted_at_the_other_end_and_noted_here() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut link = Some(Link::new(here).unwrap());
        let other = std::thread::spawn(move || {
            let mut counted = 0;
            serve(&there, |order| {
                counted += 1;
                let allowance = Allowance { limit: order.limits[0], remaining: 0, reset: 7 };
                Some(if counted == 1 {
                    Ok(Some(allowance))
                } else {
                    Err(Exhausted { allowance, retry: 9 })
                })
            });
            counted
        });
        let mut noted = 0;
        let outcome = Link::count(&mut link, &order(), || {
            noted += 1;
            None
        });
        assert_eq!(outcome.unwrap().unwrap().unwrap().reset, 7);
        let outcome = Link::count(&mut link, &order(), || unreachable!("it was refused there"));
        assert_eq!(outcome.unwrap().unwrap_err().retry, 9);
        drop(link);
        assert_eq!((other.join().unwrap(), noted), (2, 1));
    }

    #[test]
    fn request_is_counted_here_once_the_other_process_is_gone() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut link = Some(Link::new(here).unwrap());
        drop(there);
        assert_eq!(Link::count(&mut link, &order(), || Some(Ok(None))), Some(Ok(None)));
        assert!(link.is_none());
    }
}
