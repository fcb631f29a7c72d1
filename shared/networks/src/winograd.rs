//! 3×3 convolutions with a quarter of the products: Winograd's minimal filtering F(4×4, 3×3) as Lavin and Gray use it (2016,
//! <https://arxiv.org/abs/1509.09308>), written as matrix products so that gradients flow.
//!
//! libtorch's own convolutions on a CPU are direct: 36 products an output tile and pair of channels become 144 there. They run at
//! the speed of a matrix product, so on wide maps the only way to be faster is to multiply less. What it costs is rounding: about
//! four times that of the direct form, 1e-5 of the largest output. A GPU's convolutions choose such an algorithm by
//! themselves, so this is for CPUs; [`suits`] tells for which layers it pays.

use crate::device::Products;
use crate::products::{self, linear};
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, TchError, Tensor};

/// Side of the tiles that are written.
const TILE: i64 = 4;
/// Side of the tiles that are read: an output tile and its border.
const READ: i64 = 6;
/// Fewest channels, in and out, for which the products that are saved outweigh the two more passes over the maps.
const LEAST_CHANNELS: i64 = 256;
/// Smallest side of a map: below, reading the larger filters outweighs it.
const LEAST_SIDE: i64 = 16;

/// `Bᵀ`, from tiles to products.
#[rustfmt::skip]
const INPUT: [f64; 36] = [
    4.0, 0.0, -5.0, 0.0, 1.0, 0.0,
    0.0, -4.0, -4.0, 1.0, 1.0, 0.0,
    0.0, 4.0, -4.0, -1.0, 1.0, 0.0,
    0.0, -2.0, -1.0, 2.0, 1.0, 0.0,
    0.0, 2.0, -1.0, -2.0, 1.0, 0.0,
    0.0, 4.0, 0.0, -5.0, 0.0, 1.0,
];
/// `G`, from filters to products.
#[rustfmt::skip]
const FILTER: [f64; 18] = [
    1.0 / 4.0, 0.0, 0.0,
    -1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0,
    -1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0,
    1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0,
    1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0,
    0.0, 0.0, 1.0,
];
/// `Aᵀ`, from products to tiles.
#[rustfmt::skip]
const OUTPUT: [f64; 24] = [
    1.0, 1.0, 1.0, 1.0, 1.0, 0.0,
    0.0, 1.0, -1.0, 2.0, -2.0, 0.0,
    0.0, 1.0, 1.0, 4.0, 4.0, 0.0,
    0.0, 1.0, -1.0, 8.0, -8.0, 1.0,
];

/// Whether networks that are loaded from now on may use it.
static ALLOWED: AtomicBool = AtomicBool::new(true);

/// Lets networks that are loaded from now on use it, or not.
pub(crate) fn allow(allowed: bool) {
    ALLOWED.store(allowed, Ordering::Relaxed);
}

/// Whether networks may use it.
pub(crate) fn is_allowed() -> bool {
    ALLOWED.load(Ordering::Relaxed)
}

/// Whether a convolution `[out, in, 3, 3]` over maps `side` px wide and high is faster this way.
pub(crate) fn suits(weight: &Tensor, side: i64) -> bool {
    let (device, kind, size) = (weight.device(), weight.f_kind(), weight.size());
    is_allowed()
        && device == Device::Cpu
        && matches!(kind, Ok(Kind::Float))
        && side >= LEAST_SIDE
        && side % TILE == 0
        && matches!(size[..], [outputs, inputs, 3, 3] if outputs.min(inputs) >= LEAST_CHANNELS)
}

/// `G W Gᵀ` of every filter, a matrix for each of the 36 products of a tile: four times the size of the filters.
#[derive(Debug)]
enum Filters {
    /// `[36, in, out]`, for one batch of products.
    Together(Tensor),
    /// `[36, out, in]`, for products one by one ([`crate::products`]) where no gradient flows.
    Apart(Tensor),
}

