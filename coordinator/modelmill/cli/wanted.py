"""What `convert` and `plan` are told: the source, the targets and how; and the specification made of it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from google.protobuf.duration_pb2 import Duration

from modelmill.cli.edits import collect_edits
from modelmill.cli.parameters import (
    InputShape,
    InputType,
    PluginOption,
    PluginOptionType,
    Setting,
    SettingType,
    ShapeType,
    SizeType,
    TargetChoice,
    TargetType,
    collect_values,
)
from modelmill.client import Client, Source, SourceFile, artifact_pb2, collect, conversion_pb2
from modelmill.client.transfer import OnTransfer
from modelmill.errors import ModelmillError
from modelmill.wire import struct_of


@dataclass(frozen=True)
class Wanted:
    """The command line of a conversion."""

    source: Path
    graph: Path | None
    targets: tuple[TargetChoice, ...]
    plugin_options: tuple[PluginOption, ...]
    tensorflow: str
    retry_versions: int | None
    output_nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    settings: tuple[Setting, ...]
    use_moving_averages: bool
    only_variables: tuple[str, ...]
    without_variables: tuple[str, ...]
    rewrite: tuple[str, ...]
    no_rewrite: tuple[str, ...]
    edit: tuple[str, ...]
    edits: Path | None
    prove: bool
    input_shapes: tuple[InputShape, ...]
    dataset: Path | None
    seed: int
    tolerance: float | None
    no_verify: bool
    no_cache: bool
    salt: str
    deadline: float | None
    step_deadline: float | None
    memory: int | None

    def collect(self) -> Source:
        """The source's files."""
        return collect(self.source, self.graph)

    def specification(self, client: Client, on_transfer: OnTransfer) -> conversion_pb2.ConversionSpec:
        """The specification without its source; uploads the dataset, where there is one."""
        return conversion_pb2.ConversionSpec(
            targets=[
                conversion_pb2.TargetRequest(
                    name=target.name, options=struct_of(target.options), tensorflow=self.tensorflow
                )
                for target in self.targets
            ],
            plugin_options={name: struct_of(options) for name, options in self._options_by_plugin().items()},
            verification=self._verification(client, on_transfer),
            limits=self._limits(),
            salt=self.salt,
            ignore_cache=self.no_cache,
            version_retries=self.retry_versions,
            edits=self._edits(client, on_transfer),
        )

    def _edits(self, client: Client, on_transfer: OnTransfer) -> artifact_pb2.Artifact | None:
        with tempfile.TemporaryDirectory(prefix="modelmill-edits-") as scratch:
            collected = collect_edits(self.edit, self.edits, Path(scratch))
            return None if collected is None else client.upload(collected, "graph.edits", on_transfer)

    def _options_by_plugin(self) -> dict[str, dict[str, Any]]:
        pairs: dict[str, list[tuple[str, Any]]] = {}
        for option in self.plugin_options:
            pairs.setdefault(option.plugin, []).append((option.key, option.value))
        options = {plugin: collect_values(given) for plugin, given in pairs.items()}
        for plugin, told in (("freezer", self._freezing()), ("rewriter", self._rewriting())):
            if told:
                options[plugin] = {**options.get(plugin, {}), **told}
        return options

    def _rewriting(self) -> dict[str, Any]:
        """What the flags of their own say to the rewriter."""
        told = {"rewrite": list(self.rewrite), "no_rewrite": list(self.no_rewrite)}
        return {name: value for name, value in told.items() if value}

    def _freezing(self) -> dict[str, Any]:
        """What the flags of their own say to the freezer."""
        told = {
            "outputs": list(self.output_nodes),
            "inputs": list(self.inputs),
            "settings": {item.name: item.value for item in self.settings},
            "use_moving_averages": self.use_moving_averages,
            "only_variables": list(self.only_variables),
            "without_variables": list(self.without_variables),
        }
        return {name: value for name, value in told.items() if value}

    def _verification(self, client: Client, on_transfer: OnTransfer) -> conversion_pb2.VerificationRequest:
        request = conversion_pb2.VerificationRequest(
            skip=self.no_verify, seed=self.seed, tolerance=self.tolerance, prove=self.prove
        )
        for shape in self.input_shapes:
            request.input_shapes[shape.name].dimensions.extend(shape.dimensions)
        if self.dataset is not None:
            request.dataset.CopyFrom(client.upload(_dataset(self.dataset), "dataset", on_transfer))
        return request

    def _limits(self) -> conversion_pb2.Limits:
        return conversion_pb2.Limits(
            step_deadline=_duration(self.step_deadline),
            step_memory=self.memory or 0,
            conversion_deadline=_duration(self.deadline),
        )


