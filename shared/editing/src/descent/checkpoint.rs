//! One item of a descent between two steps: enough to go on in another process, with the bits of a run that was not cut.

use crate::artifact;
use crate::error::EditError;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

const WHAT: &str = "checkpoint";
const FORMAT: &str = "descent/1";

/// An item of a descent between two steps. What is random is drawn anew from the step's number.
#[derive(Debug)]
pub struct Checkpoint {
    /// Steps taken.
    pub step: u32,
    /// Steps of the whole course, for progress.
    pub steps: u32,
    /// The item's row of each tensor.
    pub values: Vec<Tensor>,
    /// Adam's running means of the gradients, as `values`.
    pub first: Vec<Tensor>,
    /// Adam's running means of the squared gradients, as `values`.
    pub second: Vec<Tensor>,
    /// The loss before each step so far.
    pub loss: Vec<f64>,
    /// What an earlier phase of the course has found, where there are two.
    pub earlier: Option<Earlier>,
}

/// What a finished phase has found.
#[derive(Debug)]
pub struct Earlier {
    /// The latent `[L, w_dim]`.
    pub latent: Tensor,
    /// The loss before each of its steps.
    pub loss: Vec<f64>,
    /// Its steps.
    pub steps: u32,
}

/// What the file says besides its tensors.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    format: String,
    /// The caller's name of the work, so that no other work goes on from it.
    of: String,
    step: u32,
    steps: u32,
    values: usize,
    /// Steps of the earlier phase, if there is one.
    earlier: Option<u32>,
}

impl Checkpoint {
    /// Part of the course that is done, 0 to 1.
    pub fn done(&self) -> f32 {
        let before = self.earlier.as_ref().map_or(0, |earlier| earlier.steps);
        // Safe to narrow: a ratio of counts.
        (f64::from(before + self.step) / f64::from((before + self.steps).max(1))) as f32
    }

    /// The file: safetensors with a note. `of` names the work it belongs to.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn to_bytes(&self, of: &str) -> Result<Vec<u8>, EditError> {
        // Losses are computed in f32, so that they are kept without loss.
        let curve = |losses: &[f64]| Tensor::f_from_slice(losses)?.f_to_kind(Kind::Float);
        let (loss, before) = (curve(&self.loss)?, self.earlier.as_ref().map(|e| curve(&e.loss)).transpose()?);
        let lists = [("value", &self.values), ("first", &self.first), ("second", &self.second)];
        let mut tensors: Vec<(String, &Tensor)> = lists
            .into_iter()
            .flat_map(|(list, rows)| rows.iter().enumerate().map(move |(i, row)| (format!("{list}.{i}"), row)))
            .collect();
        // The format's reader refuses tensors without numbers.
        let some = |(_, tensor): &(String, &Tensor)| tensor.numel() > 0;
        tensors.extend(Some(("loss".to_owned(), &loss)).filter(some));
        if let (Some(earlier), Some(before)) = (&self.earlier, &before) {
            tensors.push(("earlier.latent".to_owned(), &earlier.latent));
            tensors.extend(Some(("earlier.loss".to_owned(), before)).filter(some));
        }
        let note = Note {
            format: FORMAT.to_owned(),
            of: of.to_owned(),
            step: self.step,
            steps: self.steps,
            values: self.values.len(),
            earlier: self.earlier.as_ref().map(|earlier| earlier.steps),
        };
        let note = serde_json::to_string(&note).map_err(|e| refused(e.to_string()))?;
        artifact::to_bytes(WHAT, &tensors, Some(note))
    }

    /// Reads [`Checkpoint::to_bytes`] of the same work.
    ///
    /// # Errors
    /// When the file is damaged, of another version, or of other work.
    pub fn from_bytes(bytes: &[u8], of: &str, device: Device) -> Result<Self, EditError> {
        let note = artifact::note(WHAT, bytes)?.ok_or_else(|| refused("it has no note of what it belongs to"))?;
        let note: Note = serde_json::from_str(&note).map_err(|_| refused("its note is not this version's"))?;
        if note.format != FORMAT {
            return Err(refused(format!("it is of the version '{}', and this program reads '{FORMAT}'", note.format)));
        }
        if note.of != of {
            return Err(refused(format!("it is of {}, not of {of}", note.of)));
        }
        let shapes = artifact::shapes(WHAT, bytes)?;
        let (mut tensors, _) = artifact::from_bytes(WHAT, bytes, device)?;
        let mut take = |name: &str| {
            let shape = shapes.get(name).ok_or_else(|| refused(format!("it lacks {name}")))?;
            Ok::<_, EditError>(tensors.take(name, shape)?)
        };
        let mut list =
            |name: &str| (0..note.values).map(|i| take(&format!("{name}.{i}"))).collect::<Result<Vec<_>, _>>();
        let (values, first, second) = (list("value")?, list("first")?, list("second")?);
        let mut curve = |name: &str| if shapes.contains_key(name) { to_host(&take(name)?) } else { Ok(Vec::new()) };
        let (loss, before) = (curve("loss")?, curve("earlier.loss")?);
        let earlier = match note.earlier {
            Some(steps) => Some(Earlier { latent: take("earlier.latent")?, loss: before, steps }),
            None => None,
        };
        tensors.finish()?;
        if loss.len() as u64 != u64::from(note.step) {
            return Err(refused("its loss curve has another length than its course"));
        }
        Ok(Self { step: note.step, steps: note.steps, values, first, second, loss, earlier })
    }

    /// Whether an item that starts from `start` can go on from here: the rows have the shapes of its own.
    pub(super) fn fits(&self, start: &[Tensor], steps: u32) -> bool {
        let own = |rows: &[Tensor]| {
            rows.len() == start.len() && rows.iter().zip(start).all(|(row, start)| row.size() == start.size()[1..])
        };
        self.step <= steps && own(&self.values) && own(&self.first) && own(&self.second)
    }
}

fn to_host(losses: &Tensor) -> Result<Vec<f64>, EditError> {
    Ok(Vec::try_from(losses.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)?)
}

fn refused(reason: impl Into<String>) -> EditError {
    EditError::Checkpoint { reason: reason.into() }
}
