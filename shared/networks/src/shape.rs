//! Shape checks at the mouth of every network: a wrong input is an error with both shapes in it, never a panic.

use tch::Tensor;

use crate::error::NetworkError;

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
