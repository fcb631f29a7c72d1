"""What came of a job: a lazy list of results, and what can be made of it."""

from __future__ import annotations

import atexit
import io
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from counterfactory import preview
from counterfactory._api import models
from counterfactory._api.api.provenance import get_companion, list_signing_keys
from counterfactory._api.api.results import list_pairs
from counterfactory._http import PAGE, Http
from counterfactory.errors import MissingExtraError
from counterfactory.images import in_order
from counterfactory.progress import tqdm
from counterfactory.verify import Report, Reports, verify

if TYPE_CHECKING:
    import datasets
    import pandas as pd

R = TypeVar("R")

IMAGES = ("source", "edit", "reconstruction")
"""The columns of images in a Hugging Face dataset."""
_VERDICTS = {"accept": "accepted", "reject": "rejected"}
# names that other paired datasets use; the same as in `cfx job export`
_METRICS = {"identity": "id_sim", "second_clip": "clip_sim_target", "strength": "metric_strength", "seed": "metric_seed"}


class Result:
    """One edited image. `info` is what the server says of it."""

    def __init__(self, http: Http, info: models.Pair, edit: models.EditSpec | None) -> None:
        self._http = http
        self.info = info
        self._edit = edit

    @property
    def task(self) -> str:
        """The task whose result it is: `412-17`."""
        return self.info.task

    @property
    def edit(self) -> str:
        """The edit's short name."""
        return self.info.edit

    @property
    def target_caption(self) -> str:
        """The text that the output should show."""
        return self._edit.text if self._edit else ""

    @property
    def strength(self) -> float:
        """Factor on the latent change; with a strength search the most it may be."""
        return self.info.strength

    @property
    def source_uri(self) -> str:
        """Where the source came from."""
        return self.info.source_uri

    @property
    def metrics(self) -> dict[str, float]:
        """Scores by networks that were not optimised against, by their names in the record."""
        return dict(self.info.metrics.additional_properties)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the source."""
        return dict(self.info.labels.additional_properties) if self.info.labels else {}

    @property
    def verdict(self) -> str:
        """`accepted`, `rejected` or `unjudged`."""
        verdict = self.info.verdict
        return _VERDICTS[verdict.value] if isinstance(verdict, models.Verdict) else "unjudged"

    @property
    def rejected_for(self) -> list[str]:
        """Rules of acceptance that it misses."""
        return [reason.value for reason in self.info.rejected_for or []]

    def image_bytes(self) -> bytes:
        """The output's file, credential included."""
        return self._http.blob(self.info.image)

    def source_bytes(self) -> bytes:
        """The source's file."""
        return self._http.blob(self.info.source)

    def reconstruction_bytes(self) -> bytes:
        """The source as the generator draws it, unedited (PNG): the control against artefacts of the inversion."""
        return self._http.blob(self.info.reconstruction)

    def signed_reconstruction_bytes(self) -> bytes:
        """The same with a credential inside, as it should leave; the first demand signs it."""
        signed = self.info.signed_reconstruction
        if not signed:
            ask = self._http.ask
            signed = ask(models.SignedCompanion, lambda c: get_companion.sync_detailed(self.task, "reconstruction", client=c)).sha256
        return self._http.blob(signed)

    def image(self) -> Image.Image:
        """The output."""
        return Image.open(io.BytesIO(self.image_bytes()))

    def record(self) -> dict[str, Any]:
        """The provenance record: recipe, execution, outcome, links."""
        record: dict[str, Any] = json.loads(self._http.blob(self.info.record))
        return record

    def verify(self) -> Report:
        """Proves that the image is what its record and credential say, to level 2 of `cfx verify`. Needs `counterfactory[verify]`."""
        return self._verify(anchors(self._http))

    def row(self) -> dict[str, Any]:
        """One flat row, by the names of `cfx job export`: ids, texts, digests, scores, and labels as `label_…`."""
        source_id = f"{self.info.ordinal:06}"
        return {
            "sample_id": self.task,
            "pair_id": f"{source_id}-{self.edit}",
            "source_id": source_id,
            "edit_id": self.edit,
            "strength": self.strength,
            "seed": self.info.seed,
            "source_uri": self.source_uri,
            "source_caption": self._edit.neutral or "" if self._edit else "",
            "target_caption": self.target_caption,
            "edit_prompt": self.target_caption,
            "steps": self.info.steps if isinstance(self.info.steps, int) else None,
            "verdict": self.verdict,
            "rejected_for": ",".join(self.rejected_for),
            "source_sha256": self.info.source,
            "edited_sha256": self.info.image,
            "recon_sha256": self.info.reconstruction,
            "record_digest": self.info.record,
            **{_METRICS.get(name, name): value for name, value in sorted(self.metrics.items())},
            **{f"label_{name}": value for name, value in sorted(self.labels.items())},
        }

    def file_name(self) -> str:
        """`<edit>/<ordinal>-<source name>[-x<strength>][-seed<seed>].<ending>`, as `cfx result fetch` names it."""
        strength = "" if self.strength == 1 else f"-x{self.strength!r}".removesuffix(".0")
        seed = f"-seed{self.info.seed}" if self.info.seed else ""
        with self.image() as image:
            ending = {"JPEG": "jpg"}.get(image.format or "", (image.format or "png").lower())
        return f"{self.edit}/{self._stem()}{strength}{seed}.{ending}"

    def _stem(self) -> str:
        stem = re.sub(r"[^\w-]", "_", PurePosixPath(self.source_uri).stem)[:80]
        return f"{self.info.ordinal:06}-{stem}"

    def _verify(self, trusted: str) -> Report:
        info = self.info
        image = self.image_bytes()
        return verify(info.task, image, trusted, self._http.blob, expected_image=info.image, expected_record=info.record)

    def __repr__(self) -> str:
        return f"<Result {self.task} {self.edit} of {self.source_uri}: {self.verdict}>"

    def _repr_html_(self) -> str:
        return preview.of_results([self])._repr_html_()


