//! W+ latents: `[n_latent, w_dim]` per image, and their files.

use crate::artifact;
use crate::error::EditError;
use tch::{Device, Tensor};

const WHAT: &str = "latent";
const NAME: &str = "w_plus";

/// The file of one latent `[n_latent, w_dim]`: safetensors, one f32 tensor `w_plus`. Equal latents give equal bytes.
///
/// # Errors
/// When libtorch fails.
pub fn to_bytes(latent: &Tensor) -> Result<Vec<u8>, EditError> {
    artifact::to_bytes(WHAT, &[(NAME.to_owned(), latent)], None)
}

/// The latent `[n_latent, w_dim]` in a file.
///
/// # Errors
/// When the file is damaged, holds anything else, or a latent of another shape.
pub fn from_bytes(bytes: &[u8], n_latent: i64, w_dim: i64, device: Device) -> Result<Tensor, EditError> {
    let (mut tensors, _) = artifact::from_bytes(WHAT, bytes, device)?;
    let latent = tensors.take(NAME, &[n_latent, w_dim])?;
    tensors.finish()?;
    Ok(latent)
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
    use tch::Kind;

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
