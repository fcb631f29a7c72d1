//! What came of the stories: `.local/hosts/report.json`, and a table for people.

use crate::load::{Done, heavy_part};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// One story.
#[derive(Serialize, Clone, Debug)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// What was done.
    pub deed: String,
    /// Seconds for which it lasted.
    pub lasted_s: f64,
    /// Images a second before it.
    pub before: f64,
    /// While it lasted.
    pub during: f64,
    /// After it was mended.
    pub after: f64,
    /// Seconds from the deed until the installation did nine tenths of what it did before over five seconds again; none if it did not
    /// within the story.
    pub back_s: Option<f64>,
    /// What the heavier project got of the device time before, during and after, of what it is to get.
    pub share: [Option<f64>; 3],
    /// What went otherwise than it should.
    pub wrong: Vec<String>,
}

impl Told {
    /// Shares as parts of what the weights say.
    pub fn shares(spans: [Done; 3]) -> [Option<f64>; 3] {
        spans.map(|done| done.heavy_share.map(|share| share / heavy_part()))
    }
}

/// All stories.
#[derive(Serialize, Debug, Default)]
pub struct Report {
    /// Frames between hosts: forwarded, and lost or cut off.
    pub frames: (u64, u64),
    /// Images and latents that were made in all.
    pub made: i64,
    /// Hand-outs that were lost or given up and made anew.
    pub repeated: i64,
    /// In their order.
    pub stories: Vec<Told>,
    /// What does not hold after the end.
    pub violations: Vec<String>,
}

impl Report {
    /// Whether all is well.
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.stories.iter().all(|told| told.wrong.is_empty())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }

    /// A table in Markdown.
    pub fn table(&self) -> String {
        let mut text = "| story | lasted | images/s before | during | after | back after | share of the heavier project, of its due |\n\
                        |---|---|---|---|---|---|---|\n"
            .to_owned();
        let part = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{share:.2}"));
        for told in &self.stories {
            let back = told.back_s.map_or("–".to_owned(), |s| format!("{s:.0} s"));
            let [before, during, after] = told.share.map(part);
            let _ = writeln!(
                text,
                "| {} | {:.0} s | {:.1} | {:.1} | {:.1} | {back} | {before}, {during}, {after} |",
                told.deed, told.lasted_s, told.before, told.during, told.after
            );
        }
        let (forwarded, lost) = self.frames;
        let _ = writeln!(
            text,
            "\n{} images and latents were made, {} hand-outs had to be repeated; {forwarded} frames went between hosts, {lost} were lost or cut off.",
            self.made, self.repeated
        );
        for what in self
            .stories
            .iter()
            .flat_map(|told| told.wrong.iter().map(move |what| format!("{}: {what}", told.name)))
            .chain(self.violations.iter().cloned())
        {
            let _ = writeln!(text, "- **wrong**: {what}");
        }
        text
    }
}
