//! From a target and a neutral text to the sentences the text encoder sees.
//!
//! CLIP features of one sentence carry the sentence's form as much as its meaning, so the published method averages over
//! many templates ("a photo of {}", "a drawing of {}", ...). Where the target extends the neutral text ("a face" to "a
//! face with green hair"), the extension is also put behind other nouns ("a person with green hair"), and each target
//! sentence is paired with the neutral sentence that differs from it by the extension alone.

use domain::Digest;

/// Sentence pairs, in a fixed order: `target[i]` differs from `neutral[i]` by the edit alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentences {
    /// What the edited image should show.
    pub target: Vec<String>,
    /// What the source shows.
    pub neutral: Vec<String>,
}

impl Sentences {
    /// Expands the two texts over `templates` (each with one `{}`) and `subjects` (phrases that may stand for each other).
    /// The subjects are used only where the neutral text is one of them and the target begins with it: nothing else tells
    /// which words of a text they could replace ("a cat with wings" is not about a person).
    pub fn expand(templates: &[String], subjects: &[String], target: &str, neutral: &str) -> Self {
        let (target, neutral) = (target.trim(), neutral.trim());
        let known = subjects.iter().any(|subject| subject.eq_ignore_ascii_case(neutral));
        let pairs: Vec<_> = match extension(target, neutral) {
            Some(tail) if known => {
                subjects.iter().map(|subject| (format!("{subject}{tail}"), subject.clone())).collect()
            }
            _ => vec![(target.to_owned(), neutral.to_owned())],
        };
        let fill = |template: &String, text: &str| template.replacen("{}", text, 1);
        let mut sentences = Self { target: Vec::new(), neutral: Vec::new() };
        for template in templates {
            for (with, without) in &pairs {
                sentences.target.push(fill(template, with));
                sentences.neutral.push(fill(template, without));
            }
        }
        sentences
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.target.len()
    }

    /// True without any template.
    pub fn is_empty(&self) -> bool {
        self.target.is_empty()
    }

    /// The digest over all sentences, in order, for the record. Each is preceded by its length, so no two lists agree.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        for sentence in self.target.iter().chain(&self.neutral) {
            bytes.extend((sentence.len() as u64).to_le_bytes());
            bytes.extend(sentence.as_bytes());
        }
        Digest::of(bytes)
    }
}

/// The 79 templates of the published code (criteria/text_templates.py): those that CLIP's authors wrote for ImageNet
/// (`openai/CLIP`, notebooks/Prompt_Engineering_for_ImageNet.ipynb, MIT) without "a photo of many {}.". They expect a bare noun
/// such as "face"; a text that brings its article reads "a photo of a a face".
pub fn imagenet79() -> Vec<String> {
    include_str!("templates/imagenet79.txt").lines().map(str::to_owned).collect()
}

/// What `target` says beyond `neutral`, if it begins with it as a whole phrase: `" with green hair"`.
fn extension<'a>(target: &'a str, neutral: &str) -> Option<&'a str> {
    let head = target.get(..neutral.len())?;
    let tail = &target[neutral.len()..];
    let whole = tail.chars().next().is_some_and(|c| !c.is_alphanumeric());
    (head.eq_ignore_ascii_case(neutral) && whole).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn an_extension_goes_behind_every_subject() {
        let templates = list(&["{}", "a photo of {}"]);
        let subjects = list(&["a face", "a person"]);
        let s = Sentences::expand(&templates, &subjects, "a face with green hair", "a face");
        let photo = |t: &str| format!("a photo of {t}");
        let target = ["a face with green hair", "a person with green hair"];
        assert_eq!(s.target, [target[0].to_owned(), target[1].to_owned(), photo(target[0]), photo(target[1])]);
        assert_eq!(s.neutral, ["a face", "a person", "a photo of a face", "a photo of a person"]);
    }

    #[test]
    fn other_texts_are_only_put_into_the_templates() {
        let s = Sentences::expand(&list(&["a photo of {}"]), &list(&["a face"]), "a facet", "a face");
        assert_eq!((s.target, s.neutral), (list(&["a photo of a facet"]), list(&["a photo of a face"])));
        let s = Sentences::expand(&list(&["{}"]), &list(&["a face"]), "green hair", "a face");
        assert_eq!((s.target, s.neutral), (list(&["green hair"]), list(&["a face"])));
        let s = Sentences::expand(&list(&["{}"]), &list(&["a face", "a person"]), "a cat with wings", "a cat");
        assert_eq!((s.target, s.neutral), (list(&["a cat with wings"]), list(&["a cat"])));
    }

    #[test]
    fn the_published_templates_are_79_and_distinct() {
        let mut templates = imagenet79();
        assert!(templates.iter().all(|template| template.matches("{}").count() == 1));
        templates.sort();
        templates.dedup();
        assert_eq!(templates.len(), 79);
        assert!(!templates.contains(&"a photo of many {}.".to_owned()));
    }

    #[test]
    fn the_digest_sees_where_sentences_end() {
        let a = Sentences { target: list(&["ab", "c"]), neutral: vec![] };
        let b = Sentences { target: list(&["a", "bc"]), neutral: vec![] };
        assert_ne!(a.digest(), b.digest());
    }
}
