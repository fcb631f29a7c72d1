//! Pictures to train on, drawn before training and kept as bytes.

use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::error::TrainingError;
use crate::faces::{Distribution, Face, FacesError, Renderer, heads};

/// Faces, their pictures and their classes.
pub struct Pictures {
    /// The parameters.
    pub faces: Vec<Face>,
    /// `[N, 3, S, S]`, bytes, on the CPU.
    pub images: Tensor,
    /// `[N, heads]`, int64: the class of each of the judge's heads.
    pub labels: Tensor,
    /// `[N, 12]` in [-1, 1]: the RGB of hair, skin, clothing, background.
    pub colours: Tensor,
}

impl Pictures {
    /// Draws `count` faces on `threads` threads. Face `i` depends on the seed and on `i` alone.
    pub fn draw(
        library: &Path,
        distribution: Distribution,
        seed: u64,
        count: usize,
        side: u32,
        threads: usize,
    ) -> Result<Self, TrainingError> {
        let faces: Vec<Face> = (0..count)
            .map(|i| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(i as u64);
                Face::random(distribution, &mut rng)
            })
            .collect();
        let share = count.div_ceil(threads.max(1)).max(1);
        let drawn: Vec<Result<Vec<u8>, FacesError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = faces
                .chunks(share)
                .map(|faces| {
                    scope.spawn(move || {
                        let renderer = Renderer::open(library)?;
                        let pictures: Result<Vec<_>, _> = faces.iter().map(|face| renderer.draw(face, side)).collect();
                        Ok(pictures?.concat())
                    })
                })
                .collect();
            // Safe because the closures above do not panic.
            workers.into_iter().map(|worker| worker.join().expect("drawing does not panic")).collect()
        });
        let bytes = drawn.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        let side = i64::from(side);
        let images = Tensor::f_from_data_size(&bytes, &[count as i64, side, side, 3], Kind::Uint8)?;
        let images = images.f_permute([0, 3, 1, 2])?.f_contiguous()?;
        let heads = heads();
        let mut labels = Vec::with_capacity(count * heads.len());
        for face in &faces {
            let classes = face.attributes();
            labels.extend(heads.iter().map(|(head, known)| {
                // Safe because a face's classes are those of heads().
                known.iter().position(|class| classes[*head] == *class).expect("a known class") as i64
            }));
        }
        let labels = Tensor::f_from_slice(&labels)?.f_view([count as i64, heads.len() as i64])?;
        let colours: Vec<f32> = faces.iter().flat_map(colours).collect();
        let colours = Tensor::f_from_slice(&colours)?.f_view([count as i64, 12])?;
        Ok(Pictures { faces, images, labels, colours })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.faces.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.faces.is_empty()
    }

    /// Pictures at `indices` (int64, on the CPU) as `[B, 3, S, S]` in [-1, 1] on `device`.
    pub fn batch(&self, indices: &Tensor, device: Device) -> Result<Tensor, TrainingError> {
        let bytes = self.images.f_index_select(0, indices)?.f_to_device(device)?;
        Ok(bytes.f_to_kind(Kind::Float)?.f_multiply_scalar(1.0 / 127.5)?.f_add_scalar(-1.0)?)
    }

    /// Consecutive pictures, as [`Pictures::batch`].
    pub fn range(&self, from: usize, count: usize, device: Device) -> Result<Tensor, TrainingError> {
        self.batch(&Tensor::f_arange_start(from as i64, (from + count) as i64, (Kind::Int64, Device::Cpu))?, device)
    }
}

fn colours(face: &Face) -> Vec<f32> {
    let paints = [face.hair.rgb, face.skin.rgb, face.clothing.rgb, face.background.rgb];
    paints.iter().flat_map(|rgb| rgb.0).map(|v| f32::from(v) / 127.5 - 1.0).collect()
}

/// In which order pictures come: every epoch a new permutation, and the batch of a step a function of the step.
pub struct Order {
    seed: u64,
    count: usize,
    batch: usize,
    epoch: u64,
    permutation: Vec<i64>,
}

impl Order {
    /// Batches of `batch` out of `count`; what an epoch cannot fill is left out.
    pub fn new(seed: u64, count: usize, batch: usize) -> Result<Self, TrainingError> {
        if batch == 0 || batch > count {
            let expected = "it must be at least 1 and at most the number of pictures";
            return Err(TrainingError::Recipe { key: "batch", value: batch.to_string(), expected });
        }
        Ok(Order { seed, count, batch, epoch: u64::MAX, permutation: Vec::new() })
    }

    /// Indices of the step's pictures, int64 on the CPU.
    pub fn indices(&mut self, step: u64) -> Result<Tensor, TrainingError> {
        let per_epoch = (self.count / self.batch) as u64;
        let (epoch, place) = (step / per_epoch, (step % per_epoch) as usize);
        if epoch != self.epoch {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x05de_c0de);
            rng.set_stream(epoch);
            self.permutation = (0..self.count as i64).collect();
            self.permutation.shuffle(&mut rng);
            self.epoch = epoch;
        }
        Ok(Tensor::f_from_slice(&self.permutation[place * self.batch..(place + 1) * self.batch])?)
    }
}
