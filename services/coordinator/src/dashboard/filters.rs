//! What templates need beyond askama's own filters.

use domain::record::Verdict;
use std::fmt::Display;

/// The verdict's name, which is also its CSS class.
#[askama::filter_fn]
pub fn verdict_name(verdict: &Verdict, _: &dyn askama::Values) -> askama::Result<&'static str> {
    Ok(match verdict {
        Verdict::Accept => "accept",
        Verdict::Reject => "reject",
    })
}

/// A score with four digits after the point.
#[askama::filter_fn]
pub fn short(value: &f64, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(format!("{value:.4}"))
}

/// A count with its thousands apart: `1 234 567`, with spaces that do not break.
#[askama::filter_fn]
pub fn grouped<T: Display>(value: T, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(group(&value.to_string()))
}

/// The same of its digits.
fn group(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap_or_default()).collect();
    format!("{sign}{}", parts.join("\u{202f}"))
}

/// The last part of an address: what tells one image from another.
#[askama::filter_fn]
pub fn tail<T: AsRef<str>>(uri: T, _: &dyn askama::Values) -> askama::Result<String> {
    let uri = uri.as_ref();
    Ok(uri.trim_end_matches('/').rsplit('/').next().filter(|part| !part.is_empty()).unwrap_or(uri).to_owned())
}

/// Seconds for people: `12 min`.
pub fn span(seconds: f64) -> String {
    match seconds {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// Bytes for people: `1.2 GiB`.
pub fn size(bytes: i64) -> String {
    match bytes as f64 {
        b if b < 1024.0 => format!("{b:.0} B"),
        b if b < 1024.0 * 1024.0 => format!("{:.0} KiB", b / 1024.0),
        b if b < 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", b / 1024.0 / 1024.0),
        b => format!("{:.1} GiB", b / 1024.0 / 1024.0 / 1024.0),
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986): slugs may hold letters of any script.
pub fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// An address with those of the given parameters that have a value.
pub fn address(path: &str, given: &[(&str, Option<&str>)]) -> String {
    let query: Vec<String> = given
        .iter()
        .filter_map(|(name, value)| value.filter(|v| !v.is_empty()).map(|v| format!("{name}={}", percent(v))))
        .collect();
    format!("{path}{}{}", if query.is_empty() { "" } else { "?" }, query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            (group("1"), group("1234"), group("-1234567")),
            ("1".into(), "1\u{202f}234".into(), "-1\u{202f}234\u{202f}567".into())
        );
        assert_eq!((span(3.0), span(600.0), span(7200.0)), ("3.0 s".into(), "10 min".into(), "2.0 h".into()));
        assert_eq!(size(3 << 29), "1.5 GiB");
        let address = address("/x", &[("a", Some("ü b")), ("b", None), ("c", Some(""))]);
        assert_eq!(address, "/x?a=%C3%BC%20b");
    }
}
