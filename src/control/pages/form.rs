//! Forms and queries as browsers send them: `application/x-www-form-urlencoded`.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use http::{StatusCode, header};
use http_body_util::BodyExt;

use super::answer;

/// The fields of a form or a query, in order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads fields.
    pub(super) fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns the first value of a field, or "" if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Returns all values of a field.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Returns whether a box is ticked.
    pub(super) fn is_set(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// Returns the fields as a query without one of them, and without those that are empty.
    pub(super) fn query_without(&self, name: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (known, value) in
            self.0.iter().filter(|(known, value)| known != name && !value.is_empty())
        {
            query.append_pair(known, value);
        }
        query.finish()
    }
}

/// The query of a request.
#[derive(Debug)]
pub(super) struct Query(pub(super) Fields);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Ok(Self(Fields::read(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Form(pub(super) Fields);

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = answer::Page;

    async fn from_request(request: Request, _: &S) -> Result<Self, answer::Page> {
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(answer::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        // The worker has read the whole body, within its limit.
        match request.into_body().collect().await {
            Ok(body) => Ok(Self(Fields::read(&body.to_bytes()))),
            Err(_) => Err(answer::plain(StatusCode::BAD_REQUEST)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_written_as_browsers_do() {
        let fields = Fields::read(b"name=CRM+%26+mail&scope=a&scope=b&empty=&last=1");
        assert_eq!(fields.text("name"), "CRM & mail");
        assert_eq!(fields.all("scope").collect::<Vec<_>>(), ["a", "b"]);
        assert!(!fields.is_set("empty") && !fields.is_set("absent") && fields.is_set("name"));
        assert_eq!(fields.query_without("last"), "name=CRM+%26+mail&scope=a&scope=b");
    }
}
