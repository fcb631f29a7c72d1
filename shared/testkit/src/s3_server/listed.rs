//! Reads a listing's empty `delimiter` as none, as S3 itself does: `s3s-fs` looks for the empty text in every key and finds it, so tools
//! that always send the parameter (rclone) would see an empty bucket.

use s3s::access::S3Access;
use s3s::dto::{ListObjectsInput, ListObjectsV2Input};
use s3s::{S3Request, S3Result};

/// Lets everybody in who is known, with listings put right.
pub struct Listed;

#[async_trait::async_trait]
impl S3Access for Listed {
    async fn list_objects(&self, request: &mut S3Request<ListObjectsInput>) -> S3Result<()> {
        request.input.delimiter.take_if(|delimiter| delimiter.is_empty());
        Ok(())
    }

    async fn list_objects_v2(&self, request: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        request.input.delimiter.take_if(|delimiter| delimiter.is_empty());
        Ok(())
    }
}
