//! The published state as a worker holds it.

use std::rc::Rc;
use std::sync::Arc;

use crate::state::{Published, Runtime};

/// Published state that a request is judged by. Its reference count belongs to this worker alone.
pub(in crate::proxy) type Current = Rc<Held>;

/// Published state and its runtime. Whatever outlives the decision holds only the runtime, so that
/// a long stream does not keep all keys in memory.
pub(in crate::proxy) struct Held {
    pub(in crate::proxy) published: Arc<Published>,
    pub(in crate::proxy) runtime: CurrentRuntime,
}

/// Routes, APIs and settings, without the keys.
pub(in crate::proxy) type CurrentRuntime = Rc<Arc<Runtime>>;

impl std::ops::Deref for Held {
    type Target = Published;

    fn deref(&self) -> &Published {
        &self.published
    }
}
