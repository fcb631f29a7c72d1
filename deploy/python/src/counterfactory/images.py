"""From what a user has (a folder, files, PIL images, arrays, a Hugging Face dataset) to sources that are uploaded and registered."""

from __future__ import annotations

import io
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from PIL import Image

from counterfactory._api.models import NewSource, NewSourceLabels
from counterfactory.errors import CounterfactoryError
from counterfactory.progress import tqdm

if TYPE_CHECKING:
    import datasets
    import numpy as np
    from numpy.typing import NDArray

    from counterfactory._http import Http

    OneImage: TypeAlias = str | Path | bytes | Image.Image | NDArray[np.uint8]
    Images: TypeAlias = str | Path | Iterable[OneImage] | NDArray[np.uint8] | datasets.Dataset

T = TypeVar("T")
R = TypeVar("R")

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
"""Names of files that are taken from folders. Files named one by one are taken whatever their name."""
PARALLEL = 8
"""Files that are hashed and uploaded at once."""
_LABEL_TYPES = (str, int, float, bool)
_GREY, _COLOUR, _BATCH = 2, 3, 4


@dataclass(frozen=True)
class LocalImage:
    """One image to register: where its bytes are, what it is called, and its labels."""

    content: Path | bytes
    uri: str
    labels: Mapping[str, str] = field(default_factory=dict)


def read(images: Images, image_column: str | None = None) -> tuple[Iterator[LocalImage], int | None, str]:
    """The images one by one, how many they are where that is known, and a name for them.

    Arrays are `uint8`: height x width, height x width x 3 or 4, or a batch of the latter. Raises `TypeError` for anything else that is no
    image, `FileNotFoundError` for a path that leads nowhere.
    """
    if isinstance(images, str | Path):
        path = Path(images)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in EXTENSIONS)
            if not files:
                raise FileNotFoundError(f"the folder {path} has no images in it ({', '.join(sorted(EXTENSIONS))})")
            return (_file(p) for p in files), len(files), path.resolve().name
        return iter([_file(path)]), 1, path.stem
    if hasattr(images, "features") and hasattr(images, "cast_column"):
        return _of_dataset(images, image_column)
    if isinstance(images, Image.Image | bytes) or getattr(images, "ndim", None) in (_GREY, _COLOUR):
        images = [images]
    total = len(images) if isinstance(images, Sized) else None
    return (_one(image, number) for number, image in enumerate(images)), total, "images"


def register(http: Http, images: Iterator[LocalImage], total: int | None, *, progress: bool) -> list[NewSource]:
    """Uploads what the server lacks; the sources in their order."""

    def upload(image: LocalImage) -> NewSource:
        if isinstance(image.content, bytes):
            digest, size = sha256(image.content).hexdigest(), len(image.content)
        else:
            with image.content.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            size = image.content.stat().st_size
        if not http.has_blob(digest):
            http.put_blob(digest, image.content)
        return NewSource(sha256=digest, uri=image.uri, bytes_=size, labels=NewSourceLabels.from_dict(image.labels))

    bar = tqdm(total=total, desc="upload", unit="image", disable=not progress)
    with bar:
        sources = []
        for source in in_order(upload, images):
            sources.append(source)
            bar.update()
    if not sources:
        raise CounterfactoryError("there is no image to register")
    return sources


def name_of(stem: str, sources: Sequence[NewSource]) -> str:
    """A dataset's name that the same sources always get."""
    identity = json.dumps([source.to_dict() for source in sources], sort_keys=True)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:80] or "images"
    return f"{stem}-{sha256(identity.encode()).hexdigest()[:12]}"


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `work` makes of each item, `PARALLEL` at once, in order, and few ahead of who reads it."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        ahead: deque[Future[R]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(work, item))
                if len(ahead) >= 2 * PARALLEL:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def png(image: Image.Image) -> bytes:
    """The image as PNG, which loses nothing."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _file(path: Path) -> LocalImage:
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is neither an image file nor a folder, nor the name of a registered dataset")
    return LocalImage(path, f"file://{path.resolve()}")


def _one(image: object, number: int, labels: Mapping[str, str] | None = None) -> LocalImage:
    if isinstance(image, str | Path):
        return _file(Path(image))
    if isinstance(image, bytes):
        content, extension = image, _extension(image)
    elif isinstance(image, Image.Image):
        content, extension = png(image), "png"
    elif type(image).__module__ == "numpy":
        content, extension = png(_of_array(image)), "png"
    else:
        raise TypeError(f"images[{number}] is a {type(image).__name__}; give paths, bytes, PIL images or uint8 arrays")
    return LocalImage(content, f"memory:///{number:06}.{extension}", labels or {})


def _of_array(array: Any) -> Image.Image:  # noqa: ANN401 - numpy is no requirement
    shape_fits = array.ndim == _GREY or (array.ndim == _COLOUR and array.shape[2] in (3, 4))
    if str(array.dtype) != "uint8" or not shape_fits:
        raise TypeError(f"an array is {array.dtype} {list(array.shape)}; give uint8, height x width (x 3 or 4)")
    return Image.fromarray(array)


def _extension(content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as image:
        return (image.format or "bin").lower()


def _of_dataset(table: Any, column: str | None) -> tuple[Iterator[LocalImage], int | None, str]:  # noqa: ANN401 - datasets is no requirement
    from datasets import ClassLabel
    from datasets import Image as ImageFeature

    found = [name for name, feature in table.features.items() if isinstance(feature, ImageFeature)]
    if column is None and len(found) != 1:
        raise CounterfactoryError(f"the dataset has {len(found)} image columns {found}; choose one with image_column=")
    column = column or found[0]
    if column not in found:
        raise CounterfactoryError(f"the dataset has no image column '{column}'; there are {found}")
    names = {name: f.names for name, f in table.features.items() if isinstance(f, ClassLabel)}

    def images() -> Iterator[LocalImage]:
        # the bytes as they are stored: decoding and encoding again would make other files of them
        for number, row in enumerate(table.cast_column(column, ImageFeature(decode=False))):
            stored = row[column]
            content = stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]).read_bytes()
            labels = {
                name: str(value) if name not in names or int(value) < 0 else names[name][int(value)]
                for name, value in row.items()
                if name != column and isinstance(value, _LABEL_TYPES)
            }
            yield _one(content, number, labels)

    return images(), getattr(table, "num_rows", None), str(table.info.dataset_name or "dataset")
