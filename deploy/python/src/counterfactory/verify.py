"""Holding an image against its credential and its record: levels 0 to 2 of `cfx verify`, under the same names.

Seals (3), sources and weights (4) and replays (5) are for `cfx verify`; a report lists them as not looked at.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from counterfactory.errors import CounterfactoryError, MissingExtraError, NotAuthenticError

RECORD = "org.counterfactory.record"
"""The assertion of a credential that names the record."""
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
_MEANINGS = {
    "assertion.dataHash.mismatch": "the file was changed after it was signed",
    "assertion.hashedURI.mismatch": "what the credential says was changed after it was signed",
    "claimSignature.mismatch": "the signature is not the signer's",
    "signingCredential.expired": "the signer's certificate was not valid at the time",
}
_UNTRUSTED = "signingCredential.untrusted"


class Level(IntEnum):
    """What a finding is about; each level rests on those before."""

    BYTES = 0
    """The bytes are those that the record was written for."""
    CREDENTIAL = 1
    """The credential holds, and the installation's anchor vouches for its signer."""
    RECORD = 2
    """The record is the one that the credential names."""
    SEAL = 3
    """The record is in a job's manifest whose seal holds."""
    INPUTS = 4
    """Source and weights are those that the record names."""
    REPLAY = 5
    """The recipe gives the same picture again."""


