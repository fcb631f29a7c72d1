//! Sessions of the dashboard, and the token that its pages prove with that a change was asked for by them (CSRF).
//!
//! **For pages.** Nothing need be passed along: while a request is handled, [`csrf_token`], [`logged_in_as`] and [`may`] answer for it, in
//! templates as `crate::dashboard::csrf_token()`. `base.html` renders `<meta name="csrf-token" content="…">` by it. Every request
//! of a page that changes something (any method but GET and HEAD) must carry that text in the header `x-csrf-token`; with htmx, once for
//! all, `<body hx-headers:inherited='{"x-csrf-token": "…"}'>`. [`super::authenticate`] refuses it otherwise, before the handler. Only the
//! forms of `/login` and `/logout`, which must work without a script, carry it in a field, and check it themselves.
//!
//! **The cookie** holds 32 random bytes; the database their SHA-256, so a copy of the database opens no session. It is HttpOnly,
//! SameSite=Strict, and Secure when people come by https. The CSRF token is another digest of the same bytes: it needs no place of
//! its own, no other session has it, and a script cannot compute it, since it never sees the cookie.

use crate::access::May;
use crate::access::issue::{NoRandomness, random};
use crate::config::Access;
use axum::http::{HeaderMap, HeaderValue, header};
use domain::Digest;
use std::future::Future;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Name of the cookie.
const COOKIE: &str = "cfx_session";
/// Name of the header that changes carry.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// What pages are told of the request that they answer.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The text that changes must carry.
    pub csrf: String,
    /// Who is logged in; `None` where nobody needs to be.
    pub logged_in_as: Option<String>,
    /// What buttons there are.
    pub may: May,
}

tokio::task_local! {
    static SHOWN: Shown;
}

/// Runs `answering` with what its pages are told.
pub(super) async fn showing<T>(shown: Shown, answering: impl Future<Output = T>) -> T {
    SHOWN.scope(shown, answering).await
}

/// The text that changes of this page must carry. Empty outside of a request.
pub fn csrf_token() -> String {
    SHOWN.try_with(|shown| shown.csrf.clone()).unwrap_or_default()
}

/// The name of the key that this page was logged in with, if there was a login.
pub fn logged_in_as() -> Option<String> {
    SHOWN.try_with(|shown| shown.logged_in_as.clone()).ok().flatten()
}

/// What the reader of this page may do; nothing outside of a request.
pub fn may() -> May {
    SHOWN.try_with(|shown| shown.may).unwrap_or_default()
}

/// The secret of a session, as its cookie holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionSecret([u8; 32]);

impl SessionSecret {
    /// One that nobody has yet.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new() -> Result<Self, NoRandomness> {
        random().map(Self)
    }

    /// The one in the request's cookies, if there is one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        // a digest has the same strict text form: 64 lower-case hexadecimal digits
        let value: Digest = pairs.find(|(name, _)| *name == COOKIE)?.1.parse().ok()?;
        Some(Self(*value.as_bytes()))
    }

    /// What the database knows it by.
    pub fn sha256(&self) -> Digest {
        Digest::of(self.0)
    }

    /// The text that changes must carry.
    pub fn csrf(&self) -> String {
        let mut bytes = b"csrf ".to_vec();
        bytes.extend(self.0);
        Digest::of(bytes).to_string()
    }

    /// The header that gives it to a browser for `lasts`.
    pub fn cookie(&self, lasts: Duration, secure: bool) -> HeaderValue {
        set_cookie(&Digest::from_bytes(self.0).to_string(), lasts.as_secs(), secure)
    }
}

/// The header that takes it from a browser.
pub fn no_cookie(secure: bool) -> HeaderValue {
    set_cookie("", 0, secure)
}

fn set_cookie(value: &str, seconds: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // safe because it is made of digits, letters and the signs above
    HeaderValue::from_str(&text).expect("a cookie is a header value")
}

/// Whether the browser came by https, as far as anybody tells. A client that lies about it only makes its own cookie stricter.
pub fn by_https(access: &Access, headers: &HeaderMap) -> bool {
    let told = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    access.https || told
}

/// Compares in constant time.
pub fn same(given: &[u8], right: &str) -> bool {
    given.ct_eq(right.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_reads_what_it_wrote_among_others_and_nothing_malformed() {
        let secret = SessionSecret::new().unwrap();
        let cookie = secret.cookie(Duration::from_secs(60), true);
        let cookie = cookie.to_str().unwrap();
        for word in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=60"] {
            assert!(cookie.split("; ").any(|part| part == word), "{cookie}");
        }
        let pair = cookie.split(';').next().unwrap();
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, text.parse().unwrap());
            SessionSecret::of(&headers)
        };
        assert!(of(&format!("a=b; {pair}; c=d")) == Some(secret.clone()));
        for bad in ["", "cfx_session=", "cfx_session=xyz", &pair[1..], &pair.to_uppercase(), &format!("{pair}00")] {
            assert!(of(bad).is_none(), "{bad}");
        }
        assert!(!no_cookie(false).to_str().unwrap().contains("Secure"));
        assert_ne!(secret.csrf(), secret.sha256().to_string());
        assert!(same(secret.csrf().as_bytes(), &secret.csrf()) && !same(b"", &secret.csrf()));
    }
}
