//! Products of rows with a frozen matrix, by the library that is faster on this processor.
//!
//! libtorch multiplies matrices with MKL, which takes its AVX-512 kernels on Intel's processors alone: on AMD's it computes in half the
//! width. oneDNN, which libtorch convolves with, takes them wherever they are, and a 1×1 convolution is the same product, with rows for
//! pixels. So on AMD's processors with AVX-512 the rows of a transformer, and the tiles of Winograd's convolutions, are convolved: 1.3 to 2 times as
//! fast, there and back, for the matrices of ViT-B and ViT-L. Either way each output is one sum in single precision; the order of its terms differs, and with it the rounding.

use crate::device::Products;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tch::{Device, Kind, TchError, Tensor};

/// Fewest images: with fewer, and one thread, libtorch multiplies 1×1 convolutions with MKL, too (`use_mkldnn` of its Convolution.cpp).
const LEAST_IMAGES: i64 = 16;
/// Fewest pixels of an image: below, the convolution is slower.
const LEAST_PIXELS: i64 = 4;
/// Smallest matrix for which it pays, in numbers.
const LEAST_MATRIX: i64 = 128 * 512;

/// Whether rows are convolved where it pays.
static CONVOLVED: LazyLock<AtomicBool> = LazyLock::new(|| AtomicBool::new(Products::fastest() == Products::OneDnn));

/// From the next product on, computes them so.
pub(crate) fn choose(products: Products) {
    CONVOLVED.store(products == Products::OneDnn, Ordering::Relaxed);
}

/// How they are computed.
pub(crate) fn chosen() -> Products {
    if CONVOLVED.load(Ordering::Relaxed) { Products::OneDnn } else { Products::Blas }
}

/// `x Wᵀ + b`, or without `b`, `[.., in]` to `[.., out]`, with `W` `[out, in]`. Gradients flow to `x` alone on either way.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    let (outputs, inputs) = weight.size2()?;
    let rows = x.numel() as i64 / inputs.max(1);
    match split(rows).filter(|_| suits(x, weight)) {
        Some((images, pixels)) => {
            // Views alone: rows that lie one after the other are pixels whose channels lie together.
            let pixels = x.f_reshape([images, pixels, 1, inputs])?.f_permute([0, 3, 1, 2])?;
            let filters = weight.f_as_strided([outputs, inputs, 1, 1], [inputs, 1, inputs, inputs], None)?;
            let y = pixels.f_conv2d(&filters, bias, [1, 1], [0, 0], [1, 1], 1)?;
            let mut shape = x.size();
            if let Some(last) = shape.last_mut() {
                *last = outputs;
            }
            y.f_permute([0, 2, 3, 1])?.f_reshape(shape)
        }
        None => x.f_linear(weight, bias),
    }
}

fn suits(x: &Tensor, weight: &Tensor) -> bool {
    chosen() == Products::OneDnn
        && x.device() == Device::Cpu
        && matches!((x.f_kind(), weight.f_kind()), (Ok(Kind::Float), Ok(Kind::Float)))
        && weight.numel() as i64 >= LEAST_MATRIX
        && weight.is_contiguous()
        && !weight.requires_grad()
}

/// Rows as the pixels of images, as few images as possible; none where there are too few.
fn split(rows: i64) -> Option<(i64, i64)> {
    let images = (LEAST_IMAGES..=rows / LEAST_PIXELS).find(|images| rows % images == 0)?;
    Some((images, rows / images))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_into_few_images_or_not_at_all() {
        assert_eq!([200, 400, 788, 64].map(split), [Some((20, 10)), Some((16, 25)), Some((197, 4)), Some((16, 4))]);
        assert_eq!([0, 1, 50, 63, 197].map(split), [None; 5]);
    }

    #[test]
    fn a_convolution_is_the_product_and_so_is_the_way_back() {
        tch::manual_seed(3);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        // a part of a larger matrix, as queries are of queries, keys and values
        let (weight, bias) = (random(&[512, 256]).narrow(0, 128, 256), random(&[256]));
        for shape in [[4, 50, 256], [1, 64, 256], [3, 17, 256], [1, 1, 256]] {
            let (x, cotangent) = (random(&shape), random(&shape));
            let [blas, convolved] = [Products::Blas, Products::OneDnn].map(|products| {
                choose(products);
                let leaf = x.copy().set_requires_grad(true);
                let y = linear(&leaf, &weight, Some(&bias)).unwrap();
                let gradient = Tensor::run_backward(&[(&y * &cotangent).sum(Kind::Float)], &[&leaf], false, false);
                choose(Products::fastest());
                [y.detach(), gradient[0].shallow_clone()]
            });
            let exact =
                x.to_kind(Kind::Double).linear(&weight.to_kind(Kind::Double), Some(&bias.to_kind(Kind::Double)));
            for (a, b) in blas.iter().zip(&convolved) {
                assert_eq!((a.size(), b.is_contiguous()), (b.size(), true));
                let most = (a - b).abs().max().double_value(&[]) / a.abs().max().double_value(&[]);
                // sums of 256 terms in another order
                assert!(most < 1e-5, "{shape:?}: {most}");
            }
            let off = |y: &Tensor| (y.to_kind(Kind::Double) - &exact).abs().max().double_value(&[]);
            assert!(off(&convolved[0]) < 2.0 * off(&blas[0]) + 1e-5, "{} for {}", off(&convolved[0]), off(&blas[0]));
        }
    }
}
