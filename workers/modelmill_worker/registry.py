"""The plug-ins of this environment, loaded one at a time so that a broken one harms no other."""

import logging
import sys
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

import pluggy

from modelmill_worker import code_digest, hookspecs, options
from modelmill_worker.errors import TOOL, StepError
from modelmill_worker.logs import worker_log
from modelmill_worker.plugin_api import API_VERSION, Edge, ErrorHint, FailedStep, Plugin, Target

if sys.version_info >= (3, 8):
    from importlib import metadata
else:
    import importlib_metadata as metadata


@dataclass(frozen=True)
class LoadedPlugin:
    """A plug-in that can be used, and where it comes from."""

    plugin: Plugin
    distribution: str
    code_digest: str


@dataclass(frozen=True)
class BrokenPlugin:
    """A plug-in that cannot be used, and why; `name` is the entry point's where the plug-in could not say its own."""

    name: str
    version: str
    distribution: str
    reason: str
    message: str


@dataclass(frozen=True)
class _Source:
    """One entry point: where plug-ins may come from."""

    entry_point: Any
    distribution: str
    version: str

    def broken(self, reason: str, message: str, name: str = "", version: str = "") -> BrokenPlugin:
        return BrokenPlugin(name or self.entry_point.name, version or self.version, self.distribution, reason, message)


class _RefusedError(Exception):
    """Why one plug-in cannot be used."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass
class Registry:
    """The plug-ins found, by name, and the broken ones."""

    plugins: Dict[str, LoadedPlugin] = field(default_factory=dict)
    broken: List[BrokenPlugin] = field(default_factory=list)
    _modules: Dict[str, ModuleType] = field(default_factory=dict)

    def edge(self, plugin: str, name: str) -> Edge:
        """An edge by name. Raises StepError UNKNOWN_PLUGIN or UNKNOWN_EDGE, which name the known ones."""
        if plugin not in self.plugins:
            raise self._unknown_plugin(plugin)
        edges = {edge.name: edge for edge in self.plugins[plugin].plugin.edges}
        if name not in edges:
            raise StepError(
                "UNKNOWN_EDGE",
                "The plug-in {} has no edge {}; it has: {}.".format(plugin, name, ", ".join(sorted(edges))),
                {"plugin": plugin, "edge": name, "known": sorted(edges)},
            )
        return edges[name]

    def error_hints(self, failure: FailedStep, log: "logging.LoggerAdapter[Any]") -> List[Tuple[str, ErrorHint]]:
        """What the distributions' hooks make of a failure: pairs of (distribution, hint).

        A hook that raises is logged and skipped.
        """
        hints: List[Tuple[str, Any]] = []
        for distribution, module in sorted(self._modules.items()):
            try:
                hints.extend((distribution, hint) for hint in _call(module, "modelmill_error_hints", failure=failure))
            except Exception:
                log.exception("error hint hook raised", extra={"fields": {"distribution": distribution}})
        return [(distribution, hint) for distribution, hint in hints if isinstance(hint, ErrorHint)]

    def _unknown_plugin(self, name: str) -> StepError:
        for broken in self.broken:
            if broken.name == name:
                return StepError(
                    "PLUGIN_BROKEN",
                    "The plug-in {} cannot be used here: {}".format(name, broken.message),
                    {"plugin": name, "cause": broken.reason},
                    fault=TOOL,
                )
        known = sorted(self.plugins)
        return StepError(
            "UNKNOWN_PLUGIN",
            "There is no plug-in {} in this environment; there are: {}.".format(name, ", ".join(known) or "none"),
            {"plugin": name, "known": known},
        )


def load() -> Registry:
    """Load every plug-in that an installed distribution names in the group `modelmill.plugins`.

    In the order of the distributions' names, so that of two that take the same name the same one wins each time.
    """
    registry = Registry()
    providers: Dict[str, List[_Source]] = {}
    offered: List[Tuple[_Source, ModuleType, Any]] = []
    for source in _sources():
        module = _import(source, registry)
        if module is None:
            continue
        if _extends(module):
            registry._modules[source.distribution] = module
        for plugin in _yielded(source, module, registry):
            offered.append((source, module, plugin))
            providers.setdefault(str(getattr(plugin, "name", "")), []).append(source)
    for source, module, plugin in offered:
        try:
            _check(plugin)
            _check_names(plugin, registry, providers)
        except _RefusedError as refusal:
            registry.broken.append(_broken(source, plugin, refusal))
            continue
        digest = code_digest.of_module(module)
        registry.plugins[plugin.name] = LoadedPlugin(plugin, source.distribution, digest)
        registry._modules[source.distribution] = module
    _count_extensions(registry)
    for broken in registry.broken:
        fields = {"plugin": broken.name, "distribution": broken.distribution, "reason": broken.reason}
        worker_log().warning(broken.message, extra={"fields": fields})
    return registry


def _count_extensions(registry: Registry) -> None:
    """What others add to a plug-in is part of its code: with other rules it makes another thing of the same input."""
    for name, hook in hookspecs.EXTENSIONS.items():
        modules = [module for _, module in sorted(registry._modules.items()) if hasattr(module, hook)]
        if name in registry.plugins and modules:
            loaded = registry.plugins[name]
            digest = code_digest.of_several([loaded.code_digest, *map(code_digest.of_module, modules)])
            registry.plugins[name] = replace(loaded, code_digest=digest)


def _extends(module: ModuleType) -> bool:
    """Whether a module adds to another's plug-in."""
    return any(hasattr(module, hook) for hook in hookspecs.EXTENSIONS.values())


