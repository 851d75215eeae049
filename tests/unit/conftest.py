"""What all unit tests share, also where they run inside an environment, whose Python may be 3.6."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpus() -> Path:
    project = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("MODELMILL_CORPUS", str(project.parent / "shared" / "corpus")))
    if not folder.is_dir():
        pytest.skip(f"the corpus of trained models is not at {folder}; set MODELMILL_CORPUS")
    return folder
