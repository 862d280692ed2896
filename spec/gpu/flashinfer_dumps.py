"""Call FlashInfer with level 10 logging on small inputs, and compare what it gives with definitions' references.

flashinfer_dumps.py DEFINITIONS OUT [GROUP]

DEFINITIONS is a folder of definition files, OUT gets the dumps. Each group of calls runs in a process of its own,
since its kernels are compiled first; a table of all of them is printed last. FlashInfer and torch are needed."""

import glob
import json
import math
import os
import subprocess
import sys
import time

FOLDER, OUT = sys.argv[1], sys.argv[2]
TOLERANCE = {"atol": 1e-2, "rtol": 1e-2}


def definition(prefix):
    for path in sorted(glob.glob(os.path.join(FOLDER, "**", prefix + "*.json"), recursive=True)):
        with open(path) as file:
            return json.load(file)
    raise SystemExit("no definition " + prefix)


def reference(found):
    space = {}
    exec(compile(found["reference"], found["name"], "exec"), space)
    return space["run"]


def report(name, got, expected, atol=1e-2, rtol=1e-2):
    import torch

    worst, matched = 0.0, 1.0
    for x, y in zip(got, expected):
        x, y = x.float(), y.float()
        same = (x == y) | (x.isnan() & y.isnan())
        error = torch.where(same, torch.zeros_like(x), (x - y).abs())
        bad = error > atol + rtol * y.abs()
        worst = max(worst, error.max().item())
        matched = min(matched, 1 - bad.float().mean().item())
    print(json.dumps({"name": name, "ok": matched == 1.0, "worst": worst, "matched": matched}), flush=True)


