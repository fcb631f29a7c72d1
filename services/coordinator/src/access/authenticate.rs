//! Every request passes here before its handler: who asks, whether a browser was tricked into asking, how often, and whether the
//! route's need is met. A route that is not in the table of [`permissions`] is refused, so forgetting one opens nothing.

use super::{Principal, Unproven, local, session};
use crate::access::session::{SessionSecret, Shown};
use crate::app::App;
use crate::dashboard;
use crate::http::extract::{method_not_allowed, project_named, without_nul};
use crate::http::permissions::{self, Declared, Needs, Rule, Surface};
use crate::http::problem::ApiError;
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use domain::ApiKeyToken;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;
use store::ApiKeyRow;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

/// The principal, and what its proof asks for besides.
struct Admitted {
    principal: Principal,
    shown: Shown,
}

/// How a request proved who asks.
enum Proof {
    Bearer,
    Session(String),
    Local,
}

/// The layer around the whole router.
pub async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let rule = match permissions::declared(&parts.method, path.as_deref()) {
        Declared::Rule(rule) => rule,
        Declared::OtherMethod => {
            // who may not look need not learn which methods there are
            return match admit(&app, &permissions::UNKNOWN, &parts).await {
                Ok(_) => method_not_allowed(parts.method, parts.uri).await.into_response(),
                Err(refusal) => refusal.into_response(),
            };
        }
        Declared::Nowhere => {
            tracing::error!(route = path, "a route is not in the table of permissions and is refused");
            let detail = format!("{} does not say who may use it; this is a defect", path.unwrap_or_default());
            return ApiError::Forbidden { code: "undeclared_route", detail }.into_response();
        }
    };
    if rule.needs == Needs::Nothing {
        let answering = next.run(Request::from_parts(parts, body));
        // a busy coordinator is not a dead one: the probe of life has its turn at once
        return if rule.path == "/healthz" { answering.await } else { in_turn(&app.gate.strangers, answering).await };
    }
    match admit(&app, rule, &parts).await {
        Ok(Admitted { principal, shown }) => {
            parts.extensions.insert(principal);
            let answering = session::showing(shown, next.run(Request::from_parts(parts, body)));
            in_turn(&app.gate.slots, answering).await
        }
        Err(refusal) => refused(rule, &parts, refusal),
    }
}

/// How long a request waits for its turn before it is refused.
const TURN: Duration = Duration::from_secs(5);

/// Answers when there is a place. A stream is in work until it begins.
async fn in_turn(places: &Semaphore, answering: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(TURN, places.acquire()).await {
        Ok(_place) => answering.await,
        Err(_) => ApiError::Busy.into_response(),
    }
}

async fn admit(app: &App, rule: &Rule, parts: &Parts) -> Result<Admitted, ApiError> {
    let (method, headers) = (&parts.method, &parts.headers);
    let peer = local::peer(&parts.extensions);
    let open =
        rule.needs == Needs::Metrics && (app.config.access.metrics_open || local::is_local(peer, method, headers));
    let (principal, proof) = if open {
        (Principal::local(), Proof::Local)
    } else {
        match identify(app, peer, method, headers).await {
            Ok(found) => found,
            Err(refusal) => {
                // only wrong keys count: everybody asks without one now and then
                if matches!(refusal, ApiError::Unauthenticated { code, .. } if code != "unauthenticated") {
                    app.gate.rates.wrong_key(peer)?;
                }
                return Err(refusal);
            }
        }
    };
    let csrf = match &proof {
        Proof::Session(csrf) => csrf.clone(),
        Proof::Bearer | Proof::Local => app.gate.local_csrf.clone(),
    };
    if !method.is_safe() {
        asked_by_own_page(rule, &proof, headers, method, &csrf)?;
    }
    app.gate.rates.request(&principal)?;
    permitted(rule, &principal)?;
    within(&principal, headers)?;
    without_nul(parts.uri.path_and_query().map_or("", PathAndQuery::as_str).as_bytes())?;
    let logged_in_as = matches!(proof, Proof::Session(_)).then(|| principal.name());
    let may = principal.may();
    Ok(Admitted { principal, shown: Shown { csrf, logged_in_as, may } })
}

async fn identify(
    app: &App,
    peer: Option<IpAddr>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Principal, Proof), ApiError> {
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        return Ok((bearer(app, given).await?, Proof::Bearer));
    }
    let mut why = Unproven::Nothing;
    if let Some(secret) = SessionSecret::of(headers) {
        match app.store.session_key(secret.sha256()).await? {
            Some(key) if key.holds() => return Ok((Principal::of_key(&key), Proof::Session(secret.csrf()))),
            Some(_) | None => why = Unproven::SessionOver,
        }
    }
    if app.config.access.trusts_this_machine(app.config.listen) && local::is_local(peer, method, headers) {
        return Ok((Principal::local(), Proof::Local));
    }
    Err(why.into())
}