impl Filters {
    /// `[36, N, in]` to `[36, N, out]`.
    fn multiply(&self, rows: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Filters::Together(filters) => rows.f_bmm(filters),
            // The way back would put the parts together a second time, which takes as long as their products save.
            Filters::Apart(filters) if rows.requires_grad() => rows.f_bmm(&filters.f_transpose(1, 2)?),
            Filters::Apart(filters) => {
                let pairs = rows.f_unbind(0)?.into_iter().zip(filters.f_unbind(0)?);
                let each: Result<Vec<_>, TchError> = pairs.map(|(rows, filter)| linear(&rows, &filter, None)).collect();
                Tensor::f_stack(&each?, 0)
            }
        }
    }
}

/// A convolution's filters, made ready.
#[derive(Debug)]
pub(crate) struct Winograd {
    filters: Filters,
    /// `Bᵀ ⊗ Bᵀ`, `[36, 36]`.
    input: Tensor,
    /// `Aᵀ ⊗ Aᵀ`, `[16, 36]`.
    output: Tensor,
}

impl Winograd {
    /// Of filters `[out, in, 3, 3]`.
    pub(crate) fn new(weight: &Tensor) -> Result<Self, TchError> {
        let kind = weight.f_kind()?;
        let matrix = |values: &[f64], rows: i64| Tensor::from_slice(values).f_view([rows, -1]);
        let (filter, input, output) = (matrix(&FILTER, READ)?, matrix(&INPUT, READ)?, matrix(&OUTPUT, TILE)?);
        // In double precision and rounded once.
        let wide = weight.f_to_kind(Kind::Double)?;
        let filters = Tensor::f_einsum("ak,oikl,bl->abio", &[&filter, &wide, &filter], None::<&[i64]>)?;
        let filters = filters.f_flatten(0, 1)?.f_to_kind(kind)?;
        Ok(Winograd {
            filters: match products::chosen() {
                Products::Blas => Filters::Together(filters.f_contiguous()?),
                Products::OneDnn => Filters::Apart(filters.f_transpose(1, 2)?.f_contiguous()?),
            },
            input: input.f_kron(&input)?.f_to_kind(kind)?,
            output: output.f_kron(&output)?.f_to_kind(kind)?,
        })
    }

    /// The same filters, their memory shared.
    pub(crate) fn share(&self) -> Self {
        let filters = match &self.filters {
            Filters::Together(filters) => Filters::Together(filters.shallow_clone()),
            Filters::Apart(filters) => Filters::Apart(filters.shallow_clone()),
        };
        Winograd { filters, input: self.input.shallow_clone(), output: self.output.shallow_clone() }
    }

    /// `[B, in, H, W]` -> `[B, out, H, W]`, stride 1 and zero padding 1; `H` and `W` multiples of 4. The result is channels-last.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (batch, inputs, height, width) = x.size4()?;
        let (down, across) = (height / TILE, width / TILE);
        let tiles = tiles(x, [batch, inputs, down, across])?; // [6, 6, B, down, across, in]
        let read = self.input.f_matmul(&tiles.f_reshape([READ * READ, -1])?)?;
        let products = self.filters.multiply(&read.f_view([READ * READ, batch * down * across, inputs])?)?;
        let written = self.output.f_matmul(&products.f_view([READ * READ, -1])?)?;
        let written = written.f_view([TILE, TILE, batch, down, across, -1])?.f_permute([2, 3, 0, 4, 1, 5])?;
        written.f_reshape([batch, height, width, -1])?.f_permute([0, 3, 1, 2])
    }
}

