//! Who may do what: scopes, and the text form of an API key.
//!
//! A key is `cfx_<id>_<secret>`: the id finds the row, the secret proves that the bearer was given the key. The secret is 32 random
//! bytes, so a plain SHA-256 of it is what is kept: a slow password hash protects what people choose and others can guess, and nobody
//! guesses 256 random bits, while a slow hash on every request would let strangers keep the processor busy.

use crate::{ApiKeyId, Digest};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a key allows. Each scope includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything of the project.
    Read,
    /// Register datasets, upload, submit jobs.
    Submit,
    /// Steer jobs that run: pause, cancel, retry, limits.
    Operate,
    /// Shares of projects, and keys.
    Admin,
}

impl Scope {
    /// All of them, the smallest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Submit, Self::Operate, Self::Admin];
    /// Their names, in the same order.
    pub const NAMES: [&'static str; 4] = ["read", "submit", "operate", "admin"];

    /// The name in text forms and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not a scope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a scope; scopes are read, submit, operate and admin")]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// An API key as its owner holds it. Prints as `cfx_<id>_<secret>` by [`ApiKeyToken::reveal`] only: `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyToken {
    id: ApiKeyId,
    secret: [u8; SECRET_BYTES],
}

/// A text that is not an API key. Deliberately without the text: it may be nearly right.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this is not an API key; a key looks like cfx_<id>_<secret>")]
pub struct NotAKey;

impl ApiKeyToken {
    /// A key of these parts; `secret` must come from a cryptographic source.
    pub const fn new(id: ApiKeyId, secret: [u8; SECRET_BYTES]) -> Self {
        Self { id, secret }
    }

    /// Which key it claims to be.
    pub const fn id(&self) -> ApiKeyId {
        self.id
    }

    /// What is kept of the secret.
    pub fn secret_sha256(&self) -> Digest {
        Digest::of(self.secret)
    }

    /// The whole text, for its owner's eyes.
    pub fn reveal(&self) -> String {
        format!("cfx_{}_{}", self.id.as_uuid().simple(), hex::encode(self.secret))
    }
}

impl fmt::Debug for ApiKeyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cfx_{}_***", self.id.as_uuid().simple())
    }
}

impl FromStr for ApiKeyToken {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, secret) = text.strip_prefix("cfx_").and_then(|rest| rest.split_once('_')).ok_or(NotAKey)?;
        // strict: one key has one text, so that lists of revoked texts, should anyone keep them, hold
        let plain = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if id.len() != 32 || !plain(id) || secret.len() != 2 * SECRET_BYTES || !plain(secret) {
            return Err(NotAKey);
        }
        let uuid = Uuid::try_parse(id).map_err(|_| NotAKey)?;
        let mut bytes = [0; SECRET_BYTES];
        hex::decode_to_slice(secret, &mut bytes).map_err(|_| NotAKey)?;
        Ok(Self { id: ApiKeyId::from_uuid(uuid), secret: bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_includes_the_ones_before_it() {
        for (n, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(Scope::ALL.iter().filter(|other| **other <= scope).count(), n + 1);
            assert_eq!(scope.name().parse(), Ok(scope));
            assert_eq!(Scope::NAMES[n], scope.name());
        }
        assert!("root".parse::<Scope>().is_err() && "Admin".parse::<Scope>().is_err());
    }

    #[test]
    fn a_key_reads_what_it_writes_and_nothing_else() {
        let token = ApiKeyToken::new(ApiKeyId::from_uuid(Uuid::from_u128(7)), [0xab; SECRET_BYTES]);
        let text = token.reveal();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(text.len(), 4 + 32 + 1 + 64);
        assert!(!format!("{token:?}").contains("abab"), "Debug hides the secret");
        let upper = text.to_uppercase().replacen("CFX_", "cfx_", 1);
        for bad in ["", "cfx_", "cfx__", &text[1..], &text[..text.len() - 1], &format!("{text}0"), &upper, "cfx_é_é"]
        {
            assert_eq!(bad.parse::<ApiKeyToken>(), Err(NotAKey), "{bad}");
        }
    }
}
