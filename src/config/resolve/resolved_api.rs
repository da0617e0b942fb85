//! An API while the rest of the file is read.

use std::collections::HashMap;

use super::endpoints::Endpoint;
use crate::config::ApiConfig;

/// An API, and what is needed of it to check the keys.
#[derive(Debug)]
pub(super) struct ResolvedApi<'t> {
    pub(super) config: ApiConfig,
    pub(super) scopes: HashMap<&'t str, usize>,
    /// Every pattern of the API, to be checked once all APIs are known.
    pub(super) endpoints: Vec<Endpoint<'t>>,
    /// Where its own key endpoints stand.
    pub(super) key_api_at: usize,
    /// Where its block stands.
    pub(super) at: usize,
}
