"""Which plug-ins an environment may run, as far as the worker must know: by the names that they require.

The coordinator compares versions (PEP 508) before it sends a step; the environments are not made to carry a
library for that.
"""

import re
from typing import Mapping

from modelmill_worker.plugin_api import Edge, Plugin


def runs_in(plugin: Plugin, provides: Mapping[str, str]) -> bool:
    """Whether to call a plug-in's `preload` and `warm_up` where `provides` (package to version) is installed.

    The edges that require something decide: an edge that requires nothing has nothing to import. A plug-in
    without such edges runs everywhere.
    """
    demanding = [edge for edge in plugin.edges if edge.requires]
    return not demanding or any(_all_named(edge, provides) for edge in demanding)


def _all_named(edge: Edge, provides: Mapping[str, str]) -> bool:
    known = {_normalised(name) for name in provides}
    return all(_normalised(_name(requirement)) in known for requirement in edge.requires)


def _name(requirement: str) -> str:
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return found.group(1) if found else requirement


def _normalised(name: str) -> str:
    """The same name in any spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
