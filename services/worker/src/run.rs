//! `worker run`: takes work until told to end.

use crate::cache::PackCache;
use crate::config::{Config, Signer};
use crate::consume;
use crate::control;
use crate::device_memory;
use crate::drain::Drain;
use crate::gpu::Gpu;
use crate::held::Held;
use crate::pipeline::Line;
use crate::probe;
use crate::report::{Identity, Reporter};
use crate::signing::{Coordinators, Pending, Signing};
use crate::stages::record::device_name;
use anyhow::Context as _;
use artifacts::Artifacts;
use broker::{ControlListener, Publisher, WorkQueue};
use domain::ids::BootId;
use std::sync::Arc;
use telemetry::Guard;
use uuid::Uuid;

/// Exit code of a worker whose device was lost: whoever supervises it starts it again, and may tell it from a wrong setting, which
/// starting again does not mend. The number is sysexits.h's for a failure that passes.
pub const DEVICE_LOST: u8 = 75;

/// Runs until drained; everything in hand is then finished or handed back. Returns the exit code: 0, or [`DEVICE_LOST`].
///
/// # Errors
/// When the device is not there at the start, or signals cannot be listened for.
pub async fn run(config: Config, metrics: Guard) -> anyhow::Result<u8> {
    let drain = Drain::default();
    drain.on_signals(config.grace)?;
    let boot = BootId::from_uuid(Uuid::new_v4());
    let chosen = config.device.device;
    let gpu = {
        let (settings, packs) = (config.device, config.packs_loaded);
        tokio::task::spawn_blocking(move || Gpu::start(settings, packs)).await??
    };
    let device = config.null.as_ref().map_or_else(|| device_name(gpu.environment()), ToString::to_string);
    tracing::info!(%boot, name = config.name, class = config.class, device, "the worker is up");
    if config.null.is_some() {
        tracing::warn!(
            device,
            "nothing will be computed: this worker is for measuring the engine, on an installation of its own"
        );
    }
    let identity = Identity { boot, name: config.name.clone(), class: config.class.clone(), device };
    let publisher = Publisher::start(config.broker.clone());
    let device_memory = device_memory::Watched::of(chosen, config.heartbeat);
    let reporter = Reporter::new(publisher.clone(), identity, device_memory);
    let held = Arc::new(Held::default());
    if let Some(address) = config.metrics_listen {
        let listening = probe::listen(address, metrics, reporter.clone(), drain.clone()).await;
        listening.with_context(|| format!("metrics cannot be answered on {address}"))?;
    }

    // Heard before the first batch is taken: a revocation may answer at once.
    let mut listener = ControlListener::new(config.broker.clone());
    tokio::select! { () = listener.ready() => {}, () = drain.begun() => return Ok(0) }
    let ear = listener.queue();
    let signatures = Arc::<Pending>::default();
    let signing = match config.signing {
        Signer::Key(issuer) => Signing::Key(issuer),
        Signer::Coordinators => {
            Signing::Coordinators(Arc::new(Coordinators::new(publisher, ear.clone(), Arc::clone(&signatures))))
        }
        Signer::Off => Signing::Off,
    };
    if matches!(signing, Signing::Off) {
        tracing::warn!("images are not signed: CFX_SIGNING is 'off'");
    }
    let hearing = control::listen(listener, boot, Arc::clone(&held), signatures, drain.clone(), config.grace);
    let listening = tokio::spawn(hearing);
    let beating = tokio::spawn(reporter.clone().heartbeats(Arc::clone(&held), drain.clone(), ear, config.heartbeat));

    let artifacts = Artifacts::connect(&config.s3);
    let packs = PackCache::new(config.cache_dir, config.cache_bytes, config.packs_loaded, artifacts.clone());
    let (queue, finishing) = (WorkQueue::new(config.broker, &config.class), Line::finishing());
    let (slice, told) = (config.slice, reporter.clone());
    let ending = drain.clone();
    let (null, watermarker) = (config.null, config.watermarker);
    let line = Line { gpu, null, artifacts, packs, reporter, signing, watermarker, held, drain, slice, finishing };
    consume::run(Arc::new(line), queue).await;

    beating.abort();
    listening.abort();
    told.goodbye().await;
    if ending.is_device_lost() {
        tracing::error!("the device was lost; start the worker again, and look at the driver's log");
        return Ok(DEVICE_LOST);
    }
    tracing::info!("the worker has ended in good order");
    Ok(0)
}
