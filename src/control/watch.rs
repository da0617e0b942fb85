//! Decides when to load the file: a state machine whose inputs are events and the file's identity.
//!
//! The danger is a half-written file. It is usually valid TOML, and one that ends before
//! `[revoked]` would restore revoked keys. A file is therefore loaded at once only if its writer is
//! known to have finished: it closed the file, or renamed a finished one into place. Any other
//! change is loaded after the file has been unchanged for a while.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// How long size and time must be unchanged if no event shows that the writer has finished. It is
/// longer than the coarsest timestamps (network mounts count in seconds), so that no later edit can
/// look like this one.
const STILL: Duration = Duration::from_millis(1100);
/// Replaces [`STILL`] while the writer is known to have the file open, and may continue to write.
const STILL_WHILE_OPEN: Duration = Duration::from_secs(10);

/// Distinguishes the states of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// The modification time.
    pub(super) modified: SystemTime,
    /// The time of the last change of its content, name or permissions, in seconds and nanoseconds.
    /// Unlike the modification time it cannot be set.
    pub(super) changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_same_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// What happened since the last poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// No known event: time has passed.
    Poll,
    /// The file was written to. The writer still has it open.
    Written,
    /// A process that could write to the file closed it.
    Closed,
    /// A file was renamed to the watched name.
    Renamed,
    /// Something else in its directory was renamed, perhaps a directory in the path.
    NeighbourRenamed,
}

/// The time on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The monotonic time since an arbitrary zero.
    pub(super) monotonic: Duration,
    pub(super) wall: SystemTime,
}

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Wait.
    Wait,
    /// Load the file.
    Load,
    /// Report that the file is gone. Returned once for each disappearance.
    Gone,
}

/// The state machine for one file.
#[derive(Debug)]
pub(super) struct Watch {
    /// The identity that was last loaded or refused.
    tried: Option<Identity>,
    /// The identity at the last poll. `still_since` is when it was first seen.
    seen: Option<Identity>,
    still_since: Duration,
    /// Whether the file was written to and not closed since.
    open: bool,
    /// Whether [`Decision::Gone`] was returned and nothing has been loaded since.
    gone: bool,
    unchanged_at: SystemTime,
}

impl Watch {
    /// Returns the state for a file that was just loaded, with the identity `tried`.
    pub(super) fn new(tried: Option<Identity>, now: Moment) -> Self {
        Self {
            tried,
            seen: tried,
            still_since: now.monotonic,
            open: false,
            gone: false,
            unchanged_at: now.wall,
        }
    }

    /// Returns the last moment at which the file still was the loaded one.
    pub(super) fn unchanged_at(&self) -> SystemTime {
        self.unchanged_at
    }

    /// Returns whether this is not the identity that was last loaded or refused.
    pub(super) fn differs(&self, identity: Option<Identity>) -> bool {
        self.tried != identity
    }

    /// Returns whether a change is in progress, so that the caller should poll again soon.
    pub(super) fn is_unsettled(&self) -> bool {
        self.open || self.seen != self.tried
    }

    /// Returns whether the file that was just read may be half-written. `decided`: whether this
    /// state machine decided to load it. Otherwise the read was requested.
    pub(super) fn may_be_half_written(
        &self,
        identity: Identity,
        decided: bool,
        now: Moment,
    ) -> bool {
        let in_place = |before: Identity| before != identity && before.is_same_file(identity);
        if self.seen.is_some_and(in_place) {
            return true;
        }
        let is_still = now.monotonic.saturating_sub(self.still_since) >= STILL;
        !decided && (self.open || (!is_still && self.tried.is_none_or(in_place)))
    }

    /// Notes that the file was loaded or refused, and had this identity before and after.
    pub(super) fn tried(&mut self, identity: Identity, now: Moment) {
        self.tried = Some(identity);
        self.gone = false;
        self.look(Some(identity), now);
    }

    /// Notes that the file could not be read, or changed during the read. It counts as never tried.
    pub(super) fn failed(&mut self, now: Moment) {
        self.tried = None;
        self.still_since = now.monotonic;
    }

    /// Decides by the events since the last call, in their order, and the file's identity after
    /// them.
    pub(super) fn observe(
        &mut self,
        events: &[Event],
        identity: Option<Identity>,
        now: Moment,
    ) -> Decision {
        let before = self.seen;
        self.look(identity, now);
        let Some(identity) = identity else {
            self.open = false;
            let lost = !self.gone && now.monotonic.saturating_sub(self.still_since) >= STILL;
            self.gone |= lost;
            return if lost { Decision::Gone } else { Decision::Wait };
        };
        let mut finished = false;
        for event in events {
            match event {
                Event::Poll => {}
                Event::Written => (self.open, finished) = (true, false),
                // Load the file even if its identity was tried already: timestamps are coarse.
                Event::Closed | Event::Renamed => (self.open, finished) = (false, true),
                // Kubernetes replaces a link in the path. The new file is finished unless it was
                // written to.
                Event::NeighbourRenamed => {
                    finished |=
                        !self.open && before.is_some_and(|before| !before.is_same_file(identity))
                }
            }
        }
        if events.contains(&Event::Written) {
            self.still_since = now.monotonic;
        }
        let changed = self.open || self.gone || self.tried != Some(identity);
        if !changed && !finished {
            self.unchanged_at = now.wall;
            return Decision::Wait;
        }
        let timeout = if self.open { STILL_WHILE_OPEN } else { STILL };
        let still = now.monotonic.saturating_sub(self.still_since) >= timeout;
        if !finished && !still {
            return Decision::Wait;
        }
        self.open = false;
        Decision::Load
    }

    fn look(&mut self, identity: Option<Identity>, now: Moment) {
        if self.seen != identity {
            self.seen = identity;
            self.still_since = now.monotonic;
        }
    }
}

#[cfg(test)]
mod tests;