/// The overlapping tiles of a map with its zero border, `[6, 6, B, down, across, in]`, not contiguous.
fn tiles(x: &Tensor, [batch, inputs, down, across]: [i64; 4]) -> Result<Tensor, TchError> {
    let x = x.f_permute([0, 2, 3, 1])?;
    if !x.requires_grad() {
        let framed = x.f_constant_pad_nd([0, 0, 1, 1, 1, 1])?;
        let tiles = framed.f_unfold(1, READ, TILE)?.f_unfold(2, READ, TILE)?; // [B, down, across, in, 6, 6]
        return tiles.f_permute([4, 5, 0, 1, 2, 3]);
    }
    // The same tiles from whole blocks and the beginnings of the blocks behind them: another copy, but its gradient is a few sums of
    // blocks, where that of `unfold` goes pixel by pixel.
    let framed = x.f_constant_pad_nd([0, 0, 1, 3, 1, 3])?;
    let joined = |blocks: Tensor, dim: i64, count: i64| {
        let (own, next) = (blocks.f_narrow(dim, 0, count)?, blocks.f_narrow(dim, 1, count)?);
        Tensor::f_cat(&[own, next.f_narrow(dim + 1, 0, READ - TILE)?], dim + 1)
    };
    let columns = joined(framed.f_view([batch, TILE * (down + 1), across + 1, TILE, inputs])?, 2, across)?;
    let tiles = joined(columns.f_view([batch, down + 1, TILE, across, READ, inputs])?, 1, down)?;
    tiles.f_permute([2, 4, 0, 1, 3, 5]) // of [B, down, 6, across, 6, in]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(x: &Tensor, weight: &Tensor) -> Tensor {
        x.conv2d(weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1)
    }

    /// In double precision the two forms agree to rounding, borders and oblong maps included, and so do their gradients.
    #[test]
    fn it_is_the_convolution() {
        tch::manual_seed(0);
        let weight = Tensor::randn([5, 3, 3, 3], (Kind::Double, Device::Cpu));
        let x = Tensor::randn([2, 3, 8, 12], (Kind::Double, Device::Cpu));
        let fast = Winograd::new(&weight).unwrap();
        let expected = plain(&x, &weight);
        let off = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        assert!(off(&fast.forward(&x).unwrap(), &expected) < 1e-12);

        let pull = Tensor::randn(expected.size().as_slice(), (Kind::Double, Device::Cpu));
        let gradient = |compute: &dyn Fn(&Tensor) -> Tensor| {
            let x = x.copy().set_requires_grad(true);
            let loss = (compute(&x) * &pull).sum(Kind::Double);
            Tensor::run_backward(&[loss], &[x], false, false).remove(0)
        };
        let own = gradient(&|x| fast.forward(x).unwrap());
        assert!(off(&own, &gradient(&|x| plain(x, &weight))) < 1e-12);
        // With a gradient the tiles are made in another way, and are the same tiles.
        let graded = fast.forward(&x.copy().set_requires_grad(true)).unwrap();
        assert!(off(&graded.detach(), &fast.forward(&x).unwrap()) == 0.0);
    }

    /// What single precision loses: a few times what the direct form does, far from what eight bits of colour show.
    #[test]
    fn it_rounds_little_more() {
        tch::manual_seed(1);
        let weight = Tensor::randn([256, 256, 3, 3], (Kind::Float, Device::Cpu)) / (256.0f64 * 9.0).sqrt();
        let x = Tensor::randn([1, 256, 16, 16], (Kind::Float, Device::Cpu));
        let exact = plain(&x.to_kind(Kind::Double), &weight.to_kind(Kind::Double));
        let off = |y: Tensor| (y.to_kind(Kind::Double) - &exact).abs().max() / exact.abs().max();
        let found = off(Winograd::new(&weight).unwrap().forward(&x).unwrap()).double_value(&[]);
        assert!(found < 3e-5, "{found}");
    }

    #[test]
    fn an_item_does_not_depend_on_its_batch_mates() {
        tch::manual_seed(2);
        let weight = Tensor::randn([256, 256, 3, 3], (Kind::Float, Device::Cpu)) / 48.0;
        let x = Tensor::randn([3, 256, 16, 16], (Kind::Float, Device::Cpu));
        let fast = Winograd::new(&weight).unwrap();
        let all = fast.forward(&x).unwrap();
        for (first, count) in [(0, 1), (2, 1), (1, 2)] {
            assert!(fast.forward(&x.narrow(0, first, count)).unwrap().equal(&all.narrow(0, first, count)), "{first}");
        }
    }

    #[test]
    fn it_is_for_wide_maps_on_a_cpu() {
        let weight = |outputs, inputs, kind| Tensor::zeros([outputs, inputs, 3, 3], (kind, Device::Cpu));
        assert!(suits(&weight(256, 512, Kind::Float), 16));
        assert!(!suits(&weight(128, 512, Kind::Float), 16));
        assert!(!suits(&weight(256, 512, Kind::Double), 16));
        assert!(!suits(&weight(256, 512, Kind::Float), 18));
        assert!(!suits(&weight(256, 512, Kind::Float), 8));
    }
}
