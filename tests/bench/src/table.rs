//! `QUALITY.md`: the tables, and what they say about ours against the rivals, computed from the figures.

use crate::cells::Bench;
use crate::edit::Cost;
use crate::measure::{Scores, figure};
use crate::plan::{Kind, Side, Text};
use crate::results::{Outcome, Results};
use crate::statistics::{Interval, average, difference, mean};
use std::fmt::Write as _;

/// How a figure is shown, and which way is better.
struct Column {
    figure: &'static str,
    heading: &'static str,
    decimals: usize,
    /// 1 if more is better, -1 if less is.
    better: f64,
}

const fn column(figure: &'static str, heading: &'static str, decimals: usize, better: f64) -> Column {
    Column { figure, heading, decimals, better }
}

const TRUTH: [Column; 7] = [
    column(figure::COLOUR, "colour success", 3, 1.0),
    column(figure::PSNR, "PSNR", 2, 1.0),
    column(figure::PSNR_INSIDE, "PSNR inside", 2, 1.0),
    column(figure::PSNR_OUTSIDE, "PSNR outside", 2, 1.0),
    column(figure::SSIM, "SSIM", 3, 1.0),
    column(figure::SSIM_INSIDE, "SSIM inside", 3, 1.0),
    column(figure::SSIM_OUTSIDE, "SSIM outside", 3, 1.0),
];
const JUDGED: [Column; 8] = [
    column(figure::SUCCESS, "success", 3, 1.0),
    column(figure::PRESERVATION, "preservation", 3, 1.0),
    column(figure::BOTH, "both", 3, 1.0),
    column(figure::OUTSIDE, "outside change", 1, -1.0),
    column(figure::INSIDE, "inside change", 1, 1.0),
    column(figure::IDENTITY, "identity", 3, 1.0),
    column(figure::CLIP_GAIN, "CLIP gain", 3, 1.0),
    column(figure::ACCEPTED, "accepted", 3, 1.0),
];
/// What ours and the rivals are compared by.
const COMPARED: [Column; 6] = [
    column(figure::PSNR, "PSNR", 2, 1.0),
    column(figure::COLOUR, "colour success", 3, 1.0),
    column(figure::SUCCESS, "success", 3, 1.0),
    column(figure::PRESERVATION, "preservation", 3, 1.0),
    column(figure::OUTSIDE, "outside change", 1, -1.0),
    column(figure::ACCEPTED, "accepted", 3, 1.0),
];
/// The goal for every text with a colour.
const GOAL: f64 = 0.95;
const KINDS: [Kind; 2] = [Kind::Counterfactual, Kind::InDomain];

/// The means of the scores of one cell, for progress.
pub fn one_line(scores: &Scores) -> String {
    let mean = |name| average(&scores.of(name).iter().flatten().copied().collect::<Vec<_>>());
    let parts =
        TRUTH.iter().chain(&JUDGED).filter_map(|c| Some(format!("{} {:.*}", c.heading, c.decimals, mean(c.figure)?)));
    parts.collect::<Vec<_>>().join(", ")
}

/// The whole page.
pub fn page(bench: &Bench<'_>, results: &Results<'_>) -> String {
    let mut page = head(bench, results);
    for kind in KINDS {
        let _ = writeln!(page, "\n## Against the drawn truth: {} texts\n", kind.name());
        page += &averages(bench, results, kind, &TRUTH, false);
    }
    for kind in KINDS {
        let _ = writeln!(page, "\n## By networks that nothing was optimised against: {} texts\n", kind.name());
        page += &averages(bench, results, kind, &JUDGED, true);
    }
    page += &goal(bench, results);
    page += &comparison(bench, results);
    page += &variants(bench, results);
    page += &per_text(bench, results);
    page += NOTES;
    page
}

fn head(bench: &Bench<'_>, results: &Results<'_>) -> String {
    let faces = &bench.plan.faces;
    let [done, all] = results.done;
    let state = if done == all {
        "All of the plan is measured.".to_owned()
    } else {
        format!("**Incomplete**: {done} of {all} runs (method x text x seed) are measured; `quality run` goes on.")
    };
    // As much of a digest as tells it, and whether files differed from it.
    let short = |revision: &String| {
        let (digest, state) =
            revision.split_once('-').map_or((revision.as_str(), ""), |(digest, state)| (digest, state));
        format!("{}{}{state}", digest.chars().take(12).collect::<String>(), if state.is_empty() { "" } else { "-" })
    };
    let revisions: Vec<_> = results.revisions.iter().map(short).collect();
    format!(
        "# Quality of edits\n\nWritten by `quality report` from `{}`; `quality.json` holds every figure with its intervals{}.\n\nPack {}, {} held-out faces a text (seed {}), mappers trained on {} \
         other faces (seed {}). {state} Revisions: {}.\n\nFigures in parentheses are 95 % intervals by a bootstrap over faces. \
         Those over seeds are in `quality.json`.\n",
        bench.plan.file,
        if bench.plan.shows_pictures() { ", `gallery/index.html` shows edits with the truth beside them" } else { "" },
        bench.networks.name,
        faces.count,
        faces.seed,
        faces.training_count,
        faces.training_seed,
        if revisions.is_empty() { "none yet".to_owned() } else { revisions.join(", ") },
    )
}

