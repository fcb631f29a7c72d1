//! Between images as networks see them (`[B, 3, R, R]`, RGB in [-1, 1]) and RGB8 rasters.
//!
//! One rule, used everywhere: a byte is `floor(clamp((x + 1) * 127.5, 0, 255) + 0.5)`, that is, rounded, halves up; back
//! it is `v / 127.5 - 1`. Of the reference codes NVIDIA and e4e cut the fraction off, torchvision rounds; rounding makes
//! the way from a raster to a tensor and back exact.

use crate::error::EditError;
use tch::{Device, Kind, Tensor};

/// RGB8 rasters of images `[B, 3, R, R]`: one `Vec` of `R * R * 3` bytes per image, row by row.
///
/// # Errors
/// When an image is not finite, or libtorch fails.
pub fn to_rgb8(images: &Tensor) -> Result<Vec<Vec<u8>>, EditError> {
    let bytes = tch::no_grad(|| {
        if images.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(EditError::NonFinite { what: "an image", step: 0 });
        }
        Ok(quantised(images)?
            .f_permute([0, 2, 3, 1])?
            .f_to_kind(Kind::Uint8)?
            .f_to_device(Device::Cpu)?
            .f_contiguous()?)
    })?;
    let (count, each) = (bytes.size()[0], (bytes.size()[1] * bytes.size()[2] * 3) as usize);
    (0..count)
        .map(|i| {
            let mut raster = vec![0_u8; each];
            bytes.f_get(i)?.f_reshape([-1])?.f_copy_data(&mut raster, each)?;
            Ok(raster)
        })
        .collect()
}

/// Images `[B, 3, side, side]` in [-1, 1] from square RGB8 rasters of `side * side * 3` bytes each.
///
/// # Errors
/// When a raster has another number of bytes, or libtorch fails.
pub fn from_rgb8(rasters: &[impl AsRef<[u8]>], side: i64, device: Device) -> Result<Tensor, EditError> {
    let expected = (side * side * 3) as usize;
    let mut bytes = Vec::with_capacity(expected * rasters.len());
    for (index, raster) in rasters.iter().enumerate() {
        let raster = raster.as_ref();
        if raster.len() != expected {
            let found = raster.len();
            let what = format!("raster {index} has {found} bytes, expected {expected} ({side} x {side} RGB8)");
            return Err(EditError::Input { what });
        }
        bytes.extend_from_slice(raster);
    }
    let pixels = Tensor::f_from_data_size(&bytes, &[rasters.len() as i64, side, side, 3], Kind::Uint8)?;
    let pixels = pixels.f_to_device(device)?.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?.f_contiguous()?;
    Ok(pixels.f_divide_scalar(127.5)?.f_sub_scalar(1.0)?)
}

/// The images as a reader of their rasters sees them: in [-1, 1], on the 256 levels of a byte. Scores are taken of these,
/// so that they can be checked from the files alone.
///
/// # Errors
/// When libtorch fails.
pub fn as_published(images: &Tensor) -> Result<Tensor, EditError> {
    tch::no_grad(|| Ok(quantised(images)?.f_divide_scalar(127.5)?.f_sub_scalar(1.0)?))
}

fn quantised(images: &Tensor) -> Result<Tensor, tch::TchError> {
    images.f_add_scalar(1.0)?.f_multiply_scalar(127.5)?.f_clamp(0.0, 255.0)?.f_add_scalar(0.5)?.f_floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        let raster: Vec<u8> = (0..=255).chain(0..=255).chain(0..=255).collect();
        let images = from_rgb8(&[&raster], 16, Device::Cpu).unwrap();
        assert_eq!(images.size(), [1, 3, 16, 16]);
        assert_eq!(to_rgb8(&images).unwrap(), [raster]);
        assert_eq!((images.min().double_value(&[]), images.max().double_value(&[])), (-1.0, 1.0));
    }

    #[test]
    fn values_outside_the_range_are_clamped_and_nan_is_refused() {
        let image = |x: f32| Tensor::full([1, 3, 1, 1], f64::from(x), (Kind::Float, Device::Cpu));
        assert_eq!(to_rgb8(&image(3.0)).unwrap(), [[255_u8; 3]]);
        assert_eq!(to_rgb8(&image(-1.5)).unwrap(), [[0_u8; 3]]);
        // 0 lies halfway between 127 and 128.
        assert_eq!(to_rgb8(&image(0.0)).unwrap(), [[128_u8; 3]]);
        assert!(matches!(to_rgb8(&image(f32::NAN)), Err(EditError::NonFinite { .. })));
        assert!(matches!(from_rgb8(&[[0_u8; 5]], 1, Device::Cpu), Err(EditError::Input { .. })));
    }
}
