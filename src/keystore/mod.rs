//! The durable store of keys: SQLite on a thread of its own, so that a hung disk holds up changes
//! and nothing else.
//!
//! [`KeyStore`] is the handle. The thread does changes and reads in the order in which they come.
//! Everything that may take long (noting use, pruning, a backup) is done in small steps, and
//! whatever waits goes first between two of them.
//!
//! | file | what is there |
//! |---|---|
//! | `store.rs` | the handle |
//! | `record.rs`, `query.rs`, `change.rs` | what is kept, what is asked for, what is changed |
//! | `error.rs` | what can go wrong |
//! | `schema.rs` | the tables and their versions |
//! | `open.rs` | opening the file, and reading all keys at the start |
//! | `thread.rs` | what is done when, and what happens after a write that failed |
//! | `write.rs`, `read.rs`, `rows.rs`, `backup.rs` | what is done |
//! | `health.rs` | figures for metrics and alerts |

mod backup;
mod change;
mod error;
mod health;
mod open;
mod place;
mod query;
mod read;
mod record;
mod rows;
mod schema;
mod store;
mod thread;
mod write;

#[cfg(test)]
mod tests;

pub use change::{Change, Prune};
pub use error::{CommitError, Conflict, NotNoted, OpenError, Unavailable};
pub use health::Health;
pub use open::Found;
pub use query::{AuditQuery, Condition, KeyQuery, Taken, UseNote};
pub use record::{
    AuditEntry, DayUse, Idempotency, Revocation, StoredKey, StoredOrganization, StoredSecret,
};
pub use store::{KeyStore, Opened};
