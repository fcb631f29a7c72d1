//! Stage keys of a job's tasks: what decides each result, no more (a job's name must not) and no less.

use domain::digest::CanonicalError;
use domain::edit::{EditSpec, Essence};
use domain::inversion::Inversion;
use domain::{Digest, Stage, StageKey};
use serde::Serialize;

/// Arithmetic of every stage in this version.
pub const PRECISION: &str = "fp32";

/// The latent of `source`.
///
/// # Errors
/// When a parameter is not finite, which validation excludes.
pub fn invert(pack: Digest, source: Digest, inversion: &Inversion) -> Result<StageKey, CanonicalError> {
    StageKey::new(Stage::Invert, pack, &[source], inversion, PRECISION)
}

/// The mapper of `edit`, trained on the set of images that `training_set` lists.
///
/// # Errors
/// As [`invert`].
pub fn train(pack: Digest, training_set: Digest, edit: &EditSpec) -> Result<StageKey, CanonicalError> {
    StageKey::new(Stage::Train, pack, &[training_set], &edit.essence(), PRECISION)
}

/// The image of `edit` on `source`.
///
/// # Errors
/// As [`invert`].
pub fn edit(
    pack: Digest,
    source: Digest,
    latent: StageKey,
    mapper: Option<StageKey>,
    edit: &EditSpec,
    strength: f64,
    seed: u64,
) -> Result<StageKey, CanonicalError> {
    #[derive(Serialize)]
    struct Parameters<'a> {
        edit: Essence<'a>,
        strength: f64,
        // a text: canonical JSON has no integers beyond 2^53
        seed: String,
    }
    let inputs: Vec<Digest> = [source, latent.0].into_iter().chain(mapper.map(|key| key.0)).collect();
    let parameters = Parameters { edit: edit.essence(), strength, seed: seed.to_string() };
    StageKey::new(Stage::Edit, pack, &inputs, &parameters, PRECISION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_changes_with_what_decides_the_result_and_with_nothing_else() {
        let (pack, source) = (Digest::of("pack"), Digest::of("source"));
        let latent = invert(pack, source, &Inversion::default()).unwrap();
        let spec: EditSpec = serde_json::from_str(r#"{"text":"green hair"}"#).unwrap();
        let key = |spec: &EditSpec, strength, seed| edit(pack, source, latent, None, spec, strength, seed).unwrap();
        let plain = key(&spec, 1.0, 0);
        assert_eq!(key(&EditSpec { name: Some("other".into()), ..spec.clone() }, 1.0, 0), plain);
        assert_ne!(key(&spec, 1.5, 0), plain);
        assert_ne!(key(&EditSpec { text: "blue".into(), ..spec.clone() }, 1.0, 0), plain);
        // two seeds that are one number as a double
        assert_ne!(key(&spec, 1.0, (1 << 53) + 1), key(&spec, 1.0, 1 << 53));
        assert_ne!(train(pack, source, &spec).unwrap(), train(pack, pack, &spec).unwrap());
    }
}
