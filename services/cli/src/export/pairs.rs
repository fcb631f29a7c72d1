//! The first pass: images to their places, rows to the staged file, page by page.

use super::Work;
use super::images::{self, Placed, Recent};
use super::plan::Format;
use super::shards::Shards;
use super::staging::{Rows, Staged, State};
use anyhow::{Result, bail};
use futures_util::TryStreamExt as _;
use wire::http::v1::{Page, Pair};

/// Rows of a page: what a repetition may have to do again.
const PAGE: u32 = 200;

/// Goes on behind the last row that is noted; `resumed` says that an earlier run may have begun the page behind it.
pub async fn run(work: &Work<'_>, state: &mut State, resumed: bool) -> Result<()> {
    bring_pending(work, state).await?;
    let recent = Recent::default();
    let mut pass = Pass {
        work,
        rows: work.staging.append_rows(state)?,
        shards: Shards::resume(work.staging, work.plan.shard_bytes(), state)?,
        placed: Placed::default(),
        recent: &recent,
        // what the interrupted page had brought to its place need not be fetched again
        check: state.repeated || resumed,
    };
    for staged in work.staging.rows(state)? {
        pass.placed.note(&staged?.row);
    }
    while state.pairs < state.total {
        let page: Page<Pair> = work.client.get(&work.plan.page(state.cursor.as_deref(), PAGE)).await?;
        if page.items.is_empty() {
            // fewer than were counted: the job was taken up again, which the next run sees
            bail!("job {} has changed since the export began; run the command again", work.plan.job.id);
        }
        pass.page(state, &page.items).await?;
        work.bar.set_position(state.pairs);
    }
    for split in pass.shards.splits() {
        pass.shards.end(state, &split)?;
        pass.note(state)?;
        bring_pending(work, state).await?;
    }
    Ok(())
}

/// Whole shards to their places; one that is not staged any more is there.
async fn bring_pending(work: &Work<'_>, state: &mut State) -> Result<()> {
    for name in std::mem::take(&mut state.pending) {
        let path = work.staging.path(&name);
        if path.exists() {
            work.sink.publish(&name, &path).await?;
        }
    }
    Ok(())
}

struct Pass<'a> {
    work: &'a Work<'a>,
    rows: Rows,
    shards: Shards<'a>,
    placed: Placed,
    recent: &'a Recent,
    check: bool,
}

impl Pass<'_> {
    async fn page(&mut self, state: &mut State, pairs: &[Pair]) -> Result<()> {
        match self.work.plan.format() {
            Format::Webdataset => self.fill_shards(state, pairs).await?,
            Format::Prov => {
                for pair in pairs {
                    let row = self.work.plan.row(pair);
                    self.push(state, Staged { folder: String::new(), row })?;
                }
            }
            Format::Imagefolder | Format::Parquet | Format::Croissant => {
                let staged = images::place(self.work, &mut self.placed, pairs, self.check).await?;
                for staged in staged {
                    self.push(state, staged)?;
                }
            }
        }
        self.check = state.repeated;
        self.note(state)
    }

    async fn fill_shards(&mut self, state: &mut State, pairs: &[Pair]) -> Result<()> {
        let work = self.work;
        let mut samples = std::pin::pin!(images::samples(work, self.recent, pairs));
        while let Some(sample) = samples.try_next().await? {
            let json = serde_json::to_vec(&state.columns.flat(&sample.row))?;
            if self.shards.is_full_for(&sample, json.len()) {
                self.shards.end(state, &sample.row.split)?;
                self.note(state)?;
                bring_pending(work, state).await?;
            }
            let shard = self.shards.push(state, &sample, &json)?;
            self.push(state, Staged { folder: format!("{shard}/"), row: sample.row })?;
            work.bar.set_position(state.pairs);
        }
        Ok(())
    }

    fn push(&mut self, state: &mut State, staged: Staged) -> Result<()> {
        self.rows.push(&staged)?;
        let number = staged.row.sample_id.rsplit('-').next().unwrap_or_default();
        state.cursor = Some(number.to_owned());
        state.pairs += 1;
        Ok(())
    }

    /// Brings everything to disk, then notes how far that is.
    fn note(&mut self, state: &mut State) -> Result<()> {
        state.rows_bytes = self.rows.sync()?;
        self.shards.sync(state)?;
        self.work.staging.save(state)
    }
}
