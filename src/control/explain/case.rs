//! What an explanation is about, and the terms in which it says how each check went.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use serde::Serialize;
use utoipa::ToSchema;

use super::file::File;
use crate::config::Config;
use crate::keystore::Revocation;
use crate::policy::{KeyRecord, Now, Snapshot};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Passed,
    Refused,
    /// An earlier check has refused.
    NotReached,
    /// There is nothing to check.
    NotApplicable,
}

/// Where something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) enum Keeper {
    #[serde(rename = "gateway.toml")]
    File,
    #[serde(rename = "store")]
    Store,
}

/// The key and the configuration that a question is about.
pub(super) struct Case<'c> {
    pub(super) snapshot: &'c Snapshot,
    pub(super) config: &'c Config,
    pub(super) file: File,
    pub(super) record: Option<&'c Arc<KeyRecord>>,
    /// The store's record of the key's revocation, if any.
    pub(super) revocation: Option<&'c Revocation>,
    pub(super) now: Now,
}

/// The facts about the request.
pub(super) struct Facts<'f> {
    pub(super) method: &'f Method,
    pub(super) path: &'f str,
    pub(super) host: &'f str,
    pub(super) address: IpAddr,
}
