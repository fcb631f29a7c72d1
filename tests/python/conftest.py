"""A live coordinator with a worker and the demo pack is at `CFX_SERVER`: `make python` starts one. `CFX_CLI` is its `cfx`."""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from counterfactory import Client, Job
from counterfactory.images import png

ROOT = Path(__file__).resolve().parents[2]
GREEN: dict[str, Any] = {
    "name": "green",
    "text": "a face with green hair",
    "method": {"kind": "clip-nce", "steps": 2, "views": 2},
    # nothing is rejected for what two steps cannot reach
    "accept": {"target": False, "max_change": 255.0},
}
PATIENCE = 180.0
STRENGTH = 1.2345678


class Recorder(httpx.BaseTransport):
    """Passes requests on, and keeps their methods and paths."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.seen: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(f"{request.method} {request.url.path}")
        return self._inner.handle_request(request)

    def count(self, method: str) -> int:
        return sum(seen.startswith(method) for seen in self.seen)


class Gate:
    """A TCP proxy in front of the coordinator that can be shut: connections break, as while it restarts.

    It listens while it is shut too, and resets who comes: a port given up could be another program's when it opens again.
    """

    def __init__(self, server: str) -> None:
        url = httpx.URL(server)
        self._to = (url.host, url.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._is_shut = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        with self._lock:
            self._is_shut = True
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def open(self) -> None:
        with self._lock:
            self._is_shut = False

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with self._lock:
                if self._is_shut:
                    # no lingering: a reset at once
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                    continue
                self._open.append(client)
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._to) as server:
            ends = {client: server, server: client}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)


@pytest.fixture(scope="session")
def server() -> str:
    """Where the coordinator is."""
    if "CFX_SERVER" not in os.environ:
        pytest.exit("CFX_SERVER names no coordinator; run: make python", returncode=2)
    return os.environ["CFX_SERVER"]


@pytest.fixture(scope="session")
def client(server: str) -> Client:
    return Client(server)


@pytest.fixture
def gate(server: str) -> Iterator[Gate]:
    gate = Gate(server)
    yield gate
    gate.shut()


@pytest.fixture(scope="session")
def cfx(server: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `cfx` with some arguments against the same coordinator."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CFX_SERVER": server}
        return subprocess.run([os.environ["CFX_CLI"], *arguments], capture_output=True, text=True, check=False, env=environment)

    return run


@pytest.fixture(scope="session")
def faces() -> list[Path]:
    """Faces of the demo, the same in every run."""
    return sorted((ROOT / "deploy/demo/faces/source").glob("*.png"))


@pytest.fixture
def drawings() -> Callable[[int], list[Image.Image]]:
    """Makes images that no run before has had: colourful squares of 64 pixels."""

    def draw(number: int) -> list[Image.Image]:
        random = np.random.default_rng()
        tiles = random.integers(0, 255, (number, 4, 4, 3), dtype=np.uint8)
        return [Image.fromarray(tile).resize((64, 64), Image.Resampling.NEAREST) for tile in tiles]

    return draw


@pytest.fixture(scope="session")
def ended(client: Client, faces: list[Path]) -> Job:
    """An ended job of three faces, one picture that cannot be read, and two edits at one strength each."""
    broken = faces[3].read_bytes()[:400]
    blue = {**GREEN, "name": "blue", "text": 'a face with <b>blue</b> & "odd" skin'}
    job = client.submit([*faces[:3], broken], [GREEN, blue], name="three faces", strengths=[STRENGTH], progress=False)
    return job.wait(PATIENCE, progress=False)


def pixels(content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Height x width x 3."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def as_png(image: Image.Image) -> bytes:
    return png(image)
