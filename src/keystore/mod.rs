//! The durable store of keys: SQLite on a separate thread, so that a hung disk delays changes and
//! nothing else.
//!
//! [`KeyStore`] is the handle. The thread carries out changes and reads in the order in which they
//! arrive. Operations that may take long (recording uses, pruning, a backup) are split into short
//! steps. Waiting commands are carried out between two steps.
//!
//! | file | contents |
//! |---|---|
//! | `store.rs` | the handle |
//! | `record.rs`, `query.rs`, `change.rs` | records, queries, changes |
//! | `sessions.rs`, `session_reads.rs` | portal sessions |
//! | `uses.rs`, `hours.rs` | requests of keys by day and hour |
//! | `error.rs` | errors |
//! | `schema.rs` | the tables and their versions |
//! | `open.rs` | opening the file, and reading all keys at startup |
//! | `place.rs` | whether the files are still in place |
//! | `thread.rs` | the order of work, and recovery after a failed write |
//! | `write.rs`, `read.rs`, `rows.rs`, `backup.rs` | the operations |
//! | `health.rs` | figures for metrics and alerts |

mod backup;
mod change;
mod error;
mod health;
mod hours;
mod open;
mod place;
mod query;
mod read;
mod record;
mod rows;
mod schema;
mod session_reads;
mod sessions;
mod store;
mod thread;
mod uses;
mod write;

#[cfg(test)]
pub(crate) mod tests;

pub use change::{Change, Prune};
pub use error::{CommitError, Conflict, NotNoted, OpenError, Unavailable};
pub use health::Health;
pub use open::Found;
pub use query::{AuditQuery, Condition, KeyQuery, Taken, UseNote};
pub use record::{
    AuditEntry, DayUse, Idempotency, Revocation, StoredKey, StoredOrganization, StoredSecret,
};
pub use sessions::{OpenedSession, PortalSession, SessionQuery};
pub use store::{KeyStore, Opened};
