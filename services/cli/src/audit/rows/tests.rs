//! Made-up pairs, counted by hand.

use super::*;

/// A pair of the source `source`, whose three images are of class 1 where `ones` says so.
pub fn pair(edit: &str, source: i32, ones: [bool; 3], group: &str, verdict: Option<Verdict>) -> Pair {
    let said = |one: bool| {
        let score = if one { 0.9 } else { 0.2 };
        Reading { class: usize::from(one), scores: Some(vec![1.0 - score, score]) }
    };
    let digest = |role: &str| Digest::of(format!("{role} {source}"));
    Pair {
        task: TaskId { job: 1, no: source },
        edit: edit.to_owned(),
        strength: 1.0,
        seed: 0,
        ordinal: i64::from(source),
        images: [digest("source"), digest("reconstruction"), digest("edit")],
        verdict,
        groups: vec![(!group.is_empty()).then(|| group.to_owned())],
        readings: ones.map(said),
    }
}

fn question(groups: &[&str]) -> Question {
    Question { positive: Some(1), groups: groups.iter().map(|g| (*g).to_owned()).collect(), seed: 0 }
}

/// 40 pairs: 20 flip to 1, 4 flip to 0 in the reconstruction already, of which one comes back; 16 stay.
fn forty() -> Vec<Pair> {
    (0..40)
        .map(|i| {
            let ones = match i {
                0..20 => [false, false, true],
                20..23 => [true, false, false],
                23 => [true, false, true],
                _ => [true, true, true],
            };
            let group = if i % 2 == 0 { "a" } else { "b" };
            let verdict = if i < 24 { Verdict::Accept } else { Verdict::Reject };
            pair("green", i, ones, group, Some(verdict))
        })
        .collect()
}

#[test]
fn a_row_counts_flips_control_and_what_the_edit_did() {
    let (rows, gaps) = count(&forty(), &question(&[]));
    assert!(gaps.is_empty());
    let kinds: Vec<_> = rows.iter().map(|row| (row.outputs, row.n)).collect();
    assert_eq!(kinds, [(Outputs::All, 40), (Outputs::Accepted, 24), (Outputs::Rejected, 16)]);
    let all = &rows[0];
    assert_eq!((all.flip.flips, all.control.flips, all.attributable.flips), (23, 4, 21));
    assert_eq!((all.to_positive, all.to_negative), (Some(20), Some(3)));
    assert!((all.net.value - 19.0 / 40.0).abs() < 1e-12 && all.net.method == "newcombe-paired");
    // 20 flips by the edit alone, one by the reconstruction alone
    let table = PairedTable { both: 3, first: 20, second: 1, neither: 16 };
    assert_eq!((all.p, all.net.interval), (table.mcnemar(), table.newcombe().unwrap()));
    let score = all.score.unwrap();
    assert!((score.edit - 0.7 * 17.0 / 40.0).abs() < 1e-12, "{score:?}");
    assert!((score.control + 0.7 * 4.0 / 40.0).abs() < 1e-12, "{score:?}");
    assert!((score.attributable - 0.7 * 21.0 / 40.0).abs() < 1e-12, "{score:?}");
    assert!(all.warnings.is_empty() && rows[1].warnings[0].contains("only 24 pairs"), "{rows:?}");
    assert_eq!(all.p_holm, (3.0 * all.p).min(1.0), "three rows, and this is the surest");
}

#[test]
fn seeds_that_repeat_sources_are_drawn_with_them() {
    let mut pairs = forty();
    pairs.extend(forty().into_iter().map(|pair| Pair { seed: 1, ..pair }));
    let (rows, _) = count(&pairs, &question(&[]));
    let (once, _) = count(&forty(), &question(&[]));
    assert_eq!((rows[0].n, rows[0].sources, rows[0].net.method), (80, 40, "cluster-bootstrap"));
    assert!(rows[0].warnings[0].contains("80 pairs of 40 sources"));
    let width = |row: &Row| row.net.interval.high - row.net.interval.low;
    assert!(width(&rows[0]) > 0.85 * width(&once[0]), "what repeats is not counted as new");
}

#[test]
fn groups_have_rows_and_gaps() {
    let mut pairs: Vec<_> = (0..40)
        .map(|i| pair("e", i, [false, false, i < 10 || i == 30], if i < 20 { "x" } else { "y" }, None))
        .collect();
    pairs.extend((40..50).map(|i| pair("e", i, [false, false, false], "", None)));
    let (rows, gaps) = count(&pairs, &question(&["side"]));
    let groups: Vec<_> = rows.iter().map(|row| (row.group.as_deref(), row.n, row.flip.flips)).collect();
    assert_eq!(groups, [(None, 50, 11), (Some("(none)"), 10, 0), (Some("x"), 20, 10), (Some("y"), 20, 1)]);
    let flip = &gaps[0];
    assert_eq!((flip.measure, flip.highest.as_str(), flip.lowest.as_str()), ("flip", "x", "(none)"));
    assert!((flip.gap - 0.5).abs() < 1e-12 && flip.p < 0.01 && flip.p_holm >= flip.p, "{flip:?}");
}

#[test]
fn without_a_positive_class_any_change_is_a_flip() {
    let mut changed = pair("e", 1, [false, false, true], "", None);
    changed.readings[2].class = 4;
    changed.readings[2].scores = None;
    let (rows, _) = count(&[changed], &Question { positive: None, groups: Vec::new(), seed: 0 });
    assert_eq!((rows[0].flip.flips, rows[0].to_positive), (1, None));
    assert!(rows[0].score.is_none(), "no scores, no change of score");
}
