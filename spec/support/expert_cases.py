"""Mixtures of experts for compare_references.py: smaller ones of the same form, inputs, and another way to compute."""

import inspect
import re

import torch

BLOCK = 128
SMALL = {"hidden_size": 384, "intermediate_size": 256}  # three and two blocks


def shrink(definition):
    """The same definition with small experts: the sizes stand as numbers in its reference too."""
    axes = definition["axes"]
    sizes = {str(axes[name]["value"]): str(small) for name, small in SMALL.items()}
    number = re.compile(r"\b(" + "|".join(sizes) + r")\b")
    definition["reference"] = number.sub(lambda match: sizes[match[1]], definition["reference"])
    for name, axis in axes.items():
        if name in SMALL:
            axis["value"] = SMALL[name]
        elif name == "gemm1_out_size":
            axis["value"] = 2 * SMALL["intermediate_size"]
        elif name.endswith("_blocks"):
            whole = name.removeprefix("num_").removesuffix("_blocks")
            axis["value"] = {"hidden": 3, "intermediate": 2, "gemm1_out": 4}[whole]
    return definition


def in_the_order_of_its_reference(definition):
    """A definition whose inputs stand in the order in which its reference takes them, whatever it says."""
    names = list(inspect.signature(definition["run"]).parameters)
    if set(names) != set(definition["inputs"]):
        return definition
    return {**definition, "inputs": {name: definition["inputs"][name] for name in names}}


# ---- inputs ---------------------------------------------------------------------------------------------


