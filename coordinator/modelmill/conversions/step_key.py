"""The key under which a step's result is kept: equal keys mean equal results, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping

from modelmill.planning import PlannedStep
from modelmill.values import Artifact, Environment, Plugin, digest_of


def step_key(
    step: PlannedStep, plugin: Plugin, environment: Environment, inputs: Mapping[str, Artifact], salt: str
) -> str:
    """SHA-256 over everything that decides a step's result.

    The code digest covers a plug-in that was edited without a new version. Limits are left out: they decide
    whether there is a result, not which.
    """
    return digest_of(
        {
            "plugin": [plugin.name, plugin.version, plugin.code_digest],
            "edge": step.edge,
            "environment": environment.digest,
            "options": dict(step.options),
            "inputs": {name: artifact.digest for name, artifact in inputs.items()},
            "salt": salt,
        }
    )
