//! Who works on this very machine needs no key, where that is allowed: `make demo` and a first look need no ceremony.
//!
//! It holds for a coordinator that listens on a loopback address only (`CFX_AUTH=loopback`, the default), and for requests whose other
//! end is a loopback address. That alone would let any web page that is open on the machine in, and whoever asks through a proxy that
//! runs there, so three things are looked at besides:
//!
//! - `Host` must be a loopback address or `localhost`. A page that had its own name resolved to 127.0.0.1 (DNS rebinding) still names
//!   itself there.
//! - A browser's request from another site (`Sec-Fetch-Site`, `Origin`) counts as nobody's, but for following a link to a page.
//!   Programs send neither header.
//! - Headers that proxies add (`Forwarded`, `X-Forwarded-*`, `X-Real-IP`, `Via`) tell that somebody else asks. A proxy that adds none
//!   of them and rewrites `Host` cannot be told apart: behind one, set `CFX_AUTH=keys`.

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, Method, header};
use std::net::{IpAddr, SocketAddr};

/// Headers by which a proxy shows.
const OF_PROXIES: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// Where the other end of the connection is; `None` for requests that came by none.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical())
}

/// Whether the request comes from a program on this machine, or a page of this coordinator in a browser on it.
pub fn is_local(peer: Option<IpAddr>, method: &Method, headers: &HeaderMap) -> bool {
    peer.is_some_and(|ip| ip.is_loopback())
        && OF_PROXIES.iter().all(|name| !headers.contains_key(*name))
        && names_this_machine(headers)
        && !is_cross_site(method, headers)
}

/// Whether `Host` is there once and names a loopback address.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = host.to_str().unwrap_or_default().parse::<axum::http::uri::Authority>() else { return false };
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether a browser sends it on behalf of another site. Following a link is not that: it changes nothing, and the other site sees
/// nothing of the answer.
pub fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let safe = method.is_safe();
    let elsewhere = match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => false,
        Some(_) => !(safe && text("sec-fetch-mode") == Some("navigate") && text("sec-fetch-dest") == Some("document")),
    };
    // Browsers send it with every request that changes something; `null` is that of a page without an origin.
    let foreign = match (text("origin"), text("host")) {
        (None, _) => false,
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host)),
        (Some(_), None) => true,
    };
    elsewhere || (foreign && !safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(peer: &str, method: Method, given: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        is_local(Some(peer.parse().unwrap()), &method, &headers)
    }

    #[test]
    fn a_program_on_this_machine_is_let_in_by_any_loopback_name() {
        for host in ["127.0.0.1:8080", "localhost", "LocalHost:1", "[::1]:8080", "127.8.9.1"] {
            assert!(asked("127.0.0.1", Method::POST, &[("host", host)]), "{host}");
        }
        assert!(asked("::1", Method::GET, &[("host", "[::1]")]));
        assert!(!asked("10.0.0.7", Method::GET, &[("host", "localhost")]), "from another machine");
        assert!(!is_local(None, &Method::GET, &HeaderMap::new()), "from nowhere");
    }

    #[test]
    fn a_name_that_was_resolved_to_this_machine_lets_nobody_in() {
        for host in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "a@127.0.0.1@b"] {
            assert!(!asked("127.0.0.1", Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!asked("127.0.0.1", Method::GET, &[]));
        assert!(!asked("127.0.0.1", Method::GET, &[("host", "localhost"), ("host", "evil.example")]));
    }

    #[test]
    fn another_site_in_a_browser_here_is_nobody_but_may_be_left_by_a_link() {
        let host = ("host", "127.0.0.1:8080");
        let own = ("origin", "http://127.0.0.1:8080");
        assert!(asked("127.0.0.1", Method::POST, &[host, own, ("sec-fetch-site", "same-origin")]));
        assert!(asked("127.0.0.1", Method::GET, &[host, ("sec-fetch-site", "none")]));
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9090", ""] {
            assert!(!asked("127.0.0.1", Method::POST, &[host, ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert!(!asked("127.0.0.1", Method::GET, &[host, ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")]));
            let link = [host, ("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            assert!(asked("127.0.0.1", Method::GET, &link));
            assert!(!asked("127.0.0.1", Method::POST, &link), "a form of another site");
        }
    }

    #[test]
    fn a_proxy_on_this_machine_asks_for_somebody_else() {
        for name in OF_PROXIES {
            assert!(!asked("127.0.0.1", Method::GET, &[("host", "localhost"), (name, "x")]), "{name}");
        }
    }
}
