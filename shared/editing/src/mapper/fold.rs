//! From a mapper's parameters and a text to its folded form. Gradients flow to the parameters.

use super::shape::RATE_FACTOR;
use super::{Group, LeakyRelu, Linear, Mapper, Shape, pixel_norm};
use crate::error::EditError;
use crate::train::Curve;
use domain::edit::MapperNetwork;
use std::ops::Range;
use tch::{Device, Kind, TchError, Tensor};

impl Mapper {
    /// The mapper with these parameters (in the order of [`Shape::parameters`]) and this text (`[text_dim]`,
    /// [`EditText::mapper_input`](crate::text::EditText::mapper_input); one that is told no text ignores it). **Gradients flow**
    /// to the parameters.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    pub fn with_text(shape: &Shape, parameters: &[Tensor], text: &Tensor) -> Result<Self, EditError> {
        let expected = shape.parameters().len();
        if parameters.len() != expected {
            let what = format!("a mapper of this shape has {expected} parameters, {} were given", parameters.len());
            return Err(EditError::Input { what });
        }
        let nonlinearity = LeakyRelu::new(shape.network, text.device())?;
        let mut layers = Layers { pairs: parameters.chunks_exact(2), network: shape.network };
        let (fuse, groups) = match shape.network {
            MapperNetwork::Compact => (None, compact(shape, &mut layers, text, &nonlinearity)?),
            MapperNetwork::Published => published(shape, &mut layers, text, &nonlinearity)?,
        };
        let open = open_layers(shape, text.device())?;
        Ok(Self { shape: *shape, fuse, groups, nonlinearity, open, generator: None, curve: Curve::default() })
    }
}

/// 1 for layers that may change, `[L, 1]`; none if all may.
pub(super) fn open_layers(shape: &Shape, device: Device) -> Result<Option<Tensor>, TchError> {
    let Some([first, last]) = shape.layers else { return Ok(None) };
    let layers = Tensor::f_arange(shape.n_latent, (Kind::Float, device))?;
    let open = layers.f_ge(f64::from(first))?.f_logical_and(&layers.f_le(f64::from(last))?)?;
    Ok(Some(open.f_to_kind(Kind::Float)?.f_unsqueeze(1)?))
}

type Groups = Vec<(Range<i64>, Option<Group>)>;

/// The layers of a list of parameters, one after the other, with the weights they act with.
struct Layers<'a> {
    pairs: std::slice::ChunksExact<'a, Tensor>,
    network: MapperNetwork,
}

impl Layers<'_> {
    fn next(&mut self) -> Result<Linear, EditError> {
        let Some([weight, bias]) = self.pairs.next() else {
            return Err(EditError::Input { what: "a mapper lacks a layer".to_owned() });
        };
        Ok(match self.network {
            MapperNetwork::Compact => Linear { weight: weight.shallow_clone(), bias: bias.shallow_clone() },
            MapperNetwork::Published => {
                let scale = RATE_FACTOR / (weight.size()[1] as f64).sqrt();
                Linear { weight: weight.f_multiply_scalar(scale)?, bias: bias.f_multiply_scalar(RATE_FACTOR)? }
            }
        })
    }

    fn list(&mut self, count: u32) -> Result<Vec<Linear>, EditError> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// `[w, t] Wᵀ + b = w W_wᵀ + (t W_tᵀ + b)`: the text's share, `t` `[w_dim]` or `[L, w_dim]`, becomes part of the bias.
fn told(fuse: &Linear, w_dim: i64, text: &Tensor) -> Result<Linear, TchError> {
    let bias = text.f_linear(&fuse.weight.f_narrow(1, w_dim, w_dim)?, Some(&fuse.bias))?;
    Ok(Linear { weight: fuse.weight.f_narrow(1, 0, w_dim)?, bias })
}

fn compact(
    shape: &Shape,
    layers: &mut Layers<'_>,
    text: &Tensor,
    nonlinearity: &LeakyRelu,
) -> Result<Groups, EditError> {
    let text = match shape.text_dim {
        Some(_) => {
            let hidden = nonlinearity.forward(&layers.next()?.forward(text)?)?;
            Some(layers.next()?.forward(&hidden)?)
        }
        None => None,
    };
    let group = |(_, range, on): (usize, Range<i64>, bool)| {
        if !on {
            return Ok((range, None));
        }
        let fuse = layers.next()?;
        let fuse = match &text {
            Some(text) => told(&fuse, shape.w_dim, text)?,
            None => fuse,
        };
        Ok((range, Some(Group { fuse: Some(fuse), maps: layers.list(shape.depth + 1)? })))
    };
    shape.switched().map(group).collect()
}

fn published(
    shape: &Shape,
    layers: &mut Layers<'_>,
    text: &Tensor,
    nonlinearity: &LeakyRelu,
) -> Result<(Option<Linear>, Groups), EditError> {
    let mut fuse = None;
    if shape.text_dim.is_some() {
        // Every text mapper sees the text as a sequence of one: across its layers there is nothing to average, and only the
        // signs are left.
        let text = pixel_norm(&text.f_view([1, 1, -1])?, shape.pixel_norm)?.f_view([-1])?;
        // The layers of groups that are switched off are never looked at; zeros keep the table in place.
        let nothing = Tensor::f_zeros([shape.w_dim], (Kind::Float, text.device()))?;
        let mut table = Vec::new();
        for (_, range, on) in shape.switched() {
            for _ in range {
                let mut told = if on { text.shallow_clone() } else { nothing.shallow_clone() };
                for layer in if on { layers.list(shape.depth + 1)? } else { Vec::new() } {
                    told = nonlinearity.forward(&layer.forward(&told)?)?;
                }
                table.push(told);
            }
        }
        fuse = Some(told(&layers.next()?, shape.w_dim, &Tensor::f_stack(&table, 0)?)?);
    }
    let group = |(_, range, on): (usize, Range<i64>, bool)| {
        let maps = if on { Some(layers.list(shape.depth + 1)?) } else { None };
        Ok((range, maps.map(|maps| Group { fuse: None, maps })))
    };
    Ok((fuse, shape.switched().map(group).collect::<Result<_, EditError>>()?))
}
