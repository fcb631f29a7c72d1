//! Running many items through the device in as large parts as its memory takes.

use crate::error::{EditError, Stop};
use domain::Stage;
use std::collections::BTreeMap;
use std::ops::Range;
use tch::Device;

/// The largest batch that is known to fit, per stage and resolution, on this process's one device.
///
/// It learns a limit whenever memory runs out. A limit never grows again in a process: what changed the memory (another
/// process, fragmentation) usually stays. A GPU's memory runs out with an error, and a model without limits is enough. A
/// CPU's does not (the system kills the process), so there it is told what is free, and begins no more than fits.
#[derive(Clone, Debug, Default)]
pub struct MemoryModel {
    limits: BTreeMap<(Stage, i64), usize>,
    free: Option<u64>,
}

/// What is computed in one go, as far as memory is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The stage.
    pub stage: Stage,
    /// Height and width of an image, px.
    pub resolution: i64,
    /// What each item takes beside its image, in bytes: what looks at it, with its gradient.
    pub beside: u64,
}

impl Load {
    /// Images that nothing looks at with a gradient.
    pub fn images(stage: Stage, resolution: i64) -> Self {
        Self { stage, resolution, beside: 0 }
    }
}

/// Memory that one item takes while its gradient is computed, for each pixel of its image: a StyleGAN2 of 1024 px (config F)
/// (`make full-size`; tests/bench/FULL_SIZE.md), without what looks at it ([`Load::beside`]). Passes without gradients take less, and are
/// not told apart.
pub const BYTES_PER_PIXEL: u64 = 3200;

impl MemoryModel {
    /// The model of a device that the networks are on already.
    pub fn of(device: Device) -> Self {
        let mut model = Self::default();
        model.look(device);
        model
    }

    /// Looks at how much is free now. Half of it is used: other workers on the machine look at the same number.
    pub fn look(&mut self, device: Device) {
        self.free = networks::device::memory::available().filter(|_| device == Device::Cpu).map(|bytes| bytes / 2);
    }

    /// How many items to compute at once, of `wanted`.
    pub fn batch(&self, load: &Load, wanted: usize) -> usize {
        let limit = self.limits.get(&(load.stage, load.resolution)).copied().unwrap_or(usize::MAX);
        let image = load.resolution.unsigned_abs().pow(2).saturating_mul(BYTES_PER_PIXEL);
        let item = image.saturating_add(load.beside).max(1);
        let fits = self.free.map_or(usize::MAX, |free| usize::try_from(free / item).unwrap_or(usize::MAX));
        wanted.min(limit).min(fits).max(1)
    }

    fn learn(&mut self, load: &Load, too_many: usize) {
        let limit = self.limits.entry((load.stage, load.resolution)).or_insert(usize::MAX);
        *limit = (*limit).min((too_many / 2).max(1));
    }
}

/// Computes `count` items, in order, `most` or fewer at a time: `compute` gets a range of items and returns one result
/// for each of them.
///
/// A part that fails as a whole is halved and tried again, down to single items: after running out of memory the smaller
/// size is remembered; after any other failure the item at fault ends up alone, with the error as its own result. Each
/// item is thus computed at most `log2(most) + 1` times.
pub fn run_in_parts<T>(
    memory: &mut MemoryModel,
    load: &Load,
    count: usize,
    most: usize,
    mut compute: impl FnMut(Range<usize>) -> Result<Vec<Result<T, Stop>>, EditError>,
) -> Vec<Result<T, Stop>> {
    let mut results = Vec::with_capacity(count);
    // Parts still to do, the next one last.
    let mut parts = Vec::new();
    let mut begin = 0;
    loop {
        let part = match parts.pop() {
            Some(part) => part,
            None if begin < count => {
                let size = memory.batch(load, most.max(1));
                let end = count.min(begin + size);
                let part = begin..end;
                begin = end;
                part
            }
            None => return results,
        };
        let halves = |part: &Range<usize>| {
            let middle = part.start + part.len().div_ceil(2);
            [middle..part.end, part.start..middle]
        };
        if part.len() > memory.batch(load, most.max(1)) {
            parts.extend(halves(&part));
            continue;
        }
        match compute(part.clone()) {
            Ok(done) => results.extend(done),
            Err(error) if part.len() == 1 => results.push(Err(error.into())),
            Err(error) => {
                if error.is_out_of_memory() {
                    memory.learn(load, part.len());
                }
                tracing::warn!(stage = %load.stage, items = part.len(), %error, "a batch failed; trying it in halves");
                parts.extend(halves(&part));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use networks::NetworkError;
    use tch::{Kind, Tensor};

    const EDIT: Load = Load { stage: Stage::Edit, resolution: 64, beside: 0 };

    fn real_exhaustion() -> EditError {
        Tensor::f_empty([1 << 50], (Kind::Float, Device::Cpu)).expect_err("four petabytes").into()
    }

    #[test]
    fn exhausted_memory_halves_the_batch_and_is_remembered() {
        let mut memory = MemoryModel::default();
        let mut sizes = Vec::new();
        let mut run = |memory: &mut MemoryModel| {
            sizes.clear();
            let results = run_in_parts(memory, &EDIT, 10, 8, |part| {
                sizes.push(part.len());
                if part.len() > 3 { Err(real_exhaustion()) } else { Ok(part.map(Ok).collect()) }
            });
            let items: Vec<usize> = results.into_iter().map(Result::unwrap).collect();
            assert_eq!(items, (0..10).collect::<Vec<_>>());
            sizes.clone()
        };
        assert_eq!(run(&mut memory), [8, 4, 2, 2, 2, 2, 2]);
        assert_eq!(run(&mut memory), [2, 2, 2, 2, 2]);
        assert_eq!(memory.batch(&Load { stage: Stage::Invert, ..EDIT }, 8), 8);
    }

    #[test]
    fn what_is_free_on_a_cpu_bounds_a_pass_by_the_images_size() {
        let model = MemoryModel { free: Some(7 << 30), ..MemoryModel::default() };
        let load = |resolution| Load { resolution, ..EDIT };
        assert_eq!([64, 512, 1024, 4096].map(|side| model.batch(&load(side), 16)), [16, 8, 2, 1]);
        let seen = |side| model.batch(&Load { beside: 256 << 20, ..load(side) }, 64);
        assert_eq!([64, 512, 1024].map(seen), [26, 6, 2]);
        assert!(MemoryModel::of(Device::Cpu).free.is_some(), "this machine tells what is free");
        assert!(MemoryModel::of(Device::Cuda(0)).free.is_none(), "a GPU's memory is learnt");
    }

    #[test]
    fn a_poison_item_ends_alone_with_its_own_error() {
        let results = run_in_parts(&mut MemoryModel::default(), &EDIT, 8, 8, |part| {
            if part.contains(&5) {
                return Err(NetworkError::NotFinite { what: "a poison item" }.into());
            }
            Ok(part.map(Ok).collect())
        });
        assert_eq!(results.len(), 8);
        for (item, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value, item),
                Err(Stop::Failed(error)) => {
                    assert_eq!((item, error.reason()), (5, domain::Reason::NonFinite));
                }
                Err(stop) => panic!("item {item}: {stop}"),
            }
        }
    }
}
