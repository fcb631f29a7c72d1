//! `cfx doctor`: is everything there that a job needs? One line a check, with the remedy.

use super::Context;
use crate::client::ClientError;
use crate::{exit, output};
use anyhow::Result;
use serde::Serialize;
use wire::http::v1::{Dataset, Pack, WhoAmI, Worker};

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

pub async fn run(at: &Context) -> Result<u8> {
    let mut checks = vec![match at.client.ready().await {
        Ok(said) => match said.trim().split_once("; ") {
            None => passed("coordinator", format!("{} is ready", at.client.server())),
            Some((_, waits)) => failed("coordinator", waits.to_owned()),
        },
        Err(ClientError::Problem(problem)) => failed("coordinator", problem.detail),
        Err(error) => {
            checks_end(at, &[failed("coordinator", error.to_string())])?;
            return Err(error.into());
        }
    }];
    match at.client.get::<WhoAmI>("/v1/whoami").await {
        Ok(who) => checks.push(passed("access", super::whoami::sentence(&who))),
        Err(ClientError::Problem(problem)) => {
            // nothing more is told to who may not ask
            checks.push(failed("access", problem.detail));
            checks_end(at, &checks)?;
            return Ok(exit::FAILURE);
        }
        Err(error) => return Err(error.into()),
    }
    let workers: Vec<Worker> = at.client.all("/v1/workers", 0).await?;
    let live = workers.iter().filter(|w| w.state == "live").count();
    checks.push(match live {
        0 => failed("workers", "none is alive; start one with `worker run`".to_owned()),
        n => passed("workers", format!("{n} alive")),
    });
    let packs: Vec<Pack> = at.client.all("/v1/packs", 0).await?;
    checks.push(match packs.len() {
        0 => failed("packs", "none is registered; `cfx pack add FOLDER`".to_owned()),
        n => passed("packs", format!("{n} registered")),
    });
    let datasets: Vec<Dataset> = at.client.all("/v1/datasets", 0).await?;
    checks.push(match datasets.len() {
        0 => failed("datasets", "none is registered; `cfx dataset add NAME FOLDER`".to_owned()),
        n => passed("datasets", format!("{n} registered")),
    });
    checks_end(at, &checks)?;
    Ok(if checks.iter().all(|c| c.ok) { exit::OK } else { exit::FAILURE })
}

const fn passed(name: &'static str, detail: String) -> Check {
    Check { name, ok: true, detail }
}

const fn failed(name: &'static str, detail: String) -> Check {
    Check { name, ok: false, detail }
}

fn checks_end(at: &Context, checks: &[Check]) -> Result<()> {
    if at.json {
        return output::json(&checks);
    }
    for check in checks {
        output::line(format!("{} {:<12} {}", if check.ok { "ok  " } else { "FAIL" }, check.name, check.detail));
    }
    Ok(())
}
