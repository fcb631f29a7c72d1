//! Images that do harm: one at which every worker dies, and some that cannot be decoded.

use super::{Found, ended};
use crate::rig::{Rig, WORKERS};
use crate::setup::{Executor, How};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::workspace_root;

/// A killer takes eleven workers with it before it is dead, one every few seconds.
const PATIENCE: Duration = Duration::from_secs(420);
const GOOD: usize = 15;

/// A dataset with one image at which every worker dies: it ends dead, its batch-mates do not.
///
/// # Errors
/// When the harness itself fails.
pub async fn deadly(rig: &Rig, seed: u64) -> Result<Found> {
    let name = format!("deadly-{seed}");
    let mut objects: Vec<Vec<u8>> = (0..GOOD).map(|no| format!("{name} {no}").into_bytes()).collect();
    let killer = format!("{name} killer").into_bytes();
    let item = domain::Digest::of(&killer).to_string();
    objects.insert(GOOD / 2, killer);
    rig.api.dataset("default", &name, objects).await?;
    for place in 0..WORKERS {
        rig.replace_worker(place, How { deadly: Some(item.clone()), ..How::default() })?;
    }
    let seq = submit(rig, &name, json!({ "kind": "optimise", "seed": seed })).await?;
    let mut deaths = 0;
    let watching = async {
        loop {
            deaths += rig.restart_ended()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        #[expect(unreachable_code, reason = "it gives the block its type")]
        Ok::<(), anyhow::Error>(())
    };
    let mut found = tokio::select! {
        stopped = watching => { stopped?; Found::default() }
        found = ended(rig, seq, PATIENCE, &["D: ", "I1: 16", "I1: 0"]) => found?,
    };
    rig.note(format!("{deaths} workers died of it"));
    if deaths == 0 {
        found.violations.push("10: no worker died of the image that kills workers".to_owned());
    }
    let expected = BTreeMap::from([("invert worker_lost".to_owned(), 1), ("edit producer_dead".to_owned(), 1)]);
    found.violations.extend(dead_but(rig, seq, &expected).await?);
    found.violations.retain(|what| !what.contains("tasks exist"));
    Ok(found)
}

/// Real faces with pictures among them that are no images, for workers that compute: each ends with its own reason.
///
/// # Errors
/// When the harness itself fails.
pub async fn bad(rig: &Rig, seed: u64) -> Result<Found> {
    let name = format!("bad-{seed}");
    let face = |no: usize| {
        let path = workspace_root().join(format!("deploy/demo/faces/source/{no:03}.png"));
        std::fs::read(&path).with_context(|| path.display().to_string())
    };
    let first = usize::try_from(seed % 100)?;
    let mut objects = (first..first + 6).map(face).collect::<Result<Vec<_>>>()?;
    let mut truncated = face((first + 7) % 128)?;
    truncated.truncate(truncated.len() / 2);
    objects.insert(1, truncated);
    objects.insert(3, bomb());
    objects.insert(5, format!("no image at all {seed}").into_bytes());
    rig.api.dataset("default", &name, objects).await?;
    for place in 0..WORKERS {
        rig.replace_worker(place, How { executor: Some(Executor::Real), ..How::default() })?;
    }
    let seq = submit(rig, &name, json!({ "kind": "encoder" })).await?;
    let mut found = ended(rig, seq, PATIENCE, &["D: "]).await?;
    let expected = ["invert truncated", "invert too_large", "invert not_an_image"].map(|what| (what.to_owned(), 1));
    let expected = expected.into_iter().chain([("edit producer_dead".to_owned(), 3)]).collect();
    found.violations.extend(dead_but(rig, seq, &expected).await?);
    found.violations.retain(|what| !what.contains("tasks exist"));
    Ok(found)
}

async fn submit(rig: &Rig, dataset: &str, inversion: serde_json::Value) -> Result<i64> {
    let spec = json!({
        "name": dataset, "dataset": dataset, "pack": "facesjs-64", "inversion": inversion,
        "edits": [{ "text": "a face with green hair", "method": { "kind": "clip-nce", "steps": 1, "views": 1 } }],
    });
    Ok(rig.api.submit_spec("default", spec).await?.1)
}

/// Dead tasks by stage and reason, held against those that must be; all others have succeeded.
async fn dead_but(rig: &Rig, seq: i64, expected: &BTreeMap<String, i64>) -> Result<Option<String>> {
    let sql = "SELECT stage || ' ' || reason, count(*) FROM tasks WHERE job_seq = $1 AND state = 'dead' GROUP BY 1";
    let dead: BTreeMap<String, i64> =
        sqlx::query_as::<_, (String, i64)>(sql).bind(seq).fetch_all(&rig.pool).await?.into_iter().collect();
    Ok((dead != *expected).then(|| format!("10: dead are {dead:?}, not {expected:?}")))
}

/// The first bytes of a PNG that says to be 60,000 pixels wide and high.
fn bomb() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(60_000_u32.to_be_bytes());
    header.extend(60_000_u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&header);
    png.extend(crc(&header).to_be_bytes());
    png.extend(b"\0\0\0\0IDAT");
    png.extend(crc(b"IDAT").to_be_bytes());
    png
}

/// CRC-32 as PNG has it.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sum_is_the_one_of_every_png() {
        // the last twelve bytes of any PNG
        assert_eq!(super::crc(b"IEND"), 0xae42_6082);
    }
}
