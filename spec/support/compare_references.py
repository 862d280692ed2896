"""Run our references and others on the same random inputs, corner cases included, and report how they differ.

    compare_references.py OURS THEIRS

OURS and THEIRS are folders of definitions (<op_type>/<name>.json). Each definition of OURS is compared with that
of THEIRS, or, where THEIRS has none, with the same thing computed in another way; what only ours promise is
checked for ours alone. Prints JSON:

    {name: {"cases": n, "failures": [text, ...],
            "outputs": {output: {"absolute": worst, "relative": worst, "equal": whether all values are}}}}

Inputs are as awkward as a valid call can be: pages lie anywhere in the cache, some belong to nobody, and what
follows the last token of a page is NaN, so that a reference that reads it shows.
"""

import json
import math
import sys
from pathlib import Path

import torch

from expert_cases import expert_cases, in_the_order_of_its_reference, mixture, shrink

SCALE = 1 / math.sqrt(128)


def load(path):
    definition = json.loads(Path(path).read_text())
    if definition["op_type"] == "moe":
        shrink(definition)
    namespace = {}
    exec(compile(definition["reference"], str(path), "exec"), namespace)
    definition["run"] = namespace["run"]
    definition["namespace"] = namespace
    definition["constants"] = {n: a["value"] for n, a in definition["axes"].items() if a["type"] == "const"}
    return definition


# ---- inputs: each generator yields dictionaries of arguments --------------------------------------------


def normal(*shape, dtype=torch.bfloat16):
    return torch.randn(*shape).to(dtype)


def norm_cases(definition):
    size = definition["constants"]["hidden_size"]
    for batch, scale in ((1, 1.0), (7, 1.0), (33, 1e-4), (2, 300.0), (3, 0.0), (0, 1.0)):
        rows = {name: scale * normal(batch, size) for name in ("hidden_states", "residual")}
        yield {name: rows.get(name, normal(size)) for name in definition["inputs"]}