def yielded_by(hook: str) -> List[Tuple[str, Any]]:
    """What the installed distributions yield for a hook without arguments: pairs of (distribution, item).

    For plug-ins that others add to. What cannot be imported is passed over: `load` has said so.
    """
    found: List[Tuple[str, Any]] = []
    for source in _sources():
        module = _import(source, Registry())
        if module is not None:
            found.extend((source.distribution, item) for item in _call(module, hook))
    return found


def _sources() -> List[_Source]:
    """Every entry point of the group; a distribution found twice on the path counts once, as imports go."""
    seen: Set[str] = set()
    sources = []
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name is None or name.lower() in seen:
            continue
        seen.add(name.lower())
        for entry_point in distribution.entry_points:
            if entry_point.group == hookspecs.ENTRY_POINTS:
                sources.append(_Source(entry_point, name, distribution.version))
    return sorted(sources, key=lambda source: (source.distribution.lower(), source.entry_point.name))


def _import(source: _Source, registry: Registry) -> Optional[ModuleType]:
    try:
        module = source.entry_point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an import runs a third party's code
        message = "The plug-in {} of {} {} cannot be imported: {}: {}".format(
            source.entry_point.name, source.distribution, source.version, type(error).__name__, error
        )
        registry.broken.append(source.broken("PLUGIN_NOT_IMPORTABLE", message))
        return None
    if not isinstance(module, ModuleType):
        message = "The entry point {} of {} must name a module, not {!r:.80}.".format(
            source.entry_point.name, source.distribution, module
        )
        registry.broken.append(source.broken("PLUGIN_INVALID", message))
        return None
    return module


def _yielded(source: _Source, module: ModuleType, registry: Registry) -> List[Any]:
    try:
        yielded = list(_call(module, "modelmill_plugins"))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a third party's hook may raise anything
        message = "The hook modelmill_plugins of {} {} does not work: {}: {}".format(
            source.distribution, source.version, type(error).__name__, error
        )
        registry.broken.append(source.broken("PLUGIN_INVALID", message))
        return []
    if not yielded and not _extends(module):
        message = "The hook modelmill_plugins of {} {} yields no plug-in.".format(source.distribution, source.version)
        registry.broken.append(source.broken("PLUGIN_INVALID", message))
    return yielded


