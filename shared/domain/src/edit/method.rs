//! The editing methods by name, what they have in common, and their presets.

use super::{
    CfMapper, ClipNce, Descent, Directional, Guards, MapperNetwork, NceLoss, Numerics, Objective, Optimiser, Outside,
    Query, Schedule, SpecError, Styleclip, StyleclipMapper, Training, Views,
};
use crate::digest::Digest;
use crate::schema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// The editing methods. Each variant carries all its hyper-parameters, with the measured defaults.
///
/// In a file `preset = "repro-2022"` starts from the published values in place of the defaults; the other fields then change
/// single values. What is written is always complete, so that a preset's meaning cannot drift.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", try_from = "Map<String, Value>")]
pub enum Method {
    /// CF-CLIP's amortised form: a text mapper trained once per text, then one forward pass per image.
    CfMapper(CfMapper),
    /// StyleCLIP's mapper: the same under the global CLIP loss, told no text.
    StyleclipMapper(StyleclipMapper),
    /// The CF-CLIP contrastive loss, optimised per image on its W+ latent.
    ClipNce(ClipNce),
    /// StyleCLIP's latent optimisation: the global CLIP loss, per image.
    Styleclip(Styleclip),
    /// StyleGAN-NADA's directional loss, per image on its latent.
    Directional(Directional),
}

impl PartialSchema for Method {
    fn schema() -> RefOr<Schema> {
        let description = "An editing method with its hyper-parameters. What is absent has the measured default, or the published value \
                           under the preset repro-2022; what is answered is complete.";
        schema::one_of(description, "kind", &VARIANTS)
    }
}

impl ToSchema for Method {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        let fields = [
            CfMapper::fields(),
            StyleclipMapper::fields(),
            ClipNce::fields(),
            Styleclip::fields(),
            Directional::fields(),
        ];
        for ((kind, name), fields) in VARIANTS.into_iter().zip(fields) {
            let mut method = schema::tagged("kind", kind, fields);
            method.properties.insert("preset".to_owned(), preset());
            schemas.push((name.to_owned(), method.into()));
        }
        // what their fields refer to
        CfMapper::schemas(schemas);
        ClipNce::schemas(schemas);
        NceLoss::schemas(schemas);
        Views::schemas(schemas);
        Guards::schemas(schemas);
    }
}

/// The kinds in the order of [`Method`], and the names of their schemas.
const VARIANTS: [(&str, &str); 5] = [
    (Method::NAMES[0], "CfMapper"),
    (Method::NAMES[1], "StyleclipMapper"),
    (Method::NAMES[2], "ClipNce"),
    (Method::NAMES[3], "Styleclip"),
    (Method::NAMES[4], "Directional"),
];

/// The field that is read and never written.
fn preset() -> RefOr<Schema> {
    let preset = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["repro-2022"])).write_only(true);
    RefOr::T(preset.description(Some("Start from the published values in place of the defaults.")).build().into())
}

impl Default for Method {
    fn default() -> Self {
        Self::CfMapper(CfMapper::default())
    }
}

/// The same field, whatever the method.
macro_rules! of_each {
    ($self:expr, $m:ident => $value:expr) => {
        match $self {
            Method::CfMapper($m) => $value,
            Method::StyleclipMapper($m) => $value,
            Method::ClipNce($m) => $value,
            Method::Styleclip($m) => $value,
            Method::Directional($m) => $value,
        }
    };
}

