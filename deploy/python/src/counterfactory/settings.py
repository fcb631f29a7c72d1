"""Which coordinator, which project, which key: arguments, then the environment, then a profile, then the defaults, all as `cfx` does.

The environment is `CFX_SERVER`, `CFX_PROJECT`, `CFX_PROFILE`, `CFX_CONFIG`, `CFX_API_KEY`, `CFX_API_KEY_FILE` and `CFX_ACTOR`. Profiles
are in `counterfactory/cfx.toml` below `$XDG_CONFIG_HOME` or `~/.config`; `cfx login` writes them. A profile's key goes to the profile's
server and to no other.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterfactory.errors import SettingsError

DEFAULT_SERVER = "http://127.0.0.1:8080"
"""Where a coordinator of this machine listens."""

_LONGEST_ACTOR = 100


@dataclass(frozen=True)
class Connection:
    """What requests are sent with."""

    server: str
    """Address without a slash at its end."""
    project: str | None
    """Project to act for; the key's own if `None`."""
    actor: str
    """A note for the audit log."""
    key: str | None = field(repr=False)
    """API key."""


def resolve(url: str | None = None, api_key: str | None = None, project: str | None = None, profile: str | None = None) -> Connection:
    """Puts arguments, environment and profile together.

    Raises `SettingsError` when a file cannot be read, or a profile is asked for that is not there.
    """
    named = _environment("CFX_CONFIG")
    config = Path(named) if named else _default_config()
    settings = _read(config, required=named is not None)
    name = profile or _environment("CFX_PROFILE") or settings.get("profile")
    profiles = settings.get("profiles", {})
    if name is not None and name not in profiles:
        raise SettingsError(f"{config} has no profile '{name}'; `cfx login --profile {name} --server ADDRESS` makes it")
    chosen: dict[str, Any] = profiles.get(name, {})
    own_server = str(chosen.get("server", DEFAULT_SERVER)).rstrip("/")
    server = (url or _environment("CFX_SERVER") or own_server).rstrip("/")
    key = api_key or _environment("CFX_API_KEY")
    if key is not None:
        key = _entered(key, "the key that was given")
    elif key_file := _environment("CFX_API_KEY_FILE"):
        key = _read_key(Path(key_file))
    elif "key_file" in chosen and server == own_server:
        key = _read_key(config.parent / chosen["key_file"])
    actor = _environment("CFX_ACTOR") or _environment("USER") or ""
    visible = "".join(c for c in actor if "!" <= c <= "~")[:_LONGEST_ACTOR]
    chosen_project = project or _environment("CFX_PROJECT") or chosen.get("project")
    return Connection(server=server, project=chosen_project, actor=visible or "python", key=key)


def _environment(name: str) -> str | None:
    return os.environ.get(name) or None


def _default_config() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME") or Path(os.environ.get("HOME", "")) / ".config"
    return Path(folder) / "counterfactory/cfx.toml"


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not required:
            return {}
        raise SettingsError(f"{path} cannot be read: {error}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} is not a valid configuration: {error}") from error


def _read_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"the key file {path} cannot be read: {error}") from error
    return _entered(text, f"the key file {path}")


def _entered(text: str, origin: str) -> str:
    text = text.strip()
    if not text or not all("!" <= c <= "~" for c in text):
        raise SettingsError(f"{origin} holds no key; a key looks like cfx_<id>_<secret>")
    return text