class Results:
    """Results of a job in the order of its tasks, asked for page by page while they are read. Every reading asks anew."""

    def __init__(self, http: Http, job: models.Job, filters: Mapping[str, object]) -> None:
        self._http = http
        self._job = job
        self._filters = {name: value for name, value in filters.items() if value is not None}

    def __iter__(self) -> Iterator[Result]:
        edits = dict(zip((e.edit for e in self._job.edits or []), self._job.spec.edits, strict=False))
        arguments: dict[str, Any] = {"id": self._job.id, "limit": PAGE, **self._filters}
        pairs: Iterator[models.Pair] = self._http.rows(
            models.PagePair, lambda client, after: list_pairs.sync_detailed(**arguments, client=client, after=after)
        )
        for pair in pairs:
            yield Result(self._http, pair, edits.get(pair.edit))

    def first(self, number: int = 1) -> list[Result]:
        """The first few."""
        return list(islice(self, number))

    def to_pandas(self) -> pd.DataFrame:
        """One row a result (`Result.row`), scores and labels as columns. Needs `counterfactory[pandas]`."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("pandas", "pandas") from error
        return pd.DataFrame.from_records([result.row() for result in self])

    def to_dataset(self, *, progress: bool = True) -> datasets.Dataset:
        """The same with images: `source`, `edit` and `reconstruction` as `Image`, the latter two with their credentials.

        What is loaded lies in a temporary folder of this process, not in memory; `save_to_disk` and `push_to_hub` keep it. Needs
        `counterfactory[datasets]`.
        """
        try:
            import datasets
        except ImportError as error:
            raise MissingExtraError("datasets", "datasets") from error
        results = list(self)
        rows = [result.row() for result in results]
        features = {name: datasets.Image() for name in IMAGES}
        for name in dict.fromkeys(name for row in rows for name in row):
            kinds = {type(row[name]) for row in rows if row.get(name) is not None}
            features[name] = datasets.Value("float64" if float in kinds else "int64" if int in kinds else "string")

        def load(result: Result) -> dict[str, bytes]:
            contents = (result.source_bytes(), result.image_bytes(), result.signed_reconstruction_bytes())
            return dict(zip(IMAGES, contents, strict=True))

        def samples() -> Iterator[dict[str, Any]]:
            loaded = tqdm(in_order(load, results), total=len(rows), desc="load", unit="image", disable=not progress)
            for row, images in zip(rows, loaded, strict=True):
                pictures = {name: {"bytes": content, "path": None} for name, content in images.items()}
                yield {name: (pictures | row).get(name) for name in features}

        folder = tempfile.mkdtemp(prefix="counterfactory-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        silent = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            # a fingerprint of its own: a later call may see more results, and must not find this one's
            return datasets.Dataset.from_generator(
                samples, features=datasets.Features(features), cache_dir=folder, fingerprint=uuid.uuid4().hex[:16]
            )
        finally:
            if not silent:
                datasets.enable_progress_bars()

    def download(self, folder: str | os.PathLike[str], *, reconstructions: bool = False, progress: bool = True) -> Path:
        """Writes images to `<folder>/<edit>/` and one line a result to `results.jsonl`, as `cfx result fetch` does.

        Files that are there with the right bytes are not written again. Returns the folder.
        """
        to = Path(folder)

        def fetch(result: Result) -> dict[str, Any]:
            line = {**result.info.to_dict(), "file": result.file_name()}
            _write(to / line["file"], result.image_bytes())
            if reconstructions:
                line["reconstruction_file"] = f"reconstructions/{result._stem()}.png"
                _write(to / line["reconstruction_file"], result.signed_reconstruction_bytes())
            return line

        lines = self._each(fetch, "download", progress=progress)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        _write(to / "results.jsonl", text.encode())
        return to

    def verify(self, *, progress: bool = True) -> Reports:
        """Verifies every one: `Result.verify`. Needs `counterfactory[verify]`."""
        trusted = anchors(self._http)
        return Reports(self._each(lambda result: result._verify(trusted), "verify", progress=progress))

    def preview(self, number: int = 4) -> preview.Preview:
        """The first few, source, reconstruction and edit side by side, for a notebook."""
        return preview.of_results(self.first(number))

    def _each(self, work: Callable[[Result], R], what: str, *, progress: bool) -> list[R]:
        total = sum(e.succeeded for e in self._job.edits or []) if not self._filters else None
        return list(tqdm(in_order(work, self), desc=what, total=total, unit="image", disable=not progress))

    def __repr__(self) -> str:
        filters = "".join(f", {name} {value}" for name, value in self._filters.items())
        return f"<Results of {self._job.id}{filters}>"


def anchors(http: Http) -> str:
    """The root certificates that vouch for the installation's signatures, PEM; none if its key is of another authority."""
    keys = http.ask(models.Keys, lambda client: list_signing_keys.sync_detailed(client=client)).keys
    return "".join(sorted({key.anchor for key in keys if isinstance(key.anchor, str)}))


def _write(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside it and then renamed: a reader finds the whole file or none
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    part.write_bytes(content)
    part.replace(path)
