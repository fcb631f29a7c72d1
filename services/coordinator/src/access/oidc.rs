//! Tokens of an OpenID Connect provider, as bearers: for installations whose people have accounts already.
//!
//! A token is held against the provider's public keys, which are fetched from the address that its configuration names, kept for an
//! hour, and fetched again when a token names a key that is not among them; at most twice a minute, so that nobody makes this process
//! hammer the provider with made-up key ids. Only asymmetric algorithms are taken: with a symmetric one, whoever may check a token
//! could make one, and `none` proves nothing. `exp`, `iss`, `aud` and `sub` must be there and right, give or take a minute of clocks
//! that differ.
//!
//! What the bearer may do is in two claims whose names are settings. A token without them proves who somebody is, which alone
//! allows nothing.

use crate::access::{Principal, Reach, Unproven, Who};
use crate::config::OidcSettings;
use crate::http::extract::is_name;
use crate::http::problem::ApiError;
use domain::Scope;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::time::Instant;

/// What the keys of a provider may be for.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// Longest token in bytes: group lists may be long, and header lines end somewhere.
const LONGEST: usize = 16 << 10;
/// By how much clocks may differ, in seconds.
const LEEWAY: u64 = 60;
/// After this time keys are fetched again: one that the provider took back must not hold for ever.
const FRESH: Duration = Duration::from_secs(3600);
/// Between two fetches, whatever tokens come.
const PAUSE: Duration = Duration::from_secs(30);
/// A provider that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A verifier for one provider.
pub struct Oidc {
    settings: OidcSettings,
    http: reqwest::Client,
    known: RwLock<Known>,
    pause: Duration,
}

#[derive(Default)]
struct Known {
    keys: Option<Arc<JwkSet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl Oidc {
    /// For this provider. Connects on the first token.
    ///
    /// # Errors
    /// When the TLS set-up of this machine is broken.
    pub fn new(settings: OidcSettings) -> anyhow::Result<Self> {
        // another part of this process may have installed the same provider already
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Where the keys lie is the configuration's to say, not that of whoever answers with a redirect.
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { settings, http, known: RwLock::default(), pause: PAUSE })
    }

    /// The same with another pause between two fetches, for tests.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Who bears `token`, and what they may do.
    ///
    /// # Errors
    /// When it does not hold, says nothing of what is allowed, or the provider does not answer.
    pub async fn prove(&self, token: &str) -> Result<Principal, ApiError> {
        let refused = || ApiError::from(Unproven::Unknown);
        if token.len() > LONGEST {
            return Err(refused());
        }
        let header = decode_header(token).map_err(|_| refused())?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused());
        }
        let key = self.key(&header).await?;
        let mut rules = Validation::new(header.alg);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_audience(&[&self.settings.audience]);
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = DecodingKey::from_jwk(&key).map_err(|_| refused())?;
        let claims = decode::<Map<String, Value>>(token, &key, &rules).map_err(|error| {
            tracing::debug!(%error, "a token does not hold");
            match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => Unproven::Expired.into(),
                _ => refused(),
            }
        })?;
        self.principal(&claims.claims)
    }

    /// The key that a token names, fetched if it is not known yet.
    async fn key(&self, header: &Header) -> Result<Jwk, ApiError> {
        {
            let known = self.known.read().await;
            let fresh = known.fetched.is_some_and(|at| at.elapsed() < FRESH);
            if let Some(key) = known.keys.as_ref().filter(|_| fresh).and_then(|keys| fitting(keys, header)) {
                return Ok(key.clone());
            }
        }
        // Whoever comes while another fetches waits here and finds what it brought.
        let mut known = self.known.write().await;
        if known.tried.is_none_or(|at| at.elapsed() >= self.pause) {
            known.tried = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    known.keys = Some(Arc::new(keys));
                    known.fetched = known.tried;
                }
                Err(error) => {
                    tracing::warn!(issuer = self.settings.issuer, error, "the provider's keys cannot be fetched")
                }
            }
        }
        let Some(keys) = &known.keys else {
            return Err(ApiError::Unavailable("the provider of tokens does not answer; use an API key, or try again"));
        };
        fitting(keys, header).cloned().ok_or_else(|| Unproven::Unknown.into())
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let base = self.settings.issuer.trim_end_matches('/');
        let told: Configuration = self.get(&format!("{base}/.well-known/openid-configuration")).await?;
        if told.issuer != self.settings.issuer {
            return Err(format!("its configuration is that of {}", told.issuer));
        }
        if base.starts_with("https://") && !told.jwks_uri.starts_with("https://") {
            return Err(format!("its keys lie at {}, which is not https", told.jwks_uri));
        }
        self.get(&told.jwks_uri).await
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, String> {
        let failed = |error: reqwest::Error| format!("{address}: {error}");
        let answer = self.http.get(address).send().await.map_err(failed)?;
        answer.error_for_status().map_err(failed)?.json().await.map_err(failed)
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, ApiError> {
        let silent = |claim: &str, what: &str| ApiError::Forbidden {
            code: "insufficient_scope",
            detail: format!("the token's claim '{claim}' names no {what}; ask who runs the provider for it"),
        };
        let settings = &self.settings;
        let named = |value: &str| {
            let own = value.strip_prefix("cfx:").unwrap_or(value);
            settings.scopes.get(value).copied().or_else(|| own.parse().ok())
        };
        let scope: Option<Scope> = texts(claims.get(&settings.scope_claim)).filter_map(named).max();
        let scope = scope.ok_or_else(|| silent(&settings.scope_claim, "scope"))?;
        let projects: Vec<String> = texts(claims.get(&settings.project_claim)).map(str::to_owned).collect();
        let reach = if projects.iter().any(|project| project == "*") {
            Reach::All
        } else {
            Reach::Projects(projects.into_iter().filter(|project| is_name(project)).collect())
        };
        if reach.names().is_some_and(<[String]>::is_empty) {
            return Err(silent(&settings.project_claim, "project"));
        }
        // safe: it is required above, and what is no text proves nothing
        let subject = claims.get("sub").and_then(Value::as_str).ok_or_else(|| ApiError::from(Unproven::Unknown))?;
        let expires_at =
            claims.get("exp").and_then(Value::as_i64).and_then(|at| chrono::DateTime::from_timestamp(at, 0));
        // the log and terminals get what can be read, and no more than that
        let subject = subject.chars().filter(|c| !c.is_control()).take(200).collect();
        Ok(Principal { who: Who::Token { subject }, scope, reach, expires_at })
    }
}

