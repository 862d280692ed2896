"""Functions without arguments whose tensors must be torch's: see concrete_spec.lua."""
import math

import torch
import torch.nn.functional as F
from torch import nn


def grid(*shape, dtype=torch.float32):
    n = math.prod(shape)
    return (torch.arange(n, dtype=torch.float32) * 0.5 - n / 8).reshape(shape).to(dtype)


def case_views_alias():
    a = torch.zeros(2, 3)
    b = a.view(3, 2)
    b[0] = 1
    a[1, 2] += 5
    c = a.t()
    c[0].fill_(7)
    a[:, 1:] *= 2
    d = a[0]
    d += 100
    return a, b, c


def case_promotion():
    i, h, f = torch.tensor([1, 2]), torch.tensor([1.5], dtype=torch.bfloat16), torch.tensor(2.0)
    return i + 1, i + 1.5, i / 2, i // 2, i * h, h * f, h + 1, f + i, True + i, i == 1, -i, ~i, i**2, 2**i, 5 - i, 1 / f


def case_indexing():
    a = grid(3, 4, 5)
    idx = torch.tensor([2, 0])
    return a[1], a[-1, 2], a[:, 1], a[..., -1], a[0, :, 1:4:2], a[None, 0].shape, a[idx], a[:, idx], a[idx, 1], a[idx, idx], a[a > 1], a[0, [0, 2]], a[torch.tensor(1)], a[1:1].shape, a[-2:], a[:-1].shape, a[1, ...]


def case_index_assignment():
    a = torch.zeros(4, 3)
    a[1] = torch.tensor([1.0, 2.0, 3.0])
    a[torch.tensor([0, 3])] = 9
    a[:, 0] = -1
    a[a == 2] = 20
    a[2:3, 1:] = torch.ones(1, 2)
    a[-1, -1] = 0.5
    b = torch.zeros(3, dtype=torch.int64)
    b[1] = 7
    return a, b


def case_making():
    like = torch.ones(2, dtype=torch.float16)
    return torch.zeros(2, 3, dtype=torch.int32), torch.ones((2,)), torch.full((2, 2), 7), torch.full((1,), 0.5), torch.arange(5), torch.arange(1, 2, 0.25), torch.arange(2, 5, dtype=torch.float32), torch.eye(2), torch.tensor([[1, 2], [3, 4]]), torch.tensor([True, False]), torch.tensor(3.5), torch.zeros_like(like), torch.full_like(like, 2), torch.linspace(0, 1, 5), like.new_zeros(3), torch.tensor([1, 2], dtype=torch.bfloat16)


def case_reductions():
    a = grid(2, 3, 4)
    m = a.max(dim=1)
    return a.sum(), a.sum(dim=-1), a.sum((0, 2), keepdim=True), a.mean(dim=1), a.amax(-1), a.max(), m.values, m.indices, a.argmax(), torch.argmax(a, dim=-1), a.prod(0), a.any(), (a > 2).all(dim=0), a.std(), a.var(dim=0, unbiased=False), torch.logsumexp(a, dim=-1), torch.softmax(a, dim=0), F.softmax(a, dim=-1, dtype=torch.float64), torch.cumsum(a, dim=1), a.norm(), torch.min(a, 0)[0]


def case_shapes():
    a = grid(2, 3, 4)
    parts = torch.split(a, [1, 3], dim=-1)
    x, y = a.chunk(2, dim=-1)
    return a.permute(2, 0, 1), a.transpose(0, -1), a.reshape(6, -1), a.flatten(1), a.unsqueeze(-2).shape, a.unsqueeze(0).squeeze(0), a[:, :1].expand(2, 3, 4), a.repeat(1, 2, 1), a.repeat_interleave(2, dim=1), torch.repeat_interleave(a, torch.tensor([1, 2]), dim=0), parts[0], parts[1], x, y, torch.cat([x, y], dim=-1), torch.stack((x, y)), a.T.shape if a.ndim == 2 else a.mT, a.flip(0), a.roll(1, 0), a.view(torch.int32), a.numel(), a.size(1), list(a.shape), a.shape[-1], torch.triu(a[0]), F.pad(a, (1, 2)), a.unbind(0)[1], torch.tile(a[0], (2, 1))


