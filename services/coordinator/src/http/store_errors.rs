//! Errors of the services behind the interface, as problems: logged with their cause, answered without it.

use super::problem::{ApiError, internal};
use store::{ErrorClass, StoreError, TransitionError};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let problem = internal("a database operation", &error);
        match error.class() {
            ErrorClass::Retryable => Self::Unavailable("the database does not answer or is busy; try again"),
            ErrorClass::Permanent => problem,
        }
    }
}

impl From<TransitionError> for ApiError {
    fn from(error: TransitionError) -> Self {
        match error {
            TransitionError::Missing => Self::NotFound("there is no such job".to_owned()),
            TransitionError::NotNow(not_now) => Self::NotNow(not_now.to_string()),
            TransitionError::Store(error) => error.into(),
        }
    }
}

impl From<artifacts::ArtifactError> for ApiError {
    fn from(error: artifacts::ArtifactError) -> Self {
        internal("a bucket operation", &error);
        Self::Unavailable("the bucket does not answer; try again")
    }
}
