"""The entrance: a client of one coordinator, for one project."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

import httpx

from counterfactory import images as local
from counterfactory import settings
from counterfactory._api import models
from counterfactory._api.api.datasets import add_sources, create_dataset, get_dataset, list_datasets
from counterfactory._api.api.jobs import get_job, list_jobs, submit_job
from counterfactory._api.api.packs import list_packs
from counterfactory._http import PAGE, Http
from counterfactory.errors import CounterfactoryError, NotFoundError
from counterfactory.job import Job
from counterfactory.results import anchors
from counterfactory.verify import Report, verify

if TYPE_CHECKING:
    from counterfactory.images import Images

    Edit = str | Mapping[str, Any] | models.EditSpec
    Method = models.CfMapper | models.ClipNce | models.Directional | models.Styleclip | models.StyleclipMapper
    Parts = Mapping[str, Any]

_MOST_SOURCES = 1_000


class JobOptions(TypedDict, total=False):
    """Fields of a job beside images, edits and pack. What is absent has the server's default."""

    strengths: Sequence[float]
    """Factors on the edit's change; 1 is the trained strength. With a strength search, the most it may be."""
    seeds: Sequence[int]
    """One result a seed, for methods that draw random numbers."""
    frame: str
    """Which part of a source the generator's square shows: `centre-square` or `ffhq`."""
    inversion: Parts | models.EncoderInversion | models.HybridInversion | models.OptimisingInversion | models.PivotalInversion
    """How sources become latents."""
    precision: str
    """What its images are computed in: `fp32`, `tf32` or `bf16`, which takes half the memory; the last two are fastest on GPUs."""
    priority: int
    """Higher goes first within the project."""
    limits: Parts | models.Limits
    """What it may take at most: `max_concurrent`, `budget_gpu_seconds`, `tasks_per_minute`, `deadline`."""
    output: Parts | models.Output
    """How its images are written: `format`, `quality`, `detail`."""


