//! How a pack turns a user's text into the prompts of its template set.

use serde::{Deserialize, Serialize};

/// The template set: a text's feature is the mean over templates x subjects (prompt ensembling, Radford et al. 2021, §3.1.4).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The neutral text that edits assume when they name none; one of `subjects`.
    pub neutral: String,
    /// Phrases that may stand for the neutral text, for example "a face", "a person".
    pub subjects: Vec<String>,
    /// Sentences with one `{}` where the phrase goes.
    pub templates: Vec<String>,
}

/// The prompts of one edit: `target[i]` and `neutral[i]` are the same sentence with and without the edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Prompts {
    /// Sentences that describe the edited image.
    pub target: Vec<String>,
    /// The same sentences about the source.
    pub neutral: Vec<String>,
}

impl Text {
    /// Expands an edit into aligned prompts, templates outermost.
    ///
    /// A target that continues its neutral text, and a neutral text that is one of the subjects ("a face", "a face with green
    /// hair"), is varied over all subjects: templates x subjects prompts. Any other pair goes into the templates as it is, since
    /// nothing tells which of its words the subjects could replace.
    pub fn prompts(&self, target: &str, neutral: &str) -> Prompts {
        let (target, neutral) = (target.trim(), neutral.trim());
        let tail = target.strip_prefix(neutral).filter(|rest| rest.is_empty() || rest.starts_with([' ', ',']));
        let phrases: Vec<(String, &str)> = match tail {
            Some(tail) if self.subjects.iter().any(|s| s == neutral) => {
                self.subjects.iter().map(|subject| (format!("{subject}{tail}"), subject.as_str())).collect()
            }
            _ => vec![(target.to_owned(), neutral)],
        };
        let fill = |pick: fn(&(String, &str)) -> String| {
            let sentence =
                |template: &String| phrases.iter().map(|p| template.replacen("{}", &pick(p), 1)).collect::<Vec<_>>();
            self.templates.iter().flat_map(sentence).collect()
        };
        Prompts { target: fill(|p| p.0.clone()), neutral: fill(|p| p.1.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Text {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        Text {
            neutral: "a face".into(),
            subjects: words(&["a face", "someone"]),
            templates: words(&["{}", "a photo of {}"]),
        }
    }

    #[test]
    fn a_tail_goes_with_every_subject_and_stays_aligned() {
        let prompts = text().prompts("a face with green hair", "a face");
        assert_eq!(
            prompts.target,
            [
                "a face with green hair",
                "someone with green hair",
                "a photo of a face with green hair",
                "a photo of someone with green hair"
            ]
        );
        assert_eq!(prompts.neutral, ["a face", "someone", "a photo of a face", "a photo of someone"]);
    }

    #[test]
    fn a_text_that_does_not_continue_its_neutral_text_is_taken_as_it_is() {
        for (target, neutral) in [("green hair", "a face"), ("a facet", "a face"), ("a cat with wings", "a cat")] {
            let prompts = text().prompts(target, neutral);
            assert_eq!(prompts.target, [target.to_owned(), format!("a photo of {target}")]);
            assert_eq!(prompts.neutral, [neutral.to_owned(), format!("a photo of {neutral}")]);
        }
    }

    #[test]
    fn braces_in_a_users_text_are_only_text() {
        assert_eq!(text().prompts("a face {} x", "a face").target[1], "someone {} x");
    }
}
