//! A whole training on tiny sizes, cut off and resumed, to a pack that a user could open; and the recipes that are shipped.

use std::path::Path;
use std::time::Instant;

use packs::Pack;
use tch::Device;
use training::TrainingError;
use training::encoder::EncoderSettings;
use training::generator::GeneratorSettings;
use training::recipe::{FaceCounts, Recipe};
use training::whole::{Done, Workplace, train};

fn tiny() -> Recipe {
    let mut recipe = Recipe {
        name: "tiny".to_owned(),
        checkpoint_every: 2,
        faces: FaceCounts { natural: 48, open: 48, held_out: 32 },
        generator: GeneratorSettings { w_dim: 16, mapping_layers: 2, channels: vec![12, 10, 8] },
        encoder: EncoderSettings { channels: vec![8, 12], hidden: 32 },
        ..Recipe::default()
    };
    (recipe.judge.channels, recipe.judge.hidden, recipe.judge.steps, recipe.judge.batch) = (vec![4, 6], 12, 3, 8);
    (recipe.clip.patch, recipe.clip.width, recipe.clip.image_layers, recipe.clip.text_layers) = (4, 64, 1, 1);
    (recipe.clip.steps, recipe.clip.batch, recipe.clip.embed) = (3, 8, 16);
    (recipe.reconstruction.steps, recipe.reconstruction.batch) = (3, 8);
    (recipe.mapping.steps, recipe.mapping.batch, recipe.mapping.adversary_width) = (3, 16, 16);
    (recipe.adversarial.steps, recipe.adversarial.batch, recipe.adversarial.channels) = (3, 8, vec![12, 10, 8]);
    (recipe.refinement.steps, recipe.refinement.batch) = (3, 8);
    recipe
}

fn place(folder: &Path) -> Workplace {
    tch::set_num_threads(1);
    Workplace {
        library: Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(training::faces::DEFAULT_LIBRARY),
        folder: folder.to_owned(),
        device: Device::Cpu,
        threads: 1,
        resume: true,
        until: None,
    }
}

#[test]
fn a_recipe_becomes_a_sound_pack_and_the_same_one_after_a_pause() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Done::Pack { folder, figures } = train(&tiny(), &place(whole.path())).unwrap() else { panic!("not paused") };
    let pack = Pack::open(&folder).unwrap();
    assert!(pack.verify().is_sound());
    assert!(figures.psnr.is_finite() && figures.frechet.iter().all(|d| d.is_finite()));
    assert!(std::fs::read_to_string(whole.path().join("report.md")).unwrap().contains("dB PSNR"));
    assert!(whole.path().join("sheet.png").is_file() && whole.path().join("work/clip.curve.csv").is_file());

    // The clock stops it in the first part; the shorter judge of nobody else is refused; then it goes on to the end.
    let hurried = Workplace { until: Some(Instant::now()), ..place(cut.path()) };
    assert!(matches!(train(&tiny(), &hurried).unwrap(), Done::Paused { part: "judge", next: 0 }));
    let mut other = tiny();
    other.judge.adam.lr *= 2.0;
    assert!(matches!(train(&other, &place(cut.path())).unwrap_err(), TrainingError::Checkpoint { .. }));
    let Done::Pack { folder, .. } = train(&tiny(), &place(cut.path())).unwrap() else { panic!("not paused") };
    assert_eq!(Pack::open(folder).unwrap().digest(), pack.digest(), "the same weights to the last bit");
}

#[test]
fn the_recipes_that_are_shipped_are_sound_and_wrong_ones_say_why() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let recipes: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(recipes.len() >= 3);
    for recipe in recipes {
        Recipe::open(&recipe).unwrap_or_else(|error| panic!("{error}"));
    }
    let mut wrong = tiny();
    wrong.clip.patch = 5;
    assert!(wrong.check().unwrap_err().to_string().contains("patch"));
    wrong = tiny();
    wrong.adversarial.channels.pop();
    assert!(wrong.check().unwrap_err().to_string().contains("adversarial.channels"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[judge]\nstepz = 3\n").unwrap();
    assert!(Recipe::open(file.path()).unwrap_err().to_string().contains("stepz"));
}
