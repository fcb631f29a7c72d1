from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.worker import Worker
from ...types import UNSET, Response, Unset


def _get_kwargs(
    boot: str,
    *,
    cfx_project: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(cfx_project, Unset):
        headers["cfx-project"] = cfx_project

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/workers/{boot}/drain".format(
            boot=quote(str(boot), safe=""),
        ),
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Problem | Worker | None:
    if response.status_code == 202:
        response_202 = Worker.from_dict(response.json())

        return response_202

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

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Problem | Worker]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    boot: str,
    *,
    client: AuthenticatedClient,
    cfx_project: str | Unset = UNSET,
) -> Response[Problem | Worker]:
    """202: what follows is the worker's.

     Needs the scope `operate` of a key for all projects.

    Args:
        boot (str): The id of one boot.
        cfx_project (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Worker]
    """

    kwargs = _get_kwargs(
        boot=boot,
        cfx_project=cfx_project,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    boot: str,
    *,
    client: AuthenticatedClient,
    cfx_project: str | Unset = UNSET,
) -> Problem | Worker | None:
    """202: what follows is the worker's.

     Needs the scope `operate` of a key for all projects.

    Args:
        boot (str): The id of one boot.
        cfx_project (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Worker
    """

    return sync_detailed(
        boot=boot,
        client=client,
        cfx_project=cfx_project,
    ).parsed


async def asyncio_detailed(
    boot: str,
    *,
    client: AuthenticatedClient,
    cfx_project: str | Unset = UNSET,
) -> Response[Problem | Worker]:
    """202: what follows is the worker's.

     Needs the scope `operate` of a key for all projects.

    Args:
        boot (str): The id of one boot.
        cfx_project (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Worker]
    """

    kwargs = _get_kwargs(
        boot=boot,
        cfx_project=cfx_project,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    boot: str,
    *,
    client: AuthenticatedClient,
    cfx_project: str | Unset = UNSET,
) -> Problem | Worker | None:
    """202: what follows is the worker's.

     Needs the scope `operate` of a key for all projects.

    Args:
        boot (str): The id of one boot.
        cfx_project (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Worker
    """

    return (
        await asyncio_detailed(
            boot=boot,
            client=client,
            cfx_project=cfx_project,
        )
    ).parsed
