//! The promises of the artifacts crate, on a real S3 endpoint.

use anyhow::Result;
use artifacts::{ArtifactClass, ArtifactError, Artifacts, S3Config, S3Uri};
use domain::{Digest, Reason, StageKey};
use std::time::Duration;
use testkit::{Fault, FaultProxy, TestBucket};

fn config(bucket: &TestBucket) -> S3Config {
    let (name, access, secret) = (TestBucket::NAME, TestBucket::ACCESS_KEY, TestBucket::SECRET_KEY);
    S3Config::new(Some(bucket.endpoint()), TestBucket::REGION, name, access, secret, true)
}

#[tokio::test]
async fn an_artifact_is_read_as_it_was_written_and_twice_is_once() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let artifacts = Artifacts::connect(&config(&bucket));
    for size in [0, 1, 100_000, 9_000_000] {
        let bytes: Vec<u8> = (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let digest = artifacts.put(bytes.clone()).await?;
        assert_eq!(digest, Digest::of(&bytes));
        assert_eq!(artifacts.put(bytes.clone()).await?, digest);
        assert_eq!(artifacts.get(digest).await?, bytes);
        assert!(artifacts.exists(digest).await?);
    }
    assert_eq!(artifacts.list("cas/", None).await?.objects.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_damaged_artifact_is_not_handed_out() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let artifacts = Artifacts::connect(&config(&bucket));
    let digest = artifacts.put(b"a face".as_slice()).await?;
    std::fs::write(bucket.object_path(&digest.cas_key()), b"a fake")?;
    let error = artifacts.get(digest).await.unwrap_err();
    assert_eq!((error.class(), error.reason()), (ArtifactClass::Mismatch, Reason::DigestMismatch));
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_not_a_fault() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let artifacts = Artifacts::connect(&config(&bucket));
    let nothing = Digest::of(b"nothing");
    assert!(!artifacts.exists(nothing).await?);
    let error = artifacts.get(nothing).await.unwrap_err();
    assert_eq!((error.class(), error.reason()), (ArtifactClass::Missing, Reason::MissingSource));
    assert_eq!(artifacts.get_result::<String>(&StageKey(nothing).result_key()).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_result_pointer_is_found_by_its_stage_key() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let artifacts = Artifacts::connect(&config(&bucket));
    let key = StageKey(Digest::of(b"key")).result_key();
    artifacts.put_result(&key, &vec![1, 2, 3]).await?;
    assert_eq!(artifacts.get_result::<Vec<u8>>(&key).await?, Some(vec![1, 2, 3]));
    let error = artifacts.get_result::<String>(&key).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Unreadable { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_listing_is_paged_in_order_and_resumes() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let artifacts = Artifacts::connect(&config(&bucket));
    let folder = bucket.object_path("faces");
    std::fs::create_dir_all(&folder)?;
    for i in 0..1203 {
        std::fs::write(folder.join(format!("{i:05}.png")), b"x")?;
    }
    let uri: S3Uri = format!("s3://{}/faces/", TestBucket::NAME).parse()?;
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = artifacts.list_uri(&uri, after.as_deref()).await?;
        keys.extend(page.objects.into_iter().map(|o| o.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(keys.len(), 1203);
    assert!(keys.is_sorted() && keys[1202] == "faces/01202.png");
    let one: S3Uri = format!("s3://{}/{}", TestBucket::NAME, keys[7]).parse()?;
    assert_eq!(artifacts.get_uri(&one).await?, b"x".as_slice());
    Ok(())
}

#[tokio::test]
async fn wrong_keys_and_a_store_that_is_away_are_told_apart() -> Result<()> {
    let bucket = TestBucket::create().await?;
    let mut wrong = config(&bucket);
    wrong.secret_key = "wrong".to_owned();
    let error = Artifacts::connect(&wrong).put(b"x".as_slice()).await.unwrap_err();
    assert_eq!((error.class(), error.reason()), (ArtifactClass::Denied, Reason::StorageUnavailable));

    let mut absent = config(&bucket);
    absent.bucket = "absent".to_owned();
    let absent = Artifacts::connect(&absent);
    assert_eq!(absent.check().await.unwrap_err().class(), ArtifactClass::Denied);
    absent.ensure_bucket().await?;
    absent.check().await?;

    let (proxy, endpoint) = FaultProxy::before(&bucket.endpoint()).await?;
    let mut away = config(&bucket);
    away.endpoint = Some(endpoint);
    away.attempt_timeout = Duration::from_millis(400);
    away.operation_timeout = Duration::from_secs(3);
    let away = Artifacts::connect(&away);
    let digest = away.put(b"x".as_slice()).await?;
    for fault in [Fault::Blackhole, Fault::Cut] {
        proxy.set(fault);
        let error = away.get(digest).await.unwrap_err();
        assert_eq!(
            (error.class(), error.reason()),
            (ArtifactClass::Unavailable, Reason::StorageUnavailable),
            "{error}"
        );
    }
    proxy.set(Fault::None);
    assert_eq!(away.get(digest).await?, b"x".as_slice());
    Ok(())
}

/// A store that refuses the first request, as it does when the clock that signed it is off, and takes the second. Returns both
/// requests' `x-amz-date`.
async fn refuses_once(listener: tokio::net::TcpListener) -> Result<Vec<String>> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut dates = Vec::new();
    for status in ["403 Forbidden", "200 OK"] {
        let (mut client, _) = listener.accept().await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(client.read_u8().await?);
        }
        let request = String::from_utf8(request)?;
        let date = request.lines().find_map(|line| line.strip_prefix("x-amz-date: ")).unwrap_or_default();
        dates.push(date.to_owned());
        let rest = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        client.write_all(format!("HTTP/1.1 {status}\r\n{rest}").as_bytes()).await?;
    }
    Ok(dates)
}

#[tokio::test]
async fn a_head_that_is_refused_for_its_clock_is_asked_again_with_the_stores_time() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(refuses_once(listener));
    let artifacts = Artifacts::connect(&S3Config::new(Some(endpoint), "us-east-1", "any", "key", "secret", true));
    assert!(artifacts.exists(Digest::of(b"anything")).await?);
    let dates = serving.await??;
    assert!(!dates[0].starts_with("20260101T0000") && dates[1].starts_with("20260101T0000"), "{dates:?}");
    Ok(())
}
