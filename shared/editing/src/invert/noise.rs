//! The projector's noise inputs: their regulariser and their normalisation, **per item** (the batched projectors in use take
//! both over the whole batch, which makes an item depend on its batch-mates).

use tch::{TchError, Tensor};

/// The side at which the pyramid of a noise map ends.
const COARSEST: i64 = 8;

/// How much of a noise map `[B, 1, r, r]` is explained by its neighbours: the squared mean product with itself shifted by one
/// pixel, in both directions and at every halving down to 8 px, summed: `[B]`. White noise has none, so a picture cannot be
/// hidden in it. (stylegan2-ada-pytorch, projector.py, per map.)
///
/// # Errors
/// When libtorch fails.
pub fn autocorrelation(map: &Tensor) -> Result<Tensor, TchError> {
    let mean = |values: &Tensor| values.f_mean_dim([1_i64, 2, 3].as_slice(), false, None);
    let mut map = map.shallow_clone();
    let mut total = Tensor::f_zeros([map.size()[0]], (map.f_kind()?, map.device()))?;
    loop {
        for direction in [3, 2] {
            total = total.f_add(&mean(&map.f_mul(&map.f_roll([1], [direction])?)?)?.f_square()?)?;
        }
        if map.size()[2] <= COARSEST {
            return Ok(total);
        }
        map = map.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?;
    }
}

/// The map `[B, 1, r, r]` at zero mean and unit mean square, each item by itself.
///
/// # Errors
/// When libtorch fails.
pub fn normalise(map: &Tensor) -> Result<Tensor, TchError> {
    let mean = |values: &Tensor| values.f_mean_dim([1_i64, 2, 3].as_slice(), true, None);
    let centred = map.f_sub(&mean(map)?)?;
    centred.f_mul(&mean(&centred.f_square()?)?.f_rsqrt()?)
}