fn shown(column: &Column, value: Option<(f64, Interval)>) -> String {
    let d = column.decimals;
    value.map_or_else(|| "-".to_owned(), |(value, [low, high])| format!("{value:.d$} ({low:.d$} to {high:.d$})"))
}

fn plain(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

fn header(first: &str, columns: &[Column], more: &[&str]) -> String {
    let headings: Vec<_> = columns.iter().map(|c| c.heading).chain(more.iter().copied()).collect();
    format!("| {first} | {} |\n|---|{}\n", headings.join(" | "), "---|".repeat(headings.len()))
}

/// One row a method: means over the texts of a kind.
fn averages(bench: &Bench<'_>, results: &Results<'_>, kind: Kind, columns: &[Column], costs: bool) -> String {
    let all = bench.plan.texts.iter().filter(|text| text.kind == kind).count();
    let more: &[&str] =
        if costs { &["s an image", "CPU s an image", "CPU s of training", "texts"] } else { &["texts"] };
    let mut table = header("method", columns, more);
    for method in results.methods() {
        let of: Vec<_> = results.outcomes.iter().filter(|o| o.method == method && o.text.kind == kind).collect();
        // A switch that is tried on one text has its own table.
        if of.is_empty() || of[0].side() == Some(Side::Variant) {
            continue;
        }
        let _ = write!(table, "| {method} |");
        for column in columns {
            let values: Vec<_> = of.iter().map(|outcome| outcome.faces(column.figure)).collect();
            let _ = write!(table, " {} |", shown(column, mean(&values)));
        }
        if costs {
            let cost = |part: fn(&Cost) -> Option<f64>| {
                average(&of.iter().filter_map(|outcome| outcome.cost(part)).collect::<Vec<_>>())
            };
            let wall = plain(cost(|cost| Some(cost.seconds_per_image)), 3);
            let cpu = plain(cost(|cost| Some(cost.cpu_seconds_per_image)), 3);
            let training = plain(cost(|cost| Some(cost.training?.cpu_seconds)), 0);
            let _ = write!(table, " {wall} | {cpu} | {training} |");
        }
        let _ = writeln!(table, " {} of {all} |", of.len());
    }
    table
}

/// Which method reaches the goal on which text with a colour.
fn goal(bench: &Bench<'_>, results: &Results<'_>) -> String {
    let mut table = format!(
        "\n## The goal: at least {GOAL} success and {GOAL} preservation on every text with a colour\n\n\
         Success / preservation by the judge; bold where both reach the goal.\n\n"
    );
    let texts: Vec<_> = bench.plan.texts.iter().filter(|text| text.colour().is_some()).collect();
    let slugs: Vec<_> = texts.iter().map(|text| text.slug()).collect();
    let _ = writeln!(table, "| method | {} | reached |\n|---|{}---|", slugs.join(" | "), "---|".repeat(slugs.len()));
    for method in results.methods() {
        let of = |text: &Text| results.find(method, text);
        if texts.iter().all(|text| of(text).is_none_or(|o| o.side() == Some(Side::Variant))) {
            continue;
        }
        let (mut reached, mut measured) = (0, 0);
        let _ = write!(table, "| {method} |");
        for text in &texts {
            let value = |figure| of(text).and_then(|outcome| mean(&[outcome.faces(figure)])).map(|(value, _)| value);
            let cell = match (value(figure::SUCCESS), value(figure::PRESERVATION)) {
                (Some(success), Some(preservation)) => {
                    measured += 1;
                    let both = success >= GOAL && preservation >= GOAL;
                    reached += usize::from(both);
                    let mark = if both { "**" } else { "" };
                    format!("{mark}{success:.2} / {preservation:.2}{mark}")
                }
                _ => "-".to_owned(),
            };
            let _ = write!(table, " {cell} |");
        }
        let _ = writeln!(table, " {reached} of {measured} |");
    }
    table
}

/// `a - b` over the texts that both were measured on.
fn apart<'r>(
    results: &'r Results<'_>,
    [a, b]: [&str; 2],
    figure: &str,
    wanted: impl Fn(&Text) -> bool,
) -> Vec<(&'r Text, (f64, Interval), crate::statistics::ByFace)> {
    let of_a = results.outcomes.iter().filter(|outcome| outcome.method == a && wanted(outcome.text));
    let pairs = of_a.filter_map(|of_a| Some((of_a, results.find(b, of_a.text)?)));
    let differences = pairs.map(|(of_a, of_b)| (of_a.text, difference(of_a.faces(figure), of_b.faces(figure))));
    differences.filter_map(|(text, values)| Some((text, mean(&[&values])?, values))).collect()
}

