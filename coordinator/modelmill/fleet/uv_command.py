"""uv, which makes virtual environments, installs locked packages into them and builds wheels."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv

#: What a user's variables may say to uv: where files come from and where they are kept. What is installed is the
#: lock's affair, so every other variable is withheld.
_ALLOWED = (
    "UV_CACHE_DIR",
    "UV_CONCURRENT_",
    "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_",
    "UV_INDEX",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_LINK_MODE",
    "UV_NATIVE_TLS",
    "UV_NO_CACHE",
    "UV_NO_CONFIG",
    "UV_OFFLINE",
    "UV_PYTHON_DOWNLOADS",
    "UV_PYTHON_INSTALL_",
    "UV_REQUEST_",
    "UV_SYSTEM_CERTS",
)
_WITHHELD = ("UV_", "PYTHON", "VIRTUAL_ENV", "CONDA_")


@functools.cache
def uv_program() -> str:
    """The path of uv, which comes with the coordinator."""
    return uv.find_uv_bin()


def uv_arguments(*arguments: str | Path) -> Sequence[str]:
    """A command line of uv, for a reader that is no terminal."""
    return [uv_program(), *(str(argument) for argument in arguments), "--color", "never", "--no-progress"]


def uv_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that uv is given.

    The user's and the system's uv.toml still hold, for they say which index and which certificates to use; a
    project's does not, since uv is run in the root folder.
    """
    return {
        name: value for name, value in environ.items() if not name.startswith(_WITHHELD) or name.startswith(_ALLOWED)
    }
