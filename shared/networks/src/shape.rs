//! Shape checks at the mouth of every network: a wrong input is an error with both shapes in it, never a panic.

use tch::Tensor;

use crate::error::{LoadError, NetworkError};
use crate::weights::Weights;

/// No published network comes near it; a file that says more is damaged or meant to exhaust the machine.
const MAX_IMAGE_SIDE: i64 = 16_384;

/// The image side of a network that has `side` px after (or before) `halvings` halvings. `name` is the tensor whose
/// numbering gave the count.
pub(crate) fn image_side(weights: &Weights, name: &str, side: i64, halvings: usize) -> Result<i64, LoadError> {
    let doubled = (0..halvings).try_fold(side, |side, _| side.checked_mul(2).filter(|&side| side <= MAX_IMAGE_SIDE));
    doubled.ok_or_else(|| weights.value_error(name, format!("more layers than an image of {MAX_IMAGE_SIDE} px has")))
}

/// Checks `tensor` against `expected`, where `None` is any size of at least one, and returns its sizes.
pub(crate) fn expect<const N: usize>(
    network: &'static str,
    input: &'static str,
    tensor: &Tensor,
    expected: [Option<i64>; N],
) -> Result<[i64; N], NetworkError> {
    let found = if tensor.defined() { tensor.size() } else { Vec::new() };
    if let Ok(dims) = <[i64; N]>::try_from(found.as_slice())
        && dims.iter().zip(expected).all(|(&size, wanted)| size > 0 && wanted.is_none_or(|wanted| wanted == size))
    {
        return Ok(dims);
    }
    let expected = expected.map(|size| size.map_or_else(|| "any".to_owned(), |n| n.to_string())).join(", ");
    Err(NetworkError::Shape { network, input, expected: format!("[{expected}]"), found })
}

/// The side `s` of `elements = channels · s²`.
pub(crate) fn side_of_square(elements: i64, channels: i64) -> Option<i64> {
    (1..=elements).take_while(|s| channels * s * s <= elements).find(|s| channels * s * s == elements)
}