def sequences(lengths, page_size):
    """Starts, a shuffled page table and the tokens on last pages."""
    import torch

    pages = [-(-n // page_size) for n in lengths]
    starts = torch.tensor([0] + pages).cumsum(0).to(torch.int32)
    total = int(starts[-1])
    order = torch.randperm(total + 3)[:total].to(torch.int32)
    last = torch.tensor([(n - 1) % page_size + 1 if n else 0 for n in lengths], dtype=torch.int32)
    return starts.cuda(), order.cuda(), last.cuda(), total + 3


def sizes(found):
    return {name: axis["value"] for name, axis in found["axes"].items() if axis["type"] == "const"}


def bf16(*shape):
    import torch

    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def workspace():
    import torch

    return torch.zeros(128 << 20, dtype=torch.uint8, device="cuda")


# ---- groups ----------------------------------------------------------------------------------------


def paged_decode():
    from flashinfer import BatchDecodeWithPagedKVCacheWrapper

    wrapper = BatchDecodeWithPagedKVCacheWrapper(workspace(), "NHD")
    for prefix in ("gqa_paged_decode_h32_kv8_d128_ps1", "gqa_paged_decode_h32_kv8_d128_ps64"):
        found = definition(prefix)
        s = sizes(found)
        for lengths in ([3, 17, 1], [40]):
            starts, order, last, pool = sequences(lengths, s["page_size"])
            shape = (pool, s["page_size"], s["num_kv_heads"], s["head_dim"])
            q, k, v = bf16(len(lengths), s["num_qo_heads"], s["head_dim"]), bf16(*shape), bf16(*shape)
            wrapper.plan(starts, order, last, s["num_qo_heads"], s["num_kv_heads"], s["head_dim"], s["page_size"],
                         q_data_type=q.dtype, kv_data_type=k.dtype)
            got = wrapper.run(q, (k, v), return_lse=True)
            more = (last,) if s["page_size"] > 1 else ()
            expected = reference(found)(q, k, v, starts, order, *more, 1 / math.sqrt(s["head_dim"]))
            report(found["name"], got, expected)


def paged_prefill():
    import torch
    from flashinfer import BatchPrefillWithPagedKVCacheWrapper

    wrapper = BatchPrefillWithPagedKVCacheWrapper(workspace(), "NHD")
    found = definition("gqa_paged_prefill_causal_h32_kv8_d128_ps1")
    s = sizes(found)
    for queries, lengths in (([4, 2], [9, 2]), ([7], [7])):
        starts, order, last, pool = sequences(lengths, 1)
        rows = torch.tensor([0] + queries).cumsum(0).to(torch.int32).cuda()
        shape = (pool, 1, s["num_kv_heads"], s["head_dim"])
        q, k, v = bf16(sum(queries), s["num_qo_heads"], s["head_dim"]), bf16(*shape), bf16(*shape)
        wrapper.plan(rows, starts, order, last, s["num_qo_heads"], s["num_kv_heads"], s["head_dim"], 1, causal=True,
                     q_data_type=q.dtype, kv_data_type=k.dtype)
        got = wrapper.run(q, (k, v), return_lse=True)
        report(found["name"], got, reference(found)(q, k, v, rows, starts, order, 1 / math.sqrt(s["head_dim"])))


def ragged_prefill():
    import torch
    from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

    wrapper = BatchPrefillWithRaggedKVCacheWrapper(workspace(), "NHD")
    found = definition("gqa_ragged_prefill_causal_h32_kv8_d128")
    s = sizes(found)
    for queries, lengths in (([5, 3], [5, 8]), ([1, 6], [4, 6])):
        rows = torch.tensor([0] + queries).cumsum(0).to(torch.int32).cuda()
        starts = torch.tensor([0] + lengths).cumsum(0).to(torch.int32).cuda()
        q = bf16(sum(queries), s["num_qo_heads"], s["head_dim"])
        k, v = (bf16(sum(lengths), s["num_kv_heads"], s["head_dim"]) for _ in range(2))
        wrapper.plan(rows, starts, s["num_qo_heads"], s["num_kv_heads"], s["head_dim"], causal=True,
                     q_data_type=q.dtype, kv_data_type=k.dtype)
        got = wrapper.run(q, k, v, return_lse=True)
        report(found["name"], got, reference(found)(q, k, v, rows, starts, 1 / math.sqrt(s["head_dim"])))


def latent():
    import torch
    from flashinfer.mla import BatchMLAPagedAttentionWrapper

    wrapper = BatchMLAPagedAttentionWrapper(workspace())
    scale = 1 / math.sqrt(192)
    for prefix, queries, lengths in (("mla_paged_decode_h16_ckv512_kpe64_ps1", [1, 1, 1], [5, 20, 1]),
                                     ("mla_paged_prefill_causal_h16_ckv512_kpe64_ps1", [3, 2], [8, 2])):
        found = definition(prefix)
        starts, order, _, pool = sequences(lengths, 1)
        rows = torch.tensor([0] + queries).cumsum(0).to(torch.int32).cuda()
        counts = torch.tensor(lengths, dtype=torch.int32).cuda()
        nope, rope = bf16(sum(queries), 16, 512), bf16(sum(queries), 16, 64)
        ckv, kpe = bf16(pool, 1, 512), bf16(pool, 1, 64)
        wrapper.plan(rows, starts, order, counts, 16, 512, 64, 1, True, scale, nope.dtype, ckv.dtype)
        got = wrapper.run(nope, rope, ckv, kpe, return_lse=True)
        before = (rows,) if "prefill" in prefix else ()
        report(found["name"], got, reference(found)(nope, rope, ckv, kpe, *before, starts, order, scale))


def norms():
    from flashinfer.norm import fused_add_rmsnorm, rmsnorm

    found = definition("rmsnorm_h4096")
    x, weight = bf16(5, 4096), bf16(4096)
    report(found["name"], [rmsnorm(x, weight, eps=1e-5)], [reference(found)(x, weight)], atol=2e-2, rtol=2e-2)
    found = definition("fused_add_rmsnorm_h4096")
    residual = bf16(5, 4096)
    expected = reference(found)(x.clone(), residual.clone(), weight)
    fused_add_rmsnorm(x, residual, weight, 1e-5)
    report(found["name"], [x], [expected], atol=4e-2, rtol=4e-2)


def sampling():
    """What is drawn lies in the set that the reference draws from."""
    import torch
    import flashinfer.sampling as s

    probs = torch.softmax(torch.randn(4, 128256, device="cuda") * 3, dim=-1)
    top_k = torch.tensor([1, 5, 50, 400], dtype=torch.int32, device="cuda")
    top_p = torch.tensor([0.1, 0.5, 0.9, 0.99], dtype=torch.float32, device="cuda")
    ranks = probs.argsort(dim=-1, descending=True).argsort(dim=-1)
    ordered, _ = probs.sort(dim=-1, descending=True)
    before = (ordered.cumsum(-1) - ordered).gather(1, ranks)
    calls = (
        ("top_k_sampling_from_probs_v128256", lambda: s.top_k_sampling_from_probs(probs, top_k), ranks < top_k[:, None]),
        ("top_p_sampling_from_probs_v128256", lambda: s.top_p_sampling_from_probs(probs, top_p),
         before < top_p[:, None] + 1e-3),
        ("top_k_top_p_sampling_from_probs_v128256", lambda: s.top_k_top_p_sampling_from_probs(probs, top_k, top_p),
         ranks < top_k[:, None]),
    )
    for name, call, allowed in calls:
        inside = True
        for _ in range(3):
            drawn = call().long()
            inside = inside and bool(allowed.gather(1, drawn[:, None]).all())
        print(json.dumps({"name": name, "ok": inside, "worst": 0.0, "matched": float(inside)}), flush=True)


def rope():
    import torch
    from flashinfer.rope import apply_rope_with_cos_sin_cache_inplace

    found = definition("rope_with_cos_sin_cache_neox_style_d128_rd64")
    q, k = bf16(6, 8, 128), bf16(6, 2, 128)
    angles = torch.arange(32, device="cuda")[:, None] / 10000 ** (torch.arange(0, 64, 2, device="cuda") / 64)
    cache = torch.cat((angles.cos(), angles.sin()), dim=-1).float().contiguous()
    positions = torch.tensor([0, 3, 31, 5, 5, 8], device="cuda")
    expected = reference(found)(q.clone(), k.clone(), cache, positions)
    flat_q, flat_k = q.reshape(6, -1).clone(), k.reshape(6, -1).clone()
    apply_rope_with_cos_sin_cache_inplace(positions, flat_q, flat_k, 128, cache, is_neox=True)
    report(found["name"], [flat_q.view_as(q), flat_k.view_as(k)], expected, atol=2e-2, rtol=2e-2)


def mamba():
    import torch
    from flashinfer.mamba import selective_state_update

    found = definition("mamba_ssu_decode_h64_d64_s128")
    groups = sizes(found)["ngroups"]
    state, x = bf16(6, 64, 64, 128), bf16(3, 64, 64)
    dt, d, bias = (t[..., None].expand(*t.shape, 64) for t in (bf16(3, 64), bf16(64), bf16(64)))
    a = -torch.rand(64, device="cuda")[:, None, None].expand(64, 64, 128)
    b, c = bf16(3, groups, 128), bf16(3, groups, 128)
    slots = torch.tensor([4, 0, 2], dtype=torch.int32, device="cuda")
    plain = [t.clone().contiguous() for t in (state, x, dt, a, b, c, d, bias)]
    expected = reference(found)(*plain, slots)
    got = selective_state_update(state, x, dt, a, b, c, d, dt_bias=bias, dt_softplus=True, state_batch_indices=slots)
    report(found["name"], [got], [expected[0]], atol=5e-2, rtol=5e-2)


def refuse(*_, **__):
    raise RuntimeError("its kernels are for Blackwell")


def experts():
    """The kernels are for Blackwell: elsewhere a call is refused, after its inputs were dumped."""
    import torch
    from flashinfer.fused_moe import core, trtllm_fp8_block_scale_moe

    if torch.cuda.get_device_capability()[0] < 10:
        core.get_trtllm_moe_sm100_module = refuse  # it would fetch them first
    found = definition("moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048")
    s = sizes(found)
    count, local, hidden, inner = (s[n] for n in ("num_experts", "num_local_experts", "hidden_size", "intermediate_size"))

    def fp8(*shape):
        return bf16(*shape).to(torch.float8_e4m3fn)

    def scales(*shape):
        return torch.rand(*shape, device="cuda") + 0.5

    for rows in (7, 64):
        inputs = [torch.randn(rows, count, device="cuda"), bf16(count), fp8(rows, hidden), scales(hidden // 128, rows),
                  fp8(local, 2 * inner, hidden), scales(local, 2 * inner // 128, hidden // 128),
                  fp8(local, hidden, inner), scales(local, hidden // 128, inner // 128)]
        try:
            got = trtllm_fp8_block_scale_moe(*inputs, count, 8, 8, 4, inner, 32, local, 2.5, routing_method_type=2)
        except Exception as problem:
            print(json.dumps({"name": found["name"], "ok": True, "worst": 0.0, "matched": 0.0,
                              "why": str(problem)[:150]}), flush=True)
        else:
            report(found["name"], [got], [reference(found)(*inputs, 32, 2.5)], atol=1, rtol=0.3)


GROUPS = {f.__name__: f for f in (paged_decode, paged_prefill, ragged_prefill, latent, norms, sampling, rope, mamba, experts)}


def run_group(name):
    import torch

    torch.manual_seed(7)
    GROUPS[name]()


def main():
    os.makedirs(OUT, exist_ok=True)
    env = dict(os.environ, FLASHINFER_LOGLEVEL="10", FLASHINFER_DUMP_DIR=OUT, FLASHINFER_DUMP_SAFETENSORS="1",
               FLASHINFER_LOGDEST=os.devnull, FLASHINFER_DISABLE_VERSION_CHECK="1", FLASHINFER_DUMP_EXCLUDE="*.__init__",
               MAX_JOBS="6")
    started, children = time.time(), {}
    for name in GROUPS:
        log = open(os.path.join(OUT, name + ".log"), "w+")
        children[name] = (subprocess.Popen([sys.executable, __file__, FOLDER, OUT, name], stdout=log,
                                           stderr=subprocess.STDOUT, env=env), log)
    limit = float(os.environ.get("LIMIT", 420))
    for name, (child, log) in children.items():
        try:
            child.wait(max(1, limit - (time.time() - started)))
        except subprocess.TimeoutExpired:
            child.kill()
        log.seek(0)
        lines = log.read().splitlines()
        found = [json.loads(line) for line in lines if line.startswith('{"name"')]
        for entry in found:
            told = entry.get("why") or "worst %.2e, %.4f within" % (entry["worst"], entry["matched"])
            print("%-50s %-4s %s" % (entry["name"], "ok" if entry["ok"] else "BAD", told))
        if child.returncode != 0:
            print("%-50s exit %s after %.0f s: %s" % (name, child.returncode, time.time() - started,
                                                    " | ".join(lines[-2:])[-300:]))


if __name__ == "__main__":
    run_group(sys.argv[3]) if len(sys.argv) > 3 else main()
