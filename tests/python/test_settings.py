from __future__ import annotations

import warnings
from pathlib import Path

import httpx
import pytest

from counterfactory import Client, ServerError, SettingsError, UnauthenticatedError, UnexpectedAnswerError, _http
from counterfactory.settings import DEFAULT_SERVER, Connection, resolve

NAMES = ("CFX_SERVER", "CFX_PROJECT", "CFX_PROFILE", "CFX_CONFIG", "CFX_API_KEY", "CFX_API_KEY_FILE", "CFX_ACTOR")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file with a profile, as in the tests of `cfx`."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "counterfactory/cfx.toml"
    path.parent.mkdir()
    path.write_text('profile = "lab"\n[profiles.lab]\nserver = "https://lab/"\nproject = "faces"\nkey_file = "lab.key"\n')
    (path.parent / "lab.key").write_text("cfx_lab\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return path


def test_arguments_win_over_the_environment_and_that_over_the_profile(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = resolve()
    assert (lab.server, lab.project, lab.key) == ("https://lab", "faces", "cfx_lab")
    assert "cfx_lab" not in repr(lab)
    monkeypatch.setenv("CFX_SERVER", "https://lab")
    assert resolve().key == "cfx_lab"
    monkeypatch.setenv("CFX_SERVER", "https://other/")
    monkeypatch.setenv("CFX_PROJECT", "x")
    other = resolve()
    assert (other.server, other.project, other.key) == ("https://other", "x", None), "a profile's key goes to its own server only"
    monkeypatch.setenv("CFX_API_KEY", " cfx_env\n")
    given = resolve("https://third", project="y")
    assert (given.server, given.project, given.key) == ("https://third", "y", "cfx_env")
    assert resolve(api_key="cfx_given").key == "cfx_given"
    assert config.is_file()


def test_without_anything_it_is_this_machine(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.unlink()
    assert resolve() == Connection(server=DEFAULT_SERVER, project=None, actor=resolve().actor, key=None)
    monkeypatch.setenv("CFX_CONFIG", str(config))
    with pytest.raises(SettingsError, match="cannot be read"):
        resolve()


def test_a_key_in_the_clear_is_warned_of(config: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for url in ("https://other", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"):
            Client(url, "cfx_key")
    with pytest.warns(UserWarning, match="in the clear"):
        Client("http://other", "cfx_key")
    assert config.is_file()


def test_what_cannot_be_used_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="cfx login --profile prod"):
        resolve(profile="prod")
    monkeypatch.setenv("CFX_API_KEY_FILE", str(config.parent / "none"))
    with pytest.raises(SettingsError, match="key file"):
        resolve()
    monkeypatch.setenv("CFX_API_KEY", "two words")
    with pytest.raises(SettingsError, match="no key"):
        resolve()
    config.write_text("not toml")
    with pytest.raises(SettingsError, match="not a valid configuration"):
        resolve()


def answering(*answers: httpx.Response) -> tuple[Client, list[httpx.Request]]:
    """A client whose server gives these answers in turn, and what it was asked."""
    asked: list[httpx.Request] = []
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return next(left)

    return Client("https://server", "cfx_key", "faces", transport=httpx.MockTransport(answer)), asked


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"type": f"/problems/{code}", "title": "t", "status": status, "detail": "a sentence", "code": code}
    return httpx.Response(status, json=body, headers=headers)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("counterfactory._http.time.sleep", slept.append)
    return slept


def test_who_asks_is_shown_and_busy_servers_are_asked_again(config: Path, slept: list[float]) -> None:
    busy = [problem(429, "rate_limited", **{"retry-after": "7"})] * 6
    client, asked = answering(*busy, problem(503, "busy"), httpx.Response(200, json={"items": []}))
    assert client.packs() == []
    assert slept[:6] == [7.0] * 6
    assert len(slept) == 7
    assert {request.headers["authorization"] for request in asked} == {"Bearer cfx_key"}
    assert {request.headers["cfx-project"] for request in asked} == {"faces"}
    assert config.is_file()


def test_a_server_that_stays_busy_is_an_error(config: Path, slept: list[float]) -> None:
    client, asked = answering(*[problem(503, "unavailable")] * _http.TRIES)
    with pytest.raises(ServerError, match=r"a sentence \[unavailable\]"):
        client.packs()
    assert len(asked) == _http.TRIES
    assert len(slept) == _http.TRIES - 1
    assert config.is_file()


def test_other_answers_are_errors_that_say_what_to_do(config: Path, slept: list[float]) -> None:
    client, _ = answering(httpx.Response(401, text="<html>"), httpx.Response(200, text="<html>"), httpx.Response(200, json={"nothing": 1}))
    with pytest.raises(UnauthenticatedError, match="wants an API key"):
        client.packs()
    for _ in range(2):
        with pytest.raises(UnexpectedAnswerError, match="is it a coordinator of this version"):
            client.packs()
    assert not slept
    assert config.is_file()
