"""Run definitions' references under torch and keep what went in and what came out.

    reference_cases.py DEFINITIONS OUT

For each definition of the folder DEFINITIONS (<op_type>/<name>.json), OUT/<name>.json is the definition that was
run (experts are made smaller: see expert_cases.py), and OUT/<name>.<i>.safetensors holds the i-th case: tensors
"in.<input>", "out.<output>" and "draw.<k>", the weights of the k-th torch.multinomial, which takes the likeliest
here so that it can be compared; numbers stand in the metadata under the same names, "null" for what is left out.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from compare_references import cases, in_the_order_of_its_reference, load, own_copy

torch.set_num_threads(2)
drawn = []


def likeliest(weights, count, replacement=False):
    drawn.append(weights.clone())
    return weights.argmax(-1, keepdim=True).expand(*weights.shape[:-1], count)


def keep(path, groups):
    tensors, numbers = {}, {}
    for prefix, group in groups.items():
        for name, value in group.items():
            key = f"{prefix}.{name}"
            if isinstance(value, torch.Tensor):
                tensors[key] = value.detach().clone().contiguous()
            else:
                numbers[key] = json.dumps(value)
    save_file(tensors, path, numbers)


def without_ties(inputs):
    """Which of two equal experts is chosen is left open by torch.topk: logits that differ leave nothing open."""
    logits = inputs.get("routing_logits")
    if logits is not None:
        order = torch.rand(logits.shape).argsort(-1) - logits.shape[-1] / 2
        inputs["routing_logits"] = (order / 8).to(logits.dtype)
    return inputs


def run(definition, folder, name):
    for i, inputs in enumerate(map(without_ties, cases(definition))):
        drawn.clear()
        given = own_copy(inputs)
        results = definition["run"](*(given.get(n) for n in definition["inputs"]))
        results = results if isinstance(results, tuple) else (results,)
        outputs = dict(zip(definition["outputs"], results))
        draws = {str(k): weights for k, weights in enumerate(drawn)}
        whole = {n: inputs.get(n) for n in definition["inputs"]}
        keep(folder / f"{name}.{i}.safetensors", {"in": whole, "out": outputs, "draw": draws})


def main(definitions, out):
    torch.multinomial = likeliest
    for path in sorted(Path(definitions).glob("*/*.json")):
        torch.manual_seed(0)
        definition = in_the_order_of_its_reference(load(path))
        plain = {k: v for k, v in definition.items() if k not in ("run", "namespace", "constants")}
        (Path(out) / f"{path.stem}.json").write_text(json.dumps(plain))
        run(definition, Path(out), path.stem)


main(*sys.argv[1:])
