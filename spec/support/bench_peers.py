"""What flashinfer-bench's evaluators say of pairs of tensors: argv[1] is a JSON list of cases, argv[2] the tensors'
safetensors file, argv[3] (optional) a checkout. One JSON line a case. Nothing is built or timed: the solution is a
function that returns what the file holds."""

import itertools
import json
import sys
import types

if len(sys.argv) > 3 and sys.argv[3]:
    sys.path.insert(0, sys.argv[3])
testing = types.ModuleType("flashinfer.testing")
testing.bench_gpu_time_with_cupti = None
sys.modules["flashinfer"] = types.ModuleType("flashinfer")
sys.modules["flashinfer.testing"] = testing

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from flashinfer_bench.bench import evaluators  # noqa: E402
from flashinfer_bench.bench import config  # noqa: E402
from flashinfer_bench.bench.evaluators import registry  # noqa: E402
from flashinfer_bench.data import Definition  # noqa: E402

torch.cuda.synchronize = lambda *_: None


def seen(status=None, correctness=None, **_):
    return types.SimpleNamespace(status=status, correctness=correctness)


for name in ("default", "lowbit", "sampling", "dsa_sparse_attention", "dsa_topk_indexer"):
    module = sys.modules.get(f"flashinfer_bench.bench.evaluators.{name}")
    if module is not None and hasattr(module, "make_eval"):
        module.make_eval = seen

Config = getattr(config, "ResolvedEvalConfig", config.BenchmarkConfig)


def number(x):
    return str(x) if x != x or x in (float("inf"), float("-inf")) else x


def with_frequencies(evaluator, definition, inputs, frequencies):
    """Half a million draws come to these frequencies; what is expected of them."""
    module = sys.modules[evaluator.__module__]
    module._sample_token_distributions = lambda *_, **__: frequencies
    named = dict(zip(definition.inputs, inputs))
    method = module._detect_thresholding_method(definition)
    masked = named["probs"] * module._compute_valid_sampling_mask(named["probs"], method, named).float()
    return masked / masked.sum(dim=-1, keepdim=True)


def run(case, tensors):
    definition = Definition.model_validate(case["definition"])
    evaluator = registry.resolve_evaluator(definition)
    settings = Config(**case["settings"])
    calls = itertools.cycle(case["outputs"])

    def solution(*_):
        given = [tensors[key] for key in next(calls)]
        return given if len(given) != 1 or len(definition.outputs) == 1 else given[0]

    solution.metadata = types.SimpleNamespace(destination_passing_style=False)
    inputs = [[tensors.get(key, key) for key in keys] for keys in case["inputs"]]
    expected = [[tensors[key] for key in keys] for keys in case["expected"]]
    if "frequencies" in case:
        expected = [[with_frequencies(evaluator, definition, inputs[0], tensors[case["frequencies"]])]]
    correctness, ended = evaluator.check_correctness(definition, solution, inputs, expected, settings, None, "cpu")
    status = ended.status.value if ended else "PASSED"
    result = {"evaluator": evaluator.__name__, "status": status}
    if correctness is not None:
        result["absolute"] = number(correctness.max_absolute_error)
        result["relative"] = number(correctness.max_relative_error)
        result["extra"] = correctness.extra
    return result


loaded = load_file(sys.argv[2])
for case in json.load(open(sys.argv[1])):
    try:
        print(json.dumps(run(case, loaded)))
    except Exception as error:
        print(json.dumps({"status": "EXCEPTION", "error": repr(error)}))
