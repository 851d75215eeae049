"""Everything that a plan is made of at one moment: plug-ins and environments."""

from __future__ import annotations

from dataclasses import dataclass

from modelmill.values import Environment, Plugin


@dataclass(frozen=True)
class Catalog:
    """The plug-ins and environments of the farm, by name where asked for."""

    plugins: tuple[Plugin, ...]
    environments: tuple[Environment, ...]

    def plugin(self, name: str) -> Plugin:
        """The plug-in of that name; KeyError where there is none."""
        return {plugin.name: plugin for plugin in self.plugins}[name]

    def environment(self, name: str) -> Environment:
        """The environment of that name; KeyError where there is none."""
        return {environment.name: environment for environment in self.environments}[name]
