//! What a client is told when it does not get what it asked for.

use std::{num::NonZeroU64, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::registry::api::{ErrorBody, ErrorDetail};

/// A refusal or failure: `{"error": {"code": "...", "message": "..."}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status of the response.
    pub status: StatusCode,
    /// The reason, for programs and for people.
    pub error: ErrorDetail,
    /// When it is worth trying again.
    pub retry_after: Option<NonZeroU64>,
}

impl Problem {
    /// A problem.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let error = ErrorDetail {
            code: code.to_owned(),
            message: message.into(),
        };
        Self {
            status,
            error,
            retry_after: None,
        }
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    /// There is nothing of that name.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// A mistake of ours.
    pub fn unexpected() -> Self {
        let message = "the registry made a mistake; its log may say more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "mistake", message)
    }

    /// The server cannot do it now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        problem.retry_after(Duration::from_secs(10))
    }

    /// Worth trying again after some time, rounded up to seconds.
    pub fn retry_after(mut self, time: Duration) -> Self {
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.retry_after = Some(NonZeroU64::new(seconds).unwrap_or(NonZeroU64::MIN));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(ErrorBody { error: self.error });
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after {
            let value = HeaderValue::from(seconds.get());
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}
