//! Random perspective views of images, as `torchvision.transforms.RandomPerspective` makes them, with gradients.
//!
//! The contrastive loss looks at several views of each edited image. Drawing follows torchvision to the integer: each
//! corner moves inwards by whole pixels below `distortion * (side // 2)` (rounded down, plus one), the eight
//! coefficients solve the map from the moved corners to the original ones, and the grid is taken at pixel centres
//! `i + 0.5`. Beyond the edge a view shows mid-grey, as torchvision and CF-CLIP do, or the nearest pixel, which measures
//! better: see [`Outside`]. Unlike the published code, where one draw serves a whole batch, every item draws views of
//! its own.

use crate::rng::below;
use domain::edit::Outside;
use rand_chacha::rand_core::RngCore;
use tch::{Device, Kind, TchError, Tensor};

const BILINEAR: i64 = 0;
const ZEROS: i64 = 0;
const BORDER: i64 = 1;

/// A point in pixels, x to the right and y down.
pub type Point = [f64; 2];

/// A view: `(x, y)` of the view shows `((a x + b y + c) / (g x + h y + 1), (d x + e y + f) / (g x + h y + 1))` of the image.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct View(pub [f64; 8]);

impl View {
    /// The view whose `seen` corners show the image's `shown` corners; `None` when no such view exists (three corners on
    /// a line).
    pub fn between(seen: [Point; 4], shown: [Point; 4]) -> Option<Self> {
        let mut rows = [[0.0; 9]; 8];
        for (i, ([x, y], [u, v])) in seen.into_iter().zip(shown).enumerate() {
            rows[2 * i] = [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u];
            rows[2 * i + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v];
        }
        solve(rows).map(Self)
    }

    /// A random view of an image `side` pixels wide and high. `distortion` is in 0 to 1.
    pub fn random(side: u32, distortion: f64, rng: &mut impl RngCore) -> Self {
        // Safe to narrow: at most half the side.
        let bound = (distortion.clamp(0.0, 1.0) * f64::from(side / 2)) as u32 + 1;
        let far = f64::from(side) - 1.0;
        let mut inward = || f64::from(below(rng, bound.min(side)));
        // Corners clockwise from the top left, x before y, as torchvision draws them.
        let moved = [
            [inward(), inward()],
            [far - inward(), inward()],
            [far - inward(), far - inward()],
            [inward(), far - inward()],
        ];
        let corners = [[0.0, 0.0], [far, 0.0], [far, far], [0.0, far]];
        // Corners can only fall on a line when each may reach the middle; the image itself is then the view.
        Self::between(moved, corners).unwrap_or(Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
    }
}

/// Gaussian elimination with pivots on an 8 x 8 system with its right-hand side in the last column.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        let lead = rows[column];
        if lead[column].abs() < 1e-9 {
            return None;
        }
        for (i, row) in rows.iter_mut().enumerate() {
            if i != column {
                let factor = row[column] / lead[column];
                row.iter_mut().zip(lead).skip(column).for_each(|(value, above)| *value -= factor * above);
            }
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}

/// Makes views of square images of one size.
#[derive(Debug)]
pub struct Perspective {
    side: i64,
    /// Pixel centres in homogeneous coordinates, `[side * side, 3]`.
    centres: Tensor,
}

impl Perspective {
    /// For images `side` pixels wide and high on `device`.
    ///
    /// # Errors
    /// When libtorch cannot allocate the grid.
    pub fn new(side: i64, device: Device) -> Result<Self, TchError> {
        let line = Tensor::f_arange(side, (Kind::Float, device))?.f_add_scalar(0.5)?;
        let x = line.f_unsqueeze(0)?.f_expand([side, side], false)?;
        let y = line.f_unsqueeze(1)?.f_expand([side, side], false)?;
        let one = Tensor::f_ones([side, side], (Kind::Float, device))?;
        let centres = Tensor::f_stack(&[x, y, one], -1)?.f_reshape([side * side, 3])?;
        Ok(Self { side, centres })
    }

    /// Height and width of the images, px.
    pub fn side(&self) -> i64 {
        self.side
    }

    /// Views of `images` `[B, 3, side, side]`: `[B * V, 3, side, side]`, the `V` views of an item side by side.
    /// `views` holds them in that order, `V` per image.
    ///
    /// # Errors
    /// When libtorch fails, or the number of views is not a multiple of the number of images.
    pub fn apply(&self, images: &Tensor, views: &[View], outside: Outside) -> Result<Tensor, TchError> {
        let (count, items) = (views.len() as i64, images.size()[0].max(1));
        let grid = tch::no_grad(|| self.grid(views, images.device()))?;
        let repeated = images.f_repeat_interleave_self_int(count / items, 0, None::<i64>)?;
        let padding = match outside {
            Outside::Edge => BORDER,
            Outside::Grey => ZEROS,
        };
        repeated.f_grid_sampler_2d(&grid, BILINEAR, padding, false)
    }

    /// Where each view looks, `[N, side, side, 2]` in [-1, 1].
    fn grid(&self, views: &[View], device: Device) -> Result<Tensor, TchError> {
        let half = 0.5 * self.side as f64;
        // Columns x, y, and the common denominator; numerators already in units of half a side.
        let rows: Vec<f32> = views
            .iter()
            .flat_map(|View([a, b, c, d, e, f, g, h])| {
                [a / half, d / half, *g, b / half, e / half, *h, c / half, f / half, 1.0].map(|value| value as f32)
            })
            .collect();
        let maps = Tensor::f_from_slice(&rows)?.f_view([-1, 3, 3])?.f_to_device(device)?;
        let seen = self.centres.f_matmul(&maps)?; // [N, side * side, 3]
        let grid = seen.f_narrow(2, 0, 2)?.f_div(&seen.f_narrow(2, 2, 1)?)?.f_sub_scalar(1.0)?;
        grid.f_view([-1, self.side, self.side, 2])
    }
}
