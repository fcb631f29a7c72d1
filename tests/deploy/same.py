"""Holds what the chart renders against what an overlay renders: same.py CHART.yaml OVERLAY.yaml

Both are read as objects, so layout and order of keys do not count, and lists of named things (environment, ports, volumes) are
compared by name. Three things differ by how the two programs work, and are taken out:
the Namespace, which Helm makes by itself (--create-namespace), and objects' mention of it;
the digest in the name of a generated ConfigMap, in whose place the chart has a checksum beside the pods;
whitespace within an SQL text."""

import difflib
import json
import re
import sys

import yaml


def objects(path):
    with open(path) as text:
        return [thing for thing in yaml.safe_load_all(text) if thing]


def plain(value, names):
    """A value whose lists of named things are in order of their names."""
    if isinstance(value, dict):
        return {key: plain(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        inner = [plain(thing, names) for thing in value]
        if inner and all(isinstance(thing, dict) and isinstance(thing.get("name"), str) for thing in inner):
            inner.sort(key=lambda thing: thing["name"])
        return inner
    if isinstance(value, str):
        value = names.get(value, value)
        return re.sub(r"\s+", " ", value).strip() if value.startswith("SELECT ") else value
    return value


def read(path):
    found = objects(path)
    # what a generator named: counterfactory-settings-mkg7t54922
    generated = {
        thing["metadata"]["name"]: re.sub(r"-[a-z0-9]{10}$", "", thing["metadata"]["name"])
        for thing in found
        if thing["kind"] in ("ConfigMap", "Secret")
    }
    by_name = {}
    for thing in found:
        if thing["kind"] == "Namespace":
            continue
        thing = plain(thing, generated)
        thing["metadata"].pop("namespace", None)
        pods = thing.get("spec", {}).get("template", {}).get("metadata", {}) if isinstance(thing.get("spec"), dict) else {}
        annotations = pods.get("annotations", {})
        annotations.pop("checksum/settings", None)
        if not annotations:
            pods.pop("annotations", None)
        key = f"{thing['kind']}/{thing['metadata']['name']}"
        if key in by_name:
            sys.exit(f"error: {path} has {key} twice")
        by_name[key] = json.dumps(thing, indent=1, sort_keys=True).splitlines()
    return by_name


def main():
    chart_path, overlay_path = sys.argv[1:]
    chart, overlay = read(chart_path), read(overlay_path)
    wrong = False
    for key in sorted(chart.keys() | overlay.keys()):
        if chart.get(key) != overlay.get(key):
            wrong = True
            one, other = overlay.get(key, []), chart.get(key, [])
            print("\n".join(difflib.unified_diff(one, other, f"overlay {key}", f"chart {key}", lineterm="", n=3)))
    if wrong:
        sys.exit("error: the chart and the overlay render different things; the difference is above")
    print(f"    {len(overlay)} objects are the same")


main()
