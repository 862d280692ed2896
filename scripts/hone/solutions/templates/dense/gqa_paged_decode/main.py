"""{{definition}}: {{summary}}

{{signature}}

Dense: the pages of all sequences are gathered into one padded batch, and torch attends to that.
"""

import math

import torch

PAGE_SIZE = {{page_size}}
GROUP = {{num_qo_heads}} // {{num_kv_heads}}  # query heads that share a key-value head: h belongs to h // GROUP


def token_counts(kv_indptr, last_page_len):
    """Tokens of each sequence: all pages are full but the last."""
    pages = (kv_indptr[1:] - kv_indptr[:-1]).to(torch.int64)
    if last_page_len is None:
        return pages * PAGE_SIZE
    return torch.where(pages > 0, (pages - 1) * PAGE_SIZE + last_page_len[: len(pages)].to(torch.int64), 0)


def gather(cache, kv_indptr, kv_indices, counts):
    """[batch, longest, heads, head_dim], zeros where a sequence has ended."""
    longest = int(counts.max()) if len(counts) else 0
    positions = torch.arange(longest, device=cache.device)
    valid = positions[None, :] < counts[:, None]
    entry = kv_indptr[:-1].to(torch.int64)[:, None] + positions[None, :] // PAGE_SIZE
    page = kv_indices.to(torch.int64)[entry.clamp(max=max(len(kv_indices) - 1, 0))] if len(kv_indices) else entry * 0
    tokens = cache.flatten(0, 1)[page * PAGE_SIZE + positions[None, :] % PAGE_SIZE]
    return torch.where(valid[:, :, None, None], tokens, 0).to(torch.float32), valid


@torch.no_grad()
def run({{names}}):
    counts = token_counts(kv_indptr, {{last_page_len}})
    keys, valid = gather(k_cache, kv_indptr, kv_indices, counts)
    values, _ = gather(v_cache, kv_indptr, kv_indices, counts)
    keys, values = (t.repeat_interleave(GROUP, dim=2) for t in (keys, values))

    logits = torch.einsum("bhd,bmhd->bhm", q.to(torch.float32), keys) * sm_scale
    logits = logits.masked_fill(~valid[:, None, :], -math.inf)
    lse = torch.logsumexp(logits, dim=-1)
    # An empty sequence has an lse of -inf and an output of zeros, not of NaN.
    weights = torch.exp(logits - lse.masked_fill(lse == -math.inf, 0.0)[:, :, None])
    output = torch.einsum("bhm,bmhd->bhd", weights, values)
    return output.to(q.dtype), lse / math.log(2.0)  # base 2