def random_values(shape, dtype, scale):
    """Random numbers in a dtype; many are the same few again and again, since making them takes longest."""
    values = scale * torch.randn(min(shape[0], 8), *shape[1:])
    return values.repeat(-(-shape[0] // 8), *[1] * (len(shape) - 1))[: shape[0]].to(dtype)


def packed_routes(num_tokens, num_experts, top_k):
    experts = torch.rand(num_tokens, num_experts).topk(top_k, dim=-1).indices
    weights = torch.softmax(torch.randn(num_tokens, top_k), dim=-1).to(torch.bfloat16)
    bits = weights.view(torch.int16).to(torch.int64) & 0xFFFF
    return (experts << 16 | bits).to(torch.int32)


def tensor(name, shape, dtype, axes):
    if name == "topk_ids":
        return packed_routes(shape[0], axes["num_experts"], shape[1])
    if "scale" in name or name in ("gemm1_alpha", "gemm1_beta", "gemm1_clamp_limit"):
        return 0.5 + torch.rand(shape)
    if name == "gemm1_weights":
        return random_values(shape, dtype, axes["hidden_size"] ** -0.5)
    if name == "gemm2_weights":
        return random_values(shape, dtype, axes["intermediate_size"] ** -0.5)
    return torch.randn(shape).to(dtype)


def expert_cases(definition):
    constants = definition["constants"]
    local = constants.get("num_local_experts", constants.get("num_experts"))
    last = constants.get("num_experts", local) - local  # the first expert of the last rank
    for num_tokens, offset, low in ((1, 0, False), (7, last, False), (0, 0, False), (5, 0, True)):
        axes = {**constants, "seq_len": num_tokens}
        inputs = {"local_expert_offset": offset, "routed_scaling_factor": 1.25}
        for name, spec in definition["inputs"].items():
            if spec["shape"] is not None:
                dtype = getattr(torch, spec["dtype"])
                inputs[name] = tensor(name, [axes[axis] for axis in spec["shape"]], dtype, axes)
        if low and "routing_logits" in inputs:
            inputs["routing_logits"] = inputs["routing_logits"] - 30  # scores next to nothing
        yield {name: inputs[name] for name in definition["inputs"]}


# ---- another way ----------------------------------------------------------------------------------------


def choose(definition, inputs):
    """The weight of every expert for every token, from how RoutingMethodType of FlashInfer says it: [tokens, experts]."""
    if "topk_ids" in inputs:
        rows = torch.zeros(len(inputs["topk_ids"]), definition["constants"]["num_experts"], dtype=torch.float64)
        for token, packed in enumerate(inputs["topk_ids"].tolist()):
            for number in packed:
                bits = torch.tensor([number & 0xFFFF], dtype=torch.int32).to(torch.int16)
                rows[token, number >> 16] = bits.view(torch.bfloat16).item()
        return rows
    logits = inputs["routing_logits"].double()
    name, top_k = definition["name"], definition["namespace"]["TOP_K"]
    rows = torch.zeros_like(logits)
    for token, row in enumerate(logits):
        if "_ds_" in name:
            groups, kept = definition["namespace"]["N_GROUP"], definition["namespace"]["TOPK_GROUP"]
            scores = torch.sigmoid(row)
            wanted = (scores + inputs["routing_bias"].double()).tolist()
            size = len(wanted) // groups
            best = [sum(sorted(wanted[g * size : g * size + size])[-2:]) for g in range(groups)]
            open_groups = sorted(range(groups), key=lambda g: best[g])[-kept:]
            order = sorted((e for e in range(len(wanted)) if e // size in open_groups), key=lambda e: wanted[e])
            chosen = order[-top_k:]
            rows[token, chosen] = scores[chosen] / (scores[chosen].sum() + 1e-20) * inputs["routed_scaling_factor"]
        else:
            chosen = row.argsort()[-top_k:]
            scores = torch.sigmoid(row) if is_llama4(name) else torch.exp(row - row.max())
            if "_default" in name:
                scores = scores / scores.sum()
            elif not is_llama4(name):
                scores = scores / scores[chosen].sum()
            rows[token, chosen] = scores[chosen]
    return rows


def is_llama4(name):
    return "_llama4" in name or "_moe_topk1_" in name


def values_of(inputs, name):
    """A tensor's values in float64, block scales taken in."""
    values, scale = inputs[name].double(), inputs.get(name + "_scale")
    if scale is None:
        return values
    if name == "hidden_states":
        scale = scale.T
        blocks = values.reshape(len(values), values.shape[1] // BLOCK, BLOCK)
        return (blocks * scale.double().unsqueeze(-1)).reshape(values.shape)
    experts, rows, columns = values.shape
    blocks = values.reshape(experts, rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    return (blocks * scale.double()[:, :, None, :, None]).reshape(values.shape)


def clamped(inputs, e, up, gate):
    """The activation of gpt-oss for one expert, biases first."""
    up_bias, gate_bias = inputs["gemm1_bias"][e].double().chunk(2)
    limit, alpha, beta = (inputs[name][e].item() for name in ("gemm1_clamp_limit", "gemm1_alpha", "gemm1_beta"))
    up = torch.maximum(torch.minimum(up + up_bias, torch.tensor(limit)), torch.tensor(-limit))
    gate = torch.minimum(gate + gate_bias, torch.tensor(limit))
    return gate / (1 + torch.exp(-alpha * gate)) * (up + beta)


def mixture(definition):
    """All tokens through all experts, in float64."""

    def run(*arguments):
        inputs = dict(zip(definition["inputs"], arguments, strict=True))
        weights = choose(definition, inputs)
        hidden = values_of(inputs, "hidden_states")
        w13, w2 = values_of(inputs, "gemm1_weights"), values_of(inputs, "gemm2_weights")
        first = inputs.get("local_expert_offset", 0) if "_ds_" in definition["name"] else 0
        ones = torch.ones(len(w2))
        output = torch.zeros_like(hidden)
        for e in range(len(w2)):
            weight = weights[:, first + e].unsqueeze(-1)
            given = hidden * weight if is_llama4(definition["name"]) else hidden
            up, gate = (given @ w13[e].T).chunk(2, dim=-1)
            up = up * inputs.get("output1_scales_scalar", ones)[e]
            gate = gate * inputs.get("output1_scales_gate_scalar", ones)[e]
            if "gemm1_clamp_limit" in inputs:
                out = clamped(inputs, e, up, gate) @ w2[e].T + inputs["gemm2_bias"][e]
            else:
                out = (gate * torch.sigmoid(gate) * up) @ w2[e].T * inputs.get("output2_scales_scalar", ones)[e]
            output += out if is_llama4(definition["name"]) else out * weight
        return output.to(torch.bfloat16)

    return run
