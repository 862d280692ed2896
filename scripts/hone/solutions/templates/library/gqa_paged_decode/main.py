"""{{definition}} by FlashInfer: {{summary}}

{{signature}}

The plan is part of each call: it depends on the lengths, and so it is timed.
"""

import flashinfer
import torch

PAGE_SIZE = {{page_size}}
WORKSPACE_BYTES = 128 * 1024 * 1024

wrappers = {}


def wrapper_on(device):
    if device not in wrappers:
        workspace = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=device)
        wrappers[device] = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace, kv_layout="NHD")
    return wrappers[device]


def run({{names}}):
    batch_size = q.shape[0]
    last_page_len = {{last_page_len}}
    if last_page_len is None:  # pages of one token are always full
        last_page_len = torch.ones(batch_size, dtype=torch.int32, device=q.device)
    wrapper = wrapper_on(q.device)
    wrapper.plan(
        kv_indptr,
        kv_indices,
        last_page_len,
        num_qo_heads={{num_qo_heads}},
        num_kv_heads={{num_kv_heads}},
        head_dim={{head_dim}},
        page_size=PAGE_SIZE,
        q_data_type=q.dtype,
        kv_data_type=k_cache.dtype,
        sm_scale=float(sm_scale),
    )
    # FlashInfer's lse is in base 2, as the definition's.
    return wrapper.run(q, (k_cache, v_cache), return_lse=True)
