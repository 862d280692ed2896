"""Records of a dataset, many of them odd, and what flashinfer-bench makes of each.

    random_dataset.py FOLDER SEED [CHECKOUT]

Writes a dataset into FOLDER, and prints one JSON object: `lines` (text of a trace, and its line as flashinfer-bench
prints it, or null where it is refused), `solutions` (the same for a solution's file, with hash and unique name where
the release has them) and, where it scores, `best` and `ranking`.
"""

import json
import random
import sys
import types


def use_checkout(folder):
    # Only its data: the rest of the package imports what needs a GPU.
    package = types.ModuleType("flashinfer_bench")
    package.__path__ = [folder + "/flashinfer_bench"]
    sys.modules["flashinfer_bench"] = package


if len(sys.argv) > 3:
    use_checkout(sys.argv[3])

from flashinfer_bench.data import Definition, Solution, Trace, TraceSet, save_json_file, save_jsonl_file

rng = random.Random(int(sys.argv[2]))
ODD_NUMBERS = [0, 1, 1.0, 3.5, "3", " 4 ", "1_0", "0.5", True, False, -1, -0.0, None, "x", 1e-7, 1e16, 123456789.125,
               1e-5, 5e-324, 1e22, "1e3", "inf", "Infinity", "NaN", "nan", float("inf"), float("nan"), [], {}, ""]
ODD_TEXTS = ["a", "", "ü \u2028 \"\\\n\t\u0001", None, 3, "x" * 50]
STATUSES = ["PASSED", "INCORRECT_SHAPE", "INCORRECT_NUMERICAL", "INCORRECT_DTYPE", "RUNTIME_ERROR", "COMPILE_ERROR",
            "TIMEOUT", "passed"]


def odd(values, usual, chance=0.04):
    return rng.choice(values) if rng.random() < chance else usual


def some(record, chance=0.04):
    """Leave fields out, add one that nobody knows."""
    kept = {key: value for key, value in record.items() if rng.random() > chance}
    if rng.random() < chance:
        kept["unknown"] = 1
    return kept


def number():
    return rng.choice([rng.randint(0, 9), rng.random(), rng.random() * 10 ** rng.randint(-12, 20)])


def input_spec():
    return rng.choice([
        {"type": "random"}, {}, {"type": "scalar", "value": odd(ODD_NUMBERS, number(), 0.5)},
        {"value": rng.choice([1, 1.0, True, 0.25])}, {"type": "safetensors", "path": "./blob/a", "tensor_key": "k"},
        {"path": "./blob/b", "tensor_key": "q"}, {"type": odd(["other", None, 3], "random", 0.2)},
    ])


def random_trace():
    status = odd(STATUSES, "PASSED", 0.5)
    correctness = some({"max_relative_error": odd(ODD_NUMBERS, number(), 0.2),
                        "max_absolute_error": odd(ODD_NUMBERS, number(), 0.2),
                        "extra": rng.choice([None, {}, {"a": 1, "b": [1.5, None, {"c": float("inf")}], "z": "é"}])})
    performance = some({key: odd(ODD_NUMBERS, number()) for key in
                        ("latency_ms", "reference_latency_ms", "speedup_factor")})
    evaluation = {"status": status, "environment": some({"hardware": odd(ODD_TEXTS, "H200"),
                                                         "libs": odd([{}, {"a": 1}, None], {"torch": "2"}, 0.1)}, 0.03),
                  "timestamp": odd(ODD_TEXTS, "2026-01-01T00:00:00"), "log": odd(ODD_TEXTS, "log", 0.2),
                  "correctness": correctness if status in ("PASSED", "INCORRECT_NUMERICAL") else None,
                  "performance": performance if status == "PASSED" else None}
    trace = {"definition": odd(ODD_TEXTS, "d"), "solution": odd(ODD_TEXTS, "s", 0.1),
             "workload": some({"axes": {"n": odd(ODD_NUMBERS, rng.randint(0, 99), 0.1)},
                               "inputs": {"x": input_spec(), "y": input_spec()}, "uuid": odd(ODD_TEXTS, "u")}, 0.02),
             "evaluation": some(evaluation, 0.02)}
    items = list(trace.items())
    rng.shuffle(items)
    return some(dict(items), 0.02)


