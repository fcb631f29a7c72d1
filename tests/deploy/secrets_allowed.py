"""Holds what detect-secrets found against a list of what only looks like a secret: secrets_allowed.py LIST FOUND.json...

A line of the list is a file, a kind, the beginning of the text's SHA-1 and the reason, between tabs: another text in the same place is an
error, and so is a line that stands for nothing any more."""

import csv
import json
import sys


def main():
    listed, *found_paths = sys.argv[1:]
    with open(listed) as rows:
        allowed = {tuple(row[:3]): row[3] for row in csv.reader((line for line in rows if not line.startswith("#")), delimiter="\t")}
    found = {}
    for path in found_paths:
        for file, secrets in json.load(open(path))["results"].items():
            for secret in secrets:
                file = file.removesuffix(".plain")
                found[file, secret["type"], secret["hashed_secret"][:12]] = secret["line_number"]
    unknown, stale = found.keys() - allowed.keys(), allowed.keys() - found.keys()
    for file, kind, digest in sorted(unknown):
        print(f"error: {file}:{found[file, kind, digest]}: it looks like a secret ({kind}, {digest})", file=sys.stderr)
    for file, kind, digest in sorted(stale):
        print(f"error: {listed} allows {file} ({kind}, {digest}), which is not there any more", file=sys.stderr)
    if unknown or stale or not all(allowed.values()):
        sys.exit(1)
    print(f"    {len(found)} things that only look like secrets")


main()
