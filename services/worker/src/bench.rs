//! `worker bench`: how fast each stage is on this machine, and how far from what the machine could do.
//!
//! The stages are the engine's own code on networks of published sizes with random weights, so it needs no pack and no services. Beside
//! each time stand the least that the stage has to do, counted from the layers ([`floors`]), and the speed of a plain matrix product and a
//! copy, measured in the same process with the same threads ([`ceilings`]): what is far from them can be made faster.

mod aside;
mod ceilings;
mod clock;
mod energy;
mod floors;
mod random;
mod report;
mod stages;

use crate::config::{device_settings, in_precision};
use crate::device_memory::Gauge;
use crate::memory;
use anyhow::{Context as _, Error, Result};
use aside::{NetworksOf, training};
use ceilings::Ceilings;
use clap::ValueEnum as _;
use clock::Course;
use domain::Precision;
use domain::Stage as Kind;
use domain::edit::ClipNce;
use editing::EditError;
use editing::batch::{Load, MemoryModel};
use energy::Meter;
use floors::{Floor, Stage};
use networks::device;
use networks::{NetworkError, is_out_of_memory};
use random::clip::ClipModel;
use report::{Cell, Machine, Place, Report, Taken};
use stages::{Rig, pictures};
use std::path::PathBuf;
use std::thread::available_parallelism;
use tch::{Device, TchError};

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct BenchArgs {
    /// Stages. [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub stage: Vec<Stage>,
    /// Heights and widths of the generator's images, px: 64, 128, 256, 512 or 1024. [default: 64,256; quick: 64]
    #[arg(long, value_delimiter = ',', value_parser = parse_side)]
    pub resolution: Vec<i64>,
    /// Images at once. [default: 1,4; quick: 1]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256))]
    pub batch: Vec<u16>,
    /// CLIPs. [default: vit-b-32]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub clip: Vec<ClipModel>,
    /// What generator and CLIP compute in: fp32, tf32 (on a GPU) or bf16. [default: fp32]
    #[arg(long, value_delimiter = ',')]
    pub precision: Vec<Precision>,
    /// Threads of one operation on a CPU. [default: 1]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Vec<u16>,
    /// How wide convolutions are computed on a CPU: winograd or direct. [default: winograd]
    #[arg(long)]
    pub convolutions: Option<String>,
    /// Times each measurement is repeated; the median counts. [default: 5; quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub repeats: Option<u16>,
    /// Times before that are not counted.
    #[arg(long, default_value_t = 1)]
    pub warm_up: u16,
    /// A small set that ends within minutes on a CPU.
    #[arg(long)]
    pub quick: bool,
    /// Where everything that was measured goes, as JSON, after each measurement: a run that is cut leaves what it had.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Instead, run StyleCLIP's optimisation of 4 images, and write the networks, the latents, the losses and the times there:
    /// tests/bench/torch_loop.py runs the same in PyTorch. With `--stage train` it is the training of CF-CLIP's mapper with each
    /// `--batch`, for tests/bench/torch_training.py.
    #[arg(long, value_name = "DIR")]
    pub aside: Option<PathBuf>,
    /// Steps of that optimisation, or training.
    #[arg(long, default_value_t = 10, requires = "aside", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: u32,
    /// cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

fn parse_side(text: &str) -> Result<i64, String> {
    let side = text.parse().ok().filter(|side| [64, 128, 256, 512, 1024].contains(side));
    side.ok_or_else(|| "expected 64, 128, 256, 512 or 1024".to_owned())
}

/// Measures, prints a table, and writes the JSON.
///
/// # Errors
/// When the device is not there, memory runs out, or the file cannot be written.
pub fn run(args: &BenchArgs) -> Result<()> {
    let settings = device_settings(Some(&args.device), None, args.convolutions.as_deref())?;
    let device = device::open(&settings)?;
    let mut bench = Bench::new(args, device, Gauge::of(settings.device));
    if let Some(folder) = &args.aside {
        let networks = NetworksOf { side: bench.sides[0], clip: bench.clips[0] };
        if bench.stages == [Stage::Train] {
            let Bench { batches, threads, .. } = &bench;
            let course = training::Course { steps: args.steps, batches, threads };
            return training::run(folder, networks, course, device);
        }
        return aside::run(folder, networks, args.steps, &bench.threads, device);
    }
    for precision in bench.precisions.clone() {
        device::open(&in_precision(precision, settings)?)?;
        bench.ceilings(precision)?;
        for side in bench.sides.clone() {
            bench.resolution(side, precision)?;
        }
    }
    tell(&bench.report);
    bench.save()
}

#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
fn tell(report: &Report) {
    print!("{report}");
}

/// A run and what it has found so far.
struct Bench {
    device: Device,
    gauge: Option<Gauge>,
    json: Option<PathBuf>,
    stages: Vec<Stage>,
    sides: Vec<i64>,
    batches: Vec<usize>,
    precisions: Vec<Precision>,
    clips: Vec<ClipModel>,
    threads: Vec<usize>,
    course: Course,
    report: Report,
}

impl Bench {
    fn new(args: &BenchArgs, device: Device, gauge: Option<Gauge>) -> Self {
        let quick = args.quick;
        let repeats = usize::from(args.repeats.unwrap_or(if quick { 2 } else { 5 }));
        let course = Course { warm_up: usize::from(args.warm_up), repeats };
        let machine = Machine {
            cores: available_parallelism().map_or(1, usize::from),
            available_bytes: device::memory::available(),
            device_taken_bytes: gauge.as_ref().and_then(Gauge::used),
            environment: device::environment(device),
        };
        let numbers = |given: &[u16]| given.iter().copied().map(usize::from).collect();
        Self {
            device,
            gauge,
            json: args.json.clone(),
            stages: or(args.stage.clone(), Stage::value_variants()),
            sides: or(args.resolution.clone(), if quick { &[64] } else { &[64, 256] }),
            batches: or(numbers(&args.batch), if quick { &[1] } else { &[1, 4] }),
            precisions: or(args.precision.clone(), &[Precision::Fp32]),
            clips: or(args.clip.clone(), &[ClipModel::B32]),
            threads: or(numbers(&args.threads), &[1]),
            course,
            report: Report {
                commit: option_env!("CFX_COMMIT").unwrap_or("unknown").to_owned(),
                profile: if cfg!(debug_assertions) { "debug" } else { "release" },
                machine,
                warm_up: course.warm_up,
                repeats,
                ceilings: Vec::new(),
                cells: Vec::new(),
                left_out: Vec::new(),
            },
        }
    }

    fn save(&self) -> Result<()> {
        let Some(file) = &self.json else { return Ok(()) };
        let json = serde_json::to_vec_pretty(&self.report)?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))
    }

    fn ceilings(&mut self, precision: Precision) -> Result<()> {
        for &threads in &self.threads {
            set_threads(threads);
            self.report.ceilings.push(Ceilings::measure(threads, self.device, precision)?);
        }
        Ok(())
    }

    /// Every cell at one size; stages that CLIP has no part in only once.
    fn resolution(&mut self, side: i64, precision: Precision) -> Result<()> {
        let looks = |stage: Stage| matches!(stage, Stage::Optimise | Stage::Train);
        if self.stages.contains(&Stage::Picture) {
            self.cells(Stage::Picture, side, precision, None, 0, &|batch, course| pictures(side, batch, course))?;
        }
        for (place, clip) in self.clips.clone().into_iter().enumerate() {
            let wanted = |stage: Stage| looks(stage) || (place == 0 && stage != Stage::Picture);
            let stages: Vec<Stage> = self.stages.iter().copied().filter(|&stage| wanted(stage)).collect();
            if stages.is_empty() {
                continue;
            }
            let rig = Rig::new(side, clip, self.device, precision)?;
            for stage in stages {
                let clip = looks(stage).then_some(clip);
                let views = clip.map_or(0, |_| u64::from(ClipNce::default().views.per_image()));
                let beside = views * rig.engine().view_bytes();
                self.cells(stage, side, precision, clip, beside, &|batch, course| rig.seconds(stage, batch, course))?;
            }
        }
        Ok(())
    }

    /// A stage with every number of threads and images, each of which takes `beside` bytes beside its image.
    fn cells(
        &mut self,
        stage: Stage,
        resolution: i64,
        precision: Precision,
        clip: Option<ClipModel>,
        beside: u64,
        seconds: &dyn Fn(usize, Course) -> Result<Vec<f64>>,
    ) -> Result<()> {
        for ceilings in self.report.ceilings.clone().into_iter().filter(|of| of.precision == precision) {
            let threads = ceilings.threads;
            for &batch in &self.batches {
                let place = Place { stage, resolution, clip, precision, threads, batch };
                // A CPU's memory runs out without an error; the worker itself would split such a batch.
                let load = Load { stage: Kind::Edit, resolution, beside };
                if MemoryModel::of(self.device).batch(&load, batch) < batch {
                    self.report.left_out.push(place);
                    continue;
                }
                set_threads(threads);
                // What one cell has freed is not the next one's.
                device::memory::release_freed();
                let meter = Meter::of(self.gauge.as_ref(), self.device.is_cuda());
                let power = meter.as_ref().and_then(Meter::begin);
                let resident = memory::of_process().resident;
                let forgotten = memory::forget_peak();
                let seconds = match seconds(batch, self.course) {
                    Ok(seconds) => seconds,
                    // A GPU's memory runs out with an error, and the next cell may fit.
                    Err(error) if ran_out_of_memory(&error) => {
                        self.report.left_out.push(place);
                        continue;
                    }
                    Err(error) => {
                        return Err(error.context(format!("{stage:?} of {batch} images of {resolution} px")));
                    }
                };
                let watts = power.and_then(|power| power.watts());
                let peak = memory::of_process().peak.filter(|_| forgotten);
                let before = self.report.machine.device_taken_bytes.unwrap_or(0);
                let device = self.gauge.as_ref().and_then(Gauge::used).map(|used| used.saturating_sub(before));
                let floor = Floor::of(stage, resolution, clip.unwrap_or(ClipModel::B32), batch as u64, precision);
                let cell = Cell::new(place, &seconds, floor, &ceilings, Taken { resident, peak, device, watts });
                // A long run shows where it is.
                eprintln!("{cell}");
                self.report.cells.push(cell);
                self.save()?;
            }
        }
        Ok(())
    }
}

/// Whether the cause is memory, wherever it was missed.
fn ran_out_of_memory(error: &Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<EditError>().is_some_and(EditError::is_out_of_memory)
            || cause.downcast_ref::<NetworkError>().is_some_and(NetworkError::is_out_of_memory)
            || cause.downcast_ref::<TchError>().is_some_and(is_out_of_memory)
    })
}

/// What was given, or else the default.
fn or<T: Clone>(given: Vec<T>, default: &[T]) -> Vec<T> {
    if given.is_empty() { default.to_vec() } else { given }
}

fn set_threads(threads: usize) {
    // Safe to narrow: the command line takes 16 bits.
    tch::set_num_threads(threads as i32);
}
