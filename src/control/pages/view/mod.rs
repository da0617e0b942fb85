//! The pages "Settings → API Keys": plain data in, HTML out.
//!
//! A page is a struct that derives `askama::Template`: fill its fields and call `render`. Nothing
//! here reads a clock, a file or a socket. Every text is escaped where it is put into a page.

mod access;
mod assets;
mod chart;
mod field;
mod frame;
mod key_form;
mod moment;
mod pages;
mod usage;

#[cfg(test)]
pub(in crate::control::pages) mod samples;
#[cfg(test)]
mod tests;

pub(in crate::control::pages) use crate::words::Texts;
pub(in crate::control::pages) use access::{Access, KeyState, LastUse, Mark};
pub(in crate::control::pages) use assets::{ASSETS, Asset, AssetPaths};
pub(in crate::control::pages) use chart::{Chart, sparkline};
pub(in crate::control::pages) use field::{Choice, Field, FormError, segment};
pub(in crate::control::pages) use frame::{
    Frame, Link, NavItem, Notice, NoticeKind, Pages, Place, Viewer,
};
pub(in crate::control::pages) use key_form::{
    AccessField, ExpiryField, KeyForm, ScopeChoice, ScopeGroup,
};
pub(in crate::control::pages) use moment::Moment;
pub(in crate::control::pages) use pages::*;
pub(in crate::control::pages) use usage::{
    HighestMinute, KeyUsage, LegendItem, Outcomes, Period, UsageRow, UsageTable, grouped, requests,
};
