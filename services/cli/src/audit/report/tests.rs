//! A report of made-up pairs, and what stands in its files.

use super::*;
use crate::audit::rows::{count, tests::pair};

fn report(edit: &str) -> (Report, Vec<Pair>, Question) {
    let pairs: Vec<Pair> = (0..40)
        .map(|i| {
            let verdict = if i % 4 == 0 { Verdict::Reject } else { Verdict::Accept };
            pair(edit, i, [false, i == 3, i % 2 == 0], if i < 20 { "<b>" } else { "" }, Some(verdict))
        })
        .collect();
    let question = Question { positive: Some(1), groups: vec!["a&b".to_owned()], seed: 0 };
    let (rows, gaps) = count(&pairs, &question);
    let report = Report {
        job: JobId::from_uuid(uuid::Uuid::nil()),
        name: "<script>alert(1)</script>".to_owned(),
        dataset: "faces".to_owned(),
        pack: "facesjs-64".to_owned(),
        asked: Asked { kind: "scores", file: "scores.csv".to_owned(), sha256: Digest::of("x"), head: None },
        classes: vec!["no".to_owned(), "yes".to_owned()],
        positive: Some("yes".to_owned()),
        groups: question.groups.clone(),
        seed: 0,
        pairs: pairs.len(),
        without_score: 0,
        failed_tasks: 2,
        rows,
        gaps,
    };
    (report, pairs, question)
}

#[test]
fn the_page_needs_nothing_else_and_escapes_what_users_wrote() {
    let page = report("\"><img src=x>").0.html().unwrap();
    for foreign in ["<script", "<img", "http://", "https://", "src=x>", "<link", "url(", "<b>"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for wanted in [
        "<svg",
        "prefers-color-scheme: dark",
        "a&#38;b",
        "Rejected outputs",
        "Gaps between groups",
        "2 edits of the job",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn the_tables_hold_every_row_and_pair() {
    let folder = tempfile::tempdir().unwrap();
    let (report, pairs, question) = report("green, or so");
    report.write(folder.path(), &pairs, &question).unwrap();
    let read = |name: &str| {
        let mut reader = csv::Reader::from_path(folder.path().join(name)).unwrap();
        let header = reader.headers().unwrap().clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        (header, rows)
    };
    let cell = |header: &csv::StringRecord, row: &csv::StringRecord, name: &str| {
        row[header.iter().position(|column| column == name).unwrap()].to_owned()
    };
    let (header, rows) = read("flips.csv");
    assert_eq!(rows.len(), report.rows.len());
    assert_eq!(cell(&header, &rows[0], "edit"), "green, or so");
    assert_eq!(cell(&header, &rows[0], "flips"), "20");
    assert_eq!(cell(&header, &rows[0], "control_flips"), "1");
    assert_eq!(cell(&header, &rows[0], "attributable_flips"), "21");
    let (header, rows) = read("pairs.csv");
    assert_eq!(rows.len(), 40);
    let third = |name| cell(&header, &rows[3], name);
    assert_eq!(
        (third("source_class"), third("reconstruction_class"), third("edit_class")),
        ("no".into(), "yes".into(), "no".into())
    );
    assert_eq!(
        (third("flip"), third("control_flip"), third("attributable_flip")),
        ("0".into(), "1".into(), "1".into())
    );
    assert_eq!(
        (third("label_a&b"), third("verdict"), third("source_score")),
        ("<b>".into(), "accepted".into(), "0.2".into())
    );
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), report.rows.len());
    assert_eq!((&json["rows"][0]["flip"]["flips"], &json["classifier"]["kind"]), (&20.into(), &"scores".into()));
}
