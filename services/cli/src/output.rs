//! The one place that prints: JSON or aligned text on stdout, troubles and progress on stderr.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talking on the terminal is what cfx is for")]

use serde::Serialize;

/// One value as pretty JSON on stdout.
pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// One line on stdout.
pub fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// One line on stderr: progress and remarks, so that stdout stays clean for pipes.
pub fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// An error with its causes on stderr.
pub fn complain(error: &anyhow::Error) {
    eprintln!("cfx: {error:#}");
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
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    print(&headings.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
    for row in rows {
        print(row);
    }
}
