//! W3C trace context (`traceparent`, version 00): which trace a message belongs to.

use std::{fmt, str::FromStr};

/// `00-<trace id>-<span id>-<flags>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceParent {
    /// The trace: 16 bytes, not zero.
    pub trace: u128,
    /// The span that caused the message: 8 bytes, not zero.
    pub span: u64,
    /// Whether it is recorded.
    pub sampled: bool,
}

/// A text that is not a trace context; such a header is ignored, as the standard asks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a traceparent of version 00")]
pub struct NotATraceParent(pub String);

impl TraceParent {
    /// A new trace from 24 random bytes; zero ids, which the standard forbids, become 1.
    pub fn new(random: [u8; 24]) -> Self {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&random[..16]);
        span.copy_from_slice(&random[16..]);
        let (trace, span) = (u128::from_be_bytes(trace).max(1), u64::from_be_bytes(span).max(1));
        Self { trace, span, sampled: true }
    }

    /// The same trace, caused by another span.
    #[must_use]
    pub fn child(self, span: u64) -> Self {
        Self { span: span.max(1), ..self }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || NotATraceParent(text.to_owned());
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts.as_slice() else { return Err(refuse()) };
        let lengths = (version.len(), trace.len(), span.len(), flags.len());
        let lower = text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if *version != "00" || lengths != (2, 32, 16, 2) || !lower {
            return Err(refuse());
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0).ok_or_else(refuse)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0).ok_or_else(refuse)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| refuse())?;
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_reads_what_it_writes() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read: TraceParent = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        assert_eq!(read.child(7).to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        assert_eq!(TraceParent::new([0; 24]).to_string().parse::<TraceParent>().unwrap().trace, 1);
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for text in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text}");
        }
    }
}