def scaled_gemm_cases(definition):
    n, k = definition["constants"]["N"], definition["constants"]["K"]
    fp8 = torch.float8_e4m3fn
    for m in (3, 1, 0):
        scales = {"A_scale": 0.75, "B_scale": 0.03}
        if "num_k_blocks" in definition["constants"]:
            rows, columns = -(-n // 128), -(-k // 128)
            scales = {"A_scale": torch.rand(m, columns) + 0.5, "B_scale": (torch.rand(rows, columns) + 0.5) / 32}
        yield {"A": normal(m, k, dtype=fp8), "B": normal(n, k, dtype=fp8), **scales}


def gemm_cases(definition):
    if "A_scale" in definition["inputs"]:
        yield from scaled_gemm_cases(definition)
        return
    n, k = definition["constants"]["N"], definition["constants"]["K"]
    # A large weight is a few random rows again and again.
    dtype = getattr(torch, definition["inputs"]["A"]["dtype"])
    weight = normal(64, k, dtype=dtype).repeat(math.ceil(n / 64), 1)[:n]
    for m in (3, 0):
        yield {"A": normal(m, k, dtype=dtype), "B": weight}


def pages_of(token_counts, page_size):
    """Pages of sequences with these many tokens: indptr, page numbers, tokens of the last page."""
    counts = [math.ceil(n / page_size) for n in token_counts]
    order = torch.randperm(sum(counts) + 3, dtype=torch.int32)  # three pages belong to nobody
    last = [n - (c - 1) * page_size if c else 0 for n, c in zip(token_counts, counts)]
    return indptr_of(counts), order[: sum(counts)], torch.tensor(last, dtype=torch.int32)


def indptr_of(counts):
    return torch.tensor([0] + counts, dtype=torch.int32).cumsum(0).to(torch.int32)


def rows(definition, leading, *counts):
    """Values for the bfloat16 inputs whose first axes are these, as many of each."""
    sizes, values = definition["constants"], {}
    for name, spec in definition["inputs"].items():
        shape = spec["shape"] or []
        if shape[: len(leading)] == leading and spec["dtype"] == "bfloat16":
            values[name] = normal(*counts, *(sizes[axis] for axis in shape[len(leading) :]))
    return values


def paged_cache(definition, token_counts):
    """Caches, page table and last page lengths for sequences with these many tokens."""
    page_size = definition["constants"]["page_size"]
    indptr, indices, last = pages_of(token_counts, page_size)
    caches = rows(definition, ["num_pages", "page_size"], len(indices) + 3, page_size)
    for b, count in enumerate(token_counts):
        if count:
            for cache in caches.values():
                cache[indices[indptr[b + 1] - 1], last[b] :] = math.nan
    inputs = {**caches, "kv_indptr": indptr, "kv_indices": indices}
    if "kv_last_page_len" in definition["inputs"]:
        inputs["kv_last_page_len"] = last
    return inputs


def sinks(definition):
    """Logits of the sinks, where the definition has some: some far above those of keys, some far below."""
    if "sink" not in definition["inputs"]:
        return {}
    return {"sink": 4 * torch.randn(definition["constants"]["num_qo_heads"])}


def decode_cases(definition):
    page = definition["constants"]["page_size"]
    for token_counts, scale in (
        ([1], SCALE),
        ([0], SCALE),
        ([], SCALE),
        ([3 * page + 5, 0, 1, page, page + 1, 200, 0], SCALE),
        ([3 * page, 17], 1.0),
    ):
        queries = rows(definition, ["batch_size"], len(token_counts))
        yield {**queries, **paged_cache(definition, token_counts), **sinks(definition), "sm_scale": scale}


# Queries and keys of each sequence: whole prompts, prompts after a cached part, empty ones, more than one chunk.
PREFILLS = (
    [(1, 1)],
    [(0, 0)],
    [(5, 5), (3, 70), (0, 4), (1, 129), (64, 64), (0, 0)],
    [(530, 560)],
    [(4, 0), (2, 2)],
)


def prefill_cases(definition, prefills=PREFILLS):
    for sequences in prefills:
        q_counts, kv_counts = map(list, zip(*sequences))
        inputs = {"qo_indptr": indptr_of(q_counts), **sinks(definition), "sm_scale": SCALE}
        inputs.update(rows(definition, ["total_q"], sum(q_counts)))
        if "kv_indices" in definition["inputs"]:
            inputs.update(paged_cache(definition, kv_counts))
        else:
            inputs.update(rows(definition, ["total_kv"], sum(kv_counts)), kv_indptr=indptr_of(kv_counts))
        yield inputs


def attention_cases(definition):
    return (prefill_cases if "total_q" in definition["axes"] else decode_cases)(definition)


def sparse_attention_cases(definition):
    """Tokens picked anywhere in the cache, at most as many as there are; those picked by nobody are NaN."""
    page_size, topk = definition["constants"]["page_size"], definition["constants"]["topk"]
    for picked_counts in ([1], [0], [], [7, 0, topk, 1, 2 * page_size], [topk - 1]):
        num_pages = math.ceil((max(picked_counts, default=0) + 50) / page_size)
        caches = rows(definition, ["num_pages", "page_size"], num_pages, page_size)
        indices = torch.full((len(picked_counts), topk), -1, dtype=torch.int32)
        seen = torch.zeros(num_pages * page_size, dtype=torch.bool)
        for row, count in zip(indices, picked_counts):
            picked = torch.randperm(num_pages * page_size)[:count]
            seen[picked] = True
            # Padding may stand between what is picked, not only after it.
            row[torch.randperm(topk)[:count]] = picked.to(torch.int32)
        for cache in caches.values():
            cache.flatten(0, 1)[~seen] = math.nan
        queries = rows(definition, ["num_tokens"], len(picked_counts))
        yield {**queries, **caches, "sparse_indices": indices, "sm_scale": SCALE}


def indexer_cases(definition):
    """Keys with their scales as bytes of a page; page numbers after a sequence's last name no page."""
    sizes = definition["constants"]
    page, dim, topk = sizes["page_size"], sizes["index_head_dim"], sizes["topk"]
    for counts in ([1], [0], [], [topk + 500, 0, page - 1, page, page + 1, 3 * page + 5], [topk]):
        _, table, _ = pages_of(counts, page)
        pages = [math.ceil(n / page) for n in counts]
        num_pages, width = sum(pages) + 3, max([topk // page, *pages])
        keys = normal(num_pages, page * dim).to(torch.float8_e4m3fn).view(torch.uint8)
        scales = (torch.rand(num_pages, page) + 0.5).view(torch.uint8)
        block_table = torch.full((len(counts), width), 2**30, dtype=torch.int32)
        for row, first, count in zip(block_table, indptr_of(pages).tolist(), pages):
            row[:count] = table[first : first + count]
        cache = torch.cat([keys, scales], dim=1).view(torch.int8)
        yield {
            "q_index_fp8": normal(len(counts), sizes["num_index_heads"], dim).to(torch.float8_e4m3fn),
            "k_index_cache_fp8": cache.reshape(num_pages, page, 1, sizes["head_dim_with_scale"]),
            "weights": torch.randn(len(counts), sizes["num_index_heads"]),
            "seq_lens": torch.tensor(counts, dtype=torch.int32),
            "block_table": block_table,
        }


def dsa_cases(definition):
    return (indexer_cases if "weights" in definition["inputs"] else sparse_attention_cases)(definition)


def sampling_cases(definition):
    vocab = definition["constants"]["vocab_size"]
    top_k = [0, 1, 40, vocab - 1, vocab, -1, 1000]
    top_p = [0.9, 0.5, 0.7, 0.0, 1.0, 1e-6, 0.95]
    probs = torch.softmax(torch.randn(len(top_k), vocab) * 4, dim=-1)
    tensors = {"top_k": torch.tensor(top_k, dtype=torch.int32), "top_p": torch.tensor(top_p)}
    yield {"probs": probs, **{name: t for name, t in tensors.items() if name in definition["inputs"]}}


def unit(*shape):
    """Vectors of length one, as queries and keys of linear attention are."""
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1).to(torch.bfloat16)


def gdn_tokens(definition, *tokens):
    sizes = definition["constants"]
    heads, size = sizes["num_v_heads"], sizes["head_size"]
    return {
        "q": unit(*tokens, sizes["num_q_heads"], size),
        "k": unit(*tokens, sizes["num_k_heads"], size),
        "v": normal(*tokens, heads, size),
        "a": normal(*tokens, heads),
        "b": normal(*tokens, heads),
        "A_log": torch.rand(heads).log(),
        "dt_bias": torch.randn(heads),
    }


def gdn_states(definition, count):
    size = definition["constants"]["head_size"]
    return torch.randn(count, definition["constants"]["num_v_heads"], size, size)


def gdn_decode_cases(definition):
    for batch, state, scale in ((1, True, SCALE), (3, True, 0.0), (2, False, None), (0, True, SCALE)):
        given = gdn_states(definition, batch) if state else None
        yield {**gdn_tokens(definition, batch, 1), "state": given, "scale": scale}


def gdn_mtp_cases(definition):
    pool = 5
    batches = (([2], 2, True, SCALE), ([3, 0, 2], 4, True, 0.0), ([1, 2], 3, False, None))
    for slots, tokens, keep, scale in batches:
        inputs = gdn_tokens(definition, len(slots), tokens)
        inputs["initial_state"] = gdn_states(definition, pool)
        inputs["initial_state_indices"] = torch.tensor(slots, dtype=torch.int32)
        shape = (pool, tokens, *inputs["initial_state"].shape[1:])
        inputs["intermediate_states_buffer"] = torch.zeros(shape) if keep else None
        yield {**inputs, "scale": scale}


def gdn_prefill_cases(definition):
    batches = (([1], True, SCALE), ([9, 0, 1, 40], True, 0.0), ([3, 2], False, None), ([0], True, 1.0))
    for counts, state, scale in batches:
        inputs = gdn_tokens(definition, sum(counts))
        inputs["state"] = gdn_states(definition, len(counts)) if state else None
        yield {**inputs, "cu_seqlens": indptr_of(counts).to(torch.int64), "scale": scale}


def gdn_cases(definition):
    by_stage = {"decode": gdn_decode_cases, "mtp": gdn_mtp_cases, "prefill": gdn_prefill_cases}
    return by_stage[definition["name"].split("_")[1]](definition)


def mamba_ssu_cases(definition):
    sizes = definition["constants"]
    heads, head_dim, dstate, groups = (sizes[name] for name in ("nheads", "head_dim", "dstate", "ngroups"))
    for slots in ([3], [1, -1, 4, 0], [-1], []):
        batch = len(slots)
        yield {
            "state": normal(6, heads, head_dim, dstate),
            "x": normal(batch, heads, head_dim),
            "dt": normal(batch, heads, head_dim),
            "A": -torch.rand(heads, 1, 1).expand(heads, head_dim, dstate).exp(),
            "B": normal(batch, groups, dstate),
            "C": normal(batch, groups, dstate) / math.sqrt(dstate),
            "D": normal(heads, head_dim),
            "dt_bias": normal(heads, head_dim),
            "state_batch_indices": torch.tensor(slots, dtype=torch.int32),
        }


def rope_cases(definition, positions_and_heads=(([0], 4, 1), ([49, 3, 3, 0, 17], 3, 2))):
    size, rotary_dim = definition["constants"]["head_size"], definition["constants"]["rotary_dim"]
    angles = torch.arange(50)[:, None] * 10000.0 ** (-torch.arange(0, rotary_dim, 2) / rotary_dim)
    cache = torch.cat((angles.cos(), angles.sin()), dim=-1)
    for positions, heads, kv_heads in positions_and_heads:
        yield {
            "q": normal(len(positions), heads, size),
            "k": normal(len(positions), kv_heads, size),
            "cos_sin_cache": cache,
            "positions": torch.tensor(positions, dtype=torch.int64),
        }


def cases(definition):
    return {
        "rmsnorm": norm_cases,
        "gemm": gemm_cases,
        "gqa_paged": attention_cases,
        "gqa_ragged": attention_cases,
        "mla_paged": attention_cases,
        "mla_ragged": attention_cases,
        "dsa_paged": dsa_cases,
        "sampling": sampling_cases,
        "gdn": gdn_cases,
        "mamba_ssu": mamba_ssu_cases,
        "moe": expert_cases,
        "rope": rope_cases,
    }[definition["op_type"]](definition)


# ---- running and comparing ------------------------------------------------------------------------------


# Inputs that a kernel writes to, as its interface says.
WRITTEN = ("intermediate_states_buffer",)


def own_copy(inputs):
    """The same inputs, with tensors of one's own where a kernel writes to them."""
    return {n: v.clone() if n in WRITTEN and v is not None else v for n, v in inputs.items()}


def call(definition, inputs):
    """Outputs by name. Inputs are passed by position, in the definition's order, and must not be written to."""
    arguments = [inputs[name] for name in definition["inputs"]]
    versions = [getattr(argument, "_version", None) for argument in arguments]
    outputs = definition["run"](*arguments)
    for name, version, argument in zip(definition["inputs"], versions, arguments, strict=True):
        if getattr(argument, "_version", None) != version and name not in WRITTEN:
            raise AssertionError(f"input {name} was written to")
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return dict(zip(definition["outputs"], outputs, strict=True))


def check_shapes(definition, inputs, outputs):
    axes = dict(definition["constants"])
    for name, spec in definition["inputs"].items():
        if spec["shape"] is not None and inputs[name] is not None:
            axes.update(zip(spec["shape"], inputs[name].shape))
    for name, spec in definition["outputs"].items():
        # An axis of an optional input alone, when that is None, is whatever the output says.
        wanted = [axes.setdefault(axis, size) for axis, size in zip(spec["shape"], outputs[name].shape)]
        if list(outputs[name].shape) != wanted or len(wanted) != len(spec["shape"]) or str(outputs[name].dtype) != "torch." + spec["dtype"]:
            raise AssertionError(f"{name} is {outputs[name].dtype}{list(outputs[name].shape)}, not {wanted}")


def distance(ours, theirs):
    """Worst absolute and relative difference; infinities and NaN have to be at the same places."""
    ours, theirs = ours.to(torch.float64), theirs.to(torch.float64)
    if not torch.equal(torch.isfinite(ours), torch.isfinite(theirs)):
        return math.inf, math.inf
    if not torch.equal(ours[~torch.isfinite(ours)], theirs[~torch.isfinite(theirs)]):
        return math.inf, math.inf
    finite = torch.isfinite(theirs)
    difference = (ours - theirs)[finite].abs()
    if difference.numel() == 0:
        return 0.0, 0.0
    return difference.max().item(), (difference / theirs[finite].abs().clamp_min(1e-6)).max().item()


class DrawnRows:
    """Keeps the distributions that torch.multinomial is asked to draw from."""

    def __enter__(self):
        self.rows, self.original = [], torch.multinomial
        torch.multinomial = self.draw
        return self

    def draw(self, row, *arguments, **options):
        self.rows.append(row.clone())
        return self.original(row, *arguments, **options)

    def __exit__(self, *_):
        torch.multinomial = self.original


def same_distributions(ours, theirs):
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


def compare(ours, theirs):
    worst = {name: {"absolute": 0.0, "relative": 0.0, "equal": True} for name in ours["outputs"]}
    failures, count = [], 0
    for inputs in cases(ours):
        count += 1
        our_inputs, their_inputs = own_copy(inputs), own_copy(inputs)
        with DrawnRows() as our_rows:
            torch.manual_seed(count)
            our_outputs = call(ours, our_inputs)
        with DrawnRows() as their_rows:
            torch.manual_seed(count)
            their_outputs = call(theirs, their_inputs)
        for name in WRITTEN:
            if inputs.get(name) is not None and distance(our_inputs[name], their_inputs[name])[0] > 1e-4:
                failures.append(f"case {count}: writes something else to {name}")
        check_shapes(ours, inputs, our_outputs)
        if not same_distributions(our_rows.rows, their_rows.rows):
            failures.append(f"case {count}: draws from other distributions")
        for name, output in our_outputs.items():
            absolute, relative = distance(output, their_outputs[name])
            entry = worst[name]
            entry["absolute"] = max(entry["absolute"], absolute)
            entry["relative"] = max(entry["relative"], relative)
            entry["equal"] = entry["equal"] and torch.equal(output, their_outputs[name])
    return {"cases": count, "outputs": worst, "failures": failures + alone(ours)}


# ---- what only our references promise -------------------------------------------------------------------


def alone(ours):
    if "total_q" in ours["axes"]:
        return more_queries_than_keys(ours)
    if "initial_state_indices" in ours["inputs"]:
        return padded_drafts(ours)
    if ours["op_type"] == "rope":
        (inputs,) = rope_cases(ours, [([], 2, 1)])
        check_shapes(ours, inputs, call(ours, inputs))
    return []


def more_queries_than_keys(ours):
    """The first queries see no key: zeros and -inf. The others are a prefill of their own."""
    failures = []
    for num_q, num_kv in ((7, 3), (530, 5)):
        (inputs,) = prefill_cases(ours, [[(num_q, num_kv), (2, 2)]])
        blind = num_q - num_kv
        output, lse = call(ours, inputs).values()
        tail = {**inputs, "qo_indptr": (inputs["qo_indptr"] - blind).clamp_min(0)}
        for name in rows(ours, ["total_q"], 0):
            tail[name] = inputs[name][blind:]
        tail_output, tail_lse = call(ours, tail).values()
        if output[:blind].any() or not torch.isneginf(lse[:blind]).all():
            failures.append(f"{num_q} queries of {num_kv} keys: blind queries are not zero and -inf")
        if max(distance(output[blind:], tail_output)[0], distance(lse[blind:], tail_lse)[0]) > 1e-2:
            failures.append(f"{num_q} queries of {num_kv} keys: seeing queries differ from a prefill of their own")
    return failures


def padded_drafts(ours):
    """A negative index is padding: zeros, and no state kept."""
    _, inputs, _ = gdn_mtp_cases(ours)
    inputs = own_copy(inputs)
    whole, _ = call(ours, inputs).values()
    padded = {**inputs, "initial_state_indices": inputs["initial_state_indices"].clone()}
    padded["initial_state_indices"][1] = -1
    padded["intermediate_states_buffer"] = torch.zeros_like(inputs["intermediate_states_buffer"])
    output, _ = call(ours, padded).values()
    failures = []
    if output[1].any() or padded["intermediate_states_buffer"][[0, 1, 4]].any():
        failures.append("a padded draft leaves something behind")
    if not torch.equal(output[[0, 2]], whole[[0, 2]]):
        failures.append("a padded draft changes the others")
    return failures


# ---- another way to compute what THEIRS lacks -----------------------------------------------------------


def multiply(A, B, A_scale=None, B_scale=None):
    if A_scale is None:
        return (A.to(torch.float64) @ B.to(torch.float64).T).to(A.dtype)
    a, b = A.to(torch.float64), B.to(torch.float64)
    if isinstance(A_scale, float):
        return (a * A_scale @ (b * B_scale).T).to(torch.bfloat16)
    row, column = torch.arange(B.shape[0]) // 128, torch.arange(B.shape[1]) // 128
    return (a * A_scale[:, column] @ (b * B_scale[row][:, column]).T).to(torch.bfloat16)


def tokens_of_pages(definition, inputs):
    """The places of each sequence's tokens in a cache whose pages lie one after the other."""
    page_size = definition["constants"]["page_size"]
    indptr, sequences = inputs["kv_indptr"], []
    for b in range(len(indptr) - 1):
        pages = inputs["kv_indices"][indptr[b] : indptr[b + 1]].to(torch.int64)
        places = (pages[:, None] * page_size + torch.arange(page_size)).flatten()
        if len(pages) and "kv_last_page_len" in inputs:
            places = places[: len(places) - page_size + inputs["kv_last_page_len"][b]]
        sequences.append(places)
    return sequences


def with_single_token_pages(definition, inputs):
    """The same call for page size 1: every token becomes a page."""
    names = [name for name, spec in definition["inputs"].items() if spec["shape"] and spec["shape"][0] == "num_pages"]
    caches = {name: inputs[name].flatten(0, 1).unsqueeze(1) for name in names}
    if "kv_indices" not in inputs:
        return {**inputs, **caches}
    sequences = tokens_of_pages(definition, inputs)
    indices = torch.cat([*sequences, torch.tensor([], dtype=torch.int64)]).to(torch.int32)
    return {**inputs, **caches, "kv_indptr": indptr_of(list(map(len, sequences))), "kv_indices": indices}


def rotate_as_complex(definition):
    """Rotary embedding as a product of complex numbers, in float64."""
    neox = "neox" in definition["name"]

    def rotate(x, turn):
        half = turn.shape[-1]
        pairs = x[..., : 2 * half].to(torch.float64)
        pairs = pairs.unflatten(-1, (2, half)).transpose(-1, -2) if neox else pairs.unflatten(-1, (half, 2))
        turned = torch.view_as_real(torch.complex(pairs[..., 0], pairs[..., 1]) * turn[:, None])
        turned = turned.transpose(-1, -2).flatten(-2) if neox else turned.flatten(-2)
        return torch.cat((turned.to(x.dtype), x[..., 2 * half :]), dim=-1)

    def run(q, k, cos_sin_cache, positions):
        turn = torch.complex(*cos_sin_cache[positions].to(torch.float64).chunk(2, dim=-1))
        return rotate(q, turn), rotate(k, turn)

    return run


def attend(ours, *arguments):
    """Attention of one query and one head at a time in float64, with a window, a soft cap and sinks."""
    inputs, sizes = dict(zip(ours["inputs"], arguments, strict=True)), ours["constants"]
    indptr = inputs["kv_indptr"].tolist()
    counts = [last - first for first, last in zip(indptr, indptr[1:])]
    if "kv_indices" in inputs:
        tokens = tokens_of_pages(ours, inputs)
        keys, values = (inputs[name].flatten(0, 1) for name in ("k_cache", "v_cache"))
    else:
        tokens = [torch.arange(first, last) for first, last in zip(indptr, indptr[1:])]
        keys, values = inputs["k"], inputs["v"]
    q_indptr = inputs["qo_indptr"].tolist() if "qo_indptr" in inputs else list(range(len(counts) + 1))
    output, lse = torch.zeros_like(inputs["q"]), torch.full(inputs["q"].shape[:2], -math.inf)
    group = sizes["num_qo_heads"] // sizes["num_kv_heads"]
    for b, own in enumerate(tokens):
        num_q = q_indptr[b + 1] - q_indptr[b]
        for i in range(num_q):
            newest = len(own) - num_q + i  # the query's own place
            seen = own[max(0, newest + 1 - sizes.get("window_size", newest + 1)) : max(0, newest + 1)]
            if len(seen) == 0:
                continue
            k, v = (x[seen].to(torch.float64).repeat_interleave(group, dim=1) for x in (keys, values))
            query = inputs["q"][q_indptr[b] + i].to(torch.float64)
            logits = (k * query).sum(dim=-1).T * inputs["sm_scale"]  # [num_qo_heads, seen]
            if "logits_soft_cap" in sizes:
                logits = (logits / sizes["logits_soft_cap"]).tanh() * sizes["logits_soft_cap"]
            if "sink" in inputs:  # one more key, whose value is zero
                logits = torch.cat([logits, inputs["sink"].to(torch.float64)[:, None]], dim=1)
                v = torch.cat([v, torch.zeros_like(v[:1])])
            output[q_indptr[b] + i] = torch.einsum("hm,mhd->hd", logits.softmax(dim=-1), v).to(torch.bfloat16)
            lse[q_indptr[b] + i] = logits.logsumexp(dim=-1) / math.log(2)
    return output, lse


def gemma_norm(definition):
    """Divided by the root mean square in float64, scaled by the weight plus one."""

    def run(*rows):
        *rows, weight = (row.to(torch.float64) for row in rows)
        x = sum(rows)
        root = ((x**2).mean(dim=-1, keepdim=True) + definition["namespace"]["EPS"]).sqrt()
        return (x / root * (weight + 1)).to(torch.bfloat16)

    return run


def has_form(definition):
    return "sink" in definition["inputs"] or not definition["constants"].keys().isdisjoint(
        ("window_size", "logits_soft_cap")
    )


def other_way(ours, folder):
    """A definition that computes the same, made from what there is."""
    if ours["op_type"] == "rmsnorm":
        return {**ours, "run": gemma_norm(ours)}
    if has_form(ours):
        return {**ours, "run": lambda *arguments: attend(ours, *arguments)}
    if ours["op_type"] == "gemm":
        return {**ours, "run": multiply}
    if ours["op_type"] == "moe":
        return {**ours, "run": mixture(ours)}
    if ours["op_type"] == "rope":
        return {**ours, "run": rotate_as_complex(ours)}
    page_size = ours["constants"]["page_size"]
    single = load(folder / ours["op_type"] / (ours["name"].removesuffix(f"_ps{page_size}") + "_ps1.json"))

    def run(*arguments):
        inputs = with_single_token_pages(ours, dict(zip(ours["inputs"], arguments, strict=True)))
        return single["run"](*(inputs[name] for name in single["inputs"]))

    return {**ours, "run": run}


def main(our_folder, their_folder):
    torch.manual_seed(0)
    our_folder, their_folder = Path(our_folder), Path(their_folder)
    results = {}
    for path in sorted(our_folder.glob("*/*.json")):
        other = their_folder / path.parent.name / path.name
        try:
            ours = load(path)
            theirs = load(other) if other.exists() else other_way(ours, our_folder)
            results[path.stem] = compare(ours, in_the_order_of_its_reference(theirs))
        except Exception as error:  # a broken reference is one result among others
            results[path.stem] = {"cases": 0, "outputs": {}, "failures": [f"{type(error).__name__}: {error}"]}
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
