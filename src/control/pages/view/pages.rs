//! The pages: one struct each.

mod entry;
mod find;
mod key;
mod keys;
mod lists;
mod new_key;
mod rotate_revoke;

pub(in crate::control::pages) use entry::{ContinuePage, MessagePage, OpenPage, OtherSession};
pub(in crate::control::pages) use find::{FindPage, Found, FoundKey};
pub(in crate::control::pages) use key::{Actions, KeyFacts, KeyPage, RefusalRow, SecretRow};
pub(in crate::control::pages) use keys::{Card, CardKind, Empty, KeyFilters, KeyRow, KeysPage};
pub(in crate::control::pages) use lists::{AuditPage, AuditRow, AuditTable, KeyUseRow, UsePage};
pub(in crate::control::pages) use new_key::{
    AlreadyShownPage, EditKeyPage, KeyShownPage, NewKeyPage, ReviewKeyPage,
};
pub(in crate::control::pages) use rotate_revoke::{RevokePage, RotatePage};
