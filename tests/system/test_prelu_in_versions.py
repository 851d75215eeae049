"""MTCNN's nets, rewritten for and converted by one TensorFlow after the other, as the farm itself does and verifies it.

What each of them makes of other spellings, and of other activations, is seen without the farm in
tests/integration/plugins/test_canonical_forms.py.
"""

from pathlib import Path

import numpy as np
import pytest
from modelmill.client import Client, conversion_pb2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

VERSIONS = ("1.9", "1.12", "1.15", "2.4", "2.15", "2.21")
NETS = ("pnet", "rnet", "onet")

#: The largest error of an output, relative to its range: float32 sums in another order.
TOLERANCE = 1e-5


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("version", VERSIONS)
def test_converts_and_is_verified(version: str, net: str, client: Client, corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "mtcnn" / "tf1.9.0" / net
    golden = np.load(folder / "golden.npz")
    np.savez(tmp_path / "golden-input.npz", **{f"{net}/input": golden["input"]})
    spec = conversion_pb2.ConversionSpec(version_retries=0)
    # TOCO wants the sides of P-Net's picture, which are open.
    shapes = {f"{net}/input": list(golden["input"].shape)}
    spec.targets.add(name="tflite", tensorflow=version).options.update({"input_shapes": shapes})
    spec.verification.dataset.CopyFrom(client.upload(tmp_path / "golden-input.npz", "dataset"))

    conversion = client.convert(folder / "frozen.pb", spec, tmp_path / "out")

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure
    (result,) = conversion.results
    assert result.verification.state == conversion_pb2.Verification.PASSED
    errors = {item.output: item.max_abs_error / item.reference_range for item in result.verification.outputs}
    assert set(errors) == set(golden) - {"input"}
    assert max(errors.values()) <= TOLERANCE, errors
    (step,) = [step for step in conversion.steps if step.id == "convert.tflite"]
    assert step.facts["tensorflow"].rpartition(".")[0] == version
