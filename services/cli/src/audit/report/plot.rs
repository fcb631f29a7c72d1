//! Dot-and-whisker plots, as numbers that the page's template draws.

use crate::audit::stats::Interval;

const LABELS: f64 = 250.0;
const PLOT: f64 = 520.0;
const MARK: f64 = 14.0;
const PAD: f64 = 10.0;
const AXIS: f64 = 26.0;

/// What a mark stands for; each has a colour and a shape of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Series {
    /// Source to edit.
    Edit,
    /// Source to reconstruction.
    Control,
    /// Reconstruction to edit.
    Attributable,
    /// Source to edit less source to reconstruction.
    Net,
}

impl Series {
    /// The name of its style in the page.
    pub const fn style(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Control => "control",
            Self::Attributable => "attributable",
            Self::Net => "net",
        }
    }

    /// For the legend.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edit => "source → edit",
            Self::Control => "source → reconstruction (control)",
            Self::Attributable => "reconstruction → edit (by the edit)",
            Self::Net => "source → edit less control",
        }
    }
}

/// A value with its interval.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// What it stands for.
    pub series: Series,
    /// Where the dot is.
    pub value: f64,
    /// Where the whisker ends.
    pub interval: Interval,
}

/// Marks under one label.
#[derive(Clone, Debug)]
pub struct Line {
    /// The label, as it is; the template escapes it.
    pub label: String,
    /// One below the other.
    pub marks: Vec<Mark>,
}

/// A mark, placed.
#[derive(Debug)]
pub struct Placed {
    /// What it stands for.
    pub series: Series,
    /// The dot.
    pub x: f64,
    /// The dot and the whisker.
    pub y: f64,
    /// Where the whisker begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// What a pointer over it is told.
    pub told: String,
}

/// A label, placed.
#[derive(Debug)]
pub struct Label {
    /// The text, whole.
    pub text: String,
    /// The text as far as there is room.
    pub short: String,
    /// Its middle.
    pub y: f64,
}

/// A plot.
#[derive(Debug)]
pub struct Figure {
    /// Above it.
    pub title: String,
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
    /// Where the lines end and the axis begins.
    pub floor: f64,
    /// Ticks: where, and what they say.
    pub ticks: Vec<(f64, String)>,
    /// The labels.
    pub labels: Vec<Label>,
    /// The marks.
    pub marks: Vec<Placed>,
    /// What its marks stand for, each once.
    pub legend: Vec<Series>,
}

impl Figure {
    /// Places `lines` over an axis from `axis[0]` to `axis[1]`, both shares.
    pub fn new(title: &str, axis: [f64; 2], lines: Vec<Line>) -> Self {
        let at = |value: f64| LABELS + PLOT * (value.clamp(axis[0], axis[1]) - axis[0]) / (axis[1] - axis[0]);
        let (mut labels, mut marks, mut legend) = (Vec::new(), Vec::new(), Vec::new());
        let mut top = PAD;
        for line in lines {
            let tall = line.marks.len() as f64 * MARK;
            labels.push(Label { short: short(&line.label), y: top + tall / 2.0, text: line.label });
            for (place, mark) in line.marks.into_iter().enumerate() {
                if !legend.contains(&mark.series) {
                    legend.push(mark.series);
                }
                let [value, low, high] = [mark.value, mark.interval.low, mark.interval.high].map(|v| 100.0 * v);
                marks.push(Placed {
                    series: mark.series,
                    x: at(mark.value),
                    y: top + (place as f64 + 0.5) * MARK,
                    low: at(mark.interval.low),
                    high: at(mark.interval.high),
                    told: format!("{}: {value:.1} % [{low:.1}, {high:.1}]", mark.series.name()),
                });
            }
            top += tall + PAD;
        }
        let tick = |step: u32| {
            let value = axis[0] + (axis[1] - axis[0]) * f64::from(step) / 4.0;
            (at(value), format!("{:.0} %", 100.0 * value))
        };
        Self {
            title: title.to_owned(),
            width: LABELS + PLOT + 30.0,
            height: top + AXIS,
            floor: top,
            ticks: (0..=4).map(tick).collect(),
            labels,
            marks,
            legend,
        }
    }
}

/// As much of a label as there is room for; the whole of it is the label's tooltip.
fn short(label: &str) -> String {
    const ROOM: usize = 36;
    match label.char_indices().nth(ROOM) {
        Some(_) => label.chars().take(ROOM - 1).chain(['…']).collect(),
        None => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_on_their_values() {
        let mark = |value| Mark { series: Series::Net, value, interval: Interval { low: -2.0, high: 0.5 } };
        let line = Line { label: "x".repeat(60), marks: vec![mark(-1.0), mark(0.0), mark(1.0)] };
        let figure = Figure::new("t", [-1.0, 1.0], vec![line]);
        let places: Vec<_> = figure.marks.iter().map(|mark| mark.x).collect();
        assert_eq!(places, [LABELS, LABELS + PLOT / 2.0, LABELS + PLOT]);
        assert_eq!((figure.marks[0].low, figure.marks[0].high), (LABELS, LABELS + 0.75 * PLOT));
        assert!(figure.marks[2].y < figure.floor && figure.floor < figure.height);
        assert_eq!(figure.labels[0].short.chars().count(), 36);
        assert_eq!(figure.legend, [Series::Net]);
        let ticks: Vec<_> = figure.ticks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(ticks, ["-100 %", "-50 %", "0 %", "50 %", "100 %"]);
    }
}
