"""A plug-in whose edges fail in every way that a worker must survive, and some that behave.

For each there is a target: `--to test-abort` asks for a conversion that aborts. The edges take any frozen graph.
"""

from typing import Any, Callable, Dict, Iterator

from modelmill_worker import Edge, ErrorHint, FailedStep, Plugin, Role, Step, Target, hookimpl

from modelmill_misbehaving import deaths, looks, versions, warm, work

_RUNS = (
    ("copy", work.copy, work.Copy, "gives the input back"),
    ("slow-progress", work.report_slowly, work.Slow, "tells how far it is, slowly"),
    ("look", work.look, work.Look, "tells what a step process can do and see"),
    ("abort", deaths.abort, deaths.Native, "aborts, from Python or from C"),
    ("segfault", deaths.segfault, deaths.Nothing, "reads address 0"),
    ("bad-alloc", deaths.bad_alloc, deaths.Nothing, "aborts as C++ does when memory runs out"),
    ("eat-memory", deaths.eat_memory, deaths.Memory, "touches pages until it is ended"),
    ("grab-memory", deaths.grab_memory, deaths.Memory, "asks for more memory at once than there is"),
    ("sleep", deaths.sleep, deaths.Sleep, "sleeps"),
    ("flood-stderr", deaths.flood_stderr, deaths.Native, "prints without end"),
    ("raise", deaths.raise_error, deaths.Nothing, "raises RuntimeError"),
    ("explain", deaths.explain, deaths.Nothing, "raises StepError"),
    ("exit", deaths.leave, deaths.Exit, "leaves with an exit code"),
    ("no-output", deaths.make_nothing, deaths.Nothing, "makes no file"),
    ("link-output", deaths.make_link, deaths.Nothing, "makes a link"),
    ("rubbish-facts", deaths.return_nan, deaths.Nothing, "returns NaN as a fact"),
    ("spawn-child", deaths.spawn_child, deaths.Child, "starts a process that outlives it"),
    ("fill", deaths.fill_disk, deaths.Nothing, "writes to a full device"),
)


def _edge(name: str, run: Callable[[Step], Dict[str, Any]], options: type, **more: Any) -> Edge:
    return Edge(name, Role.CONVERT, (("model", "tf.frozen_graph"),), "test." + name, run, options, **more)


def _target(name: str, what: str) -> Target:
    return Target("test-" + name, "test." + name, "For tests: " + what, name)


_PICKY = _edge("picky", versions.pick, versions.Picky, requires=("tensorflow>=2.15,<2.17",), prefers="~=2.15.0")


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    yield Plugin(
        name="misbehaving",
        version="0.1.0",
        summary="Fails in every way, for tests",
        edges=tuple(_edge(name, run, options) for name, run, options, _ in _RUNS),
        targets=tuple(_target(name, what) for name, _, _, what in _RUNS),
        warm_up=warm.warm_up,
    )
    # Apart: a plug-in is warmed up where one of its edges needs what the environment has.
    yield Plugin(
        name="picky",
        version="0.1.0",
        summary="Aborts in some versions of TensorFlow, for tests",
        edges=(_PICKY,),
        targets=(_target("picky", "aborts in some versions of TensorFlow"),),
    )
    yield Plugin(
        name="nosy",
        version="0.1.0",
        summary="Adds to what is known of a dataset, for tests",
        edges=tuple(
            Edge(name, Role.INSPECT, (("data", "dataset"),), "report.look", run, looks.Look)
            for name, run in (("look-again", looks.look_again), ("look-away", looks.look_away))
        ),
    )


@hookimpl
def modelmill_error_hints(failure: FailedStep) -> Iterator[ErrorHint]:
    if "please raise in the hook" in failure.log_tail:
        raise ValueError("a hook that does not work")
    if "known trouble" in failure.log_tail:
        yield ErrorHint("KNOWN_TROUBLE", "This trouble is known: do something else.")


@hookimpl
def modelmill_rewrite_rules() -> Iterator[Any]:
    from modelmill_misbehaving.rules import ReluByMaximum  # not every worker has the rewriter

    yield ReluByMaximum()
