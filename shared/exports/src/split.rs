//! Which split a source belongs to: a pure function of its bytes, so that all its edits, of every job, lie in one split.

use domain::Digest;
use std::fmt;
use std::str::FromStr;

/// Shares of named splits.
#[derive(Clone, PartialEq, Debug)]
pub struct Splits {
    /// Name, and where its share ends in 0 to 1; ascending, the last is 1.
    ends: Vec<(String, f64)>,
    /// As they were given, without spaces.
    given: String,
}

/// Shares that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("'{given}' are no splits: {reason}; write for example train=0.8,val=0.1,test=0.1")]
pub struct SplitError {
    given: String,
    reason: String,
}

impl Default for Splits {
    /// Everything is for training.
    fn default() -> Self {
        Self { ends: vec![("train".to_owned(), 1.0)], given: "train=1".to_owned() }
    }
}

impl Splits {
    /// The split of the source of this digest. `label` is what its dataset says, which wins.
    pub fn of(&self, source: &Digest, label: Option<&str>) -> String {
        if let Some(name) = label.map(named).filter(|name| !name.is_empty()) {
            return name;
        }
        let mut first = [0; 8];
        first.copy_from_slice(&source.as_bytes()[..8]);
        let place = u64::from_be_bytes(first) as f64 / (u64::MAX as f64 + 1.0);
        let found = self.ends.iter().find(|(_, end)| place < *end).or(self.ends.last());
        found.map_or_else(|| "train".to_owned(), |(name, _)| name.clone())
    }
}

impl fmt::Display for Splits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

/// A name that folders and loaders of datasets take: letters, digits and underscores.
fn named(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect()
}

impl FromStr for Splits {
    type Err = SplitError;

    fn from_str(text: &str) -> Result<Self, SplitError> {
        let fail = |reason: String| SplitError { given: text.to_owned(), reason };
        let mut ends: Vec<(String, f64)> = Vec::new();
        let mut total = 0.0;
        for part in text.split(',') {
            let (name, share) =
                part.split_once('=').ok_or_else(|| fail(format!("'{part}' has no share after an equals sign")))?;
            let name = name.trim();
            if name.is_empty() || named(name) != name {
                return Err(fail(format!("'{name}' is no name of letters, digits and underscores")));
            }
            if ends.iter().any(|(other, _)| other == name) {
                return Err(fail(format!("'{name}' is there twice")));
            }
            let share: f64 = share.trim().parse().map_err(|_| fail(format!("'{share}' is no number")))?;
            if !(share > 0.0 && share <= 1.0) {
                return Err(fail(format!("the share {share} lies outside 0 to 1")));
            }
            total += share;
            ends.push((name.to_owned(), total));
        }
        if (total - 1.0).abs() > 1e-6 {
            return Err(fail(format!("the shares add up to {total}, not to 1")));
        }
        if let Some(last) = ends.last_mut() {
            last.1 = 1.0;
        }
        Ok(Self { ends, given: text.split_whitespace().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn shares_are_met_and_a_source_stays_where_it_is() {
        let splits: Splits = "train=0.8,val=0.1,test=0.1".parse().unwrap();
        let mut counts = BTreeMap::new();
        for no in 0..10_000_u32 {
            let source = Digest::of(no.to_le_bytes());
            let split = splits.of(&source, None);
            assert_eq!(split, splits.of(&source, Some(" ")), "an empty label says nothing");
            *counts.entry(split).or_insert(0) += 1;
        }
        let near = |name: &str, share: i32| (counts[name] - share).abs() < 150;
        assert!(near("train", 8000) && near("val", 1000) && near("test", 1000), "{counts:?}");
        assert_eq!(" train=0.5, test=0.5".parse::<Splits>().unwrap().to_string(), "train=0.5,test=0.5");
        assert_eq!(Splits::default().of(&Digest::of("x"), None), "train");
    }

    #[test]
    fn the_datasets_own_label_wins_and_is_a_safe_name() {
        let splits = Splits::default();
        assert_eq!(splits.of(&Digest::of("x"), Some("hold-out/../1")), "hold_out____1");
        assert_eq!(splits.of(&Digest::of("x"), Some("test")), "test");
    }

    #[test]
    fn every_fault_is_named() {
        for (text, word) in [
            ("train", "equals"),
            ("train=1,train=0", "twice"),
            ("a b=1", "a b"),
            ("train=x", "'x'"),
            ("train=0.5,test=0.4", "0.9"),
            ("train=1.5", "1.5"),
            ("train=NaN", "NaN"),
            ("", "equals"),
        ] {
            let error = text.parse::<Splits>().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("train=0.8"), "{text}: {error}");
        }
    }
}
