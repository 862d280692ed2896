import torch
import triton
import triton.language as tl

GROUP = 4  # query heads that share a head of keys and values
SIZE = 128  # of a head
TOKENS = 64  # keys that a program reads at once
LEAST = 128  # tokens of a split, so that joining does not cost more than it saves
PROGRAMS = 4 * 132  # enough for all multiprocessors of a large GPU
MOST_SPLITS = 64


@triton.jit
def attend(q, k_cache, v_cache, indptr, indices, scale, output, lse, heads, splits,
           GROUP: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr, TOKENS: tl.constexpr):
    """One split of a sequence for the query heads of one kv head. Rows are padded to what a matrix unit takes."""
    sequence, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kv_heads = tl.num_programs(1)
    start, end = tl.load(indptr + sequence), tl.load(indptr + sequence + 1)
    share = (end - start + splits - 1) // splits
    first = start + split * share
    last = tl.minimum(first + share, end)

    rows, places = tl.arange(0, ROWS), tl.arange(0, SIZE)
    is_head = rows < GROUP
    head = kv_head * GROUP + rows
    queries = tl.load(q + (sequence * heads + head)[:, None] * SIZE + places[None, :], mask=is_head[:, None], other=0.0)

    highest = tl.full([ROWS], -float("inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    sums = tl.zeros([ROWS, SIZE], tl.float32)
    for at in range(first, last, TOKENS):
        token = at + tl.arange(0, TOKENS)
        is_token = token < last
        page = tl.load(indices + token, mask=is_token, other=0).to(tl.int64)
        where = (page * kv_heads + kv_head)[:, None] * SIZE + places[None, :]
        keys = tl.load(k_cache + where, mask=is_token[:, None], other=0.0)
        values = tl.load(v_cache + where, mask=is_token[:, None], other=0.0)
        logits = tl.dot(queries, tl.trans(keys)) * scale
        logits = tl.where(is_token[None, :], logits, -float("inf"))
        higher = tl.maximum(highest, tl.max(logits, axis=1))
        shrink = tl.exp2(highest - higher)
        weights = tl.exp2(logits - higher[:, None])
        total = total * shrink + tl.sum(weights, axis=1)
        sums = sums * shrink[:, None] + tl.dot(weights.to(values.dtype), values)
        highest = higher

    is_empty = total == 0.0
    mean = sums / tl.where(is_empty, 1.0, total)[:, None]
    base2 = tl.where(is_empty, -float("inf"), highest + tl.log2(tl.where(is_empty, 1.0, total)))
    row = (sequence * heads + head) * splits + split
    tl.store(output + row[:, None] * SIZE + places[None, :], mean.to(output.dtype.element_ty), mask=is_head[:, None])
    tl.store(lse + row, base2, mask=is_head)


@triton.jit
def join(parts, part_lse, output, lse, splits, SPLITS: tl.constexpr, SIZE: tl.constexpr):
    """The splits of one head of one sequence, weighted by how much of the softmax each holds."""
    row = tl.program_id(0)
    split, places = tl.arange(0, SPLITS), tl.arange(0, SIZE)
    base2 = tl.load(part_lse + row * splits + split, mask=split < splits, other=-float("inf"))
    highest = tl.max(base2, axis=0)
    is_empty = highest == -float("inf")
    weights = tl.exp2(base2 - tl.where(is_empty, 0.0, highest))
    total = tl.sum(weights, axis=0)
    where = (row * splits + split)[:, None] * SIZE + places[None, :]
    values = tl.load(parts + where, mask=(split < splits)[:, None], other=0.0)
    mean = tl.sum(values * weights[:, None], axis=0) / tl.where(is_empty, 1.0, total)
    tl.store(output + row * SIZE + places, mean.to(output.dtype.element_ty))
    tl.store(lse + row, tl.where(is_empty, -float("inf"), highest + tl.log2(tl.where(is_empty, 1.0, total))))


def splits_of(sequences, kv_heads, tokens):
    """From shapes alone: to ask the device how long each sequence is would take longer than it saves."""
    if tokens == 0:
        return 1
    wanted = triton.cdiv(PROGRAMS, sequences * kv_heads)
    return max(1, min(wanted, triton.cdiv(tokens, sequences * LEAST), MOST_SPLITS))


def run(q, k_cache, v_cache, kv_indptr, kv_indices, sm_scale, output, lse):
    sequences, heads, _ = q.shape
    if sequences == 0:
        return
    kv_heads = k_cache.shape[2]
    splits = splits_of(sequences, kv_heads, kv_indices.shape[0])
    parts, part_lse = output, lse
    if splits > 1:
        parts = torch.empty((sequences * heads, splits, SIZE), dtype=torch.float32, device=q.device)
        part_lse = torch.empty((sequences * heads, splits), dtype=torch.float32, device=q.device)
    attend[(sequences, kv_heads, splits)](
        q, k_cache, v_cache, kv_indptr, kv_indices, sm_scale * 1.4426950408889634, parts, part_lse, heads, splits,
        GROUP=GROUP, ROWS=16, SIZE=SIZE, TOKENS=TOKENS, num_warps=4, num_stages=3)
    if splits > 1:
        join[(sequences * heads,)](parts, part_lse, output, lse, splits, SPLITS=triton.next_power_of_2(splits),
                                   SIZE=SIZE, num_warps=4)
