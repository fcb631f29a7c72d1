//! A user's classifier, or a judge of ours, behind one face.

use super::ScoreArgs;
use crate::engine::LocalPack;
use anyhow::{Context as _, Result, bail};
use editing::JudgeConfig;
use networks::{Judge, Weights};
use packs::Pack;
use std::io::Read as _;
use std::path::Path;
use tch::{CModule, Device, Kind, Tensor};

/// How far the sum of a row of probabilities may be from 1.
const SUM_TOLERANCE: f64 = 1e-2;

/// Frozen, on its device.
#[derive(Debug)]
pub enum Classifier {
    /// One head of an attribute judge.
    Judge {
        /// The network.
        judge: Judge,
        /// Place of the head.
        head: usize,
        /// The head's classes.
        classes: Vec<String>,
    },
    /// A TorchScript file.
    Script(Script),
}

/// A user's network, and how it wants its images.
#[derive(Debug)]
pub struct Script {
    module: CModule,
    /// For errors.
    name: String,
    size: u32,
    /// `[1, 3, 1, 1]` each.
    mean: Tensor,
    std: Tensor,
    classes: Vec<String>,
    probabilities: bool,
    device: Device,
}

impl Classifier {
    /// Opens what the arguments name.
    ///
    /// # Errors
    /// One sentence on the file, the pack or the argument that is wrong.
    pub fn open(args: &ScoreArgs, device: Device) -> Result<Self> {
        match (&args.pack, &args.classifier) {
            (Some(pack), weights) => judge(args, pack, weights.as_deref(), device),
            (None, Some(file)) => script(args, file, device).map(Self::Script),
            (None, None) => bail!("name the classifier: --classifier FILE or --pack DIR"),
        }
    }

    /// Height and width of the images it takes, px.
    pub fn image_size(&self) -> u32 {
        match self {
            // safe to narrow: its weights are in memory, so its images are no larger
            Self::Judge { judge, .. } => judge.image_size() as u32,
            Self::Script(script) => script.size,
        }
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        match self {
            Self::Judge { judge, .. } => judge.device(),
            Self::Script(script) => script.device,
        }
    }

    /// The names of its classes; empty where nobody gave any.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Judge { classes, .. } => classes,
            Self::Script(script) => &script.classes,
        }
    }

    /// The probability of each class for images `[B, 3, S, S]`, RGB in [-1, 1]: two classes at least.
    ///
    /// # Errors
    /// When the network fails, or gives something of another shape.
    pub fn probabilities(&self, images: &Tensor) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Judge { judge, head, .. } => Ok(judge.predict(images)?.swap_remove(*head).probabilities),
            Self::Script(script) => tch::no_grad(|| script.probabilities(images)),
        }
    }
}

fn judge(args: &ScoreArgs, folder: &Path, weights: Option<&Path>, device: Device) -> Result<Classifier> {
    if args.image_size.is_some() || !args.classes.is_empty() || !args.mean.is_empty() || !args.std.is_empty() {
        bail!("a judge brings its own size, classes and range; leave out --image-size, --classes, --mean and --std");
    }
    let opened = Pack::open(folder)?;
    let pack = LocalPack::new(opened.manifest().clone(), |file| opened.path(file));
    let JudgeConfig { weights: own, heads } =
        pack.config.judge.as_ref().with_context(|| format!("the pack in {} has no judge", folder.display()))?;
    let names = || heads.iter().map(|head| head.name.as_str()).collect::<Vec<_>>().join(", ");
    let head = match &args.head {
        Some(name) => heads.iter().position(|head| head.name == *name),
        None => (heads.len() == 1).then_some(0),
    };
    let head = head.with_context(|| match &args.head {
        Some(name) => format!("the judge has no head '{name}'; there are {}", names()),
        None => format!("the judge has several heads; name one with --head: {}", names()),
    })?;
    let file = weights.unwrap_or(own);
    let open = Weights::open(file, device, Kind::Float).with_context(|| file.display().to_string())?;
    let judge = Judge::load(open, heads).with_context(|| file.display().to_string())?.0;
    Ok(Classifier::Judge { judge, head, classes: heads[head].classes.clone() })
}

