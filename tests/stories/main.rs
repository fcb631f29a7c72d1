//! What users live through, on real Postgres, RabbitMQ and S3, with the binaries that ship. One binary, one module a subject.

mod access;
mod audits;
mod broker_loss;
mod browser;
mod cancel;
mod exports;
mod framing;
mod interop;
mod late_messages;
mod limits;
mod main_job;
mod measured;
mod observed;
mod packs;
mod poison;
mod provenance;
mod python;
mod rebuild;
mod replays;
mod submits;
mod traced;
mod worker_loss;
mod yields;

/// A job of per-image edits on `dataset`, `steps` optimiser steps each.
fn per_image(dataset: &str, steps: u32) -> String {
    format!(
        r#"
name = "per image"
dataset = "{dataset}"
pack = "facesjs-64"
[[edits]]
text = "a face with green hair"
method = {{ kind = "clip-nce", steps = {steps}, views = 2 }}
"#
    )
}
