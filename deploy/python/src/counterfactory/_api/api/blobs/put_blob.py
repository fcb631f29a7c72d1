from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...types import UNSET, File, Response, Unset


def _get_kwargs(
    sha256: str,
    *,
    body: File | Unset = UNSET,
    cfx_project: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(cfx_project, Unset):
        headers["cfx-project"] = cfx_project

    _kwargs: dict[str, Any] = {
        "method": "put",
        "url": "/v1/blobs/{sha256}".format(
            sha256=quote(str(sha256), safe=""),
        ),
    }

    if not isinstance(body, Unset):
        _kwargs["content"] = body.payload
    headers["Content-Type"] = "application/octet-stream"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | Problem | None:
    if response.status_code == 200:
        response_200 = cast(Any, None)
        return response_200

    if response.status_code == 201:
        response_201 = cast(Any, None)
        return response_201

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 408:
        response_408 = Problem.from_dict(response.json())

        return response_408

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Problem.from_dict(response.json())

        return response_415

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Problem.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Problem.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if response.status_code == 504:
        response_504 = Problem.from_dict(response.json())

        return response_504

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Any | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    sha256: str,
    *,
    client: AuthenticatedClient,
    body: File | Unset = UNSET,
    cfx_project: str | Unset = UNSET,
) -> Response[Any | Problem]:
    """Stores the body if it has the digest in the address. It goes on to the bucket while it arrives: no
    file and no more than one piece
    of it is held here.

     Needs the scope `submit`.

    Args:
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        cfx_project (str | Unset):
        body (File | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem]
    """

    kwargs = _get_kwargs(
        sha256=sha256,
        body=body,
        cfx_project=cfx_project,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    sha256: str,
    *,
    client: AuthenticatedClient,
    body: File | Unset = UNSET,
    cfx_project: str | Unset = UNSET,
) -> Any | Problem | None:
    """Stores the body if it has the digest in the address. It goes on to the bucket while it arrives: no
    file and no more than one piece
    of it is held here.

     Needs the scope `submit`.

    Args:
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        cfx_project (str | Unset):
        body (File | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem
    """

    return sync_detailed(
        sha256=sha256,
        client=client,
        body=body,
        cfx_project=cfx_project,
    ).parsed


async def asyncio_detailed(
    sha256: str,
    *,
    client: AuthenticatedClient,
    body: File | Unset = UNSET,
    cfx_project: str | Unset = UNSET,
) -> Response[Any | Problem]:
    """Stores the body if it has the digest in the address. It goes on to the bucket while it arrives: no
    file and no more than one piece
    of it is held here.

     Needs the scope `submit`.

    Args:
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        cfx_project (str | Unset):
        body (File | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem]
    """

    kwargs = _get_kwargs(
        sha256=sha256,
        body=body,
        cfx_project=cfx_project,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    sha256: str,
    *,
    client: AuthenticatedClient,
    body: File | Unset = UNSET,
    cfx_project: str | Unset = UNSET,
) -> Any | Problem | None:
    """Stores the body if it has the digest in the address. It goes on to the bucket while it arrives: no
    file and no more than one piece
    of it is held here.

     Needs the scope `submit`.

    Args:
        sha256 (str): A SHA-256 digest: 64 lower-case hexadecimal digits.
        cfx_project (str | Unset):
        body (File | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem
    """

    return (
        await asyncio_detailed(
            sha256=sha256,
            client=client,
            body=body,
            cfx_project=cfx_project,
        )
    ).parsed
