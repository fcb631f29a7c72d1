//! `cfx verify`: hold images against the records, credentials and seals that speak of them; the work is in [`crate::verify`].

use super::Context;
use crate::args::VerifyArgs;
use crate::verify::{self, Report};
use crate::{exit, output};
use anyhow::Result;

pub async fn run(at: &Context, args: &VerifyArgs) -> Result<u8> {
    let reports = verify::all(at, args).await?;
    if at.json {
        output::json(&reports)?;
    } else {
        reports.iter().for_each(verify::print);
    }
    let failed = reports.iter().filter(|report| !report.passed).count();
    if failed > 0 {
        output::note(format!("{failed} of {} files are not what they should be", reports.len()));
    }
    let sound = reports.iter().all(|report: &Report| report.passed);
    Ok(if sound { exit::OK } else { exit::VERIFICATION_FAILED })
}
