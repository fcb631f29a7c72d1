//! W+ latents: `[n_latent, w_dim]` per image, and their files.
//!
//! An inversion's file is one safetensors file: `w_plus`, and where its image is drawn with noise or weights of its own,
//! `noise.{i}` in the order of the generator's noise inputs and `delta.{weight}.u`, `delta.{weight}.v` by the weight's name.

use crate::artifact;
use crate::draw::Own;
use crate::error::EditError;
use networks::Generator;
use networks::stylegan2::{Delta, LowRank};
use tch::{Device, Kind, Tensor};

const WHAT: &str = "latent";
const NAME: &str = "w_plus";
const NOISE: &str = "noise.";
const DELTA: &str = "delta.";

/// The file of one latent `[n_latent, w_dim]`: safetensors, one f32 tensor `w_plus`. Equal latents give equal bytes.
///
/// # Errors
/// When libtorch fails.
pub fn to_bytes(latent: &Tensor) -> Result<Vec<u8>, EditError> {
    artifact::to_bytes(WHAT, &[(NAME.to_owned(), latent)], None)
}

/// The latent `[n_latent, w_dim]` in a file that holds nothing else.
///
/// # Errors
/// When the file is damaged, holds anything else, or a latent of another shape.
pub fn from_bytes(bytes: &[u8], n_latent: i64, w_dim: i64, device: Device) -> Result<Tensor, EditError> {
    let (mut tensors, _) = artifact::from_bytes(WHAT, bytes, device)?;
    let latent = tensors.take(NAME, &[n_latent, w_dim])?;
    tensors.finish()?;
    Ok(latent)
}

/// The file of an inversion: the latent as f32, noise and factors as f16, and a note. Equal inversions give equal bytes.
///
/// # Errors
/// When libtorch fails.
pub fn inversion_to_bytes(latent: &Tensor, own: &Own, note: Option<String>) -> Result<Vec<u8>, EditError> {
    let half = |tensor: &Tensor| tch::no_grad(|| tensor.f_detach()?.f_to_kind(Kind::Half));
    let mut halves = Vec::new();
    for (i, map) in own.noise.iter().flatten().enumerate() {
        halves.push((format!("{NOISE}{i}"), half(map)?));
    }
    for (name, LowRank { u, v }) in own.delta.iter().flat_map(|delta| &delta.0) {
        halves.push((format!("{DELTA}{name}.u"), half(u)?));
        halves.push((format!("{DELTA}{name}.v"), half(v)?));
    }
    let mut tensors = vec![(NAME.to_owned(), latent)];
    tensors.extend(halves.iter().map(|(name, tensor)| (name.clone(), tensor)));
    artifact::to_bytes(WHAT, &tensors, note)
}

/// An inversion's latent `[n_latent, w_dim]` and what else its image is drawn with, on the generator's device.
///
/// # Errors
/// When the file is damaged, holds anything else, or was made for another generator.
pub fn inversion_from_bytes(bytes: &[u8], generator: &Generator) -> Result<(Tensor, Own), EditError> {
    let (mut tensors, _) = artifact::from_bytes(WHAT, bytes, generator.device())?;
    let latent = tensors.take(NAME, &[generator.n_latent(), generator.w_dim()])?;
    let mut own = Own::default();
    if tensors.names().any(|name| name.starts_with(NOISE)) {
        let shapes = generator.noise_shapes().into_iter().enumerate();
        let maps = shapes.map(|(i, shape)| tensors.take(&format!("{NOISE}{i}"), &shape));
        own.noise = Some(maps.collect::<Result<_, _>>()?);
    }
    if tensors.names().any(|name| name.starts_with(DELTA)) {
        let mut delta = Delta::default();
        for (name, size) in generator.convolutions() {
            let (u, v) = (format!("{DELTA}{name}.u"), format!("{DELTA}{name}.v"));
            if tensors.contains(&u) {
                let [_, rank] = tensors.dims(&u)?;
                let columns = size[1..].iter().product();
                let change = LowRank { u: tensors.take(&u, &[size[0], rank])?, v: tensors.take(&v, &[rank, columns])? };
                delta.0.insert(name, change);
            }
        }
        own.delta = Some(delta);
    }
    // Whatever is left was found with another generator.
    tensors.finish()?;
    Ok((latent, own))
}

/// `source + strength * (edited - source)`, of any equal shapes: the edit at another strength.
///
/// # Errors
/// When libtorch fails.
pub fn at_strength(source: &Tensor, edited: &Tensor, strength: f64) -> Result<Tensor, EditError> {
    tch::no_grad(|| Ok(source.f_add(&edited.f_sub(source)?.f_multiply_scalar(strength)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latent_reads_what_it_writes_in_the_same_bytes() {
        let latent = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]) / 7.0;
        let bytes = to_bytes(&latent).unwrap();
        let back = from_bytes(&bytes, 3, 4, Device::Cpu).unwrap();
        assert!(back.equal(&latent));
        assert_eq!(to_bytes(&back).unwrap(), bytes);
        assert!(matches!(from_bytes(&bytes, 4, 4, Device::Cpu), Err(EditError::Load(_))));
        assert!(matches!(from_bytes(&bytes[..40], 3, 4, Device::Cpu), Err(EditError::Malformed { .. })));
        let poisoned = to_bytes(&(latent * f64::NAN)).unwrap();
        assert!(matches!(from_bytes(&poisoned, 3, 4, Device::Cpu), Err(EditError::Load(_))));
    }
}
