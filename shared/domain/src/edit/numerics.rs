//! Numeric modes: what the published code does differently from what its paper, or sense, says. Each difference is a switch.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The switches. `"corrected"` (the default) and `"repro-2022"` name the two ends; a table sets them one by one, on top of
/// `corrected`: `numerics = { negatives = "first-image" }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Given")]
pub struct Numerics {
    /// Whose features the negatives of the contrastive loss are taken from.
    pub negatives: Negatives,
    /// The axis over which the mapper's PixelNorm averages.
    pub pixel_norm: PixelNormAxis,
    /// How an image reaches CLIP.
    pub clip_input: ClipInput,
    /// What the text mapper is told.
    pub mapper_text: MapperText,
    /// The sentences a text is put into.
    pub templates: TemplateSet,
    /// Whether the images of a batch share their random views.
    pub view_sharing: ViewSharing,
}

impl Numerics {
    /// Bug for bug as the code published in 2022.
    pub const REPRO_2022: Self = Self {
        negatives: Negatives::FirstImage,
        pixel_norm: PixelNormAxis::Layers,
        clip_input: ClipInput::BicubicPlain,
        mapper_text: MapperText::RawPrompt,
        templates: TemplateSet::Imagenet79,
        view_sharing: ViewSharing::PerBatch,
    };

    /// True if an item's result depends on the images it shares a batch with.
    pub const fn couples_batch(&self) -> bool {
        matches!(self.negatives, Negatives::FirstImage) || matches!(self.view_sharing, ViewSharing::PerBatch)
    }
}

/// Where negatives come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// `N(s_j - E(x_b))`: each image's own, as the paper says.
    #[default]
    PerImage,
    /// `N(s_j - E(x_0))`: the first image of the batch serves all, so a result depends on its batch-mates.
    FirstImage,
}

/// The axis of the mapper's PixelNorm on `[B, L, C]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PixelNormAxis {
    /// Over the channels of each latent.
    #[default]
    Channels,
    /// Over the layers of a group (dimension 1): couples layers, and leaves the text network the signs of the text feature only.
    Layers,
}

/// How a generated image in [-1, 1] reaches CLIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClipInput {
    /// As the pack says, which is how its CLIP was trained.
    #[default]
    Pack,
    /// Bicubic without antialiasing (torchvision's `Resize` on tensors in 2022), then the pack's normalisation.
    BicubicPlain,
    /// StyleCLIP's: area resampling (nearest x7, then average), and no normalisation at all.
    AreaRaw,
}

/// The text feature that conditions the mapper.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MapperText {
    /// The mean target sentence at length `sqrt(D) / 4`, so that its entries are of the size of a latent's.
    #[default]
    UnitMean,
    /// CLIP's un-normalised feature of the bare target text, without template.
    RawPrompt,
}

/// The sentences that texts are put into.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateSet {
    /// The pack's templates and subjects.
    #[default]
    Pack,
    /// The 79 ImageNet templates of the published code (criteria/text_templates.py), without subjects.
    Imagenet79,
    /// The bare text, as StyleCLIP.
    Prompt,
}

/// Who sees which views.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ViewSharing {
    /// Every image has views of its own.
    #[default]
    PerItem,
    /// One draw per view serves the whole batch, as one call of RandomPerspective does.
    PerBatch,
}

/// What may stand in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Mode(Mode),
    Table(Table),
}

/// A numeric mode by its name.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = NumericMode)]
enum Mode {
    Corrected,
    #[serde(rename = "repro-2022")]
    Repro2022,
}

/// Switches one by one; those that are absent are as in `corrected`.
#[derive(Deserialize, Default, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = NumericSwitches)]
struct Table {
    negatives: Negatives,
    pixel_norm: PixelNormAxis,
    clip_input: ClipInput,
    mapper_text: MapperText,
    templates: TemplateSet,
    view_sharing: ViewSharing,
}

impl PartialSchema for Numerics {
    fn schema() -> RefOr<Schema> {
        let given = OneOfBuilder::new();
        let given = [Mode::name(), Table::name()]
            .into_iter()
            .fold(given, |given, name| given.item(Ref::from_schema_name(name)));
        let description = "The numeric mode: its name, or a table of switches, which is what is written.";
        RefOr::T(given.description(Some(description)).build().into())
    }
}

impl ToSchema for Numerics {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Mode::name().into_owned(), Mode::schema()));
        schemas.push((Table::name().into_owned(), Table::schema()));
        Table::schemas(schemas);
    }
}

impl From<Given> for Numerics {
    fn from(given: Given) -> Self {
        match given {
            Given::Mode(Mode::Corrected) => Self::default(),
            Given::Mode(Mode::Repro2022) => Self::REPRO_2022,
            Given::Table(Table { negatives, pixel_norm, clip_input, mapper_text, templates, view_sharing }) => {
                Self { negatives, pixel_norm, clip_input, mapper_text, templates, view_sharing }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_tables_are_read_and_a_table_is_written() {
        let read = |json: &str| serde_json::from_str::<Numerics>(json);
        assert_eq!(read(r#""corrected""#).unwrap(), Numerics::default());
        let repro = read(r#""repro-2022""#).unwrap();
        assert_eq!(repro, Numerics::REPRO_2022);
        assert_eq!(read(&serde_json::to_string(&repro).unwrap()).unwrap(), repro);
        let one = read(r#"{"negatives":"first-image"}"#).unwrap();
        assert_eq!(one, Numerics { negatives: Negatives::FirstImage, ..Numerics::default() });
        assert!(one.couples_batch() && !Numerics::default().couples_batch());
        assert!(read(r#"{"negative":"first-image"}"#).is_err());
        assert!(read(r#""repro-2023""#).is_err());
    }
}
