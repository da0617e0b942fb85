//! Responses that consist of a record, with its revision as `ETag`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::control::keys::{CreatedKey, KeyView, OrganizationView};

/// A record with a revision.
pub(super) trait Revised: Serialize {
    fn revision(&self) -> u64;
}

impl Revised for KeyView {
    fn revision(&self) -> u64 {
        self.revision
    }
}

impl Revised for CreatedKey {
    fn revision(&self) -> u64 {
        self.record.revision
    }
}

impl Revised for OrganizationView {
    fn revision(&self) -> u64 {
        self.revision
    }
}

/// The response with an existing record.
#[derive(Debug)]
pub(super) struct Tagged<T>(pub(super) T);

impl<T: Revised> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        // The strong entity tag of a revision (RFC 9110 §8.8.3).
        let etag = format!("\"{}\"", self.0.revision());
        ([(header::ETAG, etag)], Json(self.0)).into_response()
    }
}

/// The response with the record of a new key.
#[derive(Debug)]
pub(super) struct NewRecord<T> {
    pub(super) id: String,
    pub(super) record: T,
}

impl<T: Revised> IntoResponse for NewRecord<T> {
    fn into_response(self) -> Response {
        let location = [(header::LOCATION, format!("/v1/keys/{}", self.id))];
        (StatusCode::CREATED, location, Tagged(self.record)).into_response()
    }
}
