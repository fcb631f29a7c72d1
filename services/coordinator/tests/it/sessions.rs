//! The dashboard's login, from a browser's side: cookies, tokens of pages, tricks of other sites.

use crate::support::Bench;
use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::request::Builder;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use coordinator::config::Auth;
use domain::{ApiKeyToken, Scope};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

fn far(request: Builder) -> Builder {
    request.extension(ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 40_000)))).header(header::HOST, "cfx.example")
}

fn header_of<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn text(answer: Response) -> Result<String> {
    Ok(String::from_utf8_lossy(&axum::body::to_bytes(answer.into_body(), usize::MAX).await?).into_owned())
}

async fn log_in(bench: &Bench, key: &str, then: &str) -> Result<Response> {
    let form = format!("key={key}&then={then}");
    let request = far(Request::post("/login")).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    bench.answer(request.body(Body::from(form))?).await
}

/// The cookie as a browser sends it back.
fn cookie(answer: &Response) -> String {
    header_of(answer, "set-cookie").split(';').next().unwrap_or_default().to_owned()
}

/// The token in a page.
fn token_in(page: &str) -> Result<String> {
    let (_, rest) = page.split_once("<meta name=\"csrf-token\" content=\"").context("a page has a token")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// A change by somebody with a cookie.
async fn change(bench: &Bench, cookie: &str, headers: &[(&str, &str)]) -> Result<(u16, String)> {
    let mut request = far(Request::post("/v1/datasets")).header(header::COOKIE, cookie);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let answer = bench.answer(request.body(Body::from(json!({ "name": "made" }).to_string()))?).await?;
    let (status, body) = (answer.status().as_u16(), text(answer).await?);
    let problem: serde_json::Value = serde_json::from_str(&body)?;
    Ok((status, problem["code"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_lets_in_and_a_logout_and_a_revocation_end_it() -> Result<()> {
    let bench = Bench::new().await?;
    let key = bench.key(Scope::Submit, Some("lab")).await?;
    let visit = async |cookie: &str, path: &str| {
        bench.answer(far(Request::get(path)).header(header::COOKIE, cookie).body(Body::empty())?).await
    };

    // without a login every page leads to it, and back
    let answer = visit("", "/jobs/job_0190f1c2d3e47a5b8c6d7e8f90a1b2c3?x=1").await?;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(header_of(&answer, "location"), "/login?then=%2Fjobs%2Fjob_0190f1c2d3e47a5b8c6d7e8f90a1b2c3%3Fx%3D1");
    let page = text(visit("", "/login?then=/packs").await?).await?;
    assert!(page.contains("type=\"password\"") && page.contains("value=\"/packs\""), "{page}");
    let part = far(Request::get("/")).header("hx-request", "true").body(Body::empty())?;
    let answer = bench.answer(part).await?;
    assert_eq!((answer.status().as_u16(), header_of(&answer, "hx-redirect")), (401, "/login"));

    // a wrong key says so, on a page, and gives no cookie
    let wrong = log_in(&bench, "cfx_wrong", "/").await?;
    assert_eq!((wrong.status().as_u16(), header_of(&wrong, "set-cookie")), (401, ""));
    assert!(text(wrong).await?.contains("none of this installation"));

    let answer = log_in(&bench, &key, "%2Fpacks").await?;
    assert_eq!((answer.status().as_u16(), header_of(&answer, "location")), (303, "/packs"));
    let set = header_of(&answer, "set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"), "{set}");
    let session = cookie(&answer);
    let page = text(visit(&session, "/").await?).await?;
    assert!(page.contains("Log out") && page.contains("submit-lab"), "{page}");
    assert!(!page.contains(&key) && !page.contains(&session["cfx_session=".len()..]), "a page holds no secret");
    assert!(text(visit(&session, "/v1/whoami").await?).await?.contains("\"lab\""), "and acts for its project");
    // it allows what the key allows
    let (status, code) = change(&bench, &session, &[("x-csrf-token", &token_in(&page)?)]).await?;
    assert_eq!((status, code.as_str()), (201, ""));
    assert!(text(visit(&session, "/datasets").await?).await?.contains("made"));
    assert_eq!(visit(&session, "/v1/api-keys").await?.status(), StatusCode::FORBIDDEN);

    // the log names the key behind the session
    let log: serde_json::Value = bench.read("/v1/audit").await?;
    let id = key.parse::<ApiKeyToken>()?.id();
    let made = &log["items"][0];
    assert_eq!((&made["action"], &made["actor"]), (&json!("dataset.create"), &json!(format!("submit-lab ({id})"))));

    // logout needs the page's token, in a field
    let log_out = async |form: String| {
        let request = far(Request::post("/logout")).header(header::COOKIE, &session);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        bench.answer(request.body(Body::from(form))?).await
    };
    assert_eq!(log_out("csrf=wrong".to_owned()).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(visit(&session, "/").await?.status(), StatusCode::OK);
    let answer = log_out(format!("csrf={}", token_in(&page)?)).await?;
    assert_eq!((answer.status().as_u16(), header_of(&answer, "location")), (303, "/login"));
    assert!(header_of(&answer, "set-cookie").contains("Max-Age=0"));
    assert_eq!(visit(&session, "/").await?.status(), StatusCode::SEE_OTHER);

    // a session ends with its key
    let session = cookie(&log_in(&bench, &key, "/").await?);
    assert_eq!(visit(&session, "/").await?.status(), StatusCode::OK);
    bench.app.store.revoke_api_key(id, "test").await?;
    assert_eq!(visit(&session, "/").await?.status(), StatusCode::SEE_OTHER);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_itself_and_its_cookie_is_secure_behind_https() -> Result<()> {
    let mut bench = Bench::new().await?;
    let key = bench.key(Scope::Read, None).await?;
    bench.set(|config| config.access.session = Duration::from_secs(1))?;
    let session = cookie(&log_in(&bench, &key, "/").await?);
    let visit = async || {
        let request = far(Request::get("/v1/whoami")).header(header::COOKIE, &session).body(Body::empty())?;
        anyhow::Ok(bench.answer(request).await?.status().as_u16())
    };
    assert_eq!(visit().await?, 200);
    let over = || async { (visit().await.ok()? == 401).then_some(()) };
    testkit::wait_until("the session is over", Duration::from_secs(10), over).await;
    let form = Body::from(format!("key={key}"));
    let request = far(Request::post("/login")).header("x-forwarded-proto", "https");
    let answer =
        bench.answer(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)?).await?;
    assert!(header_of(&answer, "set-cookie").ends_with("; Secure"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_the_token_of_a_page_of_its_own_session() -> Result<()> {
    let bench = Bench::new().await?;
    let (one, two) = (bench.key(Scope::Submit, None).await?, bench.key(Scope::Submit, None).await?);
    let (mine, theirs) = (cookie(&log_in(&bench, &one, "/").await?), cookie(&log_in(&bench, &two, "/").await?));
    let token = async |session: &str| {
        let request = far(Request::get("/packs")).header(header::COOKIE, session).body(Body::empty())?;
        token_in(&text(bench.answer(request).await?).await?)
    };
    let (own, other) = (token(&mine).await?, token(&theirs).await?);
    assert_ne!(own, other);
    let local = token_in(&String::from_utf8_lossy(&bench.get("/packs").await?.2))?;
    for wrong in ["", &other, &local, &own[1..], &own.to_uppercase()] {
        assert_eq!(change(&bench, &mine, &[("x-csrf-token", wrong)]).await?, (403, "csrf".to_owned()), "{wrong}");
    }
    assert_eq!(change(&bench, &mine, &[]).await?, (403, "csrf".to_owned()));
    // even with it, another site's request is nobody's
    let right = ("x-csrf-token", own.as_str());
    for trick in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(change(&bench, &mine, &[right, trick]).await?, (403, "cross_site".to_owned()), "{trick:?}");
    }
    assert_eq!(change(&bench, &mine, &[right, ("origin", "https://cfx.example")]).await?.0, 201);
    // a login that another site sends would have its victim work under a stranger's name
    let request = far(Request::post("/login")).header("origin", "https://evil.example");
    let form = Body::from(format!("key={one}"));
    let answer =
        bench.answer(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)?).await?;
    assert_eq!((answer.status().as_u16(), header_of(&answer, "set-cookie")), (403, ""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_on_this_machine_is_open_to_this_machine_only() -> Result<()> {
    let mut bench = Bench::new().await?;
    let ask = async |bench: &Bench, headers: &[(&str, &str)]| -> Result<u16> {
        let mut request = Request::post("/v1/datasets").header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = bench.answer(request.body(Body::from(json!({ "name": "made" }).to_string()))?).await?;
        Ok(answer.status().as_u16())
    };
    assert_eq!(ask(&bench, &[]).await?, 201);
    // DNS rebinding: the page's own name, resolved to this machine
    assert_eq!(ask(&bench, &[("host", "evil.example:8080")]).await?, 401);
    assert_eq!(ask(&bench, &[("origin", "http://evil.example")]).await?, 401);
    assert_eq!(ask(&bench, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]).await?, 401);
    assert_eq!(ask(&bench, &[("x-forwarded-for", "10.0.0.9")]).await?, 401);
    assert_eq!(ask(&bench, &[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]).await?, 200);
    // a cookie that has run out must not lock out who needs none
    let stale = format!("cfx_session={}", "0".repeat(64));
    assert_eq!(ask(&bench, &[("cookie", &stale)]).await?, 200);
    // nor does a wrong key count for less than none
    assert_eq!(ask(&bench, &[("authorization", "Bearer cfx_x")]).await?, 401);
    bench.set(|config| config.access.auth = Auth::Keys)?;
    assert_eq!(ask(&bench, &[]).await?, 401);
    Ok(())
}