/// The key that a token's header asks for: by its id, or the only one there is. It must be for signatures and for that algorithm.
fn fitting<'a>(keys: &'a JwkSet, header: &Header) -> Option<&'a Jwk> {
    let key = match (&header.kid, keys.keys.as_slice()) {
        (Some(kid), _) => keys.find(kid)?,
        (None, [only]) => only,
        (None, _) => return None,
    };
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let named = key.common.key_algorithm.is_none_or(|own| own == KeyAlgorithm::from(header.alg));
    (signs && named).then_some(key)
}

/// The words of a claim that is a text with blanks, or a list of texts.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match claim {
        Some(Value::String(text)) => (Some(text), None),
        Some(Value::Array(list)) => (None, Some(list)),
        _ => (None, None),
    };
    let words = one.into_iter().flat_map(|text| text.split_ascii_whitespace());
    words.chain(many.into_iter().flatten().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(claims: Value) -> Result<Principal, ApiError> {
        let scopes = [("ml-leads".to_owned(), Scope::Operate)].into();
        let settings = OidcSettings {
            issuer: "https://login.example".to_owned(),
            audience: "cfx".to_owned(),
            scope_claim: "groups".to_owned(),
            project_claim: "lab".to_owned(),
            scopes,
        };
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        Oidc::new(settings).unwrap().principal(&claims)
    }

    #[test]
    fn claims_tell_the_highest_scope_and_the_projects() {
        let of = |groups: Value, lab: Value| told(json!({ "sub": "ada\n", "groups": groups, "lab": lab }));
        let ada = of(json!("openid cfx:read cfx:submit"), json!("faces")).unwrap();
        assert_eq!((ada.scope, ada.reach.includes("faces"), ada.reach.includes("cars")), (Scope::Submit, true, false));
        assert_eq!(ada.name(), "oidc ada");
        let lead = of(json!(["staff", "ml-leads", "read"]), json!(["faces", "cars"])).unwrap();
        assert_eq!((lead.scope, lead.reach.includes("cars")), (Scope::Operate, true));
        assert_eq!(of(json!("admin"), json!("*")).unwrap().reach, Reach::All);
        for (groups, lab) in [
            (json!("staff"), json!("faces")),
            (json!(7), json!("faces")),
            (json!("read"), json!(null)),
            (json!("read"), json!("")),
            (json!("read"), json!("../faces")),
        ] {
            assert!(matches!(of(groups.clone(), lab.clone()), Err(ApiError::Forbidden { .. })), "{groups} {lab}");
        }
        assert!(told(json!({ "sub": 7, "groups": "read", "lab": "x" })).is_err());
    }
}
