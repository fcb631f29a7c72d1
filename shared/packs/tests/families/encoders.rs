//! Inversion encoders of the pSp family, with the decoder in the same file as generator.

use crate::numbers::{assert_numbers, assert_same, mean_latent};
use crate::{Imported, data, request};
use packs::Role;
use packs::manifest::{
    EncoderArchitecture::{self, E4e, Psp, RestyleE4e, RestylePsp},
    EncoderFrame::{self, MiddleRows, Whole},
};

struct Case {
    file: &'static str,
    architecture: EncoderArchitecture,
    family: &'static str,
    frame: EncoderFrame,
    size: u32,
    latents: usize,
    /// Whether its output is added to the mean latent.
    from_average: bool,
    notes: usize,
}

const CASES: [Case; 6] = [
    Case::new("e4e.pt", E4e, "e4e"),
    Case { from_average: false, notes: 1, ..Case::new("psp.pt", Psp, "psp") },
    Case::new("psp-into-w.pt", Psp, "psp"),
    // ReStyle starts from the mean, whatever its options say.
    Case::new("restyle-psp.pt", RestylePsp, "restyle"),
    Case::new("restyle-e4e.pt", RestyleE4e, "restyle"),
    // 18 blocks over a generator of 16 latents.
    Case { frame: MiddleRows, size: 512, latents: 16, notes: 1, ..Case::new("cars.pt", E4e, "e4e") },
];

impl Case {
    const fn new(file: &'static str, architecture: EncoderArchitecture, family: &'static str) -> Self {
        Self { file, architecture, family, frame: Whole, size: 16, latents: 6, from_average: true, notes: 0 }
    }
}

#[test]
fn each_comes_with_its_decoder_and_has_the_checkpoints_numbers() {
    for case in CASES {
        let mut request = request(case.file);
        request.encoder = request.generator.take();
        let imported = Imported::of(&request);
        let manifest = imported.pack.manifest();
        let encoder = manifest.encoder.as_ref().unwrap();
        assert_eq!((encoder.architecture, encoder.frame), (case.architecture, case.frame), "{}", case.file);
        assert_eq!(manifest.image.size, case.size, "{}", case.file);
        let source = imported.source(Role::Encoder, case.file);
        assert_eq!((source.family.as_str(), source.notes.len()), (case.family, case.notes), "{:?}", source.notes);
        assert_eq!(imported.source(Role::Generator, case.file).family, "rosinality");

        let mut tensors = imported.tensors(Role::Encoder);
        let average = tensors.remove("latent_avg").unwrap();
        assert_eq!(average.shape(), [case.latents, 8], "{}", case.file);
        let row = if case.from_average { mean_latent() } else { vec![0.0; 8] };
        assert_same(&average, &row.repeat(case.latents), case.file);
        let styles = tensors.keys().filter(|name| name.starts_with("styles.") && name.ends_with("linear.weight"));
        assert_eq!(styles.count(), if case.file == "psp-into-w.pt" { 0 } else { case.latents }, "{}", case.file);
        for (name, tensor) in &tensors {
            assert_numbers(tensor, name, tensor.shape());
        }
        let mut decoder = imported.tensors(Role::Generator);
        assert_same(&decoder.remove("latent_avg").unwrap(), &mean_latent(), case.file);
        decoder.retain(|name, _| !name.ends_with("kernel") && (case.size == 16 || !name.starts_with("noises")));
        for (name, tensor) in &decoder {
            assert_numbers(tensor, name, tensor.shape());
        }
    }
}

#[test]
fn an_encoder_may_come_with_another_generator_of_its_size() {
    let mut request = request("rosinality-half.pt");
    request.encoder = Some(data("e4e.pt"));
    let imported = Imported::of(&request);
    imported.source(Role::Generator, "rosinality-half.pt");
    imported.source(Role::Encoder, "e4e.pt");
}
