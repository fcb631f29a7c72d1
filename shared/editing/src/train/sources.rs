//! A training set, and what is computed of it once for all texts that are trained on it.

use crate::engine::Engine;
use crate::error::EditError;
use crate::guidance::Sources;
use domain::edit::Method;
use domain::{Digest, Precision};
use std::cell::RefCell;
use std::rc::Rc;
use tch::Tensor;

/// The latents of a training set, with the features of their images as soon as a method has asked for them. Texts that are
/// trained one after the other share them, and so do the slices of one text.
#[derive(Debug)]
pub struct SourceSet {
    digest: Digest,
    generator: Digest,
    precision: Precision,
    latents: Tensor,
    known: RefCell<Option<Rc<Sources>>>,
}

impl SourceSet {
    /// The set called `digest` of `latents` `[N, L, w_dim]`.
    ///
    /// # Errors
    /// When the latents have another shape than the engine's, or there are none.
    pub fn new(engine: &Engine, digest: Digest, latents: &Tensor) -> Result<Self, EditError> {
        let expected = [engine.n_latent(), engine.w_dim()];
        let found = latents.size();
        if found.len() != 3 || found[1..] != expected || found[0] == 0 {
            let what = format!("training latents have shape {found:?}, expected [N, {}, {}]", expected[0], expected[1]);
            return Err(EditError::Input { what });
        }
        let latents = latents.f_detach()?.f_to_device(engine.device())?;
        let (generator, precision) = (engine.generator_digest(), engine.precision());
        Ok(Self { digest, generator, precision, latents, known: RefCell::default() })
    }

    /// True if it is the set called `digest` for this engine's generator, in its precision.
    pub fn is(&self, engine: &Engine, digest: &Digest) -> bool {
        let of = (self.generator, self.precision);
        self.digest == *digest && of == (engine.generator_digest(), engine.precision())
    }

    /// The set's name: the digest of the list of its images.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The latents, `[N, L, w_dim]`.
    pub fn latents(&self) -> &Tensor {
        &self.latents
    }

    /// How many images there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "an empty set is refused")]
    pub fn len(&self) -> usize {
        // Safe: a size is never negative.
        self.latents.size()[0] as usize
    }

    /// What this method needs to know of the images: the last method's if it had the same needs, or computed now, in one pass.
    ///
    /// # Errors
    /// When the pack lacks a network the method needs, or memory runs out.
    pub fn known(&self, engine: &Engine, method: &Method) -> Result<Rc<Sources>, EditError> {
        let kept = self.known.borrow().clone();
        if let Some(kept) = kept.filter(|kept| kept.serve(engine, method)) {
            return Ok(kept);
        }
        // Freed before the next ones are computed, so that never two of them are in memory.
        *self.known.borrow_mut() = None;
        let fresh = Rc::new(Sources::of(engine, engine, method, &self.latents)?);
        *self.known.borrow_mut() = Some(Rc::clone(&fresh));
        Ok(fresh)
    }
}
