//! Where an image may change: a soft mask, and images composed with it.

use crate::error::EditError;
use domain::edit::{Region, RegionSource};
use tch::{Device, Kind, TchError, Tensor};

/// The soft mask `[1, 1, side, side]` of a region, 1 inside and 0 outside. `mask` is the item's own mask, one byte a pixel
/// (0 outside to 255 inside), `side` x `side`, for regions that come from one.
///
/// # Errors
/// When the region needs a mask and none, or one of another size, is given; when libtorch fails.
pub fn soft_mask(region: &Region, mask: Option<&[u8]>, side: i64, device: Device) -> Result<Tensor, EditError> {
    let hard = match &region.source {
        RegionSource::Box([left, top, right, bottom]) => {
            let line =
                Tensor::f_arange(side, (Kind::Float, device))?.f_add_scalar(0.5)?.f_divide_scalar(side as f64)?;
            let within = |low: f64, high: f64| line.f_ge(low)?.f_logical_and(&line.f_lt(high)?)?.f_to_kind(Kind::Float);
            within(*top, *bottom)?.f_unsqueeze(1)?.f_mul(&within(*left, *right)?.f_unsqueeze(0)?)?
        }
        RegionSource::Mask(name) => {
            let refused = |found: String| EditError::Input {
                what: format!(
                    "the edit needs the mask '{name}' of {side} x {side} pixels for every image, and {found}"
                ),
            };
            let bytes = mask.ok_or_else(|| refused("this image came with none".to_owned()))?;
            if bytes.len() as i64 != side * side {
                return Err(refused(format!("this image's has {} bytes", bytes.len())));
            }
            let tensor = Tensor::f_from_slice(bytes)?.f_to_device(device)?.f_to_kind(Kind::Float)?;
            tensor.f_divide_scalar(255.0)?.f_view([side, side])?
        }
    };
    Ok(feathered(&hard.f_view([1, 1, side, side])?, region.feather)?)
}

/// Blurs a mask `[1, 1, S, S]` by a Gaussian of standard deviation `sigma` px, cut at three of them; its edge repeats.
fn feathered(mask: &Tensor, sigma: f64) -> Result<Tensor, TchError> {
    if sigma <= 0.0 {
        return Ok(mask.shallow_clone());
    }
    // Reflecting more than the image is not defined.
    let reach = ((3.0 * sigma).ceil() as i64).clamp(1, mask.size()[3] - 1);
    let offsets = Tensor::f_arange_start(-reach, reach + 1, (Kind::Float, mask.device()))?;
    let weights = offsets.f_square()?.f_multiply_scalar(-0.5 / (sigma * sigma))?.f_exp()?;
    let weights = weights.f_div(&weights.f_sum(None)?)?;
    let padded = mask.f_replication_pad2d([reach, reach, reach, reach])?;
    let across = padded.f_conv2d(&weights.f_view([1, 1, 1, -1])?, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)?;
    across.f_conv2d(&weights.f_view([1, 1, -1, 1])?, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)
}

/// `mask * edited + (1 - mask) * source` of images `[B, 3, R, R]`; the mask `[B or 1, 1, S, S]` is averaged down to `R`.
///
/// # Errors
/// When libtorch fails.
pub fn compose(source: &Tensor, edited: &Tensor, mask: &Tensor) -> Result<Tensor, TchError> {
    let (side, of_mask) = (edited.size()[3], mask.size()[3]);
    let mask = if side == of_mask { mask.shallow_clone() } else { mask.f_adaptive_avg_pool2d([side, side])? };
    source.f_add(&edited.f_sub(source)?.f_mul(&mask)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mask: &Tensor, y: i64, x: i64) -> f64 {
        mask.double_value(&[0, 0, y, x])
    }

    #[test]
    fn a_box_is_hard_without_feather_and_soft_with_it() {
        let region = |feather| Region { source: RegionSource::Box([0.25, 0.0, 0.75, 0.5]), feather };
        let hard = soft_mask(&region(0.0), None, 8, Device::Cpu).unwrap();
        assert_eq!(hard.sum(Kind::Double).double_value(&[]), 16.0);
        assert_eq!([at(&hard, 0, 2), at(&hard, 0, 1), at(&hard, 4, 2)], [1.0, 0.0, 0.0]);
        let soft = soft_mask(&region(1.0), None, 8, Device::Cpu).unwrap();
        assert!(at(&soft, 0, 1) > 0.1 && at(&soft, 0, 1) < 0.5 && at(&soft, 0, 3) > 0.8);
    }

    #[test]
    fn outside_the_region_the_source_remains() {
        let region = Region { source: RegionSource::Mask("hair".to_owned()), feather: 0.0 };
        let mut bytes = vec![0_u8; 64];
        bytes[..32].fill(255);
        let mask = soft_mask(&region, Some(&bytes), 8, Device::Cpu).unwrap();
        let (source, edited) = (
            Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu)),
            Tensor::ones([1, 3, 8, 8], (Kind::Float, Device::Cpu)),
        );
        let composed = compose(&source, &edited, &mask).unwrap();
        assert_eq!(composed.narrow(2, 0, 4).min().double_value(&[]), 1.0);
        assert_eq!(composed.narrow(2, 4, 4).max().double_value(&[]), 0.0);
        assert!(soft_mask(&region, None, 8, Device::Cpu).unwrap_err().to_string().contains("'hair'"));
        assert!(soft_mask(&region, Some(&bytes[1..]), 8, Device::Cpu).is_err());
    }
}
