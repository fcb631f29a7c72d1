//! What the types of the manifest cannot say.

use super::{GeneratorArchitecture, Judge, Manifest};
use crate::error::PackError;
use std::collections::BTreeSet;
use std::path::{Component, Path};

impl Manifest {
    pub(super) fn check(&self) -> Result<(), PackError> {
        self.check_name()?;
        self.check_image()?;
        self.check_generator()?;
        for file in self.files() {
            plain_path(&format!("{}.file", file.role), file.file)?;
        }
        for (index, document) in self.documents.iter().enumerate() {
            plain_path(&format!("documents[{index}]"), document)?;
        }
        for (key, clip) in [("clip", Some(&self.clip)), ("clip_second", self.clip_second.as_ref())] {
            if clip.is_some_and(|c| c.context < 3) {
                return Err(PackError::value(format!("{key}.context"), "must be at least 3: start, one token, end"));
            }
        }
        self.check_text()?;
        if let Some(smallest) = self.perceptual.as_ref().map(|perceptual| perceptual.architecture.smallest_side())
            && self.image.size < smallest
        {
            let message = format!("reads images of {smallest} px and more, but image.size is {}", self.image.size);
            return Err(PackError::value("perceptual.architecture", message));
        }
        self.judge.as_ref().map_or(Ok(()), check_judge)
    }

    fn check_name(&self) -> Result<(), PackError> {
        let tail_ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let head_ok = self.name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !head_ok || self.name.len() > 64 || !self.name.bytes().all(tail_ok) {
            let rule = "must be 1 to 64 lower-case letters, digits, '.', '_' or '-', starting with a letter or digit";
            return Err(PackError::value("name", rule));
        }
        if self.version.trim().is_empty() {
            return Err(PackError::value("version", "must not be empty"));
        }
        Ok(())
    }

    fn check_image(&self) -> Result<(), PackError> {
        let image = &self.image;
        if !image.size.is_power_of_two() || !(4..=4096).contains(&image.size) {
            return Err(PackError::value("image.size", format!("{} is no power of two from 4 to 4096", image.size)));
        }
        if image.channels != 3 {
            return Err(PackError::value("image.channels", "must be 3: the pipeline works on RGB"));
        }
        // Exact comparison: these are constants of the format, not measurements.
        if image.range != [-1.0, 1.0] {
            return Err(PackError::value("image.range", "must be [-1.0, 1.0]"));
        }
        Ok(())
    }

    fn check_generator(&self) -> Result<(), PackError> {
        let generator = &self.generator;
        let positive = |key: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                return Ok(());
            }
            Err(PackError::value(format!("generator.{key}"), "must be a positive number"))
        };
        positive("conv_clamp", generator.conv_clamp.unwrap_or(1.0))?;
        let Some(settings) = &generator.stylegan3 else { return Ok(()) };
        if generator.architecture != GeneratorArchitecture::StyleGan3 {
            return Err(PackError::value("generator.stylegan3", "belongs to the architecture stylegan3; leave it out"));
        }
        positive("stylegan3.first_cutoff", settings.first_cutoff)?;
        positive("stylegan3.first_stopband", settings.first_stopband)?;
        positive("stylegan3.last_stopband_rel", settings.last_stopband_rel)?;
        positive("stylegan3.output_scale", settings.output_scale)
    }

    fn check_text(&self) -> Result<(), PackError> {
        let text = &self.text;
        names("text.subjects", &text.subjects)?;
        names("text.templates", &text.templates)?;
        if !text.subjects.contains(&text.neutral) {
            return Err(PackError::value("text.neutral", format!("'{}' must be one of text.subjects", text.neutral)));
        }
        for (index, template) in text.templates.iter().enumerate() {
            if template.matches("{}").count() != 1 {
                let message = format!("'{template}' must have exactly one {{}}, where the text goes");
                return Err(PackError::value(format!("text.templates[{index}]"), message));
            }
        }
        Ok(())
    }
}

fn check_judge(judge: &Judge) -> Result<(), PackError> {
    names("judge.heads", judge.heads.iter().map(|head| &head.name))?;
    for head in &judge.heads {
        names(&format!("judge.heads.{}.classes", head.name), &head.classes)?;
    }
    if judge.targets.is_empty() {
        return Ok(());
    }
    names("judge.targets", judge.targets.iter().map(|target| &target.text))?;
    for (index, target) in judge.targets.iter().enumerate() {
        let find = |name: &str, field: &str| {
            judge.heads.iter().find(|head| head.name == name).ok_or_else(|| {
                PackError::value(format!("judge.targets[{index}].{field}"), format!("the judge has no head '{name}'"))
            })
        };
        let head = find(&target.head, "head")?;
        if !head.classes.contains(&target.class) {
            let message = format!("head '{}' has no class '{}'", head.name, target.class);
            return Err(PackError::value(format!("judge.targets[{index}].class"), message));
        }
        for excluded in &target.excluded {
            find(excluded, "excluded")?;
        }
    }
    Ok(())
}

/// A list of names that must not be empty, hold an empty name, or hold one twice.
fn names<'a>(key: &str, list: impl IntoIterator<Item = &'a String>) -> Result<(), PackError> {
    let mut seen = BTreeSet::new();
    for name in list {
        if name.trim().is_empty() {
            return Err(PackError::value(key, "has an empty entry"));
        }
        if !seen.insert(name) {
            return Err(PackError::value(key, format!("lists '{name}' twice")));
        }
    }
    if seen.is_empty() { Err(PackError::value(key, "must not be empty")) } else { Ok(()) }
}

/// Only `name` and `folder/name`: no root, drive, `.` or `..`, no backslash (a separator on some systems only). Symbolic links
/// are the owner's business: model caches are built of them, and whatever they lead to must have the digest stated.
pub(crate) fn plain_path(key: &str, file: &str) -> Result<(), PackError> {
    let path = Path::new(file);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if !plain || file.contains('\\') || file.contains("//") || file.contains("./") || file.ends_with('/') {
        return Err(PackError::Escapes { key: key.to_owned(), file: file.to_owned() });
    }
    if file.is_empty() || file.contains('\0') || file == "pack.toml" {
        return Err(PackError::value(key, format!("'{file}' is not the name of a file of the pack")));
    }
    Ok(())
}
