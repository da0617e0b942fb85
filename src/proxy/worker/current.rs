//! What is in force, as a worker holds it.

use std::rc::Rc;
use std::sync::Arc;

use crate::state::{Published, Site};

/// What a request is judged and served by, held by a count that only this worker touches.
pub(in crate::proxy) type Current = Rc<Held>;

/// What is in force. Whatever outlives the decision holds only the site, so that a long stream does
/// not hold all keys.
pub(in crate::proxy) struct Held {
    pub(in crate::proxy) published: Arc<Published>,
    pub(in crate::proxy) site: CurrentSite,
}

/// What a request is served by besides its key.
pub(in crate::proxy) type CurrentSite = Rc<Arc<Site>>;

impl std::ops::Deref for Held {
    type Target = Published;

    fn deref(&self) -> &Published {
        &self.published
    }
}
