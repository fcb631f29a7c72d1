from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import certifi
import pytest
from PIL import Image

from conftest import GREEN, PATIENCE
from counterfactory import Client, Job, Level, NotAuthenticError, Report
from counterfactory.results import anchors
from counterfactory.verify import verify

Cfx = Callable[..., subprocess.CompletedProcess[str]]


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def in_the_pixels(content: bytes) -> int:
    at = content.index(b"IDAT")
    return at + 4 + int.from_bytes(content[at - 4 : at]) // 2


def failed(report: Report) -> set[tuple[int, str]]:
    return {(finding.level.value, finding.check) for finding in report.findings if finding.result == "fail"}


def test_every_result_is_authentic(ended: Job) -> None:
    reports = ended.verify(progress=False)
    assert len(reports) == 6
    assert reports
    assert {report.proven for report in reports} == {Level.RECORD}
    assert str(reports.require()) == "6 of 6 images are authentic"
    first = ended.results().first()[0].verify()
    assert str(first) == f"{first.name}: authentic (proven to level 2)"


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_other_formats_at_least_detail_are_authentic_too(form: str, client: Client, drawings: Callable[[int], list[Image.Image]]) -> None:
    output = {"format": form, "detail": "minimal"}
    job = client.submit(drawings(1), GREEN, output=output, progress=False).wait(PATIENCE, progress=False)
    [report] = job.verify(progress=False)
    assert report, str(report)
    # decoders of JPEG may round differently, so its raster is no proof there
    assert report.proven in ({Level.RECORD} if form == "webp" else {Level.RECORD, None})
    [result] = job.results()
    assert result.image().format == form.upper()
    content = result.image_bytes()
    # JPEG has its pixels at the end, WebP before the credential
    assert not client.verify(flipped(content, len(content) - 100 if form == "jpeg" else content.index(b"VP8L") + 500))


def test_a_flipped_byte_is_told(ended: Job, client: Client, cfx: Cfx, tmp_path: Path) -> None:
    whole = ended.results().first()[0].image_bytes()
    path = tmp_path / "output.png"
    path.write_bytes(whole)
    assert client.verify(path)
    assert cfx("verify", str(path)).returncode == 0
    path.write_bytes(flipped(whole, in_the_pixels(whole)))
    report = client.verify(path)
    assert not report
    assert report.proven is None
    assert f"{path}: not authentic because " in str(report)
    assert "the file was changed after it was signed (assertion.dataHash.mismatch)" in str(report)
    assert (1, "credential") in failed(report)
    with pytest.raises(NotAuthenticError, match="not authentic because"):
        report.require()
    # and so says cfx, at the same level
    theirs = cfx("verify", str(path), "--json")
    assert theirs.returncode == 4
    [told] = json.loads(theirs.stdout)
    assert (1, "credential") in {(f["level"], f["check"]) for f in told["findings"] if f["result"] == "fail"}


def test_a_changed_claim_is_told(ended: Job, client: Client) -> None:
    whole = ended.results().first()[0].image_bytes()
    claim = whole.index(b"Counterfactory", whole.rindex(b"c2pa.claim.v2"))
    report = client.verify(flipped(whole, claim))
    assert "the signature is not the signer's (claimSignature.mismatch)" in str(report)


def test_what_is_served_in_the_place_of_a_result_is_told(ended: Job) -> None:
    one, other = ended.results().first(2)
    trusted = anchors(one._http)
    report = verify("1", other.image_bytes(), trusted, one._http.blob, expected_image=one.info.image, expected_record=one.info.record)
    # its own credential holds; it is that of another image
    assert failed(report) == {(0, "image"), (0, "raster"), (2, "digest"), (2, "claim")}
    lied = verify("1", one.image_bytes(), trusted, lambda _: other._http.blob(other.info.record))
    assert failed(lied) == {(0, "raster"), (2, "record"), (2, "claim")}


def test_a_strangers_authority_vouches_for_nothing(ended: Job) -> None:
    result = ended.results().first()[0]
    strangers = Path(certifi.where()).read_text()
    report = verify("1", result.image_bytes(), strangers, result._http.blob)
    assert failed(report) == {(1, "trust")}
    assert "none of the installation's anchors vouches" in str(report)
    alone = verify("1", result.image_bytes(), "", result._http.blob)
    assert (alone.passed, alone.proven) == (True, Level.BYTES), "nobody to trust is not a proof"


def test_an_image_without_a_credential_is_none_of_ours(client: Client, faces: list[Path], tmp_path: Path) -> None:
    report = client.verify(faces[0])
    assert "it has no credential that can be read" in str(report)
    text = tmp_path / "text.png"
    text.write_text("no image")
    assert "it is no PNG, JPEG or WebP" in str(client.verify(text))
