"""What `cfx job export` wrote of a small job, read by the programs it is written for.

The job is that of tests/stories/exports.rs: 6 faces, an edit at two strengths on each, another on three of them, and a picture that
cannot be read. One face has a split of its own, `test`.
"""

import hashlib
import json
import sys
from pathlib import Path

import datasets
import mlcroissant
import pyarrow.parquet
import rdflib
import webdataset
from PIL import Image

PAIRS, SOURCES = 18, 6
NEUTRAL = "a face, \"plain\" | as 'it' is\nläuft"
PROV = rdflib.Namespace("http://www.w3.org/ns/prov#")
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def rows_of(folder: Path) -> list[dict]:
    """The rows as they were written, which everything is held against."""
    files = sorted(folder.glob("*/metadata.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(rows) == PAIRS, len(rows)
    return rows


def check_image(image: Image.Image) -> None:
    image.load()
    assert image.size[0] >= 64, image.size


def image_folder(folder: Path, reconstructions: bool) -> None:
    loaded = datasets.load_dataset(str(folder))
    assert "test" in loaded and len(loaded) >= 2, loaded
    images = ["source", "edited"] + (["recon"] if reconstructions else [])
    sources: dict[str, str] = {}
    count = 0
    for split, part in loaded.items():
        for column in images:
            assert isinstance(part.features[column], datasets.Image), part.features
        for row in part:
            for column in images:
                check_image(row[column])
            assert row["split"] == split
            assert sources.setdefault(row["source_id"], split) == split, "a source leaks"
            assert row["source_caption"] == (NEUTRAL if row["edit_id"] == "green" else "a face")
            assert row["label_note"].startswith("no. ") and row["label_note"].endswith("é" * 500)
            assert row["verdict"] in ("accepted", "rejected")
            assert (row["rejected_for"] == "") == (row["verdict"] == "accepted")
            assert isinstance(row["preservation"], float) and isinstance(row["seed"], int)
            assert row["digital_source_type"] == IPTC
            count += 1
    assert count == PAIRS and len(sources) == SOURCES, (count, sources)
    assert sources["000004"] == "test"


def parquet(folder: Path, rows: list[dict]) -> None:
    tables = [pyarrow.parquet.read_table(file) for file in sorted(folder.glob("*/metadata.parquet"))]
    assert all(table.schema == tables[0].schema for table in tables)
    for file in folder.glob("*/metadata.parquet"):
        metadata = pyarrow.parquet.ParquetFile(file).metadata
        assert metadata.row_group(0).column(0).compression == "ZSTD"
    read = {row["sample_id"]: row for table in tables for row in table.to_pylist()}
    assert len(read) == PAIRS
    for row in rows:
        other = read[row["sample_id"]]
        # the image folder was asked for reconstructions, this one was not
        plain = {key: value for key, value in row.items() if not key.startswith("recon_")}
        assert plain == other, (plain, other)


def shards(folder: Path, rows: list[dict]) -> None:
    names = sorted(str(file) for file in folder.glob("*.tar"))
    by_id = {row["sample_id"]: row for row in rows}
    seen = set()
    for sample in webdataset.WebDataset(names, shardshuffle=False, empty_check=False).decode("pil"):
        row = sample["json"]
        check_image(sample["source.png"])
        check_image(sample["edited.png"])
        wanted = by_id[row["sample_id"]]
        for column in ("source_caption", "target_caption", "label_note", "edited_sha256", "split", "preservation"):
            assert row[column] == wanted[column], column
        assert "." not in sample["__key__"] and Path(sample["__url__"]).name.startswith(row["split"] + "-")
        seen.add(row["sample_id"])
    assert seen == set(by_id)
    for sample in webdataset.WebDataset(names, shardshuffle=False, empty_check=False):
        row = json.loads(sample["json"])
        assert hashlib.sha256(sample["edited.png"]).hexdigest() == row["edited_sha256"]
        assert hashlib.sha256(sample["source.png"]).hexdigest() == row["source_sha256"]
    loaded = datasets.load_dataset(str(folder))
    assert sum(len(part) for part in loaded.values()) == PAIRS
    part = loaded["test"]
    check_image(part[0]["edited.png"])
    assert part[0]["json"]["edit_id"] in ("green", "blue")


def croissant(folder: Path, rows: list[dict]) -> None:
    document = json.loads((folder / "croissant.json").read_text())
    for entry in document["distribution"]:
        if entry["@type"] == "cr:FileObject":
            digest = hashlib.sha256((folder / entry["contentUrl"]).read_bytes()).hexdigest()
            assert digest == entry["sha256"], entry
        else:
            assert list(folder.glob(entry["includes"])), entry
    metadata = mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).metadata
    assert not metadata.ctx.issues.errors, metadata.ctx.issues.report()
    loaded = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    read = {}
    for record_set in loaded.metadata.record_sets:
        for record in loaded.records(record_set.uuid):
            row = {key.rsplit("/", 1)[-1]: value for key, value in record.items()}
            read[row["sample_id"].decode()] = row
    assert len(read) == PAIRS
    for row in rows:
        other = read[row["sample_id"]]
        assert other["label_note"].decode() == row["label_note"]
        assert other["source_caption"].decode() == row["source_caption"]
        assert other["seed"] == row["seed"] and abs(other["preservation"] - row["preservation"]) < 1e-12
    graph = rdflib.Graph().parse(data=json.dumps(document), format="json-ld")
    made = list(graph.subject_objects(PROV.wasGeneratedBy))
    assert any((job, PROV.endedAtTime, None) in graph for _, job in made), made
    assert list(graph.subject_objects(PROV.wasDerivedFrom)) and list(graph.subject_objects(PROV.wasAttributedTo))
    assert document["rai:dataBiases"] == "drawn faces" and document["license"] == "CC0-1.0"


def provenance(folder: Path, rows: list[dict]) -> None:
    graph = rdflib.Graph().parse(folder / "prov.jsonld", format="json-ld")
    for row in rows:
        edited, source, record = (
            rdflib.URIRef(f"urn:sha256:{row[column]}") for column in ("edited_sha256", "source_sha256", "record_digest")
        )
        assert (edited, PROV.wasDerivedFrom, source) in graph
        assert (edited, PROV.has_provenance, record) in graph
        works = list(graph.objects(edited, PROV.wasGeneratedBy))
        assert works and all((work, PROV.used, source) in graph for work in works)
        assert rdflib.Literal(row["target_caption"]) in set(graph.objects(edited, PROV.label))
    jobs = set(graph.objects(None, PROV.wasInformedBy))
    assert len(jobs) == 1 and list(graph.objects(jobs.pop(), PROV.wasAssociatedWith))


def manifest(folder: Path, rows: list[dict]) -> None:
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == PAIRS
    for line in lines:
        assert hashlib.sha256((folder / line["file_name"]).read_bytes()).hexdigest() == line["sha256"], line
    report = json.loads((folder / "export.json").read_text())
    for name, whole in report["files"].items():
        data = (folder / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (whole["sha256"], whole["bytes"]), name
    failures = [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]
    assert {failure["reason"] for failure in failures} == {"truncated", "producer_dead"}, failures


def main() -> None:
    root = Path(sys.argv[1])
    rows = rows_of(root / "imagefolder")
    steps = {
        "imagefolder: datasets": lambda: image_folder(root / "imagefolder", True),
        "imagefolder: manifest": lambda: manifest(root / "imagefolder", rows),
        "parquet: datasets": lambda: image_folder(root / "parquet", False),
        "parquet: pyarrow": lambda: parquet(root / "parquet", rows),
        "webdataset: webdataset and datasets": lambda: shards(root / "webdataset", rows),
        "croissant: mlcroissant and rdflib": lambda: croissant(root / "croissant", rows),
        "croissant: datasets": lambda: image_folder(root / "croissant", False),
        "prov: rdflib": lambda: provenance(root / "prov", rows),
    }
    for name, step in steps.items():
        step()
        print(f"ok   {name}")


if __name__ == "__main__":
    main()
