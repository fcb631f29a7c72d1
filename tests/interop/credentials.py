"""What a job's outputs, records and seal prove, by programs that know nothing of this project.

The outputs are those of tests/stories/interop.rs: two faces at two strengths, in every format and at every detail, from a set with a
third picture that cannot be read; and `png-again`, whose sources are outputs of `png-full`.
"""

import base64
import copy
import hashlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import c2pa
import google.protobuf.json_format
import in_toto_attestation.v1.statement as in_toto
import in_toto_attestation.v1.statement_pb2 as in_toto_pb
import jsonschema
import mlcroissant
import pyarrow.parquet
import rfc8785
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from safetensors.numpy import load_file
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
TEXT = 'a face with "grün" hair & <blue> skin'
RECORD = "org.counterfactory.record"
KEYWORD = "counterfactory.record"
SCHEMA = Path(__file__).parent / "../../deploy/schemas/record-2.schema.json"
KINDS = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass
class Output:
    """One output: its file, its line of results.jsonl, its record as the server tells it and as it was written."""

    job: Path
    result: dict

    @property
    def path(self) -> Path:
        return self.job / self.result["file"]

    @property
    def bytes(self) -> bytes:
        return self.path.read_bytes()

    @property
    def kind(self) -> str:
        return KINDS[self.path.suffix[1:]]

    @property
    def detail(self) -> str:
        return self.record["outcome"]["detail"]

    @property
    def record(self) -> dict:
        return json.loads((self.job / f"records/{self.result['record']}.json").read_text())

    @property
    def canonical(self) -> bytes:
        return (self.job / f"records/{self.result['record']}.canonical").read_bytes()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def jobs(root: Path) -> list[Path]:
    found = sorted(path.parent for path in root.glob("*/results.jsonl") if (path.parent / "seal").exists())
    names = {f"{form}-{detail}" for form in ("png", "jpeg", "webp") for detail in ("full", "standard", "minimal")}
    assert {job.name for job in found} == names | {"png-again"}, found
    return found


def outputs(root: Path) -> Iterator[Output]:
    for job in jobs(root):
        lines = (job / "results.jsonl").read_text().splitlines()
        assert len(lines) == 4, (job, len(lines))
        for line in lines:
            yield Output(job, json.loads(line))


def flipped(data: bytes, at: int) -> bytes:
    assert 0 <= at < len(data), (at, len(data))
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def context(anchors: str | None) -> c2pa.Context:
    settings: dict = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    if anchors is not None:
        settings["trust"] = {"user_anchors": anchors}
    return c2pa.Context.from_dict(settings)


def read(data: bytes, kind: str, at: c2pa.Context, beside: bytes | None = None) -> tuple[str, list[str], dict]:
    """Its state, the codes of what failed, and the whole report."""
    with c2pa.Reader(kind, io.BytesIO(data), beside, at) as reader:
        report = json.loads(reader.json())
    results = report["validation_results"]
    parts = [results["activeManifest"], *(delta["validationDeltas"] for delta in results.get("ingredientDeltas", []))]
    failed = sorted({failure["code"] for part in parts for failure in part.get("failure", [])})
    return report["validation_state"], failed, report


def a_byte_of_the_pixels(data: bytes, kind: str) -> int:
    match kind:
        case "image/png":
            at = data.index(b"IDAT")
            return at + 4 + int.from_bytes(data[at - 4 : at]) // 2
        case "image/jpeg":
            # the scan: its header is a dozen bytes
            return (data.rindex(b"\xff\xda") + len(data)) // 2
        case _:
            at = data.index(b"VP8L")
            return at + 8 + int.from_bytes(data[at + 4 : at + 8], "little") // 2


def a_byte_of_the_claim(store: bytes) -> int:
    """Within the active manifest's claim, the last one of the store: a letter of the program's name, so that it stays CBOR."""
    return store.index(b"Counterfactory", store.rindex(b"c2pa.claim.v2"))


