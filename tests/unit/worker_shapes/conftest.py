import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def corpus() -> Path:
    project = Path(__file__).resolve().parents[3]
    folder = Path(os.environ.get("MODELMILL_CORPUS", str(project.parent / "shared" / "corpus")))
    if not folder.is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    return folder