def random_solution(i):
    spec = some({"language": odd(["rust", None, "cpp", "python", "triton"], "cuda", 0.3),
                 "target_hardware": odd([[], None, ["cpu", ""]], ["cuda"], 0.1),
                 "entry_point": odd(["a.cu", "a::b::c", "b.cu::", "", "zz.cu::run"], "a.cu::run", 0.1),
                 "dependencies": rng.choice([[], ["cublas"], ["cudnn", "cutlass"]]),
                 "destination_passing_style": odd([0, 1, "yes", "OFF", 2, "maybe", None], True, 0.3),
                 "binding": rng.choice([None, "torch", "tvm-ffi"])}, 0.1)
    sources = [{"path": odd(["../a", "/a", "x/../y", "b.cu"], "a.cu", 0.05), "content": odd(ODD_TEXTS, "int ü;\n", 0.2)}
               for _ in range(1)] + [{"path": odd(["a.cu"], "b.cu", 0.05), "content": str(rng.random())}]
    return some({"name": "s%d" % i, "definition": "d", "author": odd(ODD_TEXTS, "me"), "spec": spec,
                 "sources": sources, "description": odd(ODD_TEXTS, "fine", 0.5)}, 0.03)


def judged_trace(text):
    try:
        return Trace.model_validate_json(text).model_dump_json()
    except ValueError:
        return None


def judged_solution(text):
    try:
        solution = Solution.model_validate_json(text)
    except ValueError:
        return None
    found = {"text": solution.model_dump_json(indent=2, exclude_unset=True)}
    if hasattr(solution, "with_unique_name"):
        found["hash"] = solution.hash()
        found["unique"] = solution.with_unique_name().name
    return found


def definition(name, op_type):
    return Definition(name=name, op_type=op_type, axes={"n": {"type": "var"}},
                      inputs={"x": {"shape": ["n"], "dtype": "float32"}},
                      outputs={"y": {"shape": ["n"], "dtype": "float32"}}, reference="def run(x):\n    return x\n")


def solution(name, author, definition_name):
    return Solution(name=name, author=author, definition=definition_name, sources=[{"path": "a.py", "content": name}],
                    spec={"language": "python", "target_hardware": ["cpu"], "entry_point": "a.py::run"})


def result(definition_name, name, uuid, failing):
    passed = rng.random() > failing
    return Trace.model_validate({
        "definition": definition_name, "solution": name,
        "workload": {"axes": {"n": int(uuid) % 3}, "inputs": {"x": {"type": "random"}}, "uuid": uuid},
        "evaluation": {"status": "PASSED" if passed else "TIMEOUT", "environment": {"hardware": "H"}, "timestamp": "t",
                       "correctness": {"max_absolute_error": rng.random() * 0.02,
                                       "max_relative_error": rng.random() * 0.02} if passed else None,
                       "performance": {"latency_ms": 0.1 + rng.random(), "reference_latency_ms": 1.0,
                                       "speedup_factor": rng.randint(1, 9) / 2} if passed else None}})


def write_dataset(root):
    for i in range(6):
        name, op_type = "d%d" % i, "op%d" % (i % 2)
        save_json_file(definition(name, op_type), f"{root}/definitions/{op_type}/{name}.json")
        for author in ["baseline", "ann", "bob", "cy"]:
            for copy in range(1 if author == "baseline" else rng.randint(0, 2)):
                own = f"{author}_{name}_{copy}"
                path = f"{author}/{op_type}/{name}"
                save_json_file(solution(own, author, name), f"{root}/solutions/{path}/{own}.json")
                failing = rng.choice([0, 0, 0.1])
                traces = [result(name, own, str(rng.randint(0, 7)), failing) for _ in range(rng.randint(1, 12))]
                save_jsonl_file(traces, f"{root}/traces/{path}_{copy}.jsonl" if copy else f"{root}/traces/{path}.jsonl")


def queried(root):
    traces = TraceSet.from_path(root)
    found = {"best": {}, "kept": {}}
    for name in sorted(traces.definitions):
        best = traces.get_best_trace(name, {"n": 1})
        found["best"][name] = best.model_dump_json() if best else None
        found["kept"][name] = len(traces.filter_traces(name, 0.015, 0.015))
    if hasattr(traces, "rank_authors"):
        summary = traces.summary()
        found["counts"] = [summary.total, summary.passed, summary.failed]
        found["ranking"] = [[author, score.model_dump()] for author, score in summary.rankings]
        found["of_op0"] = [[author, score.model_dump()] for author, score in traces.rank_authors(op_type="op0")]
    return found


write_dataset(sys.argv[1])
report = queried(sys.argv[1])
report["lines"] = [[text, judged_trace(text)] for text in (json.dumps(random_trace()) for _ in range(4000))]
report["solutions"] = [[text, judged_solution(text)]
                       for text in (json.dumps(random_solution(i)) for i in range(1500))]
print(json.dumps(report))
