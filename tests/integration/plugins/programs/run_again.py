"""Runs every model that convert_and_run.py made, with the interpreter that is here.

run_again.py FOLDER
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from interpreting import run_model

for case in sorted(Path(sys.argv[1]).iterdir()):
    if (case / "made" / "model.tflite").exists():
        run_model(case, "again")
