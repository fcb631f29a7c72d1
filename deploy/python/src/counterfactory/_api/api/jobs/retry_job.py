from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.retried import Retried
from ...models.retry import Retry
from ...types import UNSET, Response, Unset


def _get_kwargs(
    id: str,
    *,
    body: Retry,
    cfx_project: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(cfx_project, Unset):
        headers["cfx-project"] = cfx_project

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/jobs/{id}/retry".format(
            id=quote(str(id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Problem | Retried | None:
    if response.status_code == 200:
        response_200 = Retried.from_dict(response.json())

        return response_200

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

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Problem | Retried]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    *,
    client: AuthenticatedClient,
    body: Retry,
    cfx_project: str | Unset = UNSET,
) -> Response[Problem | Retried]:
    """What was, or would be, revived.

     Needs the scope `operate`.

    Args:
        id (str): The id of one job.
        cfx_project (str | Unset):
        body (Retry): Asks for dead tasks to be tried again.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Retried]
    """

    kwargs = _get_kwargs(
        id=id,
        body=body,
        cfx_project=cfx_project,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: str,
    *,
    client: AuthenticatedClient,
    body: Retry,
    cfx_project: str | Unset = UNSET,
) -> Problem | Retried | None:
    """What was, or would be, revived.

     Needs the scope `operate`.

    Args:
        id (str): The id of one job.
        cfx_project (str | Unset):
        body (Retry): Asks for dead tasks to be tried again.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Retried
    """

    return sync_detailed(
        id=id,
        client=client,
        body=body,
        cfx_project=cfx_project,
    ).parsed


async def asyncio_detailed(
    id: str,
    *,
    client: AuthenticatedClient,
    body: Retry,
    cfx_project: str | Unset = UNSET,
) -> Response[Problem | Retried]:
    """What was, or would be, revived.

     Needs the scope `operate`.

    Args:
        id (str): The id of one job.
        cfx_project (str | Unset):
        body (Retry): Asks for dead tasks to be tried again.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Retried]
    """

    kwargs = _get_kwargs(
        id=id,
        body=body,
        cfx_project=cfx_project,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    *,
    client: AuthenticatedClient,
    body: Retry,
    cfx_project: str | Unset = UNSET,
) -> Problem | Retried | None:
    """What was, or would be, revived.

     Needs the scope `operate`.

    Args:
        id (str): The id of one job.
        cfx_project (str | Unset):
        body (Retry): Asks for dead tasks to be tried again.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Retried
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            body=body,
            cfx_project=cfx_project,
        )
    ).parsed