fn script(args: &ScoreArgs, file: &Path, device: Device) -> Result<Script> {
    let mut magic = [0; 2];
    let read = std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    read.with_context(|| format!("cannot read the classifier {}", file.display()))?;
    if &magic != b"PK" {
        bail!(
            "{} is no TorchScript file; a judge's safetensors need --pack DIR, whose manifest names its heads, and other networks are \
             saved with torch.jit.trace(model, images).save(FILE)",
            file.display()
        );
    }
    let size = args.image_size.or(args.resolution);
    let size = size.context("the size of the images that the classifier takes is not known; give --image-size")?;
    let mut module = CModule::load_on_device(file, device).map_err(|error| {
        let said = error.to_string();
        let told = "no TorchScript file can be read from it (a state dict or a pickled model is none)";
        anyhow::anyhow!("{}: {told}: {}", file.display(), said.lines().next().unwrap_or_default())
    })?;
    module.f_set_eval()?;
    Ok(Script {
        module,
        name: file.display().to_string(),
        size,
        mean: per_channel("--mean", &args.mean, 0.0, device)?,
        std: per_channel("--std", &args.std, 1.0, device)?,
        classes: args.classes.clone(),
        probabilities: args.probabilities,
        device,
    })
}

/// `[1, 3, 1, 1]`.
fn per_channel(flag: &str, given: &[f64], default: f64, device: Device) -> Result<Tensor> {
    let values = match given {
        [] => [default; 3],
        [one] => [*one; 3],
        [r, g, b] => [*r, *g, *b],
        more => bail!("{flag} takes one number or three, and there are {}", more.len()),
    };
    if values.iter().any(|value| !value.is_finite() || (flag == "--std" && *value <= 0.0)) {
        bail!("{flag} must be finite{}", if flag == "--std" { " and above 0" } else { "" });
    }
    Ok(Tensor::f_from_slice(&values)?.f_to_kind(Kind::Float)?.f_to_device(device)?.f_view([1, 3, 1, 1])?)
}

impl Script {
    fn probabilities(&self, images: &Tensor) -> Result<Vec<Vec<f32>>> {
        let batch = images.size()[0];
        let unit = images.f_add_scalar(1.0)?.f_div_scalar(2.0)?; // [B, 3, S, S] in [0, 1]
        let shown = unit.f_sub(&self.mean)?.f_div(&self.std)?;
        let out = self.module.forward_ts(&[shown]).map_err(|error| {
            let said = error.to_string();
            // libtorch prints the script's own stack first and what went wrong last
            let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned();
            anyhow::anyhow!("{} cannot compute images [{batch}, 3, {}, {}]: {last}", self.name, self.size, self.size)
        })?;
        let (rows, single) = match out.size().as_slice() {
            [b] | [b, 1] if *b == batch => (out.f_view([batch, 1])?, true),
            [b, classes] if *b == batch && *classes > 1 => (out, false),
            other => {
                bail!("{} gave {other:?} for {batch} images; it must give [{batch}, classes] or [{batch}]", self.name)
            }
        };
        let rows = rows.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        let finite = rows.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
        let probabilities = match (self.probabilities, single) {
            (true, _) => rows,
            (false, true) => rows.f_sigmoid()?,
            (false, false) => rows.f_softmax(-1, Kind::Double)?,
        };
        let found = Vec::<Vec<f64>>::try_from(&probabilities)?;
        if self.probabilities && finite {
            self.hold_probabilities(&found, single)?;
        }
        let widened = found.into_iter().map(|row| if single { vec![1.0 - row[0], row[0]] } else { row });
        let rows: Vec<Vec<f32>> = widened.map(|row| row.into_iter().map(|p| p as f32).collect()).collect();
        let classes = rows.first().map_or(0, Vec::len);
        if !self.classes.is_empty() && self.classes.len() != classes {
            let named = self.classes.len();
            bail!("{} decides between {classes} classes, and --classes names {named}", self.name);
        }
        Ok(rows)
    }

    fn hold_probabilities(&self, rows: &[Vec<f64>], single: bool) -> Result<()> {
        for row in rows {
            let within = row.iter().all(|p| (-SUM_TOLERANCE..=1.0 + SUM_TOLERANCE).contains(p));
            let sum: f64 = row.iter().sum();
            if !within || (!single && (sum - 1.0).abs() > SUM_TOLERANCE) {
                bail!("{} gave {row:?}, which are no probabilities; leave out --probabilities for logits", self.name);
            }
        }
        Ok(())
    }
}
