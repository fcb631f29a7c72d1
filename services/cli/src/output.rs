//! The one place that prints: JSON or aligned text on stdout, troubles and progress on stderr.
//!
//! `cfx ... | head` ends quietly when its reader has seen enough, as other programs do. They leave that to SIGPIPE; this one may not:
//! the signal's default would also kill it, without a word, when a coordinator drops a connection that it writes to.

use crate::exit;
use serde::Serialize;
use std::io::{ErrorKind, Write as _};

/// One value as pretty JSON on stdout.
pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(harmless(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// JSON in which what would steer a terminal is escaped. JSON itself asks for that of the first 32 characters only.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // A line break is never inside a text here, and every one of these has four digits.
        if c != '\n' && steers(c) { out.push_str(&format!("\\u{:04x}", u32::from(c))) } else { out.push(c) }
    }
    out
}

/// True for what does not show but changes how the rest shows: control characters, line and paragraph separators, and the marks that
/// turn the direction of a line (UAX #9), by which a file name can pose as another.
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line on stdout. Ends the process when nobody can read it.
pub fn line(text: impl AsRef<str>) {
    match writeln!(std::io::stdout().lock(), "{}", text.as_ref()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(exit::READER_GONE.into()),
        Err(error) => {
            note(format!("cfx: stdout takes nothing more: {error}"));
            std::process::exit(exit::FAILURE.into())
        }
    }
}

/// One line on stderr: progress and remarks, so that stdout stays clean for pipes.
pub fn note(text: impl AsRef<str>) {
    // Remarks are dispensable: without anybody to read them the work goes on.
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// An error with its causes on stderr.
pub fn complain(error: &anyhow::Error) {
    note(format!("cfx: {error:#}"));
}

/// Rows under headings, columns padded to their widest cell.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    let print = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        line(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    print(&headings.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
    for row in rows {
        print(row);
    }
}
