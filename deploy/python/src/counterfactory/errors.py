"""What can go wrong, as types: catch `CounterfactoryError` for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CounterfactoryError(Exception):
    """The parent of every error of this package."""


class SettingsError(CounterfactoryError):
    """The configuration file, a profile or a key cannot be used."""


class UnreachableError(CounterfactoryError):
    """The coordinator did not answer on any try."""


class UnexpectedAnswerError(CounterfactoryError):
    """An answer that is not what this version asks for: most likely the server is of another version, or no coordinator."""


class NotAuthenticError(CounterfactoryError):
    """An image is not what its record and credential say."""


class MissingExtraError(CounterfactoryError, ImportError):
    """A package that only some uses need is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}; install it with: pip install 'counterfactory[{extra}]'")


class ApiError(CounterfactoryError):
    """The coordinator refused, and said why (an RFC 9457 problem).

    `status` is the HTTP status, `code` stable for programs (`unknown_dataset`), `detail` the server's sentence.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{detail} [{code}]")
        self.status = status
        self.code = code
        self.detail = detail


class InvalidRequestError(ApiError):
    """The request has a fault; the sentence names the field (400, 405, 413, 415, 422)."""


class UnauthenticatedError(ApiError):
    """No key was shown, or one that is not known (401)."""


class ForbiddenError(ApiError):
    """The key does not allow this (403)."""


class NotFoundError(ApiError):
    """There is no such thing in this project (404)."""


class ConflictError(ApiError):
    """The state, or what is registered already, does not accept the request (409)."""


class ServerError(ApiError):
    """The coordinator, or a service behind it, failed or is busy (408, 429, 5xx)."""

    retry_after: float | None = None
    """Seconds after which it wants to be asked again, where it said so."""


_KINDS: Mapping[int, type[ApiError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    408: ServerError,
    409: ConflictError,
    429: ServerError,
}
_SERVER_ERRORS = 500


def of_problem(status: int, problem: Mapping[str, Any] | None, what: str) -> ApiError:
    """The error of an answer with this status; `what` was asked, for answers that are no problem documents."""
    fallback = ServerError if status >= _SERVER_ERRORS else InvalidRequestError
    kind = _KINDS.get(status, fallback)
    if problem is None or "code" not in problem:
        hint = "; it wants an API key (api_key=, CFX_API_KEY or a profile)" if kind is UnauthenticatedError else ""
        return kind(status, "http_error", f"{what} was answered with status {status}{hint}")
    return kind(status, str(problem["code"]), str(problem.get("detail") or problem.get("title") or "no reason was given"))
