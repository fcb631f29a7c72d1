//! Drawing items that have more than a latent of their own: noise inputs, or a change of the generator's weights.

use crate::engine::Engine;
use crate::error::EditError;
use crate::guidance::Draw;
use networks::Generator;
use networks::stylegan2::{Delta, LowRank};
use tch::Tensor;

/// What an item is drawn with besides its latent, found by its inversion. The edit of the item keeps it.
#[derive(Debug, Default)]
pub struct Own {
    /// The generator's noise inputs `[1, 1, r, r]`, in the order of [`Generator::noise_shapes`]; the checkpoint's if `None`.
    pub noise: Option<Vec<Tensor>>,
    /// A change of the generator's weights.
    pub delta: Option<Delta>,
}

impl Own {
    /// Whether there is nothing of its own.
    pub fn is_empty(&self) -> bool {
        self.noise.is_none() && self.delta.is_none()
    }

    /// The same, sharing memory.
    pub fn share(&self) -> Self {
        let low_rank = |change: &LowRank| LowRank { u: change.u.shallow_clone(), v: change.v.shallow_clone() };
        Self {
            noise: self.noise.as_ref().map(|maps| maps.iter().map(Tensor::shallow_clone).collect()),
            delta: self
                .delta
                .as_ref()
                .map(|delta| Delta(delta.0.iter().map(|(name, change)| (name.clone(), low_rank(change))).collect())),
        }
    }
}

/// Draws the rows of a micro-batch, each with what is its own: in one pass where no weights differ, and item by item where
/// they do.
///
/// A changed generator is kept per item with a change, its unchanged parts shared: its convolutions' weights, and so up to
/// the generator's own size an item, and four times that where they are kept ready for faster products (on a CPU).
#[derive(Debug)]
pub struct Painter<'a> {
    engine: &'a Engine,
    items: Vec<Palette<'a>>,
}

/// What one item is drawn with.
#[derive(Debug)]
struct Palette<'a> {
    noise: Option<&'a [Tensor]>,
    changed: Option<Generator>,
}

impl<'a> Painter<'a> {
    /// For items in the order in which rows will count them; `None` has nothing of its own.
    ///
    /// # Errors
    /// When a change of weights does not fit the generator, or memory runs out.
    pub fn new(engine: &'a Engine, items: Vec<Option<&'a Own>>) -> Result<Self, EditError> {
        let palette = |own: Option<&'a Own>| {
            let delta = own.and_then(|own| own.delta.as_ref());
            let changed = tch::no_grad(|| delta.map(|delta| engine.generator().with_delta(delta)).transpose())?;
            Ok(Palette { noise: own.and_then(|own| own.noise.as_deref()), changed })
        };
        Ok(Self { engine, items: items.into_iter().map(palette).collect::<Result<_, EditError>>()? })
    }

    /// Several rows in one pass of the unchanged generator.
    fn together(&self, rows: &[usize], latents: &Tensor, side: Option<i64>) -> Result<Tensor, EditError> {
        if rows.iter().all(|&row| self.items[row].noise.is_none()) {
            return self.engine.draw(rows, latents, side);
        }
        let generator = self.engine.generator();
        let fixed = generator.noise();
        let of = |row: usize| self.items[row].noise.unwrap_or(&fixed);
        let stacked = (0..fixed.len()).map(|layer| {
            let maps = rows
                .iter()
                .map(|&row| of(row).get(layer).ok_or_else(|| missing(layer)))
                .collect::<Result<Vec<_>, _>>()?;
            Ok::<_, EditError>(Tensor::f_cat(&maps, 0)?)
        });
        Ok(generator.synthesize_with(latents, &stacked.collect::<Result<Vec<_>, _>>()?, side)?)
    }

    /// One row with its own weights.
    fn alone(
        &self,
        generator: &Generator,
        row: usize,
        latent: &Tensor,
        side: Option<i64>,
    ) -> Result<Tensor, EditError> {
        Ok(match (self.items[row].noise, side) {
            (Some(noise), _) => generator.synthesize_with(latent, noise, side)?,
            (None, Some(side)) => generator.synthesize_at(latent, side)?,
            (None, None) => generator.synthesize(latent)?,
        })
    }
}

impl Draw for Painter<'_> {
    fn draw(&self, rows: &[usize], latents: &Tensor, side: Option<i64>) -> Result<Tensor, EditError> {
        if let Some(row) = rows.iter().find(|row| **row >= self.items.len()) {
            return Err(EditError::Input { what: format!("row {row} of {} items is to be drawn", self.items.len()) });
        }
        let (mut shared, mut order, mut drawn) = (Vec::new(), Vec::with_capacity(rows.len()), Vec::new());
        for (place, &row) in (0_i64..).zip(rows) {
            match &self.items[row].changed {
                Some(generator) => {
                    drawn.push(self.alone(generator, row, &latents.f_narrow(0, place, 1)?, side)?);
                    order.push(place);
                }
                None => shared.push((place, row)),
            }
        }
        if drawn.is_empty() {
            return self.together(rows, latents, side);
        }
        if !shared.is_empty() {
            let (places, rows): (Vec<i64>, Vec<usize>) = shared.into_iter().unzip();
            let these = Tensor::f_from_slice(&places)?.f_to_device(latents.device())?;
            drawn.push(self.together(&rows, &latents.f_index_select(0, &these)?, side)?);
            order.extend(places);
        }
        // `order` says which place each drawn image belongs to; sorting it gives where each place's image lies.
        let back = Tensor::f_from_slice(&order)?.f_argsort(0, false)?.f_to_device(latents.device())?;
        Ok(Tensor::f_cat(&drawn, 0)?.f_index_select(0, &back)?)
    }
}

fn missing(layer: usize) -> EditError {
    EditError::Input { what: format!("an item has noise of its own, and none for noise input {layer}") }
}
