//! Tokens of an OpenID Connect provider, from one that runs in the test: what it signs holds, and nothing else does.

use crate::support::Bench;
use anyhow::Result;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use coordinator::access::Gate;
use coordinator::access::oidc::Oidc;
use coordinator::config::OidcSettings;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// A provider whose keys change.
#[derive(Clone)]
struct Provider {
    issuer: String,
    keys: Arc<Mutex<Vec<Jwk>>>,
    asked: Arc<AtomicU32>,
}

impl Provider {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = format!("http://{}/realm", listener.local_addr()?);
        let provider = Self { issuer, keys: Arc::default(), asked: Arc::default() };
        let configuration = async |State(provider): State<Self>| {
            let issuer = &provider.issuer;
            Json(
                json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "response_types_supported": ["code"] }),
            )
        };
        let keys = async |State(provider): State<Self>| {
            provider.asked.fetch_add(1, Ordering::Relaxed);
            Json(JwkSet { keys: provider.keys.lock().expect("one at a time").clone() })
        };
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(configuration))
            .route("/realm/keys", get(keys))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(provider)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// A key of the provider's, published under `kid`.
    fn publish(&self, kid: &str) -> Result<EncodingKey> {
        let (key, mut public) = new_key()?;
        public.common.key_id = Some(kid.to_owned());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        self.keys.lock().expect("one at a time").push(public);
        Ok(key)
    }

    fn claims(&self) -> Value {
        let now = chrono::Utc::now().timestamp();
        json!({ "iss": self.issuer, "aud": "cfx", "sub": "ada", "exp": now + 600, "iat": now, "cfx_scope": "submit", "cfx_project": "lab" })
    }
}

fn new_key() -> Result<(EncodingKey, Jwk)> {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    let pair = pair.map_err(|_| anyhow::anyhow!("no key was made"))?;
    let key = EncodingKey::from_ec_der(pair.as_ref());
    let public = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
    Ok((key, public))
}

fn signed(key: &EncodingKey, kid: &str, claims: &Value) -> Result<String> {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
    Ok(encode(&header, claims, key)?)
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    changed[name] = value;
    changed
}

fn without(claims: &Value, name: &str) -> Value {
    let mut changed = claims.clone();
    changed.as_object_mut().map(|claims| claims.remove(name));
    changed
}

/// A coordinator that trusts the provider and asks it for keys as often as `pause` allows.
async fn trusting(provider: &Provider, pause: Duration) -> Result<Bench> {
    let mut bench = Bench::new().await?;
    let settings = OidcSettings {
        issuer: provider.issuer.clone(),
        audience: "cfx".to_owned(),
        scope_claim: "cfx_scope".to_owned(),
        project_claim: "cfx_project".to_owned(),
        scopes: [("ml-leads".to_owned(), domain::Scope::Operate)].into(),
    };
    let mut gate = Gate::new(&bench.app.config)?;
    gate.oidc = Some(Oidc::new(settings)?.with_pause(pause));
    bench.app.gate = Arc::new(gate);
    bench.router = coordinator::http::router(bench.app.clone());
    Ok(bench)
}

