//! The renderer on the real library. `make facesjs` fetches it; without it these tests fail and say so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use training::faces::palette::{CLOTHING, HAIR, SKIN, prototype};
use training::faces::{Change, Distribution, Face, FacesError, Region, Renderer, Rgb, colour, heads};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn renderer() -> Renderer {
    Renderer::open(root().join(training::faces::DEFAULT_LIBRARY)).expect("the face library is there (make facesjs)")
}

fn faces(distribution: Distribution, seed: u64, count: usize) -> Vec<Face> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| Face::random(distribution, &mut rng)).collect()
}

#[test]
fn a_face_is_the_same_whenever_it_is_drawn() {
    let (one, two) = (renderer(), renderer());
    for face in faces(Distribution::Open, 1, 8) {
        assert_eq!(one.draw(&face, 64).unwrap(), two.draw(&face, 64).unwrap());
    }
    assert_eq!(faces(Distribution::Natural, 5, 20), faces(Distribution::Natural, 5, 20));
    assert_ne!(faces(Distribution::Natural, 5, 1), faces(Distribution::Natural, 6, 1));
}

#[test]
fn natural_faces_have_natural_colours_and_every_class_occurs() {
    let count = |faces: Vec<Face>| {
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (head, class) in faces.iter().flat_map(Face::attributes) {
            *seen.entry((head, class)).or_default() += 1;
        }
        seen
    };
    let natural = count(faces(Distribution::Natural, 2, 3000));
    for unseen in ["green", "blue", "purple", "pink", "red", "orange"] {
        for head in ["hair_color", "skin", "beard_color"] {
            assert!(!natural.contains_key(&(head.to_owned(), unseen.to_owned())), "{head} {unseen}");
        }
    }
    let open = count(faces(Distribution::Open, 3, 6000));
    let classes: usize = heads().iter().map(|(_, classes)| classes.len()).sum();
    assert_eq!(open.len(), classes, "every class of every head, and no other");
    for (head, classes) in heads() {
        for class in classes {
            assert!(open.contains_key(&(head.to_owned(), class.to_owned())), "{head} {class}");
        }
    }
}

#[test]
fn the_region_of_a_colour_shows_that_colour() {
    let renderer = renderer();
    let (mut haired, mut named) = (0, 0);
    for face in faces(Distribution::Open, 4, 60) {
        let picture = renderer.draw(&face, 64).unwrap();
        let seen = |region| colour::median(&picture, &renderer.mask(&face, region, 64).unwrap());
        let near = |seen: Option<Rgb>, wanted: Rgb| {
            seen.is_none_or(|seen| seen.0.iter().zip(wanted.0).all(|(a, b)| a.abs_diff(b) <= 3))
        };
        assert!(near(seen(Region::Background), face.background.rgb));
        assert!(seen(Region::Skin).is_some_and(|skin| colour::name_of(skin, SKIN) == face.skin.name), "{face:?}");
        // Strands are drawn with dark lines, so hair keeps its colour's name rather than the colour.
        if let Some(hair) = seen(Region::Hair) {
            haired += 1;
            named += usize::from(colour::name_of(hair, HAIR) == face.hair.name);
        }
        assert!(renderer.mask(&face, Region::Clothing, 64).unwrap().iter().any(|set| *set));
    }
    assert!(haired > 45 && named * 100 >= haired * 95, "{named} of {haired} heads of hair are named rightly");
}

#[test]
fn a_counterfactual_changes_its_region_only() {
    let renderer = renderer();
    let green = prototype(HAIR, "green").unwrap();
    let changes = [
        (Change::Hair(green), vec![Region::Hair, Region::Brows], "hair_color", "green"),
        (Change::Skin(prototype(SKIN, "blue").unwrap()), vec![Region::Skin], "skin", "blue"),
        (Change::Glasses(true), vec![Region::Glasses], "glasses", "glasses"),
        (Change::Clothing(prototype(CLOTHING, "pink").unwrap()), vec![Region::Clothing], "clothing", "pink"),
        (Change::Background(green), vec![Region::Background], "background", "green"),
    ];
    for face in faces(Distribution::Natural, 9, 16).iter().filter(|face| face.attributes()["hair_style"] != "bald") {
        let before = renderer.draw(face, 64).unwrap();
        for (change, regions, head, class) in &changes {
            let after = face.counterfactual(*change);
            let (old, new) = (face.attributes(), after.attributes());
            assert_eq!(new[*head], *class);
            assert!(old.iter().all(|(k, v)| k == head || new[k] == *v), "{change:?} changed another attribute");
            let masks: Vec<_> = regions.iter().map(|region| renderer.mask(face, *region, 64).unwrap()).collect();
            let picture = renderer.draw(&after, 64).unwrap();
            for (i, (a, b)) in before.chunks_exact(3).zip(picture.chunks_exact(3)).enumerate() {
                let inside = masks.iter().any(|mask| mask[i]);
                // The mask's threshold leaves out pixels that the colour reaches by less than a tenth.
                assert!(inside || a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 26), "{change:?} at pixel {i}");
            }
        }
        assert_eq!(face.counterfactual(Change::Bald).attributes()["hair_color"], "none");
    }
}

#[test]
fn a_missing_library_says_how_to_get_it() {
    let error = Renderer::open("no/such/folder").err().expect("no library there");
    assert!(matches!(error, FacesError::Missing { .. }));
    assert!(error.to_string().contains("make facesjs"), "{error}");
    let face = &faces(Distribution::Natural, 1, 1)[0];
    assert!(matches!(renderer().draw(face, 0), Err(FacesError::Side(0))));
}
