"""The environments for people: in order, what each can do, and what they take on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.requirements import Requirement

from modelmill.cli.tables import size, table
from modelmill.client import catalog_pb2
from modelmill.version_order import version_of

Environment = catalog_pb2.Environment


def in_order(environments: Iterable[Environment]) -> list[Environment]:
    """By TensorFlow, oldest first: 1.5 comes before 1.10. Before them what has none, or one that is no version."""
    return sorted(environments, key=lambda item: (version_of(item.provides.get("tensorflow", "")), item.name))


def abilities_of(environment: Environment, plugins: Iterable[catalog_pb2.Plugin]) -> dict[str, list[str]]:
    """Plug-in to those of its edges whose requirements the environment meets."""
    fitting = {plugin.name: [edge.name for edge in plugin.edges if _meets(environment, edge)] for plugin in plugins}
    return {name: edges for name, edges in fitting.items() if edges}


def table_of(environments: Sequence[Environment], plugins: Sequence[catalog_pb2.Plugin], together: int) -> str:
    """All of them, then why some cannot be had, then the disk; together: bytes, what is shared counted once."""
    rows = [
        (
            item.name,
            item.provides.get("tensorflow", ""),
            item.python,
            Environment.State.Name(item.state).lower(),
            size(item.disk_size) if item.disk_size else "",
            " ".join(_made_for(item, plugins)),
        )
        for item in environments
    ]
    headers = ("environment", "TensorFlow", "Python", "state", "on disk", "plug-ins" if plugins else "")
    parts = [table(headers, rows), _why_unavailable(environments), _disk(environments, together)]
    return "\n\n".join(part for part in parts if part)


def _made_for(environment: Environment, plugins: Sequence[catalog_pb2.Plugin]) -> list[str]:
    """The plug-ins that need something which it has; where none does, those that need nothing."""
    fitting = [(plugin.name, edge) for plugin in plugins for edge in plugin.edges if _meets(environment, edge)]
    needing = [name for name, edge in fitting if edge.requires]
    return sorted(dict.fromkeys(needing or [name for name, _ in fitting]))


def _why_unavailable(environments: Sequence[Environment]) -> str:
    """Each reason once, with the environments that it keeps away."""
    names: dict[str, list[str]] = {}
    for item in environments:
        if item.state == Environment.UNAVAILABLE:
            names.setdefault(item.unavailable_reason, []).append(item.name)
    return "\n".join(f"unavailable: {', '.join(kept)}: {reason}" for reason, kept in names.items())


def _disk(environments: Sequence[Environment], together: int) -> str:
    installed = [item for item in environments if item.state == Environment.INSTALLED]
    apart = sum(item.disk_size for item in installed)
    return (
        f"{len(installed)} of {len(environments)} are installed and take {size(together)} on the disk, where equal "
        f"files are stored once; apart they would take {size(apart)}."
    )


def _meets(environment: Environment, edge: catalog_pb2.Edge) -> bool:
    return all(_provides(environment, Requirement(text)) for text in edge.requires)


def _provides(environment: Environment, requirement: Requirement) -> bool:
    version = environment.provides.get(requirement.name)
    return bool(version) and requirement.specifier.contains(str(version), prereleases=True)
