#!/usr/bin/env python3
"""Rewrites an fp32 safetensors file as fp16, rounding to nearest even. Standard library only.

    python3 halve_weights.py IN.safetensors OUT.safetensors

Tensors keep their names and shapes and are written in name order, so the same input always gives the same bytes.
A value that fp16 cannot hold stops the script: silently writing an infinity would ruin a network.
"""
import array
import json
import struct
import sys


def halve(source: str, target: str) -> None:
    with open(source, "rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
        body = stream.read()
    tensors, data = {}, bytearray()
    for name in sorted(key for key in header if key != "__metadata__"):
        entry = header[name]
        if entry["dtype"] != "F32":
            sys.exit(f"{source}: tensor {name} is {entry['dtype']}, expected F32")
        begin, end = entry["data_offsets"]
        values = array.array("f", body[begin:end])
        try:
            half = struct.pack(f"<{len(values)}e", *values)
        except OverflowError:
            sys.exit(f"{source}: tensor {name} has a value beyond the range of fp16; keep this file in fp32")
        tensors[name] = {"dtype": "F16", "shape": entry["shape"], "data_offsets": [len(data), len(data) + len(half)]}
        data += half
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format asks for an aligned body
    with open(target, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    halve(sys.argv[1], sys.argv[2])
