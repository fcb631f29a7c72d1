//! The local S3 spoken to by the client that the services use.
#![expect(clippy::unwrap_used, reason = "a failure in a helper of a test is a failure of the test")]

use std::process::Command;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use sha2::{Digest, Sha256};
use testkit::{Child, TestBucket, wait_until};

const PART: usize = 5 * 1024 * 1024;

fn client(endpoint: &str, access_key: &str, secret_key: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .region(Region::new(TestBucket::REGION))
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"))
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

fn sha256(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(bytes))
}

async fn get(client: &Client, key: &str) -> Vec<u8> {
    let object = client.get_object().bucket(TestBucket::NAME).key(key).send().await.unwrap();
    object.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_checksum_is_kept_and_a_wrong_one_refused() {
    let bucket = TestBucket::create().await.unwrap();
    let client = client(&bucket.endpoint(), TestBucket::ACCESS_KEY, TestBucket::SECRET_KEY);
    let put = |key: &'static str, checksum: String| {
        let request = client.put_object().bucket(TestBucket::NAME).key(key).checksum_sha256(checksum);
        request.body(ByteStream::from_static(b"an object")).send()
    };
    put("cas/right", sha256(b"an object")).await.unwrap();
    assert_eq!(get(&client, "cas/right").await, b"an object");
    assert_eq!(std::fs::read(bucket.object_path("cas/right")).unwrap(), b"an object");
    let head = client
        .head_object()
        .bucket(TestBucket::NAME)
        .key("cas/right")
        .checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled);
    assert_eq!(head.send().await.unwrap().checksum_sha256(), Some(sha256(b"an object").as_str()));

    let refused = put("cas/wrong", sha256(b"another object")).await.unwrap_err();
    assert_eq!(refused.code(), Some("BadDigest"), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let bucket = TestBucket::create().await.unwrap();
    let client = client(&bucket.endpoint(), TestBucket::ACCESS_KEY, "not the secret");
    let refused = client.list_objects_v2().bucket(TestBucket::NAME).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("SignatureDoesNotMatch"), "{refused:?}");
}

#[tokio::test]
async fn parts_become_one_object_and_pages_list_all() {
    let bucket = TestBucket::create().await.unwrap();
    let client = client(&bucket.endpoint(), TestBucket::ACCESS_KEY, TestBucket::SECRET_KEY);
    let upload = client
        .create_multipart_upload()
        .bucket(TestBucket::NAME)
        .key("big")
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await
        .unwrap();
    let id = upload.upload_id().unwrap();
    let whole: Vec<u8> = (0..PART + 1000).map(|i| (i % 251) as u8).collect();
    let mut parts = CompletedMultipartUpload::builder();
    for (bytes, number) in whole.chunks(PART).zip(1..) {
        let request = client.upload_part().bucket(TestBucket::NAME).key("big").upload_id(id).part_number(number);
        let part = request.checksum_sha256(sha256(bytes)).body(ByteStream::from(bytes.to_vec())).send().await.unwrap();
        parts = parts
            .parts(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag().map(str::to_owned)).build());
    }
    let complete = client
        .complete_multipart_upload()
        .bucket(TestBucket::NAME)
        .key("big")
        .upload_id(id)
        .multipart_upload(parts.build());
    complete.send().await.unwrap();
    assert!(get(&client, "big").await == whole, "the parts came back in other bytes");

    for i in 0..5 {
        client
            .put_object()
            .bucket(TestBucket::NAME)
            .key(format!("many/{i}"))
            .body(ByteStream::from_static(b"x"))
            .send()
            .await
            .unwrap();
    }
    let mut pages =
        client.list_objects_v2().bucket(TestBucket::NAME).prefix("many/").max_keys(2).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key().map(str::to_owned)));
    }
    assert_eq!(keys, ["many/0", "many/1", "many/2", "many/3", "many/4"]);

    let missing = client.get_object().bucket(TestBucket::NAME).key("none").send().await.unwrap_err();
    assert!(matches!(&missing, SdkError::ServiceError(error) if error.err().is_no_such_key()), "{missing:?}");
}

#[tokio::test]
async fn the_binary_serves_a_folder_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-s3"));
    command.arg("--root").arg(folder.path()).args(["--port", "0", "--access-key", "key", "--bucket", "test"]);
    command.env("CFX_S3_SECRET_KEY", "secret").env("NO_COLOR", "1").env_remove("RUST_LOG");
    let mut server = Child::spawn_command("local-s3", command).unwrap();
    let address = wait_until("local-s3 says where it listens", Duration::from_secs(10), async || {
        let output = server.output();
        output.split_once("address=")?.1.split_whitespace().next().map(str::to_owned)
    });
    let client = client(&format!("http://{}", address.await), "key", "secret");
    client.put_object().bucket("test").key("a/b").body(ByteStream::from_static(b"kept")).send().await.unwrap();

    server.freeze().unwrap();
    let frozen =
        tokio::time::timeout(Duration::from_millis(500), client.get_object().bucket("test").key("a/b").send()).await;
    assert!(frozen.is_err(), "a stopped process answers");
    server.thaw().unwrap();
    assert_eq!(get(&client, "a/b").await, b"kept");

    server.terminate().unwrap();
    let status = server.wait(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}; it wrote {}", server.output());
    assert_eq!(std::fs::read(folder.path().join("test/a/b")).unwrap(), b"kept");
}