/// Better, worse, or not to be told.
fn verdict(column: &Column, [low, high]: Interval) -> f64 {
    let (low, high) = (low * column.better, high * column.better);
    let (low, high) = (low.min(high), low.max(high));
    f64::from(i8::from(low > 0.0)) - f64::from(i8::from(high < 0.0))
}

fn comparison(bench: &Bench<'_>, results: &Results<'_>) -> String {
    let of_side = |side| bench.plan.methods.iter().filter(move |s| s.side == side).map(|s| s.name.as_str());
    if of_side(Side::Rival).next().is_none() {
        return String::new();
    }
    let mut page = "\n## Ours against the rivals\n\nOurs minus rival, the same faces, means over the texts that both were measured on. \
                    Bold: the interval leaves zero out, in our favour; italic: in the rival's. No correction for the number of comparisons.\n"
        .to_owned();
    for kind in KINDS {
        let _ = writeln!(page, "\n### {} texts\n", kind.name());
        page += &header("ours - rival", &COMPARED, &["texts"]);
        for ours in of_side(Side::Ours) {
            for rival in of_side(Side::Rival) {
                let mut line = format!("| {ours} - {rival} |");
                let mut texts = 0;
                for column in &COMPARED {
                    let values = apart(results, [ours, rival], column.figure, |text| text.kind == kind);
                    texts = texts.max(values.len());
                    let found = mean(&values.iter().map(|(_, _, values)| values).collect::<Vec<_>>());
                    let mark = match found.map(|(_, interval)| verdict(column, interval)) {
                        Some(1.0) => "**",
                        Some(-1.0) => "_",
                        _ => "",
                    };
                    let _ = write!(line, " {mark}{}{mark} |", shown_signed(column, found));
                }
                if texts > 0 {
                    let _ = writeln!(page, "{line} {texts} |");
                }
            }
        }
    }
    page += "\n### Text by text\n\nOn how many texts ours is better : not told apart : worse than the rival, by the paired interval \
             of each text; then where it is worse by the PSNR to the truth.\n\n";
    page += &header("ours, rival", &COMPARED, &["worse by PSNR on"]);
    for ours in of_side(Side::Ours) {
        for rival in of_side(Side::Rival) {
            let mut line = format!("| {ours}, {rival} |");
            let mut any = false;
            for column in &COMPARED {
                let verdicts: Vec<_> = apart(results, [ours, rival], column.figure, |_| true)
                    .into_iter()
                    .map(|(_, (_, interval), _)| verdict(column, interval))
                    .collect();
                any |= !verdicts.is_empty();
                let count = |which: f64| verdicts.iter().filter(|v| **v == which).count();
                let _ = write!(line, " {} : {} : {} |", count(1.0), count(0.0), count(-1.0));
            }
            let by_psnr = apart(results, [ours, rival], figure::PSNR, |_| true);
            let worse = by_psnr.iter().filter(|(_, (_, interval), _)| verdict(&COMPARED[0], *interval) < 0.0);
            let worse: Vec<_> = worse.map(|(text, ..)| text.slug()).collect();
            if any {
                let _ = writeln!(page, "{line} {} |", if worse.is_empty() { "-".to_owned() } else { worse.join(", ") });
            }
        }
    }
    page
}

fn shown_signed(column: &Column, value: Option<(f64, Interval)>) -> String {
    let d = column.decimals;
    value.map_or_else(|| "-".to_owned(), |(v, [low, high])| format!("{v:+.d$} ({low:+.d$} to {high:+.d$})"))
}

