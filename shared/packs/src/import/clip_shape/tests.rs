//! Published sizes round trip: their tensors tell them, and any change is noticed.

use super::*;

fn transformer(width: usize, layers: usize, heads: usize) -> TransformerShape {
    TransformerShape { width, hidden: 4 * width, layers, heads, layer_scale: false }
}

fn clip(image_size: usize, embed: usize, vision: VisionShape, text: TransformerShape) -> ClipShape {
    ClipShape { image_size, embed, vision, text, context: 77, vocabulary: 49408 }
}

fn vit(patch: usize, width: usize, layers: usize) -> VisionShape {
    VisionShape::Vit { patch, transformer: transformer(width, layers, width / 64) }
}

fn published() -> Vec<ClipShape> {
    let text = |width, layers| transformer(width, layers, width / 64);
    let rn = |width, layers| VisionShape::ResNet { width, layers, heads: width / 2 };
    vec![
        clip(224, 512, vit(32, 768, 12), text(512, 12)),
        clip(224, 512, vit(16, 768, 12), text(512, 12)),
        clip(224, 768, vit(14, 1024, 24), text(768, 12)),
        clip(336, 768, vit(14, 1024, 24), text(768, 12)),
        clip(224, 1024, rn(64, [3, 4, 6, 3]), text(512, 12)),
        clip(224, 512, rn(64, [3, 4, 23, 3]), text(512, 12)),
        clip(288, 640, rn(80, [4, 6, 10, 6]), text(640, 12)),
        clip(384, 768, rn(96, [6, 8, 18, 8]), text(768, 12)),
        clip(448, 1024, rn(128, [3, 15, 36, 10]), text(1024, 12)),
    ]
}

#[test]
fn tensors_tell_the_sizes() {
    for shape in published() {
        assert_eq!(infer(&shape.tensors(), ToldHeads::default()), Ok(shape.clone()), "{shape:?}");
        assert_eq!((shape.vision_heads_to_tell(), shape.text_heads_to_tell()), (None, None));
    }
}

/// ViT-H/14 of open_clip: heads 80 wide.
#[test]
fn wide_towers_have_sixteen_heads_and_others_can_be_told() {
    let wide = VisionShape::Vit { patch: 14, transformer: transformer(1280, 32, 16) };
    let shape = clip(224, 1024, wide, transformer(1024, 24, 16));
    assert_eq!(infer(&shape.tensors(), ToldHeads::default()), Ok(shape.clone()));
    assert_eq!(shape.vision_heads_to_tell(), Some(16));
    let told = infer(&shape.tensors(), ToldHeads { vision: Some(20), text: Some(8) }).unwrap();
    assert_eq!((told.vision_heads_to_tell(), told.text_heads_to_tell()), (Some(20), Some(8)));
    let error = infer(&shape.tensors(), ToldHeads { vision: Some(7), text: None }).unwrap_err().to_string();
    assert!(error.contains("7 heads") && error.contains("1280"), "{error}");
}

/// The numbers of parameters that open_clip counts in its own classes, in the order of [`published`].
#[test]
fn the_tensors_are_as_many_numbers_as_in_the_published_models() {
    let counts = [
        151_277_313,
        149_620_737,
        427_616_513,
        427_944_193,
        102_007_137,
        119_688_033,
        178_300_601,
        290_979_217,
        623_258_305,
    ];
    for (shape, count) in published().iter().zip(counts) {
        let trained = shape.tensors().into_iter().filter(|(name, _)| !name.contains(".running_"));
        assert_eq!(trained.map(|(_, sizes)| sizes.iter().product::<usize>()).sum::<usize>(), count, "{shape:?}");
    }
}

/// 40 is narrower than a head, so nothing tells how many it has; and 100 has one, by the rule of both repositories.
#[test]
fn heads_of_narrow_towers_are_not_guessed() {
    let narrow = |width| clip(32, 16, vit(16, 128, 1), transformer(width, 1, 1));
    let error = infer(&narrow(40).tensors(), ToldHeads::default()).unwrap_err().to_string();
    assert!(error.contains("text") && error.contains("40") && error.contains("config.json"), "{error}");
    let told = infer(&narrow(40).tensors(), ToldHeads { vision: None, text: Some(4) }).unwrap();
    assert_eq!((told.text.heads, told.text_heads_to_tell()), (4, Some(4)));
    let told = infer(&narrow(100).tensors(), ToldHeads::default()).unwrap();
    assert_eq!(told.text_heads_to_tell(), Some(1));
}

#[test]
fn gaps_surplus_and_other_shapes_are_named() {
    let whole = published()[0].tensors();
    let told = ToldHeads::default();
    for name in whole.keys() {
        let mut cut = whole.clone();
        cut.remove(name);
        let error = infer(&cut, told).unwrap_err().to_string();
        // Without a part a tower may look like another, known one: shorter, or of a kind that is not supported.
        assert!(
            error.contains(name)
                || error.contains("no use for")
                || error.contains("missing")
                || error.contains("not supported"),
            "{name}: {error}"
        );
        let mut odd = whole.clone();
        odd.insert(name.clone(), vec![3, 5, 7, 11, 13]);
        assert!(infer(&odd, told).is_err(), "{name}");
    }
    let with = |name: &str| {
        let mut more = whole.clone();
        more.insert(name.to_owned(), vec![4]);
        infer(&more, told)
    };
    assert!(with("visual.extra").unwrap_err().to_string().contains("visual.extra"));
    assert!(with("visual.trunk.stem.weight").unwrap_err().to_string().contains("timm"));
    let mut listed = whole.clone();
    listed.insert("logit_scale".to_owned(), vec![1]);
    assert!(infer(&listed, told).is_ok());
    assert!(with("logit_bias").is_ok() && with("bn.num_batches_tracked").is_ok());
}
