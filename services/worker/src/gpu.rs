//! The one thread that owns every tensor.
//!
//! Requests and answers are plain data; no tensor leaves the thread. Requests are served in order, one at a time, so a batch that
//! is staged waits here until the one before it is done. A request that panics fails with `internal`, and the thread goes on: the
//! networks are frozen, and everything else belongs to the request.

use crate::engine::LocalPack;
use crate::stages::ended::{Ended, with_causes};
use crate::stages::prepare::Picture;
use crate::stages::{detect, edit, invert, train};
use crate::watch::Watch;
use domain::inversion::Inversion;
use domain::record::FaceFacts;
use domain::{Digest, Precision, Reason};
use editing::Engine;
use editing::batch::MemoryModel;
use editing::train::SourceSet;
use networks::device::{self, Environment};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::Instrument as _;

/// An answer with the tensor time it took.
pub struct Timed<T> {
    /// The answer.
    pub value: T,
    /// Time on the tensor thread, loading of the pack included.
    pub time: Duration,
}

type Reply<T> = oneshot::Sender<Timed<T>>;

/// One end per item of a batch.
type Ends<T> = Vec<Result<T, Ended>>;

enum Request {
    Detect {
        picture: Picture,
        reply: Reply<Result<FaceFacts, Ended>>,
    },
    Invert {
        inversion: Inversion,
        sources: Vec<invert::Source>,
        watch: Watch,
        reply: Reply<Result<Ends<invert::Inverted>, Ended>>,
    },
    EncodePart {
        rasters: Vec<Vec<u8>>,
        reply: Reply<Result<Vec<Vec<f32>>, Ended>>,
    },
    Train {
        training: train::Training,
        watch: Watch,
        reply: Reply<Result<train::Trained, Ended>>,
    },
    Edit {
        plan: edit::Plan,
        items: Vec<edit::Input>,
        watch: Watch,
        reply: Reply<Result<edit::Batch, Ended>>,
    },
}

impl Request {
    /// For metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::Detect { .. } => "detect",
            Self::Invert { .. } => "invert",
            Self::EncodePart { .. } => "encode",
            Self::Train { .. } => "train",
            Self::Edit { .. } => "edit",
        }
    }
}

/// What a request is computed with.
#[derive(Clone)]
pub struct Networks {
    /// The pack.
    pub pack: Arc<LocalPack>,
    /// What its generator and guiding CLIP compute in.
    pub precision: Precision,
}

/// With nothing to do for so long, the thread gives back the memory that it keeps.
const IDLE: Duration = Duration::from_secs(10);

/// A handle to the tensor thread; the thread ends when the last one is dropped.
#[derive(Clone)]
pub struct Gpu {
    requests: mpsc::UnboundedSender<(Networks, Request)>,
    environment: Arc<Environment>,
}

impl Gpu {
    /// Opens the device and starts the thread. At most `packs` packs stay loaded; one in two precisions counts as two.
    ///
    /// # Errors
    /// When the device is not there.
    pub fn start(settings: device::Settings, packs: usize) -> Result<Self, device::DeviceError> {
        let (requests, queue) = mpsc::unbounded_channel();
        let (opened, answer) = std::sync::mpsc::channel();
        let run = move || {
            // Opened here, because libtorch keeps some of its settings per thread.
            let device = match device::open(&settings) {
                Ok(device) => device,
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(device::environment(device))).is_ok() {
                Thread { device, packs, loaded: Vec::new(), memory: MemoryModel::default(), training_set: None }
                    .serve(queue);
            }
        };
        // Safe because a process that cannot start one thread cannot do anything else either.
        std::thread::Builder::new().name("tensors".to_owned()).spawn(run).expect("a thread can be started");
        // Safe because the thread answers before it does anything that could panic.
        let environment = answer.recv().expect("the tensor thread answers")?;
        Ok(Self { requests, environment: Arc::new(environment) })
    }

    /// What results depend on besides weights and inputs.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Finds the largest face in a picture.
    ///
    /// # Errors
    /// When there is none, the pack has no detector or cannot be loaded.
    pub async fn detect(&self, networks: &Networks, picture: Picture) -> Timed<Result<FaceFacts, Ended>> {
        self.ask(networks, |reply| Request::Detect { picture, reply }).await
    }

    /// Inverts sources; one end each.
    ///
    /// # Errors
    /// What concerns the whole batch: the pack cannot be loaded, the worker drains.
    pub async fn invert(
        &self,
        networks: &Networks,
        inversion: Inversion,
        sources: Vec<invert::Source>,
        watch: Watch,
    ) -> Timed<Result<Ends<invert::Inverted>, Ended>> {
        self.ask(networks, |reply| Request::Invert { inversion, sources, watch, reply }).await
    }

    /// Encodes some training images.
    ///
    /// # Errors
    /// As [`Gpu::invert`], or when the encoder fails.
    pub async fn encode_part(&self, networks: &Networks, rasters: Vec<Vec<u8>>) -> Timed<Result<Vec<Vec<f32>>, Ended>> {
        self.ask(networks, |reply| Request::EncodePart { rasters, reply }).await
    }

    /// Trains a mapper for one slice.
    ///
    /// # Errors
    /// As [`Gpu::invert`], or when the training fails.
    pub async fn train(
        &self,
        networks: &Networks,
        training: train::Training,
        watch: Watch,
    ) -> Timed<Result<train::Trained, Ended>> {
        self.ask(networks, |reply| Request::Train { training, watch, reply }).await
    }