/// Single switches against the setting they depart from.
fn variants(bench: &Bench<'_>, results: &Results<'_>) -> String {
    let mut page = "\n## Single switches\n\nVariant minus the setting it departs from, the same faces.\n\n".to_owned();
    page +=
        &header("variant", &COMPARED, &["PSNR to it: median (least)", "CPU s an image", "CPU s of training", "texts"]);
    for setting in &bench.plan.methods {
        let Some(base) = &setting.variant_of else { continue };
        let pair = [setting.name.as_str(), base.as_str()];
        let texts = apart(results, pair, figure::SUCCESS, |_| true);
        if texts.is_empty() {
            continue;
        }
        let _ = write!(page, "| {} |", setting.name);
        for column in &COMPARED {
            let values = apart(results, pair, column.figure, |_| true);
            let found = mean(&values.iter().map(|(_, _, values)| values).collect::<Vec<_>>());
            let _ = write!(page, " {} |", shown_signed(column, found));
        }
        let both = |part: fn(&Cost) -> Option<f64>| {
            let of = |name: &str| {
                let costs = texts.iter().filter_map(|(text, ..)| results.find(name, text)?.cost(part));
                average(&costs.collect::<Vec<_>>())
            };
            match (of(base), of(&setting.name)) {
                (Some(base), Some(variant)) => format!("{base:.2} to {variant:.2}"),
                _ => "-".to_owned(),
            }
        };
        let found = texts.iter().filter_map(|(text, ..)| results.find(&setting.name, text));
        let mut near: Vec<f64> = found.flat_map(|outcome| outcome.to_base.iter().copied()).collect();
        near.sort_by(f64::total_cmp);
        let near =
            near.first().map_or_else(|| "-".to_owned(), |least| format!("{:.1} ({least:.1})", near[near.len() / 2]));
        let (each, training) = (both(|c| Some(c.cpu_seconds_per_image)), both(|c| Some(c.training?.cpu_seconds)));
        let slugs: Vec<_> = texts.iter().map(|(text, ..)| text.slug()).collect();
        let _ = writeln!(page, " {near} | {each} | {training} | {} |", slugs.join(", "));
    }
    page
}

fn per_text(bench: &Bench<'_>, results: &Results<'_>) -> String {
    let mut page = "\n## Text by text\n".to_owned();
    for text in &bench.plan.texts {
        let of: Vec<&Outcome<'_>> = results.outcomes.iter().filter(|o| std::ptr::eq(o.text, text)).collect();
        let faces = of.iter().map(|outcome| outcome.count()).max().unwrap_or(0);
        let _ = writeln!(page, "\n### {} ({}, {faces} faces)\n", text.text, text.kind.name());
        let columns: Vec<_> = TRUTH.iter().chain(&JUDGED).collect();
        let headings: Vec<_> = columns.iter().map(|column| column.heading).collect();
        let _ = writeln!(
            page,
            "| method | seeds | {} | CPU s an image |\n|---|---|{}---|",
            headings.join(" | "),
            "---|".repeat(headings.len())
        );
        for outcome in of {
            let seeds = if outcome.setting.is_some() { outcome.seeds.len().to_string() } else { "-".to_owned() };
            let _ = write!(page, "| {} | {seeds} |", outcome.method);
            for column in &columns {
                let value = mean(&[outcome.faces(column.figure)]).map(|(value, _)| value);
                let _ = write!(page, " {} |", plain(value, column.decimals));
            }
            let _ = writeln!(page, " {} |", plain(outcome.cost(|cost| Some(cost.cpu_seconds_per_image)), 3));
        }
    }
    page
}

const NOTES: &str = "
## What the figures mean

- **Drawn truth**: the renderer draws each held-out face again with one attribute changed. PSNR (dB) and SSIM compare the edit with that
  drawing, so they include what inversion loses: compare with the rows *before* (the reconstruction, unedited) and *ceiling*. Hair
  includes brows but not the beard, which the generator nevertheless ties to it.
- **inside, outside**: of the drawn region that may change, a pixel wider than drawn; for hair it includes brows and beard.
- **colour success**: the median colour of the edit inside the renderer's own mask is named as the target by the nearest of the renderer's
  prototypes. No network takes part. Glasses have no colour.
- **success, preservation, both**: by the pack's judge; preservation is the share of its other heads that read as in the reconstruction
  (for hair, the beard's colour does not count); *both* is success with every other head unchanged.
- **outside change, inside change**: mean absolute change against the reconstruction, levels of 0 to 255.
- **CLIP gain**: rise of the cosine with the text by the second CLIP. **identity**: cosine by the pack's identity network; \"-\" where
  the pack has none.
- **accepted**: share of edits that meet the rule `[accept]` of the plan, of all edits made.
- A searched strength is chosen by the judge, so for those rows the judge is no independent witness; colour and truth are.
- **s an image** is wall-clock time from latent to edited image with one thread; on a machine that is shared with other work the CPU time is the
  one to compare.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_change_outside_is_better() {
        let outside = &COMPARED[4];
        assert_eq!(verdict(outside, [-2.0, -1.0]), 1.0);
        assert_eq!(verdict(outside, [1.0, 2.0]), -1.0);
        assert_eq!(verdict(outside, [-1.0, 2.0]), 0.0);
        assert_eq!(verdict(&COMPARED[0], [1.0, 2.0]), 1.0);
    }
}
