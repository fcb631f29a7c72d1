//! The text instructions of pickle protocol 0, which no checkpoint of this decade is written in, but a few older ones are.

use super::Fault;
use super::arena::Node;

/// `INT`, `LONG`, `FLOAT`.
pub(super) fn number(opcode: u8, line: &[u8]) -> Result<Node, Fault> {
    let text = ascii(line)?;
    let node = match opcode {
        b'I' if text == "01" => Some(Node::Bool(true)),
        b'I' if text == "00" => Some(Node::Bool(false)),
        b'F' => text.parse().ok().map(Node::Float),
        _ => text.strip_suffix('L').unwrap_or(text).parse().ok().map(Node::Int),
    };
    node.ok_or_else(|| Fault::malformed(format!("{text:?} where a number should be")))
}

/// `GET`, `PUT`.
pub(super) fn slot(line: &[u8]) -> Result<u32, Fault> {
    let text = ascii(line)?;
    text.parse().map_err(|_| Fault::malformed(format!("{text:?} where a number should be")))
}

/// `STRING` as Python's `repr`, `UNICODE` with `\u` escapes.
pub(super) fn text(opcode: u8, line: &[u8]) -> Result<Vec<u8>, Fault> {
    if opcode == b'V' {
        return unicode(line);
    }
    let quoted = || match line {
        [open @ (b'\'' | b'"'), inner @ .., close] if open == close => Some(inner),
        _ => None,
    };
    let inner = quoted().ok_or_else(|| Fault::malformed("a text without quotes"))?;
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first().ok_or_else(|| Fault::malformed("a text ends in a backslash"))?;
        rest = after;
        out.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let (digits, after) = rest.split_at_checked(2).ok_or_else(|| Fault::malformed("a broken escape"))?;
                rest = after;
                hex(digits)? as u8
            }
            other => other,
        });
    }
    Ok(out)
}

fn unicode(line: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let width = match (byte, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            // Latin-1: each byte is its own code point.
            _ => {
                out.push(char::from(byte));
                continue;
            }
        };
        let digits = rest.get(1..=width).ok_or_else(|| Fault::malformed("a broken escape"))?;
        out.push(char::from_u32(hex(digits)?).ok_or_else(|| Fault::malformed("an escape that is no character"))?);
        rest = &rest[width + 1..];
    }
    Ok(out.into_bytes())
}

fn hex(digits: &[u8]) -> Result<u32, Fault> {
    u32::from_str_radix(ascii(digits)?, 16).map_err(|_| Fault::malformed("a broken escape"))
}

fn ascii(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::malformed("a number that is no text"))
}
