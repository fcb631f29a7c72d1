//! `quality.toml`: which faces, texts and methods, and what a result is held to.

use anyhow::{Context as _, Result, bail};
use domain::Precision;
use domain::accept::Acceptance;
use domain::edit::{EditSpec, Method, Selection, StrengthSearch};
use editing::score::Goal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use training::faces::palette::{BACKGROUND, CLOTHING, HAIR, Palette, SKIN, prototype};
use training::faces::{Change, Region};

/// The whole plan.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The name of its file.
    #[serde(skip)]
    pub file: String,
    /// The faces.
    pub faces: Faces,
    /// The rule by which an output counts as accepted.
    pub accept: Acceptance,
    /// What the texts depart from.
    pub neutral: String,
    /// The texts.
    #[serde(rename = "text")]
    pub texts: Vec<Text>,
    /// The methods with their settings.
    #[serde(rename = "method")]
    pub methods: Vec<Setting>,
}

/// Where the faces come from. Face `i` of a seed depends on the seed and on `i` alone.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Faces {
    /// Held-out faces per text.
    pub count: usize,
    /// Their seed.
    pub seed: u64,
    /// Faces that mappers are trained on.
    pub training_count: usize,
    /// Their seed.
    pub training_seed: u64,
}

/// Whether the generator has seen the target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It has not.
    Counterfactual,
    /// It has.
    InDomain,
}

impl Kind {
    /// The name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counterfactual => "counterfactual",
            Self::InDomain => "in-domain",
        }
    }
}

/// What the renderer changes to draw the truth; colours by their names in the renderer's palettes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// Hair and brows.
    Hair(String),
    /// The skin.
    Skin(String),
    /// Glasses on or off.
    Glasses(bool),
    /// The clothing.
    Clothing(String),
    /// What is behind.
    Background(String),
}

/// One target text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The text, for example "a face with green hair".
    pub text: String,
    /// Whether the generator has seen it.
    pub kind: Kind,
    /// The judge's head that must change.
    pub head: String,
    /// The class it must show.
    pub class: String,
    /// Heads that are tied to it in the generator's data and do not count for preservation.
    #[serde(default)]
    pub excluded: Vec<String>,
    /// The drawn truth.
    pub truth: Truth,
    /// Which faces can show it. Faces that show it already are left out besides.
    #[serde(default)]
    pub only: Selection,
}

impl Text {
    /// `green-hair` for "a face with green hair".
    pub fn slug(&self) -> String {
        let words = self.text.split_whitespace();
        let said: Vec<_> = words.filter(|word| !["a", "face", "with", "in", "on", "wearing"].contains(word)).collect();
        said.join("-").to_lowercase()
    }

    /// How the judge reads it.
    pub fn goal(&self) -> Goal {
        Goal { head: self.head.clone(), class: self.class.clone(), tied: self.excluded.clone() }
    }

    /// The renderer's change.
    ///
    /// # Errors
    /// When the palette has no such colour.
    pub fn change(&self) -> Result<Change> {
        let named = |palette: Palette, name: &str| {
            prototype(palette, name).with_context(|| format!("'{}': the renderer has no colour {name}", self.text))
        };
        Ok(match &self.truth {
            Truth::Hair(name) => Change::Hair(named(HAIR, name)?),
            Truth::Skin(name) => Change::Skin(named(SKIN, name)?),
            Truth::Glasses(on) => Change::Glasses(*on),
            Truth::Clothing(name) => Change::Clothing(named(CLOTHING, name)?),
            Truth::Background(name) => Change::Background(named(BACKGROUND, name)?),
        })
    }

    /// The parts of the picture that may change: for hair also brows and beard, which the generator ties to it.
    pub const fn may_change(&self) -> &'static [Region] {
        match self.truth {
            Truth::Hair(_) => &[Region::Hair, Region::Brows, Region::Beard],
            Truth::Skin(_) => &[Region::Skin],
            Truth::Glasses(_) => &[Region::Glasses],
            Truth::Clothing(_) => &[Region::Clothing],
            Truth::Background(_) => &[Region::Background],
        }
    }

    /// Where the target colour must show, its palette and its name there; none where the target is no colour.
    pub fn colour(&self) -> Option<(Region, Palette, &str)> {
        match &self.truth {
            Truth::Hair(name) => Some((Region::Hair, HAIR, name)),
            Truth::Skin(name) => Some((Region::Skin, SKIN, name)),
            Truth::Clothing(name) => Some((Region::Clothing, CLOTHING, name)),
            Truth::Background(name) => Some((Region::Background, BACKGROUND, name)),
            Truth::Glasses(_) => None,
        }
    }
}

/// What a method is in the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Made of CF-CLIP's parts: its loss, its mapper, or both.
    Ours,
    /// What people would otherwise use.
    Rival,
    /// A switch of another setting, to see what it costs.
    Variant,
}

/// A method with its hyper-parameters, the same for all texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Name in the tables.
    pub name: String,
    /// Its side in the comparison.
    pub side: Side,
    /// The method. A region from the mask `drawn` is the renderer's own mask of what may change.
    pub method: Method,
    /// What generator and guiding CLIP compute in; what scores is in single precision always.
    #[serde(default)]
    pub precision: Precision,
    /// Per image, the smallest strength that the judge reads as the target.
    pub strength_search: Option<StrengthSearch>,
    /// Factor on the change; with a search the most it may be.
    #[serde(default = "one")]
    pub strength: f64,
    /// One run each.
    #[serde(default = "first_seed")]
    pub seeds: Vec<u64>,
    /// Slugs of the texts it is run on; all when absent.
    pub texts: Option<BTreeSet<String>>,
    /// Name of the setting that this one differs from by a switch.
    pub variant_of: Option<String>,
    /// Whether the gallery shows it.
    #[serde(default)]
    pub gallery: bool,
}

