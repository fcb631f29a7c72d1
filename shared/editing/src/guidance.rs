//! What pulls and holds an edit, for any method: the objective on views of the edited image, and the guards.
//!
//! Everything about the unedited images that does not change while an edit is sought is computed once: `E(x)`, identity and
//! perceptual features, and their pixels where a guard compares them. The two forms, per image and amortised, only differ in
//! what moves the latent.

use crate::engine::{Engine, chunk};
use crate::error::EditError;
use crate::objective::Aim;
use crate::perspective::{Perspective, View};
use crate::region;
use crate::text::EditText;
use domain::edit::{ClipInput, Method, ViewSharing};
use networks::perceptual::PerceptualFeatures;
use rand_chacha::rand_core::RngCore;
use std::rc::Rc;
use tch::{Kind, TchError, Tensor};

/// Pixels of unedited images that are kept, in bytes; beyond it they are rendered again when they are needed.
const KEPT_PIXELS: i64 = 1 << 29;
/// Keeps the root of the sparsity term smooth where nothing changes; 1e-6 in squared units of [-1, 1] is an eighth of a level.
const SPARSITY_EPSILON: f64 = 1e-6;

/// Draws the images of latents. The rows are places in the caller's list of items.
pub trait Draw {
    /// The images `[rows, 3, S, S]` of `latents` `[rows, L, w_dim]`, `S` being `side` or the generator's own. Gradients flow.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    fn draw(&self, rows: &[usize], latents: &Tensor, side: Option<i64>) -> Result<Tensor, EditError>;
}

impl Draw for Engine {
    fn draw(&self, _rows: &[usize], latents: &Tensor, side: Option<i64>) -> Result<Tensor, EditError> {
        Ok(match side {
            Some(side) => self.generator().synthesize_at(latents, side)?,
            None => self.generator().synthesize(latents)?,
        })
    }
}

/// An edit's losses with their constants for `N` images.
pub struct Guidance<'a> {
    engine: &'a Engine,
    draw: &'a dyn Draw,
    method: &'a Method,
    aim: Aim,
    /// Soft masks `[N or 1, 1, R, R]`.
    regions: Option<Tensor>,
    known: Rc<Sources>,
    /// The maker of views, where the guide's size is not the engine's.
    perspective: Option<Perspective>,
}

/// Some unedited images and what is computed of them once, for any number of edits.
#[derive(Debug)]
pub struct Sources {
    needs: Needs,
    /// `[N, L, w_dim]`.
    latents: Tensor,
    /// `E(x)`, `[N, D]`.
    features: Tensor,
    /// `[N, 3, S, S]`; none if no guard compares pixels, or if they are too many to keep.
    images: Option<Tensor>,
    /// Unit identity features `[N, I]`.
    identity: Option<Tensor>,
    perceptual: Option<PerceptualFeatures>,
}

/// What a method wants to know of unedited images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Needs {
    /// How they reach CLIP.
    clip_input: ClipInput,
    identity: bool,
    perceptual: bool,
    /// Their pixels, to compare or compose with.
    pixels: bool,
    /// The guide's size, where it is not the generator's own.
    side: Option<i64>,
}

impl Needs {
    fn of(engine: &Engine, method: &Method) -> Self {
        let guards = method.guards();
        Self {
            clip_input: method.numerics().clip_input,
            identity: guards.identity > 0.0,
            perceptual: guards.perceptual > 0.0,
            pixels: guards.region.is_some() || method.sparsity() > 0.0,
            side: guards.guide_resolution.map(i64::from).filter(|side| *side != engine.resolution()),
        }
    }
}

/// The terms of the loss, each `[B]`, before their weights.
#[derive(Debug)]
pub struct Terms {
    /// The objective.
    pub guide: Tensor,
    /// `mean((w' - w)^2)`.
    pub latent_l2: Tensor,
    /// `1 - cos(ID(x'), ID(x))`.
    pub identity: Option<Tensor>,
    /// The perceptual distance.
    pub perceptual: Option<Tensor>,
    /// The group-sparse change of the image.
    pub sparsity: Option<Tensor>,
}

impl Terms {
    /// The weighted sum, `[B]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn total(&self, method: &Method) -> Result<Tensor, TchError> {
        let guards = method.guards();
        let mut total = self.guide.f_multiply_scalar(method.guide_weight())?;
        for (term, weight) in [
            (Some(&self.latent_l2), method.latent_l2()),
            (self.identity.as_ref(), guards.identity),
            (self.perceptual.as_ref(), guards.perceptual),
            (self.sparsity.as_ref(), method.sparsity()),
        ] {
            if let Some(term) = term {
                total = total.f_add(&term.f_multiply_scalar(weight)?)?;
            }
        }
        Ok(total)
    }

    /// The terms by name, in a fixed order, for loss curves.
    pub fn named(&self) -> Vec<(&'static str, &Tensor)> {
        let optional = [("identity", &self.identity), ("perceptual", &self.perceptual), ("sparsity", &self.sparsity)];
        let mut named = vec![("guide", &self.guide), ("latent_l2", &self.latent_l2)];
        named.extend(optional.into_iter().filter_map(|(name, term)| Some((name, term.as_ref()?))));
        named
    }
}