def case_index_functions():
    a = grid(4, 3)
    i = torch.tensor([[0, 1, 2], [3, 2, 1]])
    z = torch.zeros(4, 3)
    z.scatter_(0, i, a[:2])
    z.index_add_(0, torch.tensor([1, 1]), torch.ones(2, 3))
    return a.gather(0, i), a.index_select(1, torch.tensor([2, 0])), z, torch.where(a > 0, a, torch.zeros_like(a)), torch.where(a > 0, 1.0, 0.0), a.masked_fill(a < 0, -math.inf), torch.nonzero(a > 1), torch.nonzero(a > 1, as_tuple=True)[0], a.masked_select(a > 1), torch.zeros(3).scatter_add_(0, torch.tensor([1, 1]), torch.ones(2)), F.one_hot(torch.tensor([0, 2]), 3)


def case_order():
    a = torch.tensor([[3.0, 1.0, 2.0], [0.5, -1.0, 4.0]])
    values, order = torch.sort(a, dim=-1, descending=True)
    top = torch.topk(a, k=2, dim=-1)
    return values, order, top.values, top.indices, a.argsort(), torch.searchsorted(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.0, 9.0]), right=True), torch.unique(torch.tensor([3, 1, 3]))


def case_products():
    a, b = grid(2, 3, 4), grid(2, 4, 2)
    return a @ b, torch.bmm(a, b), torch.matmul(a[0], b[0]), a[0].mm(b[0]), torch.einsum("bij,bjk->bik", a, b), torch.einsum("ij->ji", a[0]), a[0, 0].dot(a[0, 1]), torch.outer(a[0, 0], a[0, 1]), F.linear(a[0], a[1]), torch.addmm(torch.ones(3, 2), a[0], b[0])


def case_functions():
    a = grid(7)
    p = a.abs() + 0.5
    return torch.exp(a), torch.log(p), p.sqrt(), torch.rsqrt(p), a.sigmoid(), F.silu(a), F.gelu(a), F.relu(a), F.softplus(a), a.tanh(), a.clamp(-1, 1), a.clamp(min=0), torch.clamp(a, max=0.5), a.pow(2), a.abs().pow(0.5), torch.maximum(a, -a), torch.minimum(a, torch.tensor(0.0)), a.floor(), a.round(), torch.isnan(a / 0 * 0), a.sign(), nn.functional.softplus(a), a.square(), torch.add(a, a, alpha=2), torch.div(a, 2, rounding_mode="floor"), a.lerp(p, 0.25), torch.sub(1, a) if False else a.neg()


def case_casts():
    a = grid(5) * 3
    b = a.to(torch.float8_e4m3fn)
    return a.half(), a.bfloat16(), a.int(), a.long(), a.bool(), a.to(torch.float64), b.float(), a.to("cpu"), a.to("cpu", torch.float16), a.type_as(b.float()), a.dtype == torch.float32, a.device.type, str(a.dtype), a.is_floating_point(), torch.finfo(torch.bfloat16).max, torch.iinfo(torch.int32).min, a.element_size(), a.to(dtype=torch.int16)


def case_numbers():
    a = torch.tensor([2, 5])
    n = int(a[1])
    return a[0].item(), n, float(a[0]), a.tolist(), a.sum().item() > 6, bool(a[0] == 2), [int(v) for v in a], len(a), a.max() > 4, range(a[0].item()), list(range(a[0])), max(a.tolist()), a[0] * 1.5, min(n, 3)


def case_loop_over_rows():
    a = grid(3, 2)
    total = torch.zeros(2)
    for i, row in enumerate(a):
        total += row * i
        if total[0] > 100:
            break
    out = torch.empty(3, 2)
    for b in range(a.shape[0]):
        out[b] = a[b] - total
    return total, out


@torch.no_grad()
def case_context():
    with torch.no_grad():
        a = torch.ones(2)
        a.zero_()
        a.copy_(torch.tensor([1, 2]))
        a.masked_fill_(a > 1, 5)
        a.clamp_(max=3).mul_(2).sub_(1)
    return a, a.contiguous().is_contiguous(), a.clone(), a.detach()
