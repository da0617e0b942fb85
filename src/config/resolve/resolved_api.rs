//! An API while the rest of the file is read.

use std::collections::HashMap;

use super::endpoints::Endpoint;
use crate::config::ApiConfig;

/// An API, and what is needed of it to validate the keys.
#[derive(Debug)]
pub(super) struct ResolvedApi<'t> {
    pub(super) config: ApiConfig,
    pub(super) scopes: HashMap<&'t str, usize>,
    /// Every pattern of the API, to be checked once all APIs are known.
    pub(super) endpoints: Vec<Endpoint<'t>>,
    /// The byte offset of `[api.key_api]`.
    pub(super) key_api_at: usize,
    /// The byte offset of the `[[api]]` table.
    pub(super) at: usize,
}