impl<'a> Guidance<'a> {
    /// The losses of `method` for images drawn from `latents` `[N, L, w_dim]`; `regions` are soft masks `[N or 1, 1, R, R]` at the
    /// generator's size.
    ///
    /// # Errors
    /// When the method needs a network that the pack lacks, a guide resolution that the generator does not pass through, or
    /// memory runs out.
    pub fn new(
        engine: &'a Engine,
        draw: &'a dyn Draw,
        method: &'a Method,
        text: &EditText,
        latents: &Tensor,
        regions: Option<Tensor>,
    ) -> Result<Self, EditError> {
        let sources = Rc::new(Sources::of(engine, draw, method, latents)?);
        Self::over(engine, draw, method, text, sources, regions)
    }

    /// The same over sources that are known already.
    ///
    /// # Errors
    /// When they were computed for a method with other needs, or libtorch fails.
    pub fn over(
        engine: &'a Engine,
        draw: &'a dyn Draw,
        method: &'a Method,
        text: &EditText,
        sources: Rc<Sources>,
        regions: Option<Tensor>,
    ) -> Result<Self, EditError> {
        if !sources.serve(engine, method) {
            return Err(EditError::Input { what: "the sources were computed for another kind of method".to_owned() });
        }
        let side = sources.needs.side;
        let perspective = side.map(|side| Perspective::new(side, engine.device())).transpose()?;
        let aim = Aim::new(method.objective(), text, &sources.features, method.numerics().negatives)?;
        Ok(Self { engine, draw, method, aim, regions, known: sources, perspective })
    }

    /// The method whose losses these are.
    pub fn method(&self) -> &Method {
        self.method
    }

    /// The random views of one image at one step; none if the method looks at the image itself.
    pub fn views(&self, rng: &mut impl RngCore) -> Vec<View> {
        let views = self.method.views();
        // Safe to narrow: a side in pixels.
        let side = self.perspective().side() as u32;
        (0..views.views).map(|_| View::random(side, views.distortion, rng)).collect()
    }

    /// The views of a batch, side by side, from those of each image.
    pub fn arrange(&self, mut per_item: Vec<Vec<View>>) -> Vec<View> {
        if let (ViewSharing::PerBatch, [first, rest @ ..]) = (self.method.numerics().view_sharing, &mut per_item[..]) {
            rest.iter_mut().for_each(|views| views.clone_from(first));
        }
        per_item.into_iter().flatten().collect()
    }

    /// The terms for the images at `rows` whose latents are now `edited` `[B, L, w_dim]`, seen through `views` (as many per
    /// image, side by side). Gradients flow to `edited`.
    ///
    /// # Errors
    /// When shapes do not fit or memory runs out.
    pub fn losses(&self, rows: &[usize], edited: &Tensor, views: &[View]) -> Result<Terms, EditError> {
        let places: Vec<_> = rows.iter().map(|&row| row as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(self.engine.device())?;
        let mut images = self.draw.draw(rows, edited, self.side())?;
        let source = if self.needs_pixels() { Some(self.unedited(rows, &places)?) } else { None };
        if let (Some(regions), Some(source)) = (&self.regions, &source) {
            let masks =
                if regions.size()[0] == 1 { regions.shallow_clone() } else { regions.f_index_select(0, &places)? };
            images = region::compose(source, &images, &masks)?;
        }
        let guide = self.aim.loss(&places, &self.seen(&images, rows.len(), views)?)?;
        let change = edited.f_sub(&self.known.latents.f_index_select(0, &places)?)?;
        let latent_l2 = change.f_square()?.f_mean_dim([1_i64, 2].as_slice(), false, None)?;
        let identity = match (&self.known.identity, self.engine.identity()) {
            (Some(known), Some(network)) => {
                let now = network.features(&images)?.f_mul(&known.f_index_select(0, &places)?)?;
                Some(now.f_sum_dim_intlist([1_i64].as_slice(), false, None)?.f_neg()?.f_add_scalar(1.0)?)
            }
            _ => None,
        };
        let perceptual = match (&self.known.perceptual, self.engine.perceptual()) {
            (Some(known), Some(network)) => {
                Some(network.distance_of(&network.features(&images)?, &known.select(&places)?)?)
            }
            _ => None,
        };
        let sparsity = match &source {
            Some(source) if self.method.sparsity() > 0.0 => Some(sparse_change(source, &images)?),
            _ => None,
        };
        Ok(Terms { guide, latent_l2, identity, perceptual, sparsity })
    }

    /// Unit features `[B, V, D]` of the views of images.
    fn seen(&self, images: &Tensor, items: usize, views: &[View]) -> Result<Tensor, EditError> {
        let looked_at = if views.is_empty() {
            images.shallow_clone()
        } else {
            self.perspective().apply(images, views, self.method.views().outside)?
        };
        let features = self.engine.guide_features_as(&looked_at, self.method.numerics().clip_input)?;
        Ok(features.f_reshape([items as i64, i64::from(self.method.views().per_image()), -1])?)
    }

    fn perspective(&self) -> &Perspective {
        self.perspective.as_ref().unwrap_or_else(|| self.engine.perspective())
    }

    /// The guide's size, where it is not the generator's own.
    fn side(&self) -> Option<i64> {
        self.perspective.as_ref().map(Perspective::side)
    }

    fn needs_pixels(&self) -> bool {
        self.regions.is_some() || self.method.sparsity() > 0.0
    }

    /// The unedited images at `rows`.
    fn unedited(&self, rows: &[usize], places: &Tensor) -> Result<Tensor, EditError> {
        match &self.known.images {
            Some(images) => Ok(images.f_index_select(0, places)?),
            None => tch::no_grad(|| self.draw.draw(rows, &self.known.latents.f_index_select(0, places)?, self.side())),
        }
    }
}

impl Sources {
    /// Draws the images of `latents` `[N, L, w_dim]`, in chunks of a fixed size, and computes `E(x)` and what the method's guards
    /// need of them.
    ///
    /// # Errors
    /// When the method needs a network that the pack lacks, a guide resolution that the generator does not pass through, or
    /// memory runs out.
    pub fn of(engine: &Engine, draw: &dyn Draw, method: &Method, latents: &Tensor) -> Result<Self, EditError> {
        tch::no_grad(|| Self::compute(engine, draw, method, latents))
    }

