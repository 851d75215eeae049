"""Every hook that a plug-in may implement. Reading this file takes two minutes.

Mark an implementation with `hookimpl` and name its module in the entry-point group ``modelmill.plugins``::

    [project.entry-points."modelmill.plugins"]
    shouter = "modelmill_shouter"
"""

from typing import Any, Iterator

import pluggy

from modelmill_worker.plugin_api import ErrorHint, FailedStep, Plugin

PROJECT = "modelmill"
ENTRY_POINTS = "modelmill.plugins"

#: Plug-ins that a hook adds to, by name.
EXTENSIONS = {"rewriter": "modelmill_rewrite_rules"}

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def modelmill_plugins() -> Iterator[Plugin]:  # type: ignore[empty-body]
    """Yield the plug-ins of this distribution, usually one.

    Called once in every worker host. Must not import TensorFlow. Edges may convert, rewrite, check, and inspect: one
    with Role.INSPECT for a single kind adds facts of your own to what `modelmill inspect` says of such models.

        @hookimpl
        def modelmill_plugins():
            yield Plugin(name="shouter", version="1.0", summary="Upper-cases labels", edges=(...))
    """


@hookspec
def modelmill_error_hints(failure: FailedStep) -> Iterator[ErrorHint]:  # type: ignore[empty-body]
    """Yield what a failed step of any plug-in means, where you know it better than the error says.

    Called once for every failure, in the worker host; must be quick and must not raise.

        @hookimpl
        def modelmill_error_hints(failure):
            if "sstable (bad magic number)" in failure.log_tail:
                yield ErrorHint("CHECKPOINT_PREFIX", "Give the prefix, such as model.ckpt-100, not one of its files.")
    """


@hookspec
def modelmill_rewrite_rules() -> Iterator[Any]:  # type: ignore[empty-body]
    """Yield rewrite rules of your own: instances of `modelmill_rewriter.rules_api.Rule` or `Pass`.

    Called in every step that rewrites a graph. Users name a rule with `--rewrite`; one with `runs_for` also runs in the
    sequences of the targets that it names there.

        @hookimpl
        def modelmill_rewrite_rules():
            yield FuseRelus()
    """