class Client:
    """A client of the coordinator at `url`, found as `cfx` finds it where arguments are absent: see `counterfactory.settings`.

    It connects on first use and may be used by several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        project: str | None = None,
        *,
        profile: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = Http(settings.resolve(url, api_key, project, profile), transport)

    @property
    def server(self) -> str:
        """The coordinator's address, where its dashboard is too."""
        return self._http.connection.server

    def submit(
        self,
        images: Images,
        edits: Edit | Iterable[Edit],
        *,
        pack: str | None = None,
        name: str | None = None,
        method: str | Mapping[str, Any] | Method | None = None,
        image_column: str | None = None,
        fresh: bool = False,
        idempotency_key: str | None = None,
        progress: bool = True,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submits a job, and uploads images that the server lacks.

        `images` is the name of a registered dataset, or anything that `register` takes. `edits` are texts such as `"a face with green
        hair"`, or dicts or `Edit`s with all that an edit takes; `method`, by name or with its parameters, is for those that name none.
        `pack` may be absent where only one is registered. `options` are the other fields of a job (`JobOptions`).

        The same call again gives the same job, unless it is `fresh`: so a cell may be run again. Raises `InvalidRequestError` with the
        server's sentence when the job has a fault.
        """
        dataset = self._dataset(images, image_column, progress=progress)
        edits = [edits] if isinstance(edits, str | Mapping | models.EditSpec) else edits
        spec = {
            "name": name or dataset.name,
            "dataset": dataset.name,
            "pack": pack or self._only_pack(),
            "edits": [_edit(edit, method) for edit in edits],
            **_plain(options),
        }
        if idempotency_key is None:
            # a dataset that has grown is another one
            identity = json.dumps([spec, dataset.id, dataset.sources], sort_keys=True)
            idempotency_key = f"python-{uuid.uuid4() if fresh else sha256(identity.encode()).hexdigest()[:32]}"
        body = cast("models.JobSpec", _Verbatim(spec))
        key = idempotency_key
        info = self._http.ask(models.Job, lambda client: submit_job.sync_detailed(client=client, body=body, idempotency_key=key))
        for warning in info.warnings or []:
            warnings.warn(warning, stacklevel=2)
        return Job(self._http, info)

    def register(
        self, images: Images, name: str | None = None, *, image_column: str | None = None, progress: bool = True
    ) -> models.Dataset:
        """Uploads images that the server lacks, and registers them as a dataset.

        `images` is a folder, a file, PIL images, `uint8` arrays, or a Hugging Face `Dataset` (its other columns become labels). Without a
        `name`, the same images get the same dataset. Masks and landmarks are for `cfx dataset add`.
        """
        found, total, stem = local.read(images, image_column)
        sources = local.register(self._http, found, total, progress=progress)
        name = name or local.name_of(stem, sources)
        body = models.NewDataset(name=name)
        self._http.ask(models.Dataset, lambda client: create_dataset.sync_detailed(client=client, body=body))
        doubled = 0
        for start in range(0, len(sources), _MOST_SOURCES):
            added = self._add(name, sources[start : start + _MOST_SOURCES])
            if added.missing:
                raise CounterfactoryError(f"{len(added.missing)} images went missing after their upload; register them again")
            doubled += sum(duplicate.uri != duplicate.same_as for duplicate in added.duplicates)
        if doubled:
            warnings.warn(f"{doubled} images have the same bytes as others, and are kept once", stacklevel=2)
        return self._http.ask(models.Dataset, lambda client: get_dataset.sync_detailed(name, client=client))

    def job(self, id: str) -> Job:  # noqa: A002 - it is its name
        """A job by its id."""
        return Job(self._http, self._http.ask(models.Job, lambda client: get_job.sync_detailed(id, client=client)))

    def jobs(self) -> Iterator[Job]:
        """The project's jobs, newest first, page by page."""
        rows: Iterator[models.Job] = self._http.rows(
            models.PageJob, lambda client, after: list_jobs.sync_detailed(client=client, after=after, limit=PAGE)
        )
        return (Job(self._http, row) for row in rows)

    def datasets(self) -> list[models.Dataset]:
        """The project's datasets."""
        return list(self._http.rows(models.PageDataset, lambda c, after: list_datasets.sync_detailed(client=c, after=after)))

    def packs(self) -> list[models.Pack]:
        """The packs that jobs can use."""
        return self._http.ask(models.PagePack, lambda client: list_packs.sync_detailed(client=client)).items

    def verify(self, image: str | Path | bytes) -> Report:
        """Holds an image file, wherever it has been since, against its credential and its record at the server.

        Needs `counterfactory[verify]`.
        """
        content, name = (image, "the image") if isinstance(image, bytes) else (Path(image).read_bytes(), str(image))
        return verify(name, content, anchors(self._http), self._http.blob)

    def _dataset(self, images: Images, image_column: str | None, *, progress: bool) -> models.Dataset:
        if isinstance(images, str) and "/" not in images:
            try:
                dataset = self._http.ask(models.Dataset, lambda client: get_dataset.sync_detailed(images, client=client))
            except NotFoundError:
                if not Path(images).exists():
                    known = ", ".join(repr(dataset.name) for dataset in self.datasets()) or "none"
                    raise CounterfactoryError(
                        f"'{images}' is neither a registered dataset (there are: {known}) nor a file or folder here"
                    ) from None
            else:
                if Path(images).exists():
                    raise CounterfactoryError(
                        f"'{images}' is a registered dataset and a file or folder here; give Path('{images}') for the latter"
                    )
                return dataset
        return self.register(images, image_column=image_column, progress=progress)

    def _add(self, name: str, sources: list[models.NewSource]) -> models.SourcesAdded:
        body = models.NewSources(sources=sources)
        return self._http.ask(models.SourcesAdded, lambda client: add_sources.sync_detailed(name, client=client, body=body))

    def _only_pack(self) -> str:
        names = [pack.name for pack in self.packs()]
        if len(names) != 1:
            raise CounterfactoryError(f"choose a pack with pack=; registered are: {', '.join(names) or 'none'}")
        return names[0]

    def __repr__(self) -> str:
        project = f", project '{self._http.connection.project}'" if self._http.connection.project else ""
        return f"<Client of {self.server}{project}>"


class _Verbatim:
    """A body as the user wrote it. The generated model would leave out what it does not know; that is for the server to judge."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def to_dict(self) -> dict[str, Any]:
        return self._body


def _edit(edit: Edit, method: str | Mapping[str, Any] | Method | None) -> dict[str, Any]:
    if isinstance(edit, str):
        asked: dict[str, Any] = {"text": edit}
    else:
        asked = _plain(edit)
    if method is not None and "method" not in asked:
        asked["method"] = {"kind": method} if isinstance(method, str) else _plain(method)
    return asked


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Models, at any depth, as what they are sent as."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.value if isinstance(value, Enum) else value