    /// True if they can stand for the same latents under this method, too.
    pub fn serve(&self, engine: &Engine, method: &Method) -> bool {
        self.needs == Needs::of(engine, method)
    }

    fn compute(engine: &Engine, draw: &dyn Draw, method: &Method, latents: &Tensor) -> Result<Self, EditError> {
        let latents = latents.f_detach()?.f_to_device(engine.device())?;
        let (guards, needs) = (method.guards(), Needs::of(engine, method));
        let side = needs.side;
        let count = latents.size()[0];
        let pixels = 3 * side.unwrap_or(engine.resolution()).pow(2) * 4 * count;
        let keep = needs.pixels && pixels <= KEPT_PIXELS;
        let recogniser = needed("identity", guards.identity, engine.identity())?;
        let network = needed("perceptual", guards.perceptual, engine.perceptual())?;
        let (mut source, mut images, mut identity, mut perceptual) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let rows: Vec<usize> = (0..count as usize).collect();
        for rows in rows.chunks(chunk(side.unwrap_or(engine.resolution())) as usize) {
            let part = latents.f_narrow(0, rows[0] as i64, rows.len() as i64)?;
            let drawn = draw.draw(rows, &part, side)?;
            source.push(engine.guide_features_as(&drawn, needs.clip_input)?);
            if let Some(recogniser) = recogniser {
                identity.push(recogniser.features(&drawn)?);
            }
            if let Some(network) = network {
                perceptual.push(network.features(&drawn)?);
            }
            if keep {
                images.push(drawn);
            }
        }
        let joined = |chunks: &[Tensor]| (!chunks.is_empty()).then(|| Tensor::f_cat(chunks, 0)).transpose();
        let perceptual = (!perceptual.is_empty()).then(|| PerceptualFeatures::join(&perceptual)).transpose()?;
        let (features, images, identity) = (Tensor::f_cat(&source, 0)?, joined(&images)?, joined(&identity)?);
        Ok(Self { needs, latents, features, images, identity, perceptual })
    }
}

/// The network behind a term, if the term has a weight.
fn needed<'a, T>(term: &str, weight: f64, network: Option<&'a T>) -> Result<Option<&'a T>, EditError> {
    if weight == 0.0 {
        return Ok(None);
    }
    network.map(Some).ok_or_else(|| EditError::Pack {
        what: format!("has no network for the {term} loss, and the edit gives it a weight; set {term} = 0"),
    })
}

/// The mean over pixels of `sqrt(mean over colours of (b - a)^2 + eps) - sqrt(eps)`, per image, `[B]`.
fn sparse_change(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    let square = b.f_sub(a)?.f_square()?.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?;
    let length = square.f_add_scalar(SPARSITY_EPSILON)?.f_sqrt()?.f_sub_scalar(SPARSITY_EPSILON.sqrt())?;
    length.f_mean_dim([1_i64, 2].as_slice(), false, None)
}