fn one() -> f64 {
    1.0
}

fn first_seed() -> Vec<u64> {
    vec![0]
}

impl Setting {
    /// The edit it makes of a text at a seed: a mapper's seed is that of its training.
    pub fn edit(&self, plan: &Plan, text: &Text, seed: u64) -> EditSpec {
        let mut method = self.method.clone();
        match &mut method {
            Method::CfMapper(mapper) => mapper.seed = seed,
            Method::StyleclipMapper(mapper) => mapper.seed = seed,
            Method::ClipNce(_) | Method::Styleclip(_) | Method::Directional(_) => {}
        }
        EditSpec {
            name: None,
            text: text.text.clone(),
            neutral: plan.neutral.clone(),
            method,
            strength_search: self.strength_search,
            accept: plan.accept.clone(),
            only: Selection::default(),
        }
    }

    /// Whether it is run on a text.
    pub fn covers(&self, text: &Text) -> bool {
        self.texts.as_ref().is_none_or(|slugs| slugs.contains(&text.slug()))
    }
}

impl Plan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut plan: Self = toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
        plan.file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        plan.check().with_context(|| path.display().to_string())?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        self.accept.validate("accept")?;
        let (mut names, mut slugs) = (BTreeSet::new(), BTreeSet::new());
        for text in &self.texts {
            text.change()?;
            if !slugs.insert(text.slug()) {
                bail!("the text '{}' is there twice", text.text);
            }
        }
        for setting in &self.methods {
            if !names.insert(&setting.name) {
                bail!("the method '{}' is there twice; give one another name", setting.name);
            }
            if let Some(unknown) = setting.texts.iter().flatten().find(|slug| !slugs.contains(*slug)) {
                bail!("the method '{}' names the text '{unknown}'; there are {slugs:?}", setting.name);
            }
            if let Some(base) = setting.variant_of.iter().find(|base| !names.contains(base)) {
                bail!("the method '{}' is a variant of '{base}', which is not above it", setting.name);
            }
            if setting.seeds.is_empty() {
                bail!("the method '{}' has no seeds", setting.name);
            }
            for text in &self.texts {
                setting.edit(self, text, 0).validate(0).with_context(|| format!("method '{}'", setting.name))?;
            }
        }
        Ok(())
    }

    /// Whether there is a gallery.
    pub fn shows_pictures(&self) -> bool {
        self.methods.iter().any(|setting| setting.gallery)
    }

    /// The same plan so small that it runs in seconds: a smoke test of everything but the figures.
    #[must_use]
    pub fn quick(mut self) -> Self {
        const STEPS: u32 = 5;
        (self.faces.count, self.faces.training_count) = (8, 16);
        self.texts.retain(|text| ["green-hair", "glasses"].contains(&text.slug().as_str()));
        let kept: BTreeSet<_> = self.texts.iter().map(Text::slug).collect();
        self.methods.retain(|setting| setting.texts.as_ref().is_none_or(|slugs| !slugs.is_disjoint(&kept)));
        // The first setting of each method, and every one that has something besides.
        let bases: BTreeSet<_> = self.methods.iter().filter_map(|setting| setting.variant_of.clone()).collect();
        let mut seen = BTreeSet::new();
        self.methods.retain(|setting| {
            let special = setting.strength_search.is_some() || setting.variant_of.is_some();
            seen.insert(setting.method.name()) || special || bases.contains(&setting.name)
        });
        for setting in &mut self.methods {
            setting.seeds.truncate(1);
            match &mut setting.method {
                Method::CfMapper(m) => m.steps = STEPS,
                Method::StyleclipMapper(m) => m.steps = STEPS,
                Method::ClipNce(m) => m.steps = STEPS,
                Method::Styleclip(m) => m.steps = STEPS,
                Method::Directional(m) => m.steps = STEPS,
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_plan_is_what_the_benchmark_promises() {
        let plan = Plan::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("quality.toml")).unwrap();
        let of = |kind| plan.texts.iter().filter(|text| text.kind == kind).count();
        assert!(plan.faces.count >= 200 && of(Kind::Counterfactual) >= 6 && of(Kind::InDomain) >= 4);
        assert_ne!(plan.faces.seed, plan.faces.training_seed);
        for name in Method::NAMES {
            assert!(plan.methods.iter().any(|setting| setting.method.name() == name), "{name} is not measured");
        }
    }

    /// What is said of a precision is said of the same method, faces and texts in fp32.
    #[test]
    fn every_precision_is_measured_beside_the_exact_one() {
        let plan = Plan::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("precision.toml")).unwrap();
        let narrow: Vec<_> = plan.methods.iter().filter(|setting| !setting.precision.is_default()).collect();
        assert!(!narrow.is_empty() && plan.faces.count >= 200);
        for setting in narrow {
            let base = plan.methods.iter().find(|base| setting.variant_of.as_ref() == Some(&base.name)).unwrap();
            assert!(base.precision.is_default(), "{}", setting.name);
            assert_eq!((&base.method, &base.seeds, base.strength), (&setting.method, &setting.seeds, setting.strength));
        }
    }

    #[test]
    fn a_text_has_a_short_name() {
        let plan = Plan::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("quality.toml")).unwrap();
        let slugs: BTreeSet<_> = plan.texts.iter().map(Text::slug).collect();
        assert!(slugs.contains("green-hair") && slugs.contains("glasses"), "{slugs:?}");
        assert_eq!(plan.quick().texts.len(), 2);
    }
}