impl Method {
    /// The names of all methods.
    pub const NAMES: [&'static str; 5] = ["cf-mapper", "styleclip-mapper", "clip-nce", "styleclip", "directional"];

    /// The name in tables, tags and file names.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CfMapper(_) => "cf-mapper",
            Self::StyleclipMapper(_) => "styleclip-mapper",
            Self::ClipNce(_) => "clip-nce",
            Self::Styleclip(_) => "styleclip",
            Self::Directional(_) => "directional",
        }
    }

    /// The loss it minimises.
    pub const fn objective(&self) -> Objective<'_> {
        match self {
            Self::CfMapper(m) => Objective::Nce(&m.loss),
            Self::ClipNce(m) => Objective::Nce(&m.loss),
            Self::StyleclipMapper(m) => Objective::Global(&m.loss),
            Self::Styleclip(m) => Objective::Global(&m.loss),
            Self::Directional(m) => Objective::Directional(&m.loss),
        }
    }

    /// How its mapper is trained, for methods that have one. The others optimise every image: see [`Method::descent`].
    pub fn training(&self) -> Option<Training<'_>> {
        match self {
            Self::CfMapper(m) => Some(m.training()),
            Self::StyleclipMapper(m) => Some(m.training()),
            Self::ClipNce(_) | Self::Styleclip(_) | Self::Directional(_) => None,
        }
    }

    /// The file of the mapper that it uses in place of training one, if it names one.
    pub const fn given_mapper(&self) -> Option<Digest> {
        match self {
            Self::CfMapper(m) => m.mapper,
            Self::StyleclipMapper(m) => m.mapper,
            Self::ClipNce(_) | Self::Styleclip(_) | Self::Directional(_) => None,
        }
    }

    /// The same with this mapper's file in place of training one; no change to methods that have none.
    pub fn with_mapper(mut self, mapper: Digest) -> Self {
        match &mut self {
            Self::CfMapper(m) => m.mapper = Some(mapper),
            Self::StyleclipMapper(m) => m.mapper = Some(mapper),
            Self::ClipNce(_) | Self::Styleclip(_) | Self::Directional(_) => {}
        }
        self
    }

    /// How it optimises an image's latent, for methods that do. The others train a mapper: see [`Method::training`].
    pub fn descent(&self) -> Option<Descent<'_>> {
        match self {
            Self::ClipNce(m) => Some(m.descent()),
            Self::Styleclip(m) => Some(m.descent()),
            Self::Directional(m) => Some(m.descent()),
            Self::CfMapper(_) | Self::StyleclipMapper(_) => None,
        }
    }

    /// True if its mapper is told the text. StyleCLIP's is not: it has one mapper per text anyway.
    pub const fn tells_text(&self) -> bool {
        matches!(self, Self::CfMapper(_))
    }

    /// What it looks at.
    pub const fn views(&self) -> &Views {
        of_each!(self, m => &m.views)
    }

    /// What holds it back.
    pub const fn guards(&self) -> &Guards {
        of_each!(self, m => &m.guards)
    }

    /// Its numeric mode.
    pub const fn numerics(&self) -> &Numerics {
        of_each!(self, m => &m.numerics)
    }

    /// Weight of `mean((w' - w)^2)`.
    pub const fn latent_l2(&self) -> f64 {
        of_each!(self, m => m.latent_l2)
    }

    /// Weight of the group-sparse change of the image.
    pub const fn sparsity(&self) -> f64 {
        of_each!(self, m => m.sparsity)
    }

    /// Weight of the objective; 1 for methods that do not say otherwise.
    pub const fn guide_weight(&self) -> f64 {
        match self {
            Self::CfMapper(m) => m.guide_weight,
            Self::StyleclipMapper(m) => m.guide_weight,
            Self::ClipNce(_) | Self::Styleclip(_) | Self::Directional(_) => 1.0,
        }
    }

    pub(super) fn validate(&self, field: &str) -> Result<(), SpecError> {
        of_each!(self, m => m.validate_course(field))?;
        match self.objective() {
            Objective::Nce(loss) => loss.validate(field),
            Objective::Global(_) | Objective::Directional(_) => Ok(()),
        }
    }

    /// The published hyper-parameters of the method called `kind`, in the numeric mode `repro-2022`: CF-CLIP's released
    /// defaults (mapper/options/train_options.py, criteria), StyleCLIP's of its mapper and its optimiser.
    pub fn repro_2022(kind: &str) -> Option<Self> {
        let numerics = Numerics::REPRO_2022;
        let styleclip = Numerics {
            clip_input: super::ClipInput::AreaRaw,
            templates: super::TemplateSet::Prompt,
            ..Numerics::REPRO_2022
        };
        let views = Views { views: 8, distortion: 0.5, outside: Outside::Grey };
        let none = Views { views: 0, ..Views::default() };
        let loss = NceLoss { query: Query::Normalised {}, temperature: 0.1 };
        let identity = |identity| Guards { identity, ..Guards::default() };
        Some(match kind {
            "cf-mapper" => Self::CfMapper(CfMapper {
                steps: 50_000,
                batch: 2,
                optimiser: Optimiser::Ranger,
                schedule: Schedule::Constant,
                network: MapperNetwork::Published,
                depth: 3,
                guide_weight: 0.3,
                latent_l2: 0.8,
                sparsity: 0.0,
                numerics,
                loss,
                views,
                guards: identity(0.2),
                ..CfMapper::default()
            }),
            "styleclip-mapper" => Self::StyleclipMapper(StyleclipMapper {
                steps: 50_000,
                batch: 2,
                optimiser: Optimiser::Ranger,
                schedule: Schedule::Constant,
                network: MapperNetwork::Published,
                depth: 3,
                latent_l2: 0.8,
                numerics: styleclip,
                views: none,
                guards: identity(0.1),
                ..StyleclipMapper::default()
            }),
            "clip-nce" => Self::ClipNce(ClipNce { numerics, loss, views, ..ClipNce::default() }),
            "styleclip" => Self::Styleclip(Styleclip {
                steps: 300,
                learning_rate: 0.1,
                numerics: styleclip,
                views: none,
                ..Styleclip::default()
            }),
            "directional" => Self::Directional(Directional { numerics, views: none, ..Directional::default() }),
            _ => return None,
        })
    }
}

