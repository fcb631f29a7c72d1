//! What holds an edit back: losses and limits that any method may add, so that only what the text names changes.

use super::{SpecError, within};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, Array, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// Optional terms and limits, the same for every method.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Guards {
    /// Weight of `1 - cos(ID(x'), ID(x))` by the pack's identity network. Published: 0.2 (CF-CLIP), 0.1 (StyleCLIP).
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(minimum = 0, maximum = 1000)]
    pub identity: f64,
    /// Weight of the perceptual distance of `x'` and `x` by the pack's perceptual network. Published: 0 to 0.02.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(minimum = 0, maximum = 1000)]
    pub perceptual: f64,
    /// First and last layer of W+ that may change, from 0; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = layers)]
    pub layers: Option<[u32; 2]>,
    /// Where the image may change; everywhere when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Height and width, px, at which the generator is guided: its own intermediate image at that size stands for the image
    /// while optimising, and only the result is rendered in full. A power of two of at least 8 below the generator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 8, maximum = 1024)]
    pub guide_resolution: Option<u32>,
}

/// Where an image may change. The edited image is composed: inside the region the edit, outside it the unedited render, blended
/// over `feather` pixels, while optimising as well as in the result.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Where the region is.
    #[serde(flatten)]
    pub source: RegionSource,
    /// Standard deviation of the Gaussian that softens its edge, px of the generator's image.
    #[serde(default = "one_pixel")]
    pub feather: f64,
}

fn one_pixel() -> f64 {
    1.0
}

/// Two layers of W+.
fn layers() -> Array {
    let layer = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(63));
    let pair = ArrayBuilder::new().items(layer).min_items(Some(2)).max_items(Some(2));
    let pair = pair.schema_type(SchemaType::from_iter([Type::Array, Type::Null]));
    pair.description(Some("First and last layer of W+ that may change, from 0; all when absent.")).build()
}

impl PartialSchema for Region {
    fn schema() -> RefOr<Schema> {
        let feather = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).maximum(Some(64));
        let feather = feather.default(Some(1.0.into())).description(Some(
            "Standard deviation of the Gaussian that softens its edge, px of the generator's image.",
        ));
        let feather = feather.build();
        let fraction = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).maximum(Some(1));
        let sides = ArrayBuilder::new().items(fraction).min_items(Some(4)).max_items(Some(4)).description(Some(
            "Left, top, right and bottom as fractions of the image, the same for every image; not empty.",
        ));
        let mask = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(300));
        let mask = mask
            .pattern(Some(r"\S"))
            .description(Some("The dataset's mask of this name: a PNG per source, white where the image may change."));
        let of = |title: &str, name: &str, field: RefOr<Schema>| {
            let place = ObjectBuilder::new()
                .title(Some(title))
                .property(name, field)
                .required(name)
                .property("feather", feather.clone());
            place.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        };
        let sources = [of("BoxRegion", "box", sides.into()), of("MaskRegion", "mask", mask.into())];
        let region = sources.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item);
        RefOr::T(region.description(Some("Where an image may change: a box, or a mask.")).build().into())
    }
}

impl ToSchema for Region {}

/// Where a region comes from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegionSource {
    /// Left, top, right and bottom as fractions of the image, the same for every image.
    Box([f64; 4]),
    /// The dataset's mask of this name: a PNG per source, white where the image may change (`cfx dataset add --mask NAME=DIR`).
    Mask(String),
}

/// Finds, per image, the smallest strength whose result the judge reads as the target; where none is, the one of the scan at
/// which the judge is surest.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StrengthSearch {
    /// The judge's probability of the target class that must be reached.
    #[schema(minimum = 0.01, maximum = 0.9999)]
    pub probability: f64,
    /// Strengths tried first, evenly over `(0, strength]`: an edit driven too far may leave the target again. Each costs one
    /// render and one reading.
    #[schema(minimum = 1, maximum = 64)]
    pub scan: u32,
    /// Halvings of the interval below the first that reaches the target; each costs as much.
    #[schema(minimum = 0, maximum = 16)]
    pub halvings: u32,
}

impl Default for StrengthSearch {
    fn default() -> Self {
        Self { probability: 0.9, scan: 8, halvings: 3 }
    }
}

impl Guards {
    /// The name of the mask that the edit is confined to, if it is.
    pub fn mask(&self) -> Option<&str> {
        match &self.region.as_ref()?.source {
            RegionSource::Mask(name) => Some(name),
            RegionSource::Box(_) => None,
        }
    }

    pub(super) fn validate(&self, field: &str) -> Result<(), SpecError> {
        let at = |name: &str| format!("{field}.{name}");
        within(&at("identity"), self.identity, 0.0, 1e3)?;
        within(&at("perceptual"), self.perceptual, 0.0, 1e3)?;
        if let Some([first, last]) = self.layers {
            within(&at("layers"), f64::from(last), f64::from(first), 63.0)?;
        }
        if let Some(side) = self.guide_resolution {
            within(&at("guide_resolution"), f64::from(side), 8.0, 1024.0)?;
            if !side.is_power_of_two() {
                return Err(SpecError::Unusable {
                    field: at("guide_resolution"),
                    reason: format!("{side} is no power of two; give one such as {}", side.next_power_of_two() / 2),
                });
            }
        }
        self.region.as_ref().map_or(Ok(()), |region| region.validate(&at("region")))
    }
}

impl Region {
    fn validate(&self, field: &str) -> Result<(), SpecError> {
        within(&format!("{field}.feather"), self.feather, 0.0, 64.0)?;
        match &self.source {
            RegionSource::Mask(name) => super::text_fits(&format!("{field}.mask"), name),
            RegionSource::Box([left, top, right, bottom]) => {
                let at = format!("{field}.box");
                for edge in [left, top, right, bottom] {
                    within(&at, *edge, 0.0, 1.0)?;
                }
                if left < right && top < bottom {
                    return Ok(());
                }
                Err(SpecError::Unusable {
                    field: at,
                    reason: "it is empty; give left < right and top < bottom".to_owned(),
                })
            }
        }
    }
}

impl StrengthSearch {
    pub(super) fn validate(&self, field: &str) -> Result<(), SpecError> {
        within(&format!("{field}.probability"), self.probability, 0.01, 0.9999)?;
        within(&format!("{field}.scan"), f64::from(self.scan), 1.0, 64.0)?;
        within(&format!("{field}.halvings"), f64::from(self.halvings), 0.0, 16.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}