def _call(module: ModuleType, hook: str, **arguments: Any) -> Iterator[Any]:
    """What one module's implementation of a hook yields, called through a manager of its own."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    for results in getattr(manager.hook, hook)(**arguments):
        yield from results


def _check(plugin: Any) -> None:
    version = getattr(plugin, "api_version", None)
    if isinstance(version, int) and version != API_VERSION:
        raise _RefusedError(
            "PLUGIN_API_VERSION",
            "The plug-in {} was written for version {} of the plug-in API; this worker speaks version {}. "
            "Install a release of the plug-in that fits.".format(plugin.name, version, API_VERSION),
        )
    if not isinstance(plugin, Plugin):
        raise _RefusedError("PLUGIN_INVALID", "modelmill_plugins must yield Plugin, not {!r:.80}.".format(plugin))
    _check_text(plugin)
    _check_hooks(plugin)
    _check_edges(plugin)


def _check_text(plugin: Plugin) -> None:
    for attribute in ("name", "version", "summary"):
        if not isinstance(getattr(plugin, attribute), str) or not getattr(plugin, attribute):
            raise _RefusedError("PLUGIN_INVALID", "The {} of a plug-in must be text and not empty.".format(attribute))


def _check_hooks(plugin: Plugin) -> None:
    for attribute in ("preload", "warm_up"):
        hook = getattr(plugin, attribute)
        if hook is not None and not callable(hook):
            message = "The {} of the plug-in {} must be a function, not {!r:.80}.".format(attribute, plugin.name, hook)
            raise _RefusedError("PLUGIN_INVALID", message)


def _check_edges(plugin: Plugin) -> None:
    names = _unique([_checked_edge(plugin, edge).name for edge in plugin.edges], "edge", plugin)
    _unique([_checked_target(plugin, target).name for target in plugin.targets], "target", plugin)
    for target in plugin.targets:
        if target.edge not in names:
            message = "The target {} of the plug-in {} names the edge {}, which it does not have.".format(
                target.name, plugin.name, target.edge
            )
            raise _RefusedError("PLUGIN_INVALID", message)


def _checked_edge(plugin: Plugin, edge: Any) -> Edge:
    if not isinstance(edge, Edge) or not callable(edge.run):
        raise _RefusedError("PLUGIN_INVALID", "{!r:.80} among the edges of {} is none.".format(edge, plugin.name))
    try:
        options.json_schema(edge.options)
    except Exception as error:
        message = "The options of the edge {} of {} have no schema: {}".format(edge.name, plugin.name, error)
        raise _RefusedError("PLUGIN_INVALID", message) from error
    return edge


def _checked_target(plugin: Plugin, target: Any) -> Target:
    if not isinstance(target, Target):
        raise _RefusedError("PLUGIN_INVALID", "{!r:.80} among the targets of {} is none.".format(target, plugin.name))
    return target


def _unique(names: Iterable[str], what: str, plugin: Plugin) -> Set[str]:
    seen: Set[str] = set()
    for name in names:
        if name in seen:
            raise _RefusedError("PLUGIN_INVALID", "The plug-in {} has two {}s {}.".format(plugin.name, what, name))
        seen.add(name)
    return seen


def _check_names(plugin: Plugin, registry: Registry, providers: Dict[str, List[_Source]]) -> None:
    if plugin.name in registry.plugins:
        names = ", ".join("{} {}".format(source.distribution, source.version) for source in providers[plugin.name])
        raise _RefusedError(
            "PLUGIN_NAME_TAKEN",
            "The name {} is taken by several distributions: {}. Uninstall all but one; {} is used.".format(
                plugin.name, names, registry.plugins[plugin.name].distribution
            ),
        )
    for name, other in (
        (target.name, loaded) for loaded in registry.plugins.values() for target in loaded.plugin.targets
    ):
        if name in [target.name for target in plugin.targets]:
            raise _RefusedError(
                "PLUGIN_NAME_TAKEN",
                "The target {} is provided by {} (of {}) and by {}. Uninstall one; the first is used.".format(
                    name, other.plugin.name, other.distribution, plugin.name
                ),
            )


def _broken(source: _Source, plugin: Any, refusal: _RefusedError) -> BrokenPlugin:
    def text(attribute: str) -> str:
        value = getattr(plugin, attribute, "")
        return value if isinstance(value, str) else ""

    return source.broken(refusal.reason, refusal.message, text("name"), text("version"))