/// [`Method`] as serde derives it.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Complete {
    CfMapper(CfMapper),
    StyleclipMapper(StyleclipMapper),
    ClipNce(ClipNce),
    Styleclip(Styleclip),
    Directional(Directional),
}

impl TryFrom<Map<String, Value>> for Method {
    type Error = String;

    fn try_from(mut given: Map<String, Value>) -> Result<Self, String> {
        if let Some(preset) = given.remove("preset") {
            given = over_preset(&preset, given)?;
        }
        let complete: Complete = serde_json::from_value(Value::Object(given)).map_err(|e| e.to_string())?;
        Ok(match complete {
            Complete::CfMapper(m) => Self::CfMapper(m),
            Complete::StyleclipMapper(m) => Self::StyleclipMapper(m),
            Complete::ClipNce(m) => Self::ClipNce(m),
            Complete::Styleclip(m) => Self::Styleclip(m),
            Complete::Directional(m) => Self::Directional(m),
        })
    }
}

/// The fields of a preset with the `given` ones over them.
fn over_preset(preset: &Value, given: Map<String, Value>) -> Result<Map<String, Value>, String> {
    if preset != "repro-2022" {
        return Err(format!("unknown preset {preset}; the only one is \"repro-2022\""));
    }
    let kind = given.get("kind").and_then(Value::as_str).unwrap_or_default();
    let method = Method::repro_2022(kind)
        .ok_or_else(|| format!("unknown method '{kind}'; there are {}", Method::NAMES.join(", ")))?;
    match serde_json::to_value(&method) {
        Ok(Value::Object(mut fields)) => {
            fields.extend(given);
            Ok(fields)
        }
        Ok(_) => Err("a method is a table".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_reads_what_it_writes() {
        for name in Method::NAMES {
            let method: Method = serde_json::from_value(serde_json::json!({ "kind": name })).unwrap();
            assert_eq!(method.name(), name);
            assert_eq!(method.validate("method"), Ok(()));
            assert_eq!(method.training().is_some(), method.descent().is_none());
            let published = Method::repro_2022(name).unwrap();
            assert_eq!(published.validate("method"), Ok(()));
            let back: Method = serde_json::from_str(&serde_json::to_string(&published).unwrap()).unwrap();
            assert_eq!(back, published);
        }
    }

    #[test]
    fn a_preset_is_a_starting_point_and_is_written_out() {
        let given = serde_json::json!({ "kind": "cf-mapper", "preset": "repro-2022", "steps": 7 });
        let method: Method = serde_json::from_value(given).unwrap();
        let Method::CfMapper(m) = &method else { panic!("{method:?}") };
        assert_eq!((m.steps, m.batch, m.optimiser, m.views.views), (7, 2, Optimiser::Ranger, 8));
        assert_eq!(method.training().unwrap().learning_rate, 0.5);
        assert_eq!(method.numerics(), &Numerics::REPRO_2022);
        assert!(!serde_json::to_string(&method).unwrap().contains("preset"));
        let bad = serde_json::json!({ "kind": "cf-mapper", "preset": "repro-2023" });
        assert!(serde_json::from_value::<Method>(bad).unwrap_err().to_string().contains("repro-2022"));
    }

    #[test]
    fn guards_are_checked() {
        let method = |json: &str| serde_json::from_str::<Method>(json).unwrap();
        let fault = |json: &str| method(json).validate("m").unwrap_err().to_string();
        assert!(fault(r#"{"kind":"clip-nce","layers":[5,2]}"#).starts_with("m.layers"));
        assert!(fault(r#"{"kind":"styleclip","guide_resolution":48}"#).contains("power of two"));
        assert!(fault(r#"{"kind":"clip-nce","region":{"box":[0.5,0,0.5,1]}}"#).contains("empty"));
        assert!(
            fault(r#"{"kind":"cf-mapper","groups":{"coarse":false,"medium":false,"fine":false}}"#).contains("groups")
        );
        let masked = method(r#"{"kind":"clip-nce","region":{"mask":"hair"}}"#);
        assert_eq!(masked.guards().region.as_ref().unwrap().feather, 1.0);
    }
}
