//! Stage keys of a job's tasks: what decides each result, no more (a job's name must not) and no less.

use domain::accept::Acceptance;
use domain::digest::CanonicalError;
use domain::edit::{EditSpec, Essence};
use domain::inversion::Inversion;
use domain::{Digest, Framing, Precision, Stage, StageKey};
use serde::Serialize;

/// The latent of `source`, framed so. The centred square is no part of the key, so that keys from before there were others hold.
///
/// # Errors
/// When a parameter is not finite, which validation excludes.
pub fn invert(
    pack: Digest,
    source: Digest,
    framing: &Framing,
    inversion: &Inversion,
    precision: Precision,
) -> Result<StageKey, CanonicalError> {
    #[derive(Serialize)]
    struct Framed<'a> {
        framing: &'a Framing,
        inversion: &'a Inversion,
    }
    if framing.is_default() {
        return StageKey::new(Stage::Invert, pack, &[source], inversion, precision);
    }
    StageKey::new(Stage::Invert, pack, &[source], &Framed { framing, inversion }, precision)
}

/// The mapper of `edit`, trained on the set of images that `training_set` lists.
///
/// # Errors
/// As [`invert`].
pub fn train(
    pack: Digest,
    training_set: Digest,
    edit: &EditSpec,
    precision: Precision,
) -> Result<StageKey, CanonicalError> {
    StageKey::new(Stage::Train, pack, &[training_set], &edit.mapper_essence(), precision)
}

/// What an edit's image is made from.
#[derive(Clone, Copy, Debug)]
pub struct EditInputs {
    /// SHA-256 of the source's bytes.
    pub source: Digest,
    /// Its latent.
    pub latent: StageKey,
    /// The trained mapper, for methods that have one.
    pub mapper: Option<StageKey>,
    /// The source's mask, for edits that are confined to one.
    pub mask: Option<Digest>,
}

/// The image of `edit` on `inputs`, with its verdict: the rules of acceptance do not change a pixel, but a result that was judged
/// by other rules is another result.
///
/// # Errors
/// As [`invert`].
pub fn edit(
    pack: Digest,
    inputs: EditInputs,
    edit: &EditSpec,
    strength: f64,
    seed: u64,
    precision: Precision,
) -> Result<StageKey, CanonicalError> {
    #[derive(Serialize)]
    struct Parameters<'a> {
        edit: Essence<'a>,
        strength: f64,
        // a text: canonical JSON has no integers beyond 2^53
        seed: String,
        #[serde(skip_serializing_if = "Acceptance::is_default")]
        accept: &'a Acceptance,
        #[serde(skip_serializing_if = "Option::is_none")]
        mask: Option<Digest>,
    }
    let EditInputs { source, latent, mapper, mask } = inputs;
    let inputs: Vec<Digest> = [source, latent.0].into_iter().chain(mapper.map(|key| key.0)).collect();
    let parameters = Parameters { edit: edit.essence(), strength, seed: seed.to_string(), accept: &edit.accept, mask };
    StageKey::new(Stage::Edit, pack, &inputs, &parameters, precision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Landmarks;

    const FP32: Precision = Precision::Fp32;

    #[test]
    fn a_key_changes_with_what_decides_the_result_and_with_nothing_else() {
        let (pack, source) = (Digest::of("pack"), Digest::of("source"));
        let latent = invert(pack, source, &Framing::default(), &Inversion::default(), FP32).unwrap();
        let spec: EditSpec = serde_json::from_str(r#"{"text":"green hair"}"#).unwrap();
        let inputs = EditInputs { source, latent, mapper: None, mask: None };
        let key = |spec: &EditSpec, strength, seed| edit(pack, inputs, spec, strength, seed, FP32).unwrap();
        let plain = key(&spec, 1.0, 0);
        assert_eq!(key(&EditSpec { name: Some("other".into()), ..spec.clone() }, 1.0, 0), plain);
        assert_ne!(key(&spec, 1.5, 0), plain);
        assert_ne!(key(&EditSpec { text: "blue".into(), ..spec.clone() }, 1.0, 0), plain);
        // other rules give another verdict, and another mask another image
        let strict = Acceptance { max_change: Some(9.0), ..Acceptance::default() };
        let judged = EditSpec { accept: strict, ..spec.clone() };
        assert_ne!(key(&judged, 1.0, 0), plain);
        assert_eq!(judged.identity().unwrap(), spec.identity().unwrap(), "the random numbers stay");
        assert_ne!(edit(pack, EditInputs { mask: Some(pack), ..inputs }, &spec, 1.0, 0, FP32).unwrap(), plain);
        // two seeds that are one number as a double
        assert_ne!(key(&spec, 1.0, (1 << 53) + 1), key(&spec, 1.0, 1 << 53));
        let of = |set, precision| train(pack, set, &spec, precision).unwrap();
        assert_ne!(of(source, FP32), of(pack, FP32));
        // in other numbers everything is another result
        let bf16 = Precision::Bf16;
        assert_ne!(of(source, FP32), of(source, bf16));
        assert_ne!(edit(pack, inputs, &spec, 1.0, 0, bf16).unwrap(), plain);
        assert_ne!(invert(pack, source, &Framing::default(), &Inversion::default(), bf16).unwrap(), latent);
    }

    #[test]
    fn a_framed_face_is_other_work_and_a_centred_square_is_what_it_was() {
        let (pack, source) = (Digest::of("pack"), Digest::of("source"));
        let key = |framing| invert(pack, source, &framing, &Inversion::default(), FP32).unwrap();
        let plain = StageKey::new(Stage::Invert, pack, &[source], &Inversion::default(), FP32).unwrap();
        assert_eq!(key(Framing::CentreSquare), plain);
        let face = |x| Landmarks::new(vec![[x, 1.0], [9.0, 1.0], [5.0, 5.0], [2.0, 9.0], [8.0, 9.0]]).unwrap();
        let framed = [None, Some(face(1.0)), Some(face(1.5))].map(|landmarks| key(Framing::Ffhq { landmarks }));
        let all: std::collections::BTreeSet<_> = framed.into_iter().chain([plain]).collect();
        assert_eq!(all.len(), 4);
    }
}
