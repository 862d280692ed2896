"""A generated test's comparison with FlashInfer on the CPU, where functions stand in for FlashInfer's that read and
write memory as its kernels for Hopper do. flashinfer_stand_in.py TEST.py"""

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


def stand_in(**modules):
    sys.modules["flashinfer"] = types.ModuleType("flashinfer")
    for name, function in modules.items():
        module = types.ModuleType("flashinfer." + name)
        setattr(module, function.__name__, function)
        sys.modules[module.__name__] = module


def load(path):
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location("generated", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stand_in(gemm=fp8_blockscale_gemm_sm90, mamba=selective_state_update)
torch.cuda.get_device_capability = lambda: (9, 0)
test = load(sys.argv[1])
outputs_of = test.outputs_of
test.needs = lambda *modules: None
test.outputs_of = lambda case, device: outputs_of(case, "cpu")
for case in test.CASES:
    test.test_against_flashinfer(case)
