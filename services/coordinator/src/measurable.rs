//! Whether a pack and a dataset can do what a job asks for: a rule that nothing can measure would reject every image, and a guard
//! without its network would fail every task. Both are refused when the job is submitted, naming the field.

use domain::edit::{EditSpec, Guards, RegionSource, SpecError};
use domain::job::JobSpec;
use packs::Manifest;
use std::collections::BTreeMap;

/// Texts named to a user whose text the judge does not know.
const SHOWN: usize = 12;

/// Checks every edit of `spec` against the pack, and against the masks of the dataset called `dataset` (their names, and how many
/// sources have each).
///
/// # Errors
/// The first thing that cannot be had, with the field that asks for it and what to do.
pub fn check(pack: &Manifest, dataset: &str, masks: &BTreeMap<String, i64>, spec: &JobSpec) -> Result<(), SpecError> {
    spec.edits.iter().enumerate().try_for_each(|(index, edit)| {
        let at = At { pack, dataset, masks, edit, field: format!("edits[{index}]") };
        at.guards()?;
        at.rules()
    })
}

struct At<'a> {
    pack: &'a Manifest,
    dataset: &'a str,
    masks: &'a BTreeMap<String, i64>,
    edit: &'a EditSpec,
    field: String,
}

impl At<'_> {
    fn refuse(&self, field: &str, reason: String) -> Result<(), SpecError> {
        Err(SpecError::Unusable { field: format!("{}.{field}", self.field), reason })
    }

    /// Refuses `field` if it is asked for and the pack has no such part.
    fn needs_part(&self, field: &str, asked: bool, part: &str, what: &str) -> Result<(), SpecError> {
        if !asked || self.pack.files().iter().any(|file| file.role.key() == part) {
            return Ok(());
        }
        let pack = &self.pack.name;
        self.refuse(
            field,
            format!(
                "the pack '{pack}' has no {what} ([{part}] in its pack.toml); leave it out, or use a pack that has one"
            ),
        )
    }

    fn guards(&self) -> Result<(), SpecError> {
        let Guards { identity, perceptual, layers, region, guide_resolution } = self.edit.method.guards();
        self.needs_part("method.identity", *identity > 0.0, "identity", "identity network")?;
        self.needs_part("method.perceptual", *perceptual > 0.0, "perceptual", "perceptual network")?;
        // StyleGAN2 at 2^n px has 2 (n - 1) layers of W+
        let size = self.pack.image.size;
        let last = (2 * size.max(4).ilog2()).saturating_sub(3);
        if let Some([first, to]) = layers
            && *to > last
        {
            let reason = format!("[{first}, {to}] goes beyond the generator's layers, which are 0 to {last}");
            return self.refuse("method.layers", reason);
        }
        if let Some(side) = guide_resolution
            && *side >= size
        {
            let reason = format!(
                "{side} is not below the generator's {size} pixels; give at most {}, or leave it out",
                size / 2
            );
            return self.refuse("method.guide_resolution", reason);
        }
        if let (Some(side), Some(part)) = (guide_resolution, &self.pack.perceptual)
            && *perceptual > 0.0
            && *side < part.architecture.smallest_side()
        {
            let reason = format!(
                "{side} is too small for the pack's perceptual network, which reads at least {} pixels; raise it, or set method.perceptual to 0",
                part.architecture.smallest_side()
            );
            return self.refuse("method.guide_resolution", reason);
        }
        match region.as_ref().map(|region| &region.source) {
            Some(RegionSource::Mask(name)) => self.mask(name),
            Some(RegionSource::Box(_)) | None => Ok(()),
        }
    }

    /// A mask that some sources lack is no fault of the job: those sources' tasks end with that reason.
    fn mask(&self, name: &str) -> Result<(), SpecError> {
        if self.masks.get(name).is_some_and(|sources| *sources > 0) {
            return Ok(());
        }
        let dataset = self.dataset;
        let known = match self.masks.keys().map(String::as_str).collect::<Vec<_>>() {
            names if names.is_empty() => "it has no masks at all".to_owned(),
            names => format!("it has {}", names.join(", ")),
        };
        let reason = format!(
            "no source of the dataset '{dataset}' has a mask '{name}'; {known}; add them with `cfx dataset add {dataset} ... --mask {name}=DIR`"
        );
        self.refuse("method.region.mask", reason)
    }

    fn rules(&self) -> Result<(), SpecError> {
        let accept = &self.edit.accept;
        self.needs_part("accept.min_identity", accept.min_identity.is_some(), "identity", "identity network")?;
        let gain = accept.min_second_clip_gain.is_some();
        self.needs_part("accept.min_second_clip_gain", gain, "clip_second", "second CLIP")?;
        for (field, asked) in [
            ("accept.min_probability", accept.min_probability.is_some()),
            ("accept.min_preservation", accept.min_preservation.is_some()),
            ("strength_search", self.edit.strength_search.is_some()),
        ] {
            if asked {
                self.needs_target(field)?;
            }
        }
        if accept.max_outside_change.is_some() && self.edit.method.guards().region.is_none() {
            let reason =
                "the edit has no region, so nothing is outside; give method.region, or max_change in its place";
            return self.refuse("accept.max_outside_change", reason.to_owned());
        }
        Ok(())
    }

    fn needs_target(&self, field: &str) -> Result<(), SpecError> {
        let (pack, text) = (&self.pack.name, &self.edit.text);
        match &self.pack.judge {
            None => self.needs_part(field, true, "judge", "judge"),
            Some(judge) if judge.target(text).is_none() => {
                let known: Vec<_> = judge.targets.iter().take(SHOWN).map(|t| format!("'{}'", t.text)).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let more = if judge.targets.len() > SHOWN { ", ..." } else { "" };
                let reason = format!("the judge of the pack '{pack}' cannot tell '{text}'; it knows {known}{more}");
                self.refuse(field, reason)
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_guide_that_the_perceptual_network_cannot_read_is_refused() {
        let digest = "0".repeat(64);
        let part = format!(
            "\n[perceptual]\narchitecture = \"lpips-alex\"\nfile = \"lpips.safetensors\"\nsha256 = \"{digest}\"\ndtype = \"f32\"\n"
        );
        let pack = include_str!("../../../deploy/demo/pack/pack.toml").to_owned() + &part;
        let pack = Manifest::from_toml(&pack).unwrap();
        let refused = |side: u32, weight: f64| {
            let spec: JobSpec = serde_json::from_value(json!({
                "name": "job", "dataset": "faces", "pack": "facesjs-64",
                "edits": [{ "text": "a face with green hair",
                    "method": { "kind": "styleclip", "guide_resolution": side, "perceptual": weight } }],
            }))
            .unwrap();
            check(&pack, "faces", &BTreeMap::new(), &spec).err().map(|error| error.to_string())
        };
        let reason = refused(16, 0.1).unwrap();
        assert!(reason.contains("edits[0].method.guide_resolution") && reason.contains("at least 31"), "{reason}");
        assert_eq!((refused(32, 0.1), refused(16, 0.0)), (None, None));
    }
}
