//! The networks that measure, at their true sizes where these are recognised.

use crate::numbers::{assert_numbers, assert_same, numbers};
use crate::{Imported, data, request};
use packs::Role;
use packs::manifest::{IdentityArchitecture, IdentityInput, PerceptualArchitecture};

#[test]
fn arcface_is_imported_with_its_tensors_of_full_size() {
    let mut request = request("rosinality-half.pt");
    request.identity = Some((data("model_ir_se50.pth"), IdentityInput::FfhqCrop));
    let imported = Imported::of(&request);
    let part = imported.pack.manifest().identity.as_ref().unwrap();
    assert_eq!((part.architecture, part.input), (IdentityArchitecture::IrSe50, IdentityInput::FfhqCrop));
    assert_eq!(imported.source(Role::Identity, "model_ir_se50.pth").family, "insightface");
    let tensors = imported.tensors(Role::Identity);
    assert_eq!(tensors["body.23.res_layer.3.weight"].shape(), [512, 512, 3, 3]);
    assert_eq!(tensors["output_layer.3.weight"].shape(), [512, 25088]);
    for name in [
        "input_layer.1.running_var",
        "body.0.res_layer.0.running_mean",
        "body.7.shortcut_layer.0.weight",
        "body.20.res_layer.5.fc2.weight",
        "body.23.res_layer.3.weight",
        "output_layer.4.bias",
    ] {
        assert_numbers(&tensors[name], name, tensors[name].shape());
    }
}

#[test]
fn lpips_is_imported_from_heads_and_trunk_or_from_the_packages_own_dump() {
    let alex = (data("alex.pth"), Some(data("alexnet.pth")));
    let cases = [
        ("alex.pth", alex, PerceptualArchitecture::LpipsAlex),
        ("lpips-vgg.pth", (data("lpips-vgg.pth"), None), PerceptualArchitecture::LpipsVgg),
        ("vgg19_conv.pth", (data("vgg19_conv.pth"), None), PerceptualArchitecture::Vgg19Relu52),
    ];
    for (file, perceptual, architecture) in cases {
        // AlexNet reads no smaller images.
        let mut request = request("rosinality.pt");
        request.perceptual = Some(perceptual);
        let imported = Imported::of(&request);
        assert_eq!(imported.pack.manifest().perceptual.as_ref().unwrap().architecture, architecture, "{file}");
        imported.source(Role::Perceptual, file);
        let tensors = imported.tensors(Role::Perceptual);
        assert!(tensors.keys().all(|name| !name.starts_with("classifier") && !name.starts_with("scaling")), "{file}");
        for (name, tensor) in tensors.iter().filter(|(_, tensor)| tensor.elements() < 1 << 20) {
            // The package keeps torchvision's layers in five slices, cut behind each map that is weighed.
            let slice = |layer: usize| 1 + [4, 9, 16, 23].into_iter().filter(|end| layer >= *end).count();
            let theirs = match name.split('.').collect::<Vec<_>>().as_slice() {
                ["features", layer, part] if file == "lpips-vgg.pth" => {
                    format!("net.slice{}.{layer}.{part}", slice(layer.parse().unwrap()))
                }
                _ => name.clone(),
            };
            assert_same(tensor, &numbers(&theirs, tensor.shape()), name);
        }
    }
}
