//! Makes secrets, and nothing else does.

use domain::access::SECRET_BYTES;
use domain::{ApiKeyId, ApiKeyToken};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The system has no random numbers to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

/// 32 bytes that nobody guesses.
///
/// # Errors
/// When the system has none to give.
pub fn random() -> Result<[u8; SECRET_BYTES], NoRandomness> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A key that nobody has yet.
///
/// # Errors
/// As [`random`].
pub fn new_key() -> Result<ApiKeyToken, NoRandomness> {
    new_secret(ApiKeyId::from_uuid(uuid::Uuid::now_v7()))
}

/// Another secret for a key.
///
/// # Errors
/// As [`random`].
pub fn new_secret(id: ApiKeyId) -> Result<ApiKeyToken, NoRandomness> {
    Ok(ApiKeyToken::new(id, random()?))
}
