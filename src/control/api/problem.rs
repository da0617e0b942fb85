//! Error responses: `application/problem+json` (RFC 9457), with a code for programs.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::access::Denied;
use crate::control::keys::{ServiceError, Violation};

/// An error response.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<Violation>,
    /// The value of `WWW-Authenticate`.
    challenge: Option<&'static str>,
    /// The value of `Retry-After`, in seconds.
    retry_after: Option<u16>,
}

/// The result of a handler.
pub(super) type Answer<T> = Result<T, Problem>;

impl Problem {
    /// Creates a problem. `code` is for programs and never changes. `detail` is for people.
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            challenge: None,
            retry_after: None,
        }
    }

    /// Returns a 400, for a request that cannot be parsed.
    pub(super) fn unreadable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Returns a 422 for one member, or for the whole body if `member` is empty.
    pub(super) fn invalid(member: &str, message: &str) -> Self {
        ServiceError::Invalid(vec![Violation {
            member: member.to_owned(),
            message: message.to_owned(),
        }])
        .into()
    }

    /// Sets `Retry-After`, in seconds.
    pub(super) fn retry_after(mut self, seconds: u16) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Sets the list of all mistakes.
    pub(super) fn with_errors(mut self, errors: Vec<Violation>) -> Self {
        self.errors = errors;
        self
    }
}

/// As it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body {
    /// `about:blank`: the status says what kind of problem it is, and `code` says more.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong and what to do about it, for people.
    detail: Cow<'static, str>,
    /// For programs; it never changes.
    code: &'static str,
    /// Every mistake, where there can be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Mistake>,
}

/// One of the mistakes of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Mistake {
    /// Which member, with its place in a list, such as `scopes[2]`; empty: the whole body.
    member: String,
    /// What is wrong with it.
    message: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            errors: self
                .errors
                .into_iter()
                .map(|Violation { member, message }| Mistake { member, message })
                .collect(),
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/problem+json")], text)
                .into_response();
        if let Some(challenge) = self.challenge {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let mut problem = Self::new(denied.status(), denied.code(), denied.detail());
        problem.challenge = denied.challenge();
        problem
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let problem = Self::new(error.status(), error.code(), error.detail());
        match error {
            ServiceError::Invalid(violations) => problem.with_errors(violations),
            _ => problem,
        }
    }
}
