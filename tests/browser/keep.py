"""Screenshots made small enough to be kept: keep.py FROM TO."""

import sys
from pathlib import Path

from PIL import Image

KEPT = 1_500_000
TALLEST = 1_500

to = Path(sys.argv[2])
to.mkdir(parents=True, exist_ok=True)
for old in to.glob("*.webp"):
    old.unlink()
total = 0
for file in sorted(Path(sys.argv[1]).glob("*.png")):
    if file.name.startswith("fault"):
        continue
    image = Image.open(file).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, TALLEST)))
    kept = to / f"{file.stem}.webp"
    image.save(kept, quality=42, method=6)
    total += kept.stat().st_size
print(f"{total} bytes kept in {to}")
if total > KEPT:
    sys.exit(f"error: that is more than {KEPT}")
