//! Sentences about faces, and which attributes each of them names.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::faces::heads;

/// A sentence and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caption {
    /// Lower case, without a full stop.
    pub text: String,
    /// The class it names of each head, in the order of [`heads`]; -1 where it says nothing.
    pub named: Vec<i64>,
}

const FORMS: [&str; 10] = [
    "",
    "",
    "",
    "",
    "a photo of ",
    "a picture of ",
    "a portrait of ",
    "a cartoon of ",
    "a drawing of ",
    "an image of ",
];
const SUBJECTS: [&str; 6] = ["a face", "a face", "a face", "a person", "someone", "a head"];

/// What a sentence can be about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    Hair,
    Skin,
    Beard,
    Glasses,
    Mouth,
    Shirt,
    Background,
}

/// Hair twice: it has a colour and a kind.
const TOPICS: [Topic; 8] = [
    Topic::Hair,
    Topic::Hair,
    Topic::Skin,
    Topic::Beard,
    Topic::Glasses,
    Topic::Mouth,
    Topic::Shirt,
    Topic::Background,
];

/// Writes captions for faces given by their classes.
pub struct Grammar {
    heads: Vec<(&'static str, Vec<&'static str>)>,
}

impl Default for Grammar {
    fn default() -> Self {
        Grammar { heads: heads() }
    }
}

/// One caption in the making.
struct Draft<'a> {
    grammar: &'a Grammar,
    labels: &'a [i64],
    named: Vec<i64>,
}

impl Draft<'_> {
    fn index(&self, head: &str) -> usize {
        // Safe because heads are written in this file as heads() has them.
        self.grammar.heads.iter().position(|(name, _)| *name == head).expect("a known head")
    }

    fn class(&self, head: &str) -> &'static str {
        let index = self.index(head);
        self.grammar.heads[index].1[self.labels[index] as usize]
    }

    /// The class, which the sentence names from now on.
    fn name(&mut self, head: &str) -> &'static str {
        let index = self.index(head);
        self.named[index] = self.labels[index];
        self.class(head)
    }
}

fn pick<'a>(words: &[&'a str], rng: &mut ChaCha8Rng) -> &'a str {
    // Safe because every list of words in this module has at least one.
    words.choose(rng).expect("words")
}