def assertion(manifest: dict, label: str) -> dict:
    found = [entry["data"] for entry in manifest["assertions"] if entry["label"] == label]
    assert len(found) == 1, (label, manifest["assertions"])
    return found[0]


def says(manifest: dict, output: Output) -> None:
    """What a manifest says is what the record says, as far as it may leave."""
    record, detail = output.record, output.detail
    actions = assertion(manifest, "c2pa.actions.v2")["actions"]
    assert [action["action"] for action in actions] == ["c2pa.created"], actions
    assert actions[0]["digitalSourceType"] == IPTC == record["outcome"]["digital_source_type"]
    assert actions[0].get("parameters", {}).get("description") == (None if detail == "minimal" else TEXT)
    claim = assertion(manifest, RECORD)
    assert claim["record_digest"] == sha256(rfc8785.dumps(record)) == output.result["record"]
    assert claim["raster_sha256"] == record["outcome"]["raster_sha256"] and claim["detail"] == detail
    assert ("recipe_digest" in claim) == ("source_sha256" in claim) == (detail != "minimal"), claim
    assert len(manifest["ingredients"]) == 1
    ingredient = manifest["ingredients"][0]
    name = record["links"]["source_uri"].rsplit("/", 1)[-1] if detail == "full" else "source"
    assert (ingredient["relationship"], ingredient["title"]) == ("inputTo", name), ingredient
    named = actions[0]["parameters"]["ingredients"]
    assert [entry["url"].rsplit("/", 1)[-1] for entry in named] == [ingredient["label"]], named


def credentials(root: Path) -> str:
    anchors = (root / "anchors.pem").read_text()
    ours, nobodys = context(anchors), context(None)
    by_image = {output.result["image"]: output for output in outputs(root)}
    chained = 0
    for output in by_image.values():
        data, kind = output.bytes, output.kind
        assert sha256(data) == output.result["image"], output.path
        state, failed, report = read(data, kind, ours)
        assert (state, failed) == ("Trusted", []), (output.path, state, failed)
        state, failed, _ = read(data, kind, nobodys)
        assert (state, failed) == ("Valid", ["signingCredential.untrusted"]), (output.path, state, failed)
        state, failed, _ = read(flipped(data, a_byte_of_the_pixels(data, kind)), kind, ours)
        assert state == "Invalid" and "assertion.dataHash.mismatch" in failed, (output.path, state, failed)
        state, failed, _ = read(flipped(data, a_byte_of_the_claim(data)), kind, ours)
        assert state == "Invalid" and "claimSignature.mismatch" in failed, (output.path, state, failed)

        manifest = report["manifests"][report["active_manifest"]]
        says(manifest, output)
        ingredient = manifest["ingredients"][0]
        parent = by_image.get(output.record["recipe"]["source"]["sha256"])
        assert (parent is not None) == (output.job.name == "png-again")
        if parent is None:
            assert "active_manifest" not in ingredient and len(report["manifests"]) == 1
            continue
        # the source's own manifest, whole, and checked with it
        chained += 1
        assert output.record["links"]["parents"] == [parent.result["record"]]
        says(report["manifests"][ingredient["active_manifest"]], parent)
        codes = [
            (code["code"], code["url"].endswith(f"{ingredient['active_manifest']}/c2pa.signature"))
            for delta in report["validation_results"]["ingredientDeltas"]
            for code in delta["validationDeltas"]["success"]
        ]
        assert ("signingCredential.trusted", True) in codes and ("ingredient.manifest.validated", False) in codes, codes
    assert chained == 4, chained
    return f"{len(by_image)} outputs, {chained} of outputs"


