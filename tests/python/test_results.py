from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import STRENGTH, Recorder, pixels
from counterfactory import Client, CounterfactoryError, Job, MissingExtraError, results

Cfx = Callable[..., subprocess.CompletedProcess[str]]


def test_results_come_page_by_page(ended: Job, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PAGE", 2)
    transport = Recorder()
    job = Client(server, transport=transport).job(ended.id)

    def pages() -> int:
        return sum(seen.endswith("/pairs") for seen in transport.seen)

    found = job.results()
    assert pages() == 0
    assert len(found.first(2)) == 2
    assert pages() == 1
    assert len(list(found)) == 6
    assert pages() in {4, 5}, "three full pages, and one that says that there is no more"


def test_filters_are_the_servers(ended: Job) -> None:
    assert {result.edit for result in ended.results(edit="green")} == {"green"}
    assert len(list(ended.results(edit="green"))) == 3
    assert len(list(ended.results(verdict="accepted"))) == 6
    assert not list(ended.results(verdict="rejected"))
    with pytest.raises(CounterfactoryError, match="the job has no edit 'grün'"):
        list(ended.results(edit="grün"))


def test_a_frame_has_scores_as_columns_and_the_names_of_an_export(ended: Job, cfx: Cfx, tmp_path: Path) -> None:
    frame = ended.results().to_pandas().set_index("sample_id")
    assert len(frame) == 6
    assert frame["mean_change"].dtype == np.float64
    assert (frame["strength"] == STRENGTH).all()
    assert set(frame["target_caption"]) == {"a face with green hair", 'a face with <b>blue</b> & "odd" skin'}
    exported = cfx("job", "export", ended.id, "--format", "parquet", "--to", str(tmp_path / "export"))
    assert exported.returncode == 0, exported.stderr
    tables = [pd.read_parquet(path) for path in (tmp_path / "export").rglob("metadata.parquet")]
    table = pd.concat(tables).set_index("sample_id").loc[frame.index]
    own = {"source_uri"}
    files = {"split", "status", "digital_source_type", "source_file_name", "edited_file_name", "recon_file_name", "recon_sha256"}
    assert set(frame.columns) - own - {"recon_sha256"} == set(table.columns) - files
    common = sorted(set(frame.columns) & set(table.columns) - {"recon_sha256"})
    pd.testing.assert_frame_equal(frame[common], table[common], check_dtype=False)


def test_a_dataset_has_images(ended: Job) -> None:
    table = ended.results().to_dataset(progress=False)
    assert len(table) == 6
    assert all(isinstance(table.features[name], datasets.Image) for name in ("source", "edit", "reconstruction"))
    for result, row in zip(ended.results(), table, strict=True):
        assert (np.asarray(row["source"].convert("RGB")) == pixels(result.source_bytes())).all()
        assert (np.asarray(row["edit"]) == pixels(result.image_bytes())).all()
        assert (np.asarray(row["reconstruction"]) == pixels(result.reconstruction_bytes())).all()
        assert (row["sample_id"], row["pair_id"]) == (result.task, result.row()["pair_id"])
        assert row["mean_change"] == result.metrics["mean_change"]
    # the bytes are those that were signed
    stored = table.cast_column("edit", datasets.Image(decode=False))[0]["edit"]["bytes"]
    assert sha256(stored).hexdigest() == table[0]["edited_sha256"]
    assert len(table.filter(lambda edit: edit == "blue", input_columns="edit_id")) == 3


def pictures(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.png")}


def test_a_download_is_what_cfx_would_fetch(ended: Job, cfx: Cfx, tmp_path: Path) -> None:
    folder = ended.results().download(tmp_path / "ours", reconstructions=True, progress=False)
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [sha256((folder / line["file"]).read_bytes()).hexdigest() for line in lines] == [line["image"] for line in lines]
    theirs = tmp_path / "theirs"
    assert cfx("result", "fetch", ended.id, "--to", str(theirs), "--reconstructions").returncode == 0
    assert pictures(folder) == pictures(theirs)
    proven = cfx("verify", str(folder))
    assert proven.returncode == 0, proven.stdout + proven.stderr
    # again, nothing is written
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    (folder / lines[0]["file"]).write_bytes(b"damaged")
    ended.results().download(folder, progress=False)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert {path for path, at in after.items() if at != before[path]} == {folder / lines[0]["file"]}
    assert cfx("verify", str(folder)).returncode == 0


class Tags(HTMLParser):
    """Elements, texts and pictures of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.pictures: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        given = dict(attrs)
        assert not {name for name in given if name.startswith("on")}
        if tag == "img":
            self.pictures.append(given["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_preview_is_escaped_and_holds_its_pictures(ended: Job) -> None:
    page = Tags(ended.results().preview(4)._repr_html_())
    assert page.names == {"table", "thead", "tbody", "tr", "th", "td", "img", "br", "small"}
    assert 'a face with <b>blue</b> & "odd" skin' in page.text
    assert len(page.pictures) == 12
    kept = []
    for picture in page.pictures:
        kind, _, data = picture.partition(";base64,")
        assert kind == "data:image/png"
        kept.append(pixels(base64.b64decode(data)))
    first = ended.results().first()[0]
    for shown, whole in zip(kept, (first.source_bytes(), first.reconstruction_bytes(), first.image_bytes()), strict=False):
        assert (shown == pixels(whole)).all()


def test_a_large_picture_is_made_small_for_a_preview() -> None:
    from counterfactory.preview import LARGEST, _picture

    file = io.BytesIO()
    Image.new("RGB", (1024, 512)).save(file, "PNG")
    data = Tags(_picture(file.getvalue(), "")).pictures[0].partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (LARGEST, LARGEST // 2)


def test_a_record_tells_how_an_image_was_made(ended: Job) -> None:
    result = ended.results(edit="blue").first()[0]
    record = result.record()
    assert record["links"]["task"] == result.task
    assert record["recipe"]["strength"] == STRENGTH
    assert record["outcome"]["metrics"] == result.metrics


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("pandas", "pandas", lambda job: job.results().to_pandas()),
        ("datasets", "datasets", lambda job: job.results().to_dataset()),
        ("c2pa", "verify", lambda job: job.verify()),
    ],
)
def test_a_missing_extra_is_named(
    package: str, extra: str, use: Callable[[Job], object], ended: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'counterfactory\[{extra}\]'"):
        use(ended)