#: What cannot be read is told with a reason when it is read, not as wrong usage.
_PATH = click.Path(path_type=Path, readable=False)

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("source", type=_PATH),
    click.option("--graph", type=_PATH, help="The graph of a checkpoint: .pb, .pbtxt or .meta."),
    click.option("--to", "targets", type=TargetType(), multiple=True, required=True, help="A target; may be repeated."),
    click.option(
        "--option", "plugin_options", type=PluginOptionType(), multiple=True, help="An option of a plug-in; repeatable."
    ),
    click.option(
        "--tensorflow",
        metavar="VERSION",
        default="",
        help="Make the targets with this TensorFlow: 1.9 (any 1.9.x), 1.15.5, or a range such as '>=2.4,<2.16'.",
    ),
    click.option(
        "--retry-versions",
        metavar="COUNT",
        type=click.IntRange(min=0, max=100),
        help="How many more versions of TensorFlow to try for a target where one fails; 2 unless told.",
    ),
    click.option(
        "--output-node", "output_nodes", metavar="NAME", multiple=True, help="An output, where none is found."
    ),
    click.option(
        "--input",
        "inputs",
        type=InputType(),
        multiple=True,
        help="What to feed: a placeholder, or any tensor to cut the graph at, with shape and type where they are not "
        "found: batch=1,224,224,3:float32.",
    ),
    click.option(
        "--set",
        "settings",
        type=SettingType(),
        multiple=True,
        help="A placeholder that gets a fixed value: is_training=false, keep_prob=1.",
    ),
    click.option("--use-moving-averages", is_flag=True, help="Give variables the values of their moving averages."),
    click.option(
        "--only-variable",
        "only_variables",
        metavar="PATTERN",
        multiple=True,
        help="Only these variables become constants when a model is frozen; names or shell patterns.",
    ),
    click.option(
        "--without-variable",
        "without_variables",
        metavar="PATTERN",
        multiple=True,
        help="These variables stay variables when a model is frozen; names or shell patterns.",
    ),
    click.option(
        "--rewrite",
        metavar="RULES",
        multiple=True,
        help="Rewrite with these rules only, in this order: 'fold_constants, round_weights(num_steps=64)'. Repeatable.",
    ),
    click.option("--no-rewrite", metavar="RULES", multiple=True, help="Do not rewrite with these rules. Repeatable."),
    click.option(
        "--edit",
        metavar="EDITS",
        multiple=True,
        help="Change the model first, with any rules: 'cut_front_end'. Results are compared with what comes of it.",
    ),
    click.option(
        "--edits", type=_PATH, help="A file of edits, one on each line; .npy files that it names lie beside it."
    ),
    click.option("--prove", is_flag=True, help="Run the model before and after each rewrite, and tell the difference."),
    click.option(
        "--input-shape", "input_shapes", type=ShapeType(), multiple=True, help="An input's shape in the verification."
    ),
    click.option("--dataset", type=_PATH, help="Inputs for the verification: an .npz with a key for each."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the generated inputs."),
    click.option(
        "--tolerance",
        type=click.FloatRange(min=0),
        help="The largest error allowed, relative to an output's range  [default: what the target may cost by nature]",
    ),
    click.option("--no-verify", is_flag=True, help="Do not compare the results with the source."),
    click.option("--no-cache", is_flag=True, help="Run every step, even where its result is known."),
    click.option("--salt", default="", help="Another salt disowns earlier results."),
    click.option(
        "--deadline",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        help="For the whole conversion.",
    ),
    click.option(
        "--step-deadline", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), help="For each step."
    ),
    click.option("--memory", type=SizeType(), help="For each step, such as 4GiB."),
)


def wanted_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the source and the options of a conversion to a command, which takes them as `wanted`."""

    @functools.wraps(command)
    def call(**given: Any) -> Any:
        wanted = Wanted(**{item.name: given.pop(item.name) for item in fields(Wanted)})
        return command(wanted=wanted, **given)

    decorated: Callable[..., Any] = call
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def _dataset(file: Path) -> Source:
    if not file.is_file():
        raise ModelmillError(
            "DATASET_NOT_FOUND", f"There is no {file}: give an .npz with a key for each input.", {"dataset": str(file)}
        )
    return Source((SourceFile("arrays.npz", file),), file.name)


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