def beside(root: Path) -> str:
    """Reconstructions, with a credential inside, and latents, with one beside them."""
    ours, nobodys = context((root / "anchors.pem").read_text()), context(None)
    pictures = latents = 0
    for folder, chained in ((root / "beside", False), (root / "beside-again", True)):
        results = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        named: dict[str, set[str]] = {}
        for result in results:
            record = json.loads((root / f"png-{'again' if chained else 'full'}/records/{result['record']}.json").read_text())
            for digest in (record["outcome"]["reconstruction"], record["outcome"]["latent"], record["recipe"]["source_latent"]):
                named.setdefault(digest, set()).add(result["record"])
        files = sorted({result[key] for result in results for key in ("reconstruction_file", "latent_file", "source_latent_file")})
        for name in files:
            path = folder / name
            data, picture = path.read_bytes(), path.suffix == ".png"
            kind = "image/png" if picture else "application/octet-stream"
            manifest = None if picture else path.with_suffix(".c2pa").read_bytes()
            state, failed, report = read(data, kind, ours, manifest)
            assert (state, failed) == ("Trusted", []), (path, state, failed)
            assert read(data, kind, nobodys, manifest)[:2] == ("Valid", ["signingCredential.untrusted"]), path
            active = report["manifests"][report["active_manifest"]]
            claim = assertion(active, RECORD)
            assert claim["record_digest"] in named[claim["sha256"]], (path, claim)
            actions = assertion(active, "c2pa.actions.v2")["actions"]
            types = [IPTC if picture else "http://c2pa.org/digitalsourcetype/trainedAlgorithmicData"]
            assert [action["digitalSourceType"] for action in actions] == types, actions
            assert "description" not in actions[0]["parameters"], actions
            (ingredient,) = active["ingredients"]
            assert ("active_manifest" in ingredient) == chained, (path, ingredient)
            if picture:
                pictures += 1
                changes = [(flipped(data, a_byte_of_the_pixels(data, kind)), None), (flipped(data, a_byte_of_the_claim(data)), None)]
            else:
                latents += 1
                assert sha256(data) == claim["sha256"], path
                assert load_file(path)["w_plus"].ndim == 2, path
                changes = [(flipped(data, len(data) // 2), manifest), (data, flipped(manifest, a_byte_of_the_claim(manifest)))]
            for (data, manifest), code in zip(changes, ("assertion.dataHash.mismatch", "claimSignature.mismatch"), strict=True):
                state, failed, _ = read(data, kind, ours, manifest)
                assert state == "Invalid" and code in failed, (path, state, failed)
    assert pictures and latents, root
    return f"{pictures} reconstructions, {latents} latents"


def records(root: Path) -> str:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    count = 0
    for output in outputs(root):
        record = output.record
        validator.validate(record)
        assert rfc8785.dumps(record) == output.canonical, output.path
        assert sha256(output.canonical) == output.result["record"], output.path
        assert sha256(rfc8785.dumps(record["recipe"])) == record["recipe_digest"], output.path
        for change in (lambda r: r.pop("recipe"), lambda r: r.update(more=1), lambda r: r["recipe"].update(seed=-1)):
            changed = copy.deepcopy(record)
            change(changed)
            assert not validator.is_valid(changed)
        count += 1
    return f"{count} records"


def inside(root: Path) -> str:
    """What leaves with an image, where another reader of it can get at it."""
    count = 0
    for output in outputs(root):
        if output.kind != "image/png":
            continue
        with Image.open(output.path) as image:
            text = image.text[KEYWORD].encode()
        if output.detail == "full":
            assert text == output.canonical
            count += 1
            continue
        excerpt = json.loads(text)
        assert rfc8785.dumps(excerpt) == text and excerpt["record_digest"] == output.result["record"]
        assert excerpt.get("recipe") == (output.record["recipe"] if output.detail == "standard" else None), excerpt
        assert "links" not in excerpt and "execution" not in excerpt, excerpt
        count += 1
    for output in outputs(root):
        if output.detail == "minimal":
            for secret in (b"a face with", b"clip-nce", b"faces", b"file:"):
                assert secret not in output.bytes, (output.path, secret)
    return f"{count} in PNG"


def key_of(signature: dict, anchors: Path, job: Path) -> ec.EllipticCurvePublicKey:
    """The key of the envelope's certificate, once openssl and cryptography both find that an anchor vouches for it."""
    leaf = x509.load_pem_x509_certificate(signature["cert"].encode())
    anchor = [anchor for anchor in x509.load_pem_x509_certificates(anchors.read_bytes()) if anchor.subject == leaf.issuer]
    assert len(anchor) == 1, anchor
    leaf.verify_directly_issued_by(anchor[0])
    assert anchor[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    command = ["openssl", "verify", "-x509_strict", "-purpose", "smimesign", "-no-CApath", "-no-CAstore", "-CAfile"]
    told = subprocess.run([*command, anchors], input=signature["cert"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, (job, told)
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert sha256(info) == signature["keyid"]
    return key


def holds(envelope: dict, key: ec.EllipticCurvePublicKey) -> bool:
    """By securesystemslib, and by cryptography over the encoding written out from DSSE's text; both must agree."""
    [signature] = envelope["signatures"]
    parsed = Envelope.from_dict(copy.deepcopy(envelope))
    try:
        accepted = parsed.verify([SSlibKey.from_crypto(key, keyid=signature["keyid"])], threshold=1)
        first = list(accepted) == [signature["keyid"]]
    except VerificationError:
        first = False
    kind, body = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body])
    try:
        key.verify(base64.b64decode(signature["sig"]), encoded, ec.ECDSA(hashes.SHA256()))
        second = True
    except InvalidSignature:
        second = False
    assert first == second, (first, second)
    return first


def seals(root: Path) -> str:
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    count = 0
    for job in jobs(root):
        envelope = json.loads((job / "seal/attestation.dsse.json").read_text())
        [signature] = envelope["signatures"]
        key = key_of(signature, root / "anchors.pem", job)
        assert envelope["payloadType"] == "application/vnd.in-toto+json"
        assert holds(envelope, key) and not holds(envelope, stranger)
        payload, signed = base64.b64decode(envelope["payload"]), base64.b64decode(signature["sig"])
        for at in range(0, len(payload), max(1, len(payload) // 20)):
            assert not holds({**envelope, "payload": base64.b64encode(flipped(payload, at)).decode()}, key), at
        # the last byte of each half: changed, it is still a signature's form
        for at in (3 + signed[3], len(signed) - 1):
            other = {**signature, "sig": base64.b64encode(flipped(signed, at)).decode()}
            assert not holds({**envelope, "signatures": [other]}, key), at
        assert not holds({**envelope, "payloadType": "application/json"}, key)

        statement = google.protobuf.json_format.Parse(payload, in_toto_pb.Statement())
        in_toto.Statement.copy_from_pb(statement).validate()
        files = {subject.name: dict(subject.digest) for subject in statement.subject}
        assert set(files) == {"manifest.jsonl", "records.parquet", "failures.jsonl", "croissant.json"}, files
        for name, digest in files.items():
            data = (job / "seal" / name).read_bytes()
            assert digest == {"sha256": sha256(data)}, name
            if data:
                assert sha256(flipped(data, len(data) // 2)) != digest["sha256"]
        failures = len((job / "seal/failures.jsonl").read_text().splitlines())
        counts = google.protobuf.json_format.MessageToDict(statement)["predicate"]["counts"]
        # the picture that cannot be read, and its edit at two strengths
        assert (counts["results"], counts["failures"], failures) == (4, *([0 if job.name == "png-again" else 3] * 2)), counts
        count += 1
    return f"{count} seals"


def tables(root: Path) -> str:
    rows = 0
    for job in jobs(root):
        seal = job / "seal"
        results = {line["task"]: line for line in map(json.loads, (job / "results.jsonl").read_text().splitlines())}
        lines = [json.loads(line) for line in (seal / "manifest.jsonl").read_text().splitlines()]
        table = pyarrow.parquet.read_table(seal / "records.parquet").to_pylist()
        assert len(lines) == len(table) == len(results) == 4
        for line, row in zip(lines, table, strict=True):
            result = results[row["sample_id"]]
            assert line["sample_id"] == row["sample_id"] and line["file_name"] == row["edited_file_name"]
            assert line["sha256"] == row["edited_sha256"] == sha256((job / result["file"]).read_bytes())
            assert line["source_sha256"] == row["source_sha256"] == result["source"]
            assert line["record_digest"] == row["record_digest"] == result["record"]
            record = Output(job, result).record
            assert (row["seed"], row["strength"]) == (record["recipe"]["seed"], record["recipe"]["strength"])
            assert row["target_caption"] == record["recipe"]["text"]["target"] == TEXT
            assert row["mean_change"] == record["outcome"]["metrics"]["mean_change"]
        document = seal / "croissant.json"
        dataset = mlcroissant.Dataset(jsonld=str(document))
        issues = dataset.metadata.ctx.issues
        # a licence and a citation are recommended; only who publishes the set knows them
        odd = [warning for warning in issues.warnings if "is recommended" not in warning]
        assert not issues.errors and not odd, issues.report()
        for entry in json.loads(document.read_text())["distribution"]:
            assert sha256((seal / entry["contentUrl"]).read_bytes()) == entry["sha256"], entry
        [record_set] = dataset.metadata.record_sets
        read_back = {}
        for record in dataset.records(record_set.uuid):
            row = {name.rsplit("/", 1)[-1]: value for name, value in record.items()}
            read_back[row["sample_id"].decode()] = row
        for row in table:
            other = read_back[row["sample_id"]]
            assert set(other) == set(row), set(other) ^ set(row)
            for column, value in row.items():
                told = other[column].decode() if isinstance(other[column], bytes) else other[column]
                assert told == value, (column, told, value)
            rows += 1
    return f"{rows} rows"


def metadata(root: Path) -> str:
    paths = {str(output.path): output for output in outputs(root)}
    command = ["exiftool", "-json", "-G1", "-a", "-XMP:all", "-Warning", "-Error", *paths]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(told) == len(paths)
    for entry in told:
        output = paths[entry.pop("SourceFile")]
        assert not [key for key in entry if key.endswith((":Warning", ":Error"))], (output.path, entry)
        wanted = {
            "XMP-iptcExt:DigitalSourceType": IPTC,
            "XMP-iptcExt:AISystemUsed": "Counterfactory",
            "XMP-xmp:CreatorTool": f"Counterfactory {output.record['execution']['version']}",
            "XMP-cfx:RecordDigest": output.result["record"],
            "XMP-iptcExt:AIPromptInformation": None if output.detail == "minimal" else TEXT,
        }
        assert {key: entry.get(key) for key in wanted} == wanted, (output.path, entry)
    version = subprocess.run(["exiftool", "-ver"], capture_output=True, check=True, text=True).stdout.strip()
    return f"{len(told)} outputs, ExifTool {version}"


def rasters(root: Path) -> str:
    forms = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
    same = 0
    for output in outputs(root):
        with Image.open(output.path) as image:
            image.load()
            assert (image.format, list(image.size)) == (forms[output.kind], output.record["outcome"]["size"])
            digest = sha256(image.convert("RGB").tobytes())
        # decoders of JPEG may round in ways of their own
        if output.kind != "image/jpeg":
            assert digest == output.record["outcome"]["raster_sha256"], output.path
        same += digest == output.record["outcome"]["raster_sha256"]
    return f"{same} rasters bit for bit"


def main() -> None:
    logging.getLogger("absl").setLevel(logging.ERROR)
    root = Path(sys.argv[1])
    steps = {
        f"credentials: c2pa (library {c2pa.sdk_version()})": credentials,
        "what leaves beside outputs: c2pa, safetensors": beside,
        "records: jsonschema and rfc8785": records,
        "what leaves inside: pillow": inside,
        "seals: securesystemslib, cryptography, openssl, in-toto-attestation": seals,
        "sealed tables: pyarrow and mlcroissant": tables,
        "metadata: exiftool": metadata,
        "rasters: pillow": rasters,
    }
    for name, step in steps.items():
        print(f"ok   {name}: {step(root)}")


if __name__ == "__main__":
    main()
