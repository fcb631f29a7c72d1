//! What was measured, as a table for people and as JSON.

use super::ceilings::Ceilings;
use super::clock::Milliseconds;
use super::floors::{Floor, Stage};
use super::random::clip::ClipModel;
use clap::ValueEnum;
use domain::Precision;
use networks::device::Environment;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// All of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The revision that this program was built from.
    pub commit: String,
    /// `release` or `debug`: of this program. libtorch is optimised in both.
    pub profile: &'static str,
    /// The machine and libtorch.
    pub machine: Machine,
    /// Times that were not counted, before each measurement.
    pub warm_up: usize,
    /// Times that were.
    pub repeats: usize,
    /// What the machine can do, for each number of threads.
    pub ceilings: Vec<Ceilings>,
    /// What was measured.
    pub cells: Vec<Cell>,
    /// What was asked for and would not fit into the memory that is free.
    pub left_out: Vec<Place>,
}

/// Where it ran.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes that could still be taken at the start, where the system tells.
    pub available_bytes: Option<u64>,
    /// Bytes of the GPU that were taken before the first tensor, by whichever process; none on a CPU, and where nobody tells.
    pub device_taken_bytes: Option<u64>,
    /// libtorch, device, driver.
    #[serde(flatten)]
    pub environment: Environment,
}

/// What a measurement is of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Place {
    /// The stage.
    pub stage: Stage,
    /// Height and width of the images, px.
    pub resolution: i64,
    /// Which CLIP looks at them, in stages that have one.
    pub clip: Option<ClipModel>,
    /// What generator and CLIP compute in.
    pub precision: Precision,
    /// CPU threads of one operation.
    pub threads: usize,
    /// Images at once.
    pub batch: usize,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// Of what.
    #[serde(flatten)]
    pub place: Place,
    /// Of one pass or step over the batch.
    pub milliseconds: Milliseconds,
    /// Images that pass, or take a step, in a second, by the median.
    pub images_per_second: f64,
    /// The least that has to be done.
    #[serde(flatten)]
    pub floor: Floor,
    /// How long that takes at the machine's ceilings.
    pub floor_milliseconds: f64,
    /// Of the measured matrix product's speed, by the median; none where nothing is multiplied.
    pub matmul_fraction: Option<f64>,
    /// The floor's time over the median.
    pub floor_fraction: f64,
    /// Of this process before, with the networks; on a GPU this is the host's memory.
    pub resident_bytes: Option<u64>,
    /// The most of this process since then; none where the system does not forget the peak before.
    pub peak_bytes: Option<u64>,
    /// Bytes of the GPU that were taken afterwards, beyond those at the start: context, networks, and what libtorch keeps for the next
    /// tensor, so the most of this process so far. Another program on the GPU is counted with it.
    pub device_bytes: Option<u64>,
    /// Joules that the device took for one image: its mean power while this was measured, times the median. None where it does not tell.
    pub joules_per_image: Option<f64>,
}

/// What a measurement took, bytes and watts; each is absent where nobody tells it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Of the host, before.
    pub resident: Option<u64>,
    /// Of the host, at most.
    pub peak: Option<u64>,
    /// Of the GPU, afterwards.
    pub device: Option<u64>,
    /// Mean power of the device meanwhile, W.
    pub watts: Option<f64>,
}

impl Cell {
    /// From the seconds of each time.
    pub fn new(place: Place, seconds: &[f64], floor: Floor, ceilings: &Ceilings, taken: Taken) -> Self {
        let milliseconds = Milliseconds::of(seconds);
        let median = milliseconds.median / 1e3;
        let flops = 2.0 * floor.multiply_adds as f64 / median;
        let least = floor.seconds(ceilings);
        Self {
            place,
            milliseconds,
            images_per_second: place.batch as f64 / median,
            floor,
            floor_milliseconds: least * 1e3,
            matmul_fraction: (floor.multiply_adds > 0).then(|| flops / (ceilings.matmul_gflops * 1e9)),
            floor_fraction: least / median,
            resident_bytes: taken.resident,
            peak_bytes: taken.peak,
            device_bytes: taken.device,
            joules_per_image: taken.watts.map(|watts| watts * median / place.batch as f64),
        }
    }
}

impl Display for Report {
    /// Tables in Markdown.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Machine { cores, environment, .. } = &self.machine;
        let processor = environment.device_name.as_deref().unwrap_or("unknown");
        let (libtorch, device) = (&environment.libtorch, &environment.device);
        writeln!(
            f,
            "{device}: {processor}, {cores} cores; libtorch {libtorch}; {} build, {}.",
            self.profile, self.commit
        )?;
        writeln!(f, "Median of {} after {} to warm up.\n", self.repeats, self.warm_up)?;
        writeln!(f, "| threads | precision | matrix product, GFLOP/s | copy, GB/s |\n|--:|---|--:|--:|")?;
        for Ceilings { threads, precision, matmul_gflops, copy_gigabytes } in &self.ceilings {
            writeln!(f, "| {threads} | {precision} | {matmul_gflops:.1} | {copy_gigabytes:.1} |")?;
        }
        let head = "stage | px | CLIP | precision | threads | batch | ms | least – most | images/s | GMAC | floor, ms | of matmul | of floor | peak, MiB | J/image";
        writeln!(f, "\n| {head} |\n|---|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        self.cells.iter().try_for_each(|cell| writeln!(f, "{cell}"))?;
        self.left_out.iter().try_for_each(|Place { stage, resolution, precision, threads, batch, .. }| {
            writeln!(
                f,
                "\nLeft out, because memory is short: {} of {batch} images of {resolution} px, {precision}, {threads} threads.",
                name(stage)
            )
        })
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Milliseconds { median, least, most } = self.milliseconds;
        write!(f, "| {} | {} | {median:.1} | {least:.1} – {most:.1} ", Of(&self.place), self.place.batch)?;
        let products = self.floor.multiply_adds as f64 / 1e9;
        write!(f, "| {:.2} | {products:.1} | {:.2} ", self.images_per_second, self.floor_milliseconds)?;
        match self.matmul_fraction {
            Some(fraction) => write!(f, "| {:.1} % ", 100.0 * fraction)?,
            None => f.write_str("| – ")?,
        }
        write!(f, "| {:.1} % ", 100.0 * self.floor_fraction)?;
        match self.device_bytes.or(self.peak_bytes) {
            Some(bytes) => write!(f, "| {} ", bytes >> 20)?,
            None => f.write_str("| – ")?,
        }
        match self.joules_per_image {
            Some(joules) => write!(f, "| {joules:.2} |"),
            None => f.write_str("| – |"),
        }
    }
}

/// A place but for its batch, in columns.
struct Of<'a>(&'a Place);

impl Display for Of<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Place { stage, resolution, clip, precision, threads, .. } = self.0;
        let clip = clip.as_ref().map_or("–".to_owned(), name);
        write!(f, "{} | {resolution} | {clip} | {precision} | {threads}", name(stage))
    }
}

/// As it is written on the command line.
fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}