@dataclass(frozen=True)
class Finding:
    """What one check found; `detail` says what differs, or what was missing."""

    level: Level
    check: str
    result: Literal["pass", "fail", "skipped"]
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """What was found about one image. It is true if nothing differs."""

    name: str
    """The task whose result it is, or what the caller calls the file."""
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Nothing differs. What was not looked at is among the findings."""
        return not any(finding.result == "fail" for finding in self.findings)

    @property
    def proven(self) -> Level | None:
        """The highest level that is proven with all below it; `None` if not even the bytes are."""
        proven = None
        for level in Level:
            of_level = [finding for finding in self.findings if finding.level == level]
            if not of_level or any(finding.result != "pass" for finding in of_level):
                break
            proven = level
        return proven

    def require(self) -> Report:
        """The report again; raises `NotAuthenticError` unless it passed."""
        if not self.passed:
            raise NotAuthenticError(str(self))
        return self

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        if self.passed:
            level = "nothing is proven" if self.proven is None else f"proven to level {self.proven.value}"
            return f"{self.name}: authentic ({level})"
        reasons = "; ".join(finding.detail for finding in self.findings if finding.result == "fail")
        return f"{self.name}: not authentic because {reasons}"


class Reports(list[Report]):
    """Reports of several images. They are true if there are some, and all of them passed."""

    @property
    def failed(self) -> list[Report]:
        """Those that did not pass."""
        return [report for report in self if not report.passed]

    def require(self) -> Reports:
        """The reports again; raises `NotAuthenticError` unless all passed."""
        if self.failed:
            raise NotAuthenticError("\n".join(map(str, self.failed)))
        return self

    def __bool__(self) -> bool:
        return len(self) > 0 and not self.failed

    def __str__(self) -> str:
        lines = [f"{len(self) - len(self.failed)} of {len(self)} images are authentic", *map(str, self.failed)]
        return "\n".join(lines)

    __repr__ = __str__


def verify(
    name: str,
    image: bytes,
    anchors: str,
    find_record: Callable[[str], bytes],
    *,
    expected_image: str | None = None,
    expected_record: str | None = None,
) -> Report:
    """Holds `image` against its credential and record.

    `anchors` are the root certificates that are trusted, PEM. `find_record` gets a digest and gives the record's bytes. Digests that are
    known from elsewhere are `expected_…`.
    """
    findings = []
    if expected_image is not None:
        findings.append(_same(Level.BYTES, "image", "image", sha256(image).hexdigest(), expected_image, by="result"))
    credential, claim = _credential(image, anchors)
    findings.extend(credential)
    digest = expected_record or claim.get("record_digest")
    if digest is None:
        findings.append(Finding(Level.RECORD, "record", "skipped", "nothing names a record"))
    else:
        findings.extend(_record(image, digest, claim, find_record))
    findings.append(Finding(Level.SEAL, "seal", "skipped", "not looked at here; `cfx verify` does"))
    return Report(name, tuple(sorted(findings, key=lambda finding: finding.level)))


def _record(image: bytes, digest: str, claim: dict[str, Any], find_record: Callable[[str], bytes]) -> list[Finding]:
    findings = []
    if claim:
        named = str(claim.get("record_digest"))
        findings.append(_same(Level.RECORD, "digest", "record that the credential names", named, digest, by="result"))
    try:
        text = find_record(digest)
    except CounterfactoryError as error:
        return [*findings, Finding(Level.RECORD, "record", "skipped", f"the record {digest} is not at hand: {error}")]
    findings.append(_same(Level.RECORD, "record", "record", sha256(text).hexdigest(), digest, by="result"))
    outcome = json.loads(text)["outcome"]
    if claim:
        said, recorded = str(claim.get("raster_sha256")), outcome["raster_sha256"]
        findings.append(_same(Level.RECORD, "claim", "raster that the credential names", said, recorded, by="record"))
    findings.append(_raster(image, outcome["raster_sha256"]))
    return findings


def _raster(image: bytes, recorded: str) -> Finding:
    try:
        with Image.open(io.BytesIO(image)) as opened:
            digest, lossy = sha256(opened.convert("RGB").tobytes()).hexdigest(), opened.format == "JPEG"
    except UnidentifiedImageError:
        return Finding(Level.BYTES, "raster", "fail", "it is no image that can be decoded")
    except (OSError, SyntaxError, ValueError) as error:
        return Finding(Level.BYTES, "raster", "fail", f"its image cannot be decoded ({error})")
    if lossy and digest != recorded:
        return Finding(Level.BYTES, "raster", "skipped", "decoders of JPEG may round in ways of their own")
    return _same(Level.BYTES, "raster", "raster", digest, recorded, by="record")


def _credential(image: bytes, anchors: str) -> tuple[list[Finding], dict[str, Any]]:
    try:
        import c2pa
    except ImportError as error:
        raise MissingExtraError("c2pa-python", "verify") from error
    kind = next((kind for signature, kind in _SIGNATURES.items() if image.startswith(signature)), None)
    if kind is None:
        return [_fails("it is no PNG, JPEG or WebP, which alone have credentials here")], {}
    settings: dict[str, Any] = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    if anchors:
        settings["trust"] = {"user_anchors": anchors}
    try:
        with c2pa.Reader(kind, io.BytesIO(image), None, c2pa.Context.from_dict(settings)) as reader:
            report = json.loads(reader.json())
    except c2pa.C2paError as error:
        return [_fails(f"it has no credential that can be read ({error})")], {}
    results = report.get("validation_results", {})
    parts = [results.get("activeManifest", {}), *(d["validationDeltas"] for d in results.get("ingredientDeltas", []))]
    failures = sorted({failure["code"] for part in parts for failure in part.get("failure", [])} - {_UNTRUSTED})
    manifest = report["manifests"][report["active_manifest"]]
    claim: dict[str, Any] = next((a["data"] for a in manifest.get("assertions", []) if a["label"] == RECORD), {})
    signer = manifest.get("signature_info", {}).get("issuer", "somebody unnamed")
    trusted = report["validation_state"] == "Trusted"
    if report["validation_state"] not in ("Valid", "Trusted"):
        reasons = "; ".join(f"{_MEANINGS[code]} ({code})" if code in _MEANINGS else code for code in failures)
        return [_fails(f"its credential does not hold: {reasons or 'it is invalid'}")], claim
    holds = Finding(Level.CREDENTIAL, "credential", "pass")
    if not claim:
        holds = _fails(f"its credential, signed by '{signer}', names no record of ours")
    trust = Finding(Level.CREDENTIAL, "trust", "pass")
    if not trusted:
        detail = f"none of the installation's anchors vouches for its signer '{signer}'"
        trust = Finding(Level.CREDENTIAL, "trust", "fail" if anchors else "skipped", detail)
    return [holds, trust], claim


def _fails(detail: str) -> Finding:
    return Finding(Level.CREDENTIAL, "credential", "fail", detail)


def _same(level: Level, check: str, what: str, found: str, expected: str, *, by: str) -> Finding:
    if found == expected:
        return Finding(level, check, "pass")
    return Finding(level, check, "fail", f"the {what} has SHA-256 {found}, the {by} says {expected}")
