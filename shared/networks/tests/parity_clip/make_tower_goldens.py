#!/usr/bin/env python3
"""Writes the golden data of towers.rs: python make_tower_goldens.py

The CLIPs that are not OpenAI's usual vision transformer: modified ResNets, and open_clip's transformers whose heads are
not 64 wide. The formula, the reference and what they need are those of make_goldens.py.
"""

import json

from make_goldens import DATA, clip_goldens
from safetensors.torch import save_file

CASES = {
    # The proportions of RN50, at an eighth of its width: 4 heads in the attention pool, a map of 2 x 2.
    "resnet": dict(
        quick_gelu=True, embed=32, images=1, lengths=[10, 4],
        vision=dict(layers=[2, 3, 1, 2], width=8, image_size=64, patch_size=None),
        text=dict(context_length=10, vocab_size=40, width=64, heads=1, layers=1),
    ),
    # As open_clip's ViT-g-14: heads of another width, an MLP that is no multiple of it; and scales as in ViT-M-32-alt.
    "open-clip": dict(
        quick_gelu=False, embed=24, images=2, lengths=[7, 3],
        vision=dict(image_size=30, patch_size=10, width=80, layers=2, head_width=40, mlp_ratio=2.3637, ls_init_value=0.1),
        text=dict(context_length=7, vocab_size=50, width=72, heads=3, layers=2),
    ),
}


def main():
    names, goldens = {}, {}
    for case, sizes in CASES.items():
        names[case], tensors = clip_goldens(case, **sizes)
        goldens |= tensors
    save_file(goldens, DATA / "tower_goldens.safetensors")
    cases = [f'"{case}": ' + json.dumps(shapes).replace("], ", "],\n") for case, shapes in names.items()]
    (DATA / "tower_tensors.json").write_text("{\n" + ",\n".join(cases) + "\n}\n")


if __name__ == "__main__":
    main()
