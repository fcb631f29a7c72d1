"""The one place that speaks HTTP: retries while the coordinator restarts, problems as errors, pages as iterators."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx

from counterfactory import errors
from counterfactory._api import AuthenticatedClient
from counterfactory._api.api.blobs import get_blob, head_blob, put_blob
from counterfactory._api.types import UNSET, File, Response, Unset
from counterfactory.settings import Connection

T = TypeVar("T")
Send = Callable[[AuthenticatedClient], Response[Any]]

TRIES = 4
"""Tries of a request before the coordinator counts as unreachable; a restart takes a second or two."""
LONGEST_WAIT = 300.0
"""Seconds that one request waits at most because it is told to."""
PAGE = 500
"""Rows of a page."""
_AWAY = frozenset({502, 503, 504})
_TOO_MANY = 429
_REFUSED = 400


class _Page(Protocol[T]):
    @property
    def items(self) -> list[T]: ...
    @property
    def next_(self) -> str | Unset | None: ...


class Http:
    """A connection to one coordinator, for one project. It may be used by several threads."""

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self.connection = connection
        headers = {"cfx-actor": connection.actor}
        if connection.project is not None:
            headers["cfx-project"] = connection.project
        if connection.key is not None:
            headers["authorization"] = f"Bearer {connection.key}"
            if _in_the_clear(connection.server):
                warnings.warn(f"the key goes to {connection.server} in the clear; use https", stacklevel=3)
        # made here and not by the generated client, which knows of no requests without a key
        client = httpx.Client(
            base_url=connection.server,
            headers=headers,
            timeout=httpx.Timeout(120.0, connect=5.0),
            event_hooks={"response": [_refuse]},
            transport=transport,
        )
        self._client = AuthenticatedClient(base_url=connection.server, token=connection.key or "").set_httpx_client(client)
        self.blob = lru_cache(maxsize=64)(self._blob)
        """The bytes of a digest, held against it; the latest are kept."""

    def ask(self, kind: type[T], send: Send) -> T:
        """Sends until an answer comes, which must be a `kind`. Every request of this package is safe to repeat."""
        answer = self.send(send).parsed
        if not isinstance(answer, kind):
            raise errors.UnexpectedAnswerError(f"{self.connection.server} answered {answer!r} where a {kind.__name__} was due")
        return answer

    def send(self, send: Send) -> Response[Any]:
        """The answer to a request.

        Raises `ApiError` when it is refused, `UnreachableError` when no answer comes, `UnexpectedAnswerError` when it cannot be read.
        """
        tries, waited = 0, 0.0
        while True:
            tries += 1
            try:
                return send(self._client)
            except errors.ApiError as error:
                wait = getattr(error, "retry_after", None)
                if error.status == _TOO_MANY and wait is not None and waited < LONGEST_WAIT:
                    # told to wait is not refused
                    tries, waited = tries - 1, waited + wait
                    time.sleep(wait)
                    continue
                if error.status not in _AWAY or tries >= TRIES:
                    # where inside of the generated call it arose says nothing to who reads it
                    raise error.with_traceback(None) from None
            except httpx.TransportError as error:
                if tries >= TRIES:
                    what = f"the coordinator at {self.connection.server} does not answer ({error})"
                    raise errors.UnreachableError(f"{what}; is it running, and is the address right?") from error
            except (KeyError, ValueError) as error:
                what = f"an answer of {self.connection.server} cannot be read ({type(error).__name__}: {error})"
                raise errors.UnexpectedAnswerError(f"{what}; is it a coordinator of this version?") from error
            time.sleep(0.15 * 2**tries)

    def rows(self, kind: type[_Page[T]], fetch: Callable[[AuthenticatedClient, str | Unset], Response[Any]]) -> Iterator[T]:
        """The rows of a list, page by page as they are asked for; `fetch` gets the cursor of a page."""
        after: str | Unset = UNSET
        while True:
            cursor = after
            page: _Page[T] = self.ask(kind, lambda client, cursor=cursor: fetch(client, cursor))  # type: ignore[misc]
            yield from page.items
            if not page.next_:
                return
            after = page.next_

    def has_blob(self, digest: str) -> bool:
        """Whether the object of this digest is stored."""
        try:
            self.send(lambda client: head_blob.sync_detailed(digest, client=client))
        except errors.NotFoundError:
            return False
        return True

    def put_blob(self, digest: str, content: Path | bytes) -> None:
        """Stores bytes, or those of a file, under their digest."""

        def put(client: AuthenticatedClient) -> Response[Any]:
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as payload:
                return put_blob.sync_detailed(digest, client=client, body=File(payload=payload))

        self.send(put)

    def _blob(self, digest: str) -> bytes:
        content = self.send(lambda client: get_blob.sync_detailed(digest, client=client)).content
        if sha256(content).hexdigest() != digest:
            raise errors.UnexpectedAnswerError(f"the object {digest} arrived damaged; ask for it again")
        return content


def _in_the_clear(server: str) -> bool:
    """Whether others on the way can read along."""
    url = httpx.URL(server)
    try:
        own = ip_address(url.host).is_loopback
    except ValueError:
        own = url.host == "localhost"
    return url.scheme == "http" and not own


def _refuse(response: httpx.Response) -> None:
    if response.status_code < _REFUSED:
        return
    response.read()
    try:
        problem = response.json()
    except ValueError:
        problem = None
    what = f"{response.request.method} {response.request.url}"
    error = errors.of_problem(response.status_code, problem if isinstance(problem, dict) else None, what)
    told = response.headers.get("retry-after", "")
    if isinstance(error, errors.ServerError) and told.isdigit():
        error.retry_after = min(max(float(told), 1.0), 60.0)
    raise error
