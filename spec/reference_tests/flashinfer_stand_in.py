"""A generated test's comparison with FlashInfer on the CPU, where functions stand in for FlashInfer's that read and
write memory as its kernels for Hopper do. flashinfer_stand_in.py TEST.py [SOLUTION.py INPUT...]; a solution by
FlashInfer takes the place of the test's own call, and must leave its inputs as they are but those that are named."""

import importlib.util
import os
import sys
import types

import torch


def fp8_blockscale_gemm_sm90(input, weight, input_scale, weight_scale):
    """The scales of the input are read by their address alone; past their memory, as_strided raises."""
    (rows, depth), block = input.shape, 128
    scales = input_scale.as_strided((rows, depth // block), (1, -(-rows // 4) * 4))
    output = torch.zeros(rows, weight.shape[0])
    for k in range(depth // block):
        columns = slice(k * block, (k + 1) * block)
        product = input[:, columns].float() @ weight[:, columns].float().t()
        output += product * scales[:, k : k + 1] * weight_scale[:, k].repeat_interleave(block)
    return output.to(torch.bfloat16)


def selective_state_update(state, x, dt, A, B, C, D, dt_bias, dt_softplus, state_batch_indices, pad_slot_id):
    """One number a head, which strides must say; a padded row is computed as well, from a state of zeros."""
    strides = dt.stride()[1:], A.stride(), D.stride(), dt_bias.stride()
    assert strides == ((1, 0), (1, 0, 0), (1, 0), (1, 0)), f"strides {strides}"
    assert dt_softplus
    output, heads = torch.empty_like(x), x.shape[1] // B.shape[1]
    for i, slot in enumerate(state_batch_indices.tolist()):
        step = torch.nn.functional.softplus(dt[i, :, 0].float() + dt_bias[:, 0].float())
        entered, read = (y[i].float().repeat_interleave(heads, dim=0).unsqueeze(1) for y in (B, C))
        before = torch.zeros_like(state[0]) if slot == pad_slot_id else state[slot]
        after = before.float() * torch.exp(A[:, 0, 0] * step)[:, None, None]
        after += (step.unsqueeze(1) * x[i].float()).unsqueeze(2) * entered
        output[i] = (after * read).sum(dim=2) + D.float() * x[i].float()
        if slot != pad_slot_id:
            state[slot] = after.to(state.dtype)
    return output


class BatchPrefillWithRaggedKVCacheWrapper:
    def __init__(self, workspace, kv_layout):
        assert workspace.numel() >= 128 << 20 and kv_layout == "NHD"

    def plan(self, qo_indptr, kv_indptr, num_qo_heads, num_kv_heads, head_dim_qk, head_dim_vo, causal, q_data_type,
             kv_data_type, sm_scale):
        self.starts, self.group, self.causal = (qo_indptr.tolist(), kv_indptr.tolist()), num_qo_heads // num_kv_heads, causal
        self.form, self.scale = (num_qo_heads, head_dim_qk, head_dim_vo, q_data_type, kv_data_type), sm_scale

    def run(self, q, k, v, return_lse):
        assert return_lse and self.form == (*q.shape[1:], v.shape[2], q.dtype, k.dtype)
        output, lse = torch.zeros(*q.shape[:2], v.shape[2]), torch.full(q.shape[:2], -torch.inf)
        for first, end, start, stop in zip(self.starts[0], self.starts[0][1:], self.starts[1], self.starts[1][1:]):
            keys, values = (x[start:stop].float().repeat_interleave(self.group, dim=1) for x in (k, v))
            logits = torch.einsum("qhd,khd->hqk", q[first:end].float(), keys) * self.scale
            if self.causal:
                logits += torch.full(logits.shape[1:], -torch.inf).triu(1 + stop - start - (end - first))
            output[first:end] = torch.einsum("hqk,khd->qhd", logits.softmax(dim=2), values)
            lse[first:end] = logits.logsumexp(dim=2).t() / torch.tensor(2.0).log()
        return output.to(q.dtype), lse


def stand_in(**modules):
    package = sys.modules["flashinfer"] = types.ModuleType("flashinfer")
    package.BatchPrefillWithRaggedKVCacheWrapper = BatchPrefillWithRaggedKVCacheWrapper
    for name, function in modules.items():
        module = types.ModuleType("flashinfer." + name)
        setattr(module, function.__name__, function)
        sys.modules[module.__name__] = module


def load(path, name):
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_the_cpu(function):
    return lambda *sizes, **options: function(*sizes, **dict(options, device="cpu"))


def as_truth(run):
    """A solution in the place of a test's call: twice, since it may keep something."""

    def truth(*inputs):
        before = test.copies(inputs)
        run(*test.copies(inputs))
        outputs = run(*inputs)
        for name, given, kept in zip(test.INPUTS, inputs, before):
            is_same = not isinstance(given, torch.Tensor) or torch.equal(given, kept)
            assert is_same or name in sys.argv[3:], f"{name} was changed"
        return outputs

    return truth


stand_in(gemm=fp8_blockscale_gemm_sm90, mamba=selective_state_update)
torch.cuda.get_device_capability = lambda: (9, 0)
torch.zeros = on_the_cpu(torch.zeros)
test = load(sys.argv[1], "generated")
outputs_of = test.outputs_of
test.needs = lambda *modules: None
test.outputs_of = lambda case, device: outputs_of(case, "cpu")
if len(sys.argv) > 2:
    test.flashinfer_truth = as_truth(load(sys.argv[2], "solution").run)
for case in test.CASES:
    test.test_against_flashinfer(case)
