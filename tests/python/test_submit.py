from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import numpy as np
import pytest
from PIL import Image

from conftest import GREEN, PATIENCE, Recorder, as_png, pixels
from counterfactory import (
    Client,
    CounterfactoryError,
    Edit,
    InvalidRequestError,
    JobOptions,
    NotFoundError,
    SettingsError,
    UnreachableError,
    models,
)

if TYPE_CHECKING:
    from counterfactory.images import Images

Drawings = Callable[[int], list[Image.Image]]
KINDS = ("folder", "paths", "file", "bytes", "pil", "arrays", "batch", "array", "huggingface", "registered")


def given(kind: str, drawn: list[Image.Image], folder: Path, client: Client) -> tuple[Images, int]:
    """The drawings as a user may have them, and how many are left of them."""
    paths = []
    for number, image in enumerate(drawn):
        path = folder / "set" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
        paths.append(path)
    arrays = [np.asarray(image) for image in drawn]
    everything: dict[str, Callable[[], tuple[Images, int]]] = {
        "folder": lambda: (folder / "set", 2),
        "paths": lambda: ([str(path) for path in paths], 2),
        "file": lambda: (paths[0], 1),
        "bytes": lambda: ([path.read_bytes() for path in paths], 2),
        "pil": lambda: (drawn, 2),
        "arrays": lambda: (arrays, 2),
        "batch": lambda: (np.stack(arrays), 2),
        "array": lambda: (arrays[0], 1),
        "huggingface": lambda: (
            datasets.Dataset.from_dict({"picture": drawn, "hair": ["red", "none"]}).cast_column("picture", datasets.Image()),
            2,
        ),
        "registered": lambda: (client.register(paths, progress=False).name, 2),
    }
    return everything[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_images_is_edited_as_it_is(kind: str, client: Client, drawings: Drawings, tmp_path: Path) -> None:
    drawn = drawings(2)
    images, number = given(kind, drawn, tmp_path, client)
    job = client.submit(images, GREEN, progress=False).wait(PATIENCE, progress=False)
    assert job.state == "succeeded", list(job.failures())
    results = list(job.results())
    assert len(results) == number
    for result in results:
        assert (pixels(result.source_bytes()) == np.asarray(drawn[result.info.ordinal])).all()
    assert [result.labels for result in results] == ([{"hair": "red"}, {"hair": "none"}] if kind == "huggingface" else [{}] * number)


def test_a_repeated_call_is_one_job_and_uploads_nothing_again(server: str, drawings: Drawings) -> None:
    transport = Recorder()
    client = Client(server, transport=transport)
    drawn = drawings(3)
    first = client.submit(drawn, GREEN, progress=False)
    assert transport.count("PUT") == 3
    again = client.submit(drawn, GREEN, progress=False)
    assert (again.id, transport.count("PUT")) == (first.id, 3)
    assert client.submit(drawn, GREEN, progress=False, fresh=True).id != first.id
    assert client.submit(drawn, [GREEN], progress=False, strengths=[0.5]).id != first.id
    assert transport.count("PUT") == 3
    # of a set that has grown, what is new
    more = drawings(1)
    client.register([*drawn, *more], progress=False)
    assert transport.count("PUT") == 4


def test_the_same_bytes_twice_are_told_and_kept_once(client: Client, drawings: Drawings) -> None:
    drawn = drawings(1)
    with pytest.warns(UserWarning, match="1 images have the same bytes as others"):
        dataset = client.register([*drawn, *drawn], progress=False)
    assert dataset.sources == 1


def test_everything_that_a_job_takes_arrives(client: Client, drawings: Drawings) -> None:
    options: JobOptions = {
        "strengths": [0.5, 1.5],
        "seeds": [7],
        "priority": 3,
        "frame": "centre-square",
        "inversion": {"kind": "encoder"},
        "limits": models.Limits(budget_gpu_seconds=1000.0),
        "output": {"format": models.OutputFormat.WEBP},
    }
    edit = Edit(text="a face with green hair", neutral="a head", method=models.ClipNce(kind=models.ClipNceKind.CLIP_NCE, steps=7))
    job = client.submit(drawings(1), [edit, "a face with blue skin"], name="all", method="directional", progress=False, **options)
    spec = job.cancel().info.spec.to_dict()
    assert {name: spec[name] for name in ("strengths", "seeds", "priority")} == {"strengths": [0.5, 1.5], "seeds": [7], "priority": 3}
    assert (spec["output"]["format"], spec["limits"]["budget_gpu_seconds"], spec["pack"]) == ("webp", 1000.0, "facesjs-64")
    assert [(e["text"], e["neutral"], e["method"]["kind"]) for e in spec["edits"]] == [
        ("a face with green hair", "a head", "clip-nce"),
        ("a face with blue skin", "a face", "directional"),
    ]
    assert spec["edits"][0]["method"]["steps"] == 7


def test_refusals_are_types_with_the_servers_sentence(client: Client, faces: list[Path]) -> None:
    two = faces[:2]
    with pytest.raises(InvalidRequestError, match="nmae") as misspelt:
        client.submit(two, [{"text": "a face with green hair", "nmae": 1}], progress=False)
    assert (misspelt.value.status, misspelt.value.code) == (400, "invalid_json")
    with pytest.raises(InvalidRequestError, match=r"edits\[0\]\.text says the same as the neutral text"):
        client.submit(two, ["a face"], progress=False)
    with pytest.raises(InvalidRequestError, match="'facesjs-46' is not registered; the only one is 'facesjs-64'") as unknown:
        client.submit(two, [GREEN], pack="facesjs-46", progress=False)
    assert unknown.value.code == "unknown_pack"
    with pytest.raises(NotFoundError, match="job"):
        client.job("job_0190f1c2d3e47a5b8c6d7e8f90a1b2c3")
    with pytest.raises(InvalidRequestError, match="job_7"):
        client.job("job_7")
    key = f"python-test-{os.urandom(8).hex()}"
    client.submit(two, [GREEN], idempotency_key=key, progress=False).cancel()
    with pytest.raises(InvalidRequestError, match=key):
        client.submit(two, [{**GREEN, "name": "other"}], idempotency_key=key, progress=False)


def test_what_is_no_image_is_refused_here(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces: list[Path]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CounterfactoryError, match="'nowhere' is neither a registered dataset"):
        client.submit("nowhere", GREEN)
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        client.submit([tmp_path / "missing.png"], GREEN, progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no images in it"):
        client.submit(tmp_path / "empty", GREEN)
    with pytest.raises(TypeError, match=r"float64 \[8, 8, 3\]; give uint8"):
        client.submit(np.zeros((8, 8, 3)), GREEN, progress=False)
    with pytest.raises(TypeError, match=r"images\[0\] is a int"):
        client.submit([3], GREEN, progress=False)
    with pytest.raises(CounterfactoryError, match="no image to register"):
        client.submit([], GREEN, progress=False)
    two = datasets.Dataset.from_dict({"a": [str(faces[0])], "b": [str(faces[0])]})
    two = two.cast_column("a", datasets.Image()).cast_column("b", datasets.Image())
    with pytest.raises(CounterfactoryError, match="2 image columns"):
        client.submit(two, GREEN, progress=False)
    # a name that is both is not guessed at
    name = client.register([faces[0]], progress=False).name
    (tmp_path / name).mkdir()
    with pytest.raises(CounterfactoryError, match="give Path"):
        client.submit(name, GREEN)


def test_images_of_a_dataset_keep_their_bytes_and_class_names(client: Client, faces: list[Path]) -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "hair": datasets.ClassLabel(names=["bald", "long"]), "age": datasets.Value("int64")}
    )
    table = datasets.Dataset.from_dict({"image": [str(f) for f in faces[:2]], "hair": [1, 0], "age": [30, None]}, features=features)
    dataset = client.register(table, progress=False)
    job = client.submit(dataset.name, GREEN, progress=False).wait(PATIENCE, progress=False)
    results = list(job.results())
    assert [result.source_bytes() for result in results] == [face.read_bytes() for face in faces[:2]]
    assert [result.labels for result in results] == [{"hair": "long", "age": "30"}, {"hair": "bald"}]


def test_the_package_itself_needs_no_extra(server: str, faces: list[Path]) -> None:
    program = f"""
import sys
for extra in ("c2pa", "datasets", "numpy", "pandas", "IPython"):
    sys.modules[extra] = None
from counterfactory import Client
job = Client({server!r}).submit({[str(face) for face in faces[:2]]!r}, {GREEN!r}, progress=False).wait({PATIENCE}, progress=False)
print(len(list(job.results())), "data:image/png" in job.results().preview()._repr_html_())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "2 True\n", done.stderr


def test_a_coordinator_that_is_away_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 does not answer"):
        Client("http://127.0.0.1:9").packs()
    monkeypatch.setenv("CFX_PROFILE", "nowhere")
    with pytest.raises(SettingsError, match="cfx login --profile nowhere"):
        Client()


def test_a_picture_is_the_same_as_png(drawings: Drawings) -> None:
    [image] = drawings(1)
    assert (pixels(as_png(image)) == np.asarray(image)).all()
