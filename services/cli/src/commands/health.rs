//! `cfx health`: whether the coordinator can do its work, for probes of containers and scripts that wait for it. Needs no key.

use super::Context;
use crate::client::ClientError;
use crate::{exit, output};
use anyhow::Result;
use serde_json::json;

pub async fn run(at: &Context) -> Result<u8> {
    let (ready, said) = match at.client.ready().await {
        Ok(said) => (true, said.trim().to_owned()),
        Err(ClientError::Problem(problem)) => (false, problem.detail),
        Err(error) => return Err(error.into()),
    };
    if at.json {
        output::json(&json!({ "ready": ready, "detail": said }))?;
    } else {
        output::line(said);
    }
    Ok(if ready { exit::OK } else { exit::FAILURE })
}