async fn bearer(app: &App, given: &HeaderValue) -> Result<Principal, ApiError> {
    let (scheme, text) = given.to_str().ok().and_then(|text| text.trim().split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unproven::Unknown.into());
    }
    let text = text.trim();
    match (text.parse::<ApiKeyToken>(), &app.gate.oidc) {
        (Ok(token), _) => prove_key(app, &token).await.map(|key| Principal::of_key(&key)),
        (Err(_), Some(oidc)) => oidc.prove(text).await,
        (Err(_), None) => Err(Unproven::Unknown.into()),
    }
}

/// Holds a key against what is kept of it. That its id exists is not told to who does not have its secret.
pub async fn prove_key(app: &App, token: &ApiKeyToken) -> Result<ApiKeyRow, ApiError> {
    let Some(kept) = app.store.key_to_prove(token.id()).await? else { return Err(Unproven::Unknown.into()) };
    let given = token.secret_sha256();
    // All are compared, each in constant time. The secrets are digests of what is asked for anyway; it costs nothing to be sure.
    let mut found = None;
    for (secret, over) in &kept.secrets {
        if bool::from(secret.as_bytes().ct_eq(given.as_bytes())) {
            found = Some(*over);
        }
    }
    match found {
        None => return Err(Unproven::Unknown.into()),
        Some(true) => return Err(Unproven::Rotated.into()),
        Some(false) => {}
    }
    if kept.key.revoked_at.is_some() {
        return Err(Unproven::Revoked.into());
    }
    if kept.key.expired {
        return Err(Unproven::Expired.into());
    }
    if kept.use_unnoted {
        app.store.note_key_use(token.id()).await?;
    }
    Ok(kept.key)
}

/// For requests that change something and were proven by what a browser sends by itself: that a page of this coordinator sent them.
fn asked_by_own_page(
    rule: &Rule,
    proof: &Proof,
    headers: &HeaderMap,
    method: &Method,
    csrf: &str,
) -> Result<(), ApiError> {
    let by_token = match proof {
        Proof::Bearer => return Ok(()),
        Proof::Session(_) => rule.surface != Surface::Form,
        // `cfx` sends no token; what pages do has addresses of its own, and for them the token is asked for here too
        Proof::Local => rule.surface == Surface::Page,
    };
    if local::is_cross_site(method, headers) {
        let detail = "another site asked for this in your browser; nothing was done".to_owned();
        return Err(ApiError::Forbidden { code: "cross_site", detail });
    }
    let given = headers.get(session::CSRF_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
    if by_token && !session::same(given, csrf) {
        return Err(wrong_csrf());
    }
    Ok(())
}

/// The answer to a change without the right token.
pub fn wrong_csrf() -> ApiError {
    let detail = format!("the request's {} is not this page's; load the page again", session::CSRF_HEADER);
    ApiError::Forbidden { code: "csrf", detail }
}

fn permitted(rule: &Rule, principal: &Principal) -> Result<(), ApiError> {
    let forbidden = |detail| Err(ApiError::Forbidden { code: "insufficient_scope", detail });
    let Some(scope) = rule.needs.scope() else { return Ok(()) };
    let name = principal.name();
    if principal.scope < scope {
        return forbidden(format!("this needs the scope {scope}, and {name} has {}", principal.scope));
    }
    if matches!(rule.needs, Needs::Everywhere(_)) && principal.reach.names().is_some() {
        return forbidden(format!("this concerns all projects, and {name} is not for all"));
    }
    Ok(())
}

/// A request that names a project that it is not for is refused, whether or not its route looks at projects; so is what is no name.
fn within(principal: &Principal, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(named) = project_named(headers)? else { return Ok(()) };
    if principal.reach.includes(named) {
        return Ok(());
    }
    let detail = format!("{} is not for the project '{named}'", principal.name());
    Err(ApiError::Forbidden { code: "wrong_project", detail })
}

/// A refusal as whoever asked can read it: a problem, a page, or the way to the login.
fn refused(rule: &Rule, parts: &Parts, refusal: ApiError) -> Response {
    if rule.surface == Surface::Api {
        return refusal.into_response();
    }
    if !matches!(refusal, ApiError::Unauthenticated { .. }) {
        return dashboard::refusal(refusal);
    }
    let to = dashboard::login_address(parts.method.is_safe().then_some(&parts.uri));
    if parts.headers.contains_key("hx-request") {
        // a part of a page: htmx sends the whole page there
        let to = HeaderValue::from_str(&to).unwrap_or(HeaderValue::from_static("/login"));
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", to)]).into_response();
    }
    Redirect::to(&to).into_response()
}