fn colour(class: &'static str, rng: &mut ChaCha8Rng) -> &'static str {
    match class {
        "blond" => pick(&["blond", "blonde", "golden"], rng),
        "auburn" => pick(&["auburn", "reddish brown", "copper"], rng),
        "grey" => pick(&["grey", "gray"], rng),
        "purple" => pick(&["purple", "violet"], rng),
        "peach" => pick(&["peach", "light", "fair"], rng),
        "pale" => pick(&["pale", "very light"], rng),
        "tan" => pick(&["tan", "olive"], rng),
        "dark" => pick(&["dark", "very dark"], rng),
        plain => plain,
    }
}

fn kind(style: &'static str, rng: &mut ChaCha8Rng) -> &'static str {
    match style {
        "short" => pick(&["short", "cropped"], rng),
        "afro" => pick(&["afro", "big round"], rng),
        "spiky" => pick(&["spiky", "messy"], rng),
        "flat" => pick(&["flat top", "tall flat"], rng),
        "bob" => pick(&["bob cut", "chin length"], rng),
        "long" => pick(&["long", "shoulder length"], rng),
        plain => plain,
    }
}

impl Grammar {
    /// A random true sentence about a face with these classes.
    pub fn caption(&self, labels: &[i64], rng: &mut ChaCha8Rng) -> Caption {
        let mut draft = Draft { grammar: self, labels, named: vec![-1; self.heads.len()] };
        let form = pick(&FORMS, rng);
        let subject = if rng.random::<f64>() < 0.3 {
            format!("a {}", draft.name("gender"))
        } else {
            pick(&SUBJECTS, rng).to_owned()
        };
        let mut text = format!("{form}{subject}");
        if rng.random::<f64>() < 0.03 {
            return Caption { text, named: draft.named };
        }
        let topics = topics(&draft, rng);
        let mut with = Vec::new();
        let mut end = String::new();
        for topic in topics {
            match topic {
                Topic::Shirt => {
                    let lead = pick(&["wearing a", "in a"], rng);
                    let shirt = colour(draft.name("clothing"), rng);
                    end.insert_str(0, &format!(" {lead} {shirt} {}", pick(&["shirt", "shirt", "clothes", "top"], rng)));
                }
                Topic::Background => {
                    let lead = pick(&["on a", "in front of a", "against a"], rng);
                    end.push_str(&format!(" {lead} {} background", colour(draft.name("background"), rng)));
                }
                other => with.push(phrase(other, &mut draft, rng)),
            }
        }
        if let Some((last, before)) = with.split_last() {
            text.push_str(" with ");
            if !before.is_empty() {
                text.push_str(&format!("{} and ", before.join(", ")));
            }
            text.push_str(last);
        }
        text.push_str(&end);
        Caption { text, named: draft.named }
    }
}

/// One to four different topics, mostly few; what a face lacks is mentioned less often.
fn topics(draft: &Draft<'_>, rng: &mut ChaCha8Rng) -> Vec<Topic> {
    let wanted = match rng.random::<f64>() {
        p if p < 0.45 => 1,
        p if p < 0.75 => 2,
        p if p < 0.9 => 3,
        _ => 4,
    };
    let mut topics = Vec::new();
    while topics.len() < wanted {
        let topic = TOPICS[rng.random_range(0..TOPICS.len())];
        let skipped = match topic {
            Topic::Beard if draft.class("beard") == "none" => rng.random::<f64>() < 0.7,
            Topic::Glasses if draft.class("glasses") == "none" => rng.random::<f64>() < 0.6,
            _ => false,
        };
        if !skipped && !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

fn phrase(topic: Topic, draft: &mut Draft<'_>, rng: &mut ChaCha8Rng) -> String {
    match topic {
        Topic::Hair => {
            if draft.class("hair_style") == "bald" {
                draft.name("hair_style");
                return pick(&["a bald head", "no hair", "a shaved head"], rng).to_owned();
            }
            let (coloured, styled) = match rng.random::<f64>() {
                p if p < 0.6 => (true, false),
                p if p < 0.78 => (false, true),
                _ => (true, true),
            };
            let style = styled.then(|| kind(draft.name("hair_style"), rng));
            let shade = coloured.then(|| colour(draft.name("hair_color"), rng));
            match (style, shade) {
                (Some(style), Some(shade)) => format!("{style} {shade} hair"),
                (Some(style), None) => format!("{style} hair"),
                (None, shade) => {
                    let form = pick(&["{} hair", "{} hair", "hair that is {}", "{} colored hair"], rng);
                    form.replace("{}", shade.unwrap_or_default())
                }
            }
        }
        Topic::Skin => {
            let form = pick(&["{} skin", "{} skin", "skin that is {}", "{} colored skin"], rng);
            form.replace("{}", colour(draft.name("skin"), rng))
        }
        Topic::Beard => {
            let beard = match draft.name("beard") {
                "none" => return pick(&["no beard", "a clean shaven face", "no facial hair"], rng).to_owned(),
                "beard" => pick(&["beard", "full beard"], rng),
                other => other,
            };
            if rng.random::<f64>() < 0.6 {
                return format!("a {} {beard}", colour(draft.name("beard_color"), rng));
            }
            format!("a {beard}")
        }
        Topic::Glasses => match draft.name("glasses") {
            "none" => "no glasses".to_owned(),
            _ => pick(&["glasses", "eyeglasses", "black glasses"], rng).to_owned(),
        },
        _ => match draft.name("mouth") {
            "smile" => pick(&["a smile", "a smiling mouth", "a happy smile"], rng).to_owned(),
            "neutral" => pick(&["a neutral mouth", "a closed mouth"], rng).to_owned(),
            "angry" => pick(&["an angry mouth", "gritted teeth"], rng).to_owned(),
            _ => "an open mouth".to_owned(),
        },
    }
}