    /// Edits latents; one end each.
    ///
    /// # Errors
    /// As [`Gpu::invert`], or when the edit's text or mapper cannot be used.
    pub async fn edit(
        &self,
        networks: &Networks,
        plan: edit::Plan,
        items: Vec<edit::Input>,
        watch: Watch,
    ) -> Timed<Result<edit::Batch, Ended>> {
        self.ask(networks, |reply| Request::Edit { plan, items, watch, reply }).await
    }

    async fn ask<T>(
        &self,
        networks: &Networks,
        request: impl FnOnce(Reply<Result<T, Ended>>) -> Request,
    ) -> Timed<Result<T, Ended>> {
        let (reply, answer) = oneshot::channel();
        let gone = || Timed { value: Err(Ended::internal("the tensor thread has ended")), time: Duration::ZERO };
        let request = request(reply);
        let span = tracing::info_span!("device", otel.name = format!("device {}", request.name()));
        if self.requests.send((networks.clone(), request)).is_err() {
            return gone();
        }
        answer.instrument(span).await.unwrap_or_else(|_| gone())
    }
}

/// What the thread owns.
struct Thread {
    device: tch::Device,
    packs: usize,
    /// The packs in memory, the one used last at the end.
    loaded: Vec<(Digest, Precision, Engine)>,
    memory: MemoryModel,
    /// The training set that was used last, with what is known of its images.
    training_set: Option<SourceSet>,
}

impl Thread {
    fn serve(mut self, mut queue: mpsc::UnboundedReceiver<(Networks, Request)>) {
        // A clock of its own, because the thread belongs to no runtime. Without one the memory is kept.
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().ok();
        while let Some((networks, request)) = next(clock.as_ref(), &mut queue) {
            let (began, name) = (Instant::now(), request.name());
            match request {
                Request::Detect { picture, reply } => {
                    self.answer(reply, &networks, |engine, _| detect::compute(engine, &picture));
                }
                Request::Invert { inversion, sources, mut watch, reply } => {
                    self.answer(reply, &networks, |engine, memory| {
                        watch.begin()?;
                        Ok(invert::compute(engine, memory, &inversion, &sources, &mut watch))
                    })
                }
                Request::EncodePart { rasters, reply } => {
                    self.answer(reply, &networks, |engine, memory| train::encode_part(engine, memory, &rasters));
                }
                Request::Train { training, mut watch, reply } => {
                    // Out of the thread's hands while it trains: a panic then forgets it, and the next training reads it anew.
                    let mut set = self.training_set.take();
                    self.answer(reply, &networks, |engine, _| {
                        watch.begin()?;
                        train::compute(engine, &mut set, &training, &mut watch)
                    });
                    self.training_set = set;
                }
                Request::Edit { plan, items, mut watch, reply } => self.answer(reply, &networks, |engine, memory| {
                    watch.begin()?;
                    edit::compute(engine, memory, &plan, &items, &mut watch)
                }),
            }
            metrics::histogram!("cfx_worker_request_duration_seconds", "request" => name)
                .record(began.elapsed().as_secs_f64());
        }
    }

    fn answer<T>(
        &mut self,
        reply: Reply<Result<T, Ended>>,
        networks: &Networks,
        compute: impl FnOnce(&Engine, &mut MemoryModel) -> Result<T, Ended>,
    ) {
        let began = Instant::now();
        // Nothing of a request outlives it but learnt batch sizes, which are only ever halved.
        let computed = catch_unwind(AssertUnwindSafe(|| {
            self.load(networks)?;
            self.memory.look(self.device);
            let Some((.., engine)) = self.loaded.last() else { return Err(Ended::internal("no pack is loaded")) };
            compute(engine, &mut self.memory)
        }));
        let value =
            computed.unwrap_or_else(|panic| Err(Ended::internal(format!("a panic: {}", message(panic.as_ref())))));
        // Nobody waits for the answer only when the process ends.
        let _ = reply.send(Timed { value, time: began.elapsed() });
    }

    /// Brings the pack to the end of `loaded`, and has the device multiply as the precision says.
    fn load(&mut self, Networks { pack, precision }: &Networks) -> Result<(), Ended> {
        device::allow_tf32(precision.allows_tf32()).map_err(Ended::internal)?;
        let same = |(digest, kind, _): &(Digest, Precision, Engine)| (*digest, *kind) == (pack.digest, *precision);
        if let Some(at) = self.loaded.iter().position(same) {
            let used = self.loaded.remove(at);
            self.loaded.push(used);
            return Ok(());
        }
        while self.loaded.len() >= self.packs {
            self.loaded.remove(0);
        }
        let began = Instant::now();
        let engine = Engine::open_in(&pack.config, self.device, *precision).map_err(|error| {
            let reason = if error.is_out_of_memory() { Reason::OutOfMemory } else { Reason::PackInvalid };
            Ended::failed(
                reason,
                format!(
                    "the pack {} cannot be loaded: {}",
                    pack.manifest.name,
                    pack.with_own_names(&with_causes(&error))
                ),
            )
        })?;
        tracing::info!(pack = pack.manifest.name, %precision, milliseconds = began.elapsed().as_millis(), "loaded a pack");
        self.loaded.push((pack.digest, *precision, engine));
        Ok(())
    }
}

/// The next request; `None` when nobody can ask any more. Memory that is kept for the next tensor goes back to the system when there has
/// been nothing to do for a while: others on the machine may want it.
fn next<T>(clock: Option<&Runtime>, queue: &mut mpsc::UnboundedReceiver<T>) -> Option<T> {
    if let Some(clock) = clock {
        match clock.block_on(async { timeout(IDLE, queue.recv()).await }) {
            Ok(request) => return request,
            Err(_) => device::memory::release_freed(),
        }
    }
    queue.blocking_recv()
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
