//! Artifacts of several pieces: stored while they arrive, fetched again where a fetch broke off, on a real S3 endpoint.

use anyhow::Result;
use artifacts::{ArtifactClass, ArtifactError, Artifacts, PIECE, S3Config};
use domain::Digest;
use std::path::Path;
use testkit::{Fault, FaultProxy, TestBucket, wait_until};

fn connect(endpoint: String) -> Artifacts {
    let (name, access, secret) = (TestBucket::NAME, TestBucket::ACCESS_KEY, TestBucket::SECRET_KEY);
    Artifacts::connect(&S3Config::new(Some(endpoint), TestBucket::REGION, name, access, secret, true))
}

/// Two pieces and a half, no two parts of which are alike.
fn large() -> Vec<u8> {
    (0..u32::try_from(PIECE * 5 / 2).expect("a small number"))
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8)
        .collect()
}

async fn store(artifacts: &Artifacts, digest: Digest, bytes: &[u8], chunk: usize) -> Result<(), ArtifactError> {
    let mut upload = artifacts.upload(digest);
    for chunk in bytes.chunks(chunk) {
        upload.push(chunk).await?;
    }
    upload.finish().await
}

/// Files under a folder, whatever they are.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn what_arrives_in_chunks_is_stored_whole_or_not_at_all() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let artifacts = connect(bucket.endpoint());
    let bytes = large();
    let digest = Digest::of(&bytes);
    let root = bucket.object_path("");
    let empty = files(&root);

    let error = store(&artifacts, Digest::of("other"), &bytes, 100_000).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Mismatch { found, .. } if found == digest), "{error}");
    // A sender that vanishes: nobody finishes what was begun.
    let mut upload = artifacts.upload(digest);
    upload.push(&bytes[..PIECE as usize + 1]).await?;
    drop(upload);
    wait_until("the pieces are taken back", std::time::Duration::from_secs(20), || {
        let left = files(&root);
        async move { (left == empty).then_some(()) }
    })
    .await;
    assert!(!artifacts.exists(digest).await?);

    // Whatever the chunks: smaller than a piece, exactly one, several at once.
    let folder = tempfile::tempdir()?;
    for (i, length) in [bytes.len(), PIECE as usize, PIECE as usize * 2, 1, 0].into_iter().enumerate() {
        let (bytes, path) = (&bytes[..length], folder.path().join(i.to_string()));
        let digest = Digest::of(bytes);
        for chunk in [1 << 16, PIECE as usize, usize::MAX] {
            store(&artifacts, digest, bytes, chunk).await?;
        }
        assert_eq!(artifacts.size(digest).await?, Some(length as u64));
        assert_eq!(artifacts.get_file(digest, &path).await?, length as u64);
        assert_eq!(std::fs::read(&path)?, bytes);
    }
    Ok(())
}

#[tokio::test]
async fn a_fetch_goes_on_where_it_broke_off_and_does_not_trust_what_is_there() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let (proxy, endpoint) = FaultProxy::before(&bucket.endpoint()).await?;
    let artifacts = connect(endpoint);
    let bytes = large();
    let digest = Digest::of(&bytes);
    store(&artifacts, digest, &bytes, 1 << 20).await?;
    let folder = tempfile::tempdir()?;
    let part = folder.path().join("part");

    proxy.cut_after_brought(PIECE + PIECE / 2);
    let error = artifacts.get_file(digest, &part).await.unwrap_err();
    assert_eq!(error.class(), ArtifactClass::Unavailable, "{error}");
    assert_eq!(std::fs::metadata(&part)?.len(), PIECE);
    proxy.set(Fault::None);
    let before = proxy.brought();
    artifacts.get_file(digest, &part).await?;
    assert_eq!(Digest::of(std::fs::read(&part)?), digest);
    let brought = proxy.brought() - before;
    assert!(brought < bytes.len() as u64 - PIECE + 10_000, "{brought} bytes came");

    // A part that was damaged (say, by a machine that lost its power), and one that is longer than the whole.
    let mut damaged = bytes[..PIECE as usize].to_vec();
    damaged[7] ^= 1;
    for there in [damaged, vec![0; bytes.len() + 1], bytes.clone()] {
        std::fs::write(&part, there)?;
        artifacts.get_file(digest, &part).await?;
        assert_eq!(Digest::of(std::fs::read(&part)?), digest);
    }

    // An object that is damaged itself is not fetched for ever.
    let object = bucket.object_path(&digest.cas_key());
    let mut spoilt = bytes;
    spoilt[11] ^= 1;
    std::fs::write(&object, &spoilt)?;
    for kept in [0, 1000] {
        std::fs::write(&part, &spoilt[..kept])?;
        let before = proxy.brought();
        let error = artifacts.get_file(digest, &part).await.unwrap_err();
        assert_eq!(error.class(), ArtifactClass::Mismatch, "{error}");
        assert!(!part.exists() && proxy.brought() - before < 2 * spoilt.len() as u64 + 100_000);
    }
    Ok(())
}
