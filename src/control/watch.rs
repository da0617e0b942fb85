//! When to load the file: a state machine that is fed with what happened and what the file looks
//! like.
//!
//! The danger is the half-written file. It is usually valid TOML, and one that is cut before
//! `[revoked]` would bring revoked keys back. So a file is loaded at once only when its writer is
//! known to be done: it closed the file, or renamed a finished one into place. Everything else
//! waits until the file has been still for a while.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// How long size and time have to be still where nothing tells that the writer is done. Longer than
/// the coarsest timestamps (network mounts count in seconds), so that no later edit can look like
/// this one.
const STILL: Duration = Duration::from_millis(1100);
/// The same while the writer is known to have the file open, and may be about to go on.
const STILL_WHILE_OPEN: Duration = Duration::from_secs(10);

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// When it was last written to.
    pub(super) modified: SystemTime,
    /// When it, its name or its permissions last changed, in seconds and nanoseconds. Unlike the
    /// modification time nobody can set it.
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

/// What happened since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing that is known of: time passed.
    Poll,
    /// The file was written to; whoever did still has it open.
    Written,
    /// Somebody who could write to the file closed it.
    Closed,
    /// A file was renamed to the watched name.
    Renamed,
    /// Something else in its directory was renamed, perhaps a directory that the path leads
    /// through.
    NeighbourRenamed,
}

/// The time on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// On a clock that never goes back; its zero means nothing.
    pub(super) monotonic: Duration,
    pub(super) wall: SystemTime,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing.
    Wait,
    /// Load the file.
    Load,
    /// Tell that the file is gone. Said once each time.
    Gone,
}

/// The state machine for one file.
#[derive(Debug)]
pub(super) struct Watch {
    /// What was last loaded, or refused.
    tried: Option<Identity>,
    /// What was there at the last look, and since when.
    seen: Option<Identity>,
    still_since: Duration,
    /// A modification has been told of, and no close since.
    open: bool,
    /// [`Decision::Gone`] has been said and nothing loaded since.
    gone: bool,
    unchanged_at: SystemTime,
}

impl Watch {
    /// For a file that has just been loaded and looked like `tried` then.
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

    /// The last moment at which the file still was what had been loaded.
    pub(super) fn unchanged_at(&self) -> SystemTime {
        self.unchanged_at
    }

    /// Whether this is not what was last loaded or refused.
    pub(super) fn differs(&self, identity: Option<Identity>) -> bool {
        self.tried != identity
    }

    /// Whether something is going on, so that it is worth looking again soon.
    pub(super) fn is_unsettled(&self) -> bool {
        self.open || self.seen != self.tried
    }

    /// Whether the writer of what is read now may not be done. `decided`: this machine has said
    /// that it is time to load; else somebody reads without having asked.
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

    /// The file has been loaded or refused, and looked like `identity` before and after.
    pub(super) fn tried(&mut self, identity: Identity, now: Moment) {
        self.tried = Some(identity);
        self.gone = false;
        self.look(Some(identity), now);
    }

    /// The file could not be read, or changed meanwhile: it counts as never tried.
    pub(super) fn failed(&mut self, now: Moment) {
        self.tried = None;
        self.still_since = now.monotonic;
    }

    /// Decides by the events since the last call, in their order, and what the path leads to after
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
                // What closed or came is loaded even if it looks like what was tried: timestamps
                // are coarse.
                Event::Closed | Event::Renamed => (self.open, finished) = (false, true),
                // A swapped link on the way to the file, as Kubernetes does it. The new file is
                // finished unless it has been written to.
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
        let patience = if self.open { STILL_WHILE_OPEN } else { STILL };
        let still = now.monotonic.saturating_sub(self.still_since) >= patience;
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
#[path = "watch_tests.rs"]
mod tests;
