//! Shards that are being filled, one of each split.

use super::images::Sample;
use super::staging::{OpenShard, Staging, State, sync, written};
use anyhow::{Context as _, Result};
use exports::Shard;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;

/// The name of a split's shard.
pub fn name(split: &str, index: u32) -> String {
    format!("{split}-{index:06}.tar")
}

/// The shards that are open.
#[derive(Debug)]
pub struct Shards<'a> {
    staging: &'a Staging,
    limit: u64,
    open: BTreeMap<String, Shard<BufWriter<File>>>,
}

impl<'a> Shards<'a> {
    /// As they were when the note was written.
    pub fn resume(staging: &'a Staging, limit: u64, state: &State) -> Result<Self> {
        let mut open = BTreeMap::new();
        for (split, OpenShard { index, bytes, samples }) in &state.shards {
            if *samples > 0 {
                let file = staging.resume(&name(split, *index), *bytes)?;
                open.insert(split.clone(), Shard::resume(file, *bytes, *samples));
            }
        }
        Ok(Self { staging, limit, open })
    }

    /// Whether the split's shard must be ended before the sample finds room. A sample that is larger than a shard may be has one for
    /// itself.
    pub fn is_full_for(&self, sample: &Sample, json: usize) -> bool {
        let sizes = sample.files.iter().map(|(_, bytes)| bytes.len()).chain([json]);
        self.open.get(&sample.row.split).is_some_and(|shard| shard.samples() > 0 && shard.with(sizes) > self.limit)
    }

    /// Adds a sample; the name of the shard that has it.
    pub fn push(&mut self, state: &State, sample: &Sample, json: &[u8]) -> Result<String> {
        let split = &sample.row.split;
        let name = name(split, state.shards.get(split).map_or(0, |open| open.index));
        let shard = match self.open.get_mut(split) {
            Some(shard) => shard,
            None => {
                let file = self.staging.create(&name)?;
                self.open.entry(split.clone()).or_insert(Shard::new(file))
            }
        };
        let mut files: Vec<(&str, &[u8])> =
            sample.files.iter().map(|(suffix, bytes)| (suffix.as_str(), bytes.as_ref())).collect();
        files.push(("json", json));
        shard.push(&sample.key, &files)?;
        Ok(name)
    }

    /// Brings everything to disk and notes the lengths.
    pub fn sync(&mut self, state: &mut State) -> Result<()> {
        for (split, shard) in &mut self.open {
            let index = state.shards.get(split).map_or(0, |open| open.index);
            sync(shard.writer()).context("a staged shard cannot be written")?;
            let open = OpenShard { index, bytes: shard.bytes(), samples: shard.samples() };
            state.shards.insert(split.clone(), open);
        }
        Ok(())
    }

    /// Ends the split's shard and notes that it is to be brought to its place.
    pub fn end(&mut self, state: &mut State, split: &str) -> Result<()> {
        let Some(shard) = self.open.remove(split) else { return Ok(()) };
        let index = state.shards.get(split).map_or(0, |open| open.index);
        let name = name(split, index);
        let mut out = shard.finish()?;
        sync(&mut out).context("a staged shard cannot be written")?;
        let path = self.staging.path(&name);
        let whole = written(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        state.files.insert(name.clone(), whole);
        state.pending.push(name);
        state.shards.insert(split.to_owned(), OpenShard { index: index + 1, ..OpenShard::default() });
        Ok(())
    }

    /// The splits whose shards are open.
    pub fn splits(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }
}
