"""Load a dataset with flashinfer_bench, and validate it where that can.

    validate_dataset.py DATASET [SOURCE]

SOURCE is a checkout of flashinfer-bench to use instead of the installed release, which may have no `validate`.
Prints JSON: {"definitions": [name, ...], "validated": {name: {check: {status, messages}}} or null}.
"""

import json
import sys
import tempfile
import types
from pathlib import Path


def stand_in_for_flashinfer():
    """flashinfer_bench imports one timing function of flashinfer; nothing that runs here calls it."""
    testing = types.ModuleType("flashinfer.testing")
    testing.bench_gpu_time_with_cupti = None
    sys.modules.setdefault("flashinfer", types.ModuleType("flashinfer"))
    sys.modules.setdefault("flashinfer.testing", testing)


def validate(dataset):
    try:
        from flashinfer_bench.data.validate import validate_dataset
    except ModuleNotFoundError:
        return None
    with tempfile.TemporaryDirectory() as reports:
        validate_dataset(dataset=dataset, disable_gpu=True, output_folder=reports, outputs=["json"])
        (report,) = Path(reports).glob("report-*.json")
        return json.loads(report.read_text())["definitions"]


def main(dataset, source=None):
    if source:
        sys.path.insert(0, source)
        stand_in_for_flashinfer()
    from flashinfer_bench.data import TraceSet

    definitions = sorted(TraceSet.from_path(dataset).definitions)
    print(json.dumps({"definitions": definitions, "validated": validate(dataset)}))


main(*sys.argv[1:])