async fn whoami(bench: &Bench, token: &str) -> Result<(StatusCode, Value)> {
    let far = ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 40_000)));
    let request = Request::get("/v1/whoami").extension(far).header(header::AUTHORIZATION, format!("Bearer {token}"));
    let (status, _, body) = bench.send(request.body(Body::empty())?).await?;
    Ok((status, serde_json::from_slice(&body)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_holds_by_signature_issuer_audience_and_time_and_allows_what_its_claims_say() -> Result<()> {
    let provider = Provider::start().await?;
    let key = provider.publish("first")?;
    let bench = trusting(&provider, Duration::ZERO).await?;
    let claims = provider.claims();
    let now = chrono::Utc::now().timestamp();

    let (status, who) = whoami(&bench, &signed(&key, "first", &claims)?).await?;
    assert_eq!(status, StatusCode::OK, "{who}");
    assert_eq!((&who["kind"], &who["name"]), (&json!("token"), &json!("oidc ada")));
    assert_eq!((&who["scope"], &who["projects"]), (&json!("submit"), &json!(["lab"])));
    let lead = with(&with(&claims, "cfx_scope", json!(["staff", "ml-leads"])), "cfx_project", json!("*"));
    let (_, who) = whoami(&bench, &signed(&key, "first", &lead)?).await?;
    assert_eq!((&who["scope"], who.get("projects")), (&json!("operate"), None));
    // clocks may differ by a minute
    for (name, at) in [("exp", now - 30), ("nbf", now + 30)] {
        assert_eq!(whoami(&bench, &signed(&key, "first", &with(&claims, name, json!(at)))?).await?.0, 200, "{name}");
    }
    for changed in [
        with(&claims, "aud", json!("other")),
        with(&claims, "aud", json!(["other"])),
        with(&claims, "iss", json!("https://other.example")),
        with(&claims, "nbf", json!(now + 300)),
        with(&claims, "exp", json!("soon")),
        without(&claims, "exp"),
        without(&claims, "aud"),
        without(&claims, "iss"),
        without(&claims, "sub"),
    ] {
        let (status, answer) = whoami(&bench, &signed(&key, "first", &changed)?).await?;
        assert_eq!((status.as_u16(), &answer["code"]), (401, &json!("invalid_key")), "{changed}");
    }
    let (_, answer) = whoami(&bench, &signed(&key, "first", &with(&claims, "exp", json!(now - 300)))?).await?;
    assert_eq!(answer["code"], "expired_key");
    for silent in
        [without(&claims, "cfx_scope"), without(&claims, "cfx_project"), with(&claims, "cfx_scope", json!("openid"))]
    {
        let (status, answer) = whoami(&bench, &signed(&key, "first", &silent)?).await?;
        assert_eq!((status.as_u16(), &answer["code"]), (403, &json!("insufficient_scope")), "{silent}");
    }
    // keys of the installation hold beside tokens
    let own = bench.key(domain::Scope::Read, None).await?;
    assert_eq!(whoami(&bench, &own).await?.1["kind"], "key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_a_token_without_the_providers_key() -> Result<()> {
    let provider = Provider::start().await?;
    let key = provider.publish("first")?;
    let bench = trusting(&provider, Duration::ZERO).await?;
    let claims = provider.claims();
    let token = signed(&key, "first", &claims)?;
    assert_eq!(whoami(&bench, &token).await?.0, StatusCode::OK);

    let public = provider.keys.lock().expect("one at a time")[0].clone();
    let AlgorithmParameters::EllipticCurve(point) = &public.algorithm else { panic!("a P-256 key") };
    let symmetric = Header { kid: Some("first".to_owned()), ..Header::new(Algorithm::HS256) };
    let text = |value: &Value| BASE64.encode(value.to_string());
    let unsigned = |alg: &str| format!("{}.{}.", text(&json!({ "alg": alg, "kid": "first" })), text(&claims));
    let mut parts = token.split('.').map(str::to_owned).collect::<Vec<_>>();
    parts[1] = text(&with(&claims, "cfx_scope", json!("admin")));
    let (stranger, _) = new_key()?;
    let forged = [
        // signed with what everybody knows of the key
        encode(&symmetric, &claims, &EncodingKey::from_secret(point.x.as_bytes()))?,
        encode(&symmetric, &claims, &EncodingKey::from_secret(serde_json::to_string(&public)?.as_bytes()))?,
        unsigned("none"),
        unsigned("None"),
        unsigned("ES256"),
        // another body under the signature
        parts.join("."),
        // a stranger's signature, under the provider's name and under none
        signed(&stranger, "first", &claims)?,
        signed(&stranger, "unknown", &claims)?,
        encode(&Header::new(Algorithm::ES256), &claims, &stranger)?,
        token[..token.len() - 2].to_owned(),
        "..".to_owned(),
        "x".repeat(100_000),
    ];
    for token in forged {
        let (status, answer) = whoami(&bench, &token).await?;
        let shown: String = token.chars().take(80).collect();
        assert_eq!((status.as_u16(), &answer["code"]), (401, &json!("invalid_key")), "{shown}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_fetched_once_and_made_up_ones_do_not_hammer_the_provider() -> Result<()> {
    let provider = Provider::start().await?;
    let first = provider.publish("first")?;
    let bench = trusting(&provider, Duration::from_secs(2)).await?;
    let claims = provider.claims();
    let token = signed(&first, "first", &claims)?;
    let at_once = (0..20).map(|_| whoami(&bench, &token));
    for answer in futures_util::future::join_all(at_once).await {
        assert_eq!(answer?.0, StatusCode::OK);
    }
    assert_eq!(provider.asked(), 1, "twenty at once fetch the keys once");
    let second = provider.publish("second")?;
    let made_up = signed(&first, "made-up", &claims)?;
    for _ in 0..20 {
        assert_eq!(whoami(&bench, &made_up).await?.0, StatusCode::UNAUTHORIZED);
    }
    assert!(provider.asked() <= 2, "{} fetches", provider.asked());
    let token = signed(&second, "second", &claims)?;
    let known = || async { (whoami(&bench, &token).await.ok()?.0 == StatusCode::OK).then_some(()) };
    testkit::wait_until("the new key is known", Duration::from_secs(10), known).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_no_open_door() -> Result<()> {
    let provider = Provider::start().await?;
    let key = provider.publish("first")?;
    let token = signed(&key, "first", &provider.claims())?;
    let gone = Provider { issuer: "http://127.0.0.1:9/realm".to_owned(), ..provider.clone() };
    let bench = trusting(&gone, Duration::ZERO).await?;
    let (status, answer) = whoami(&bench, &token).await?;
    assert_eq!((status.as_u16(), &answer["code"]), (503, &json!("unavailable")));
    // one that answers for another is not believed
    let posing = Provider { issuer: provider.issuer.replace("127.0.0.1", "localhost"), ..provider };
    let bench = trusting(&posing, Duration::ZERO).await?;
    assert_eq!(whoami(&bench, &token).await?.0, StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}

/// A key for tests: `ring`, which makes the others, makes none of this kind.
const RSA: &str = include_str!("oidc_rsa.pem");

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_sign_by_rsa_are_read_and_not_confused() -> Result<()> {
    let provider = Provider::start().await?;
    let der: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    let key = EncodingKey::from_rsa_der(&base64::prelude::BASE64_STANDARD.decode(der)?);
    let mut public = Jwk::from_encoding_key(&key, Algorithm::RS256)?;
    public.common.key_id = Some("rsa".to_owned());
    // one key, and whatever padding the provider chooses
    public.common.key_algorithm = None;
    provider.keys.lock().expect("one at a time").push(public.clone());
    let bench = trusting(&provider, Duration::ZERO).await?;
    let claims = provider.claims();
    let by = |algorithm| Header { kid: Some("rsa".to_owned()), ..Header::new(algorithm) };
    for algorithm in [Algorithm::RS256, Algorithm::RS512, Algorithm::PS256] {
        let (status, who) = whoami(&bench, &encode(&by(algorithm), &claims, &key)?).await?;
        assert_eq!((status, &who["name"]), (StatusCode::OK, &json!("oidc ada")), "{algorithm:?}: {who}");
    }
    // the oldest trick: what everybody may know, taken for a secret that is shared
    let AlgorithmParameters::RSA(numbers) = &public.algorithm else { panic!("an RSA key") };
    for known in [RSA.as_bytes(), numbers.n.as_bytes(), &BASE64.decode(&numbers.n)?] {
        let forged = encode(&by(Algorithm::HS256), &claims, &EncodingKey::from_secret(known))?;
        let (status, answer) = whoami(&bench, &forged).await?;
        assert_eq!((status.as_u16(), &answer["code"]), (401, &json!("invalid_key")));
    }
    // and a key of another kind under the same name
    let (curve, _) = new_key()?;
    let (status, _) = whoami(&bench, &encode(&by(Algorithm::ES256), &claims, &curve)?).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    Ok(())
}
