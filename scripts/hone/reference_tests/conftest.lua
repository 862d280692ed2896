--- The conftest.py that generated tests share.
return [==[
"""What the tests of references share: inputs, comparison and report. Written by `hone add-reference-tests`."""

import inspect
import math

import pytest
import torch


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    return request.param


def needs(*modules):
    """Skip where one of these modules cannot be imported, or there is no GPU for them."""
    for module in modules:
        pytest.importorskip(module, exc_type=ImportError)
    if not torch.cuda.is_available():
        pytest.skip("no GPU")


def workspace():
    return torch.zeros(128 << 20, dtype=torch.uint8, device="cuda")


MANY = 1 << 24  # elements: the CPU takes too long for more


class Inputs:
    """Seeded random tensors on a device, the same on every machine: all but large ones are drawn on the CPU."""

    def __init__(self, device, seed=0):
        self.device = device
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, dtype=torch.bfloat16):
        return torch.randn(*shape, generator=self.generator).to(dtype).to(self.device)

    def unit(self, *shape, dtype=torch.bfloat16):
        """Vectors of length one."""
        x = torch.randn(*shape, generator=self.generator)
        return (x / x.norm(dim=-1, keepdim=True)).to(dtype).to(self.device)

    def uniform(self, *shape):
        return torch.rand(*shape, generator=self.generator).to(self.device)

    def fp8(self, *shape):
        return self.each(torch.float8_e4m3fn, lambda x: x.clamp_(-2, 2), *shape)

    def scales(self, *shape):
        return (torch.rand(*shape, generator=self.generator) * 0.02 + 0.001).to(self.device)

    def each(self, dtype, change, *shape):
        """Normal numbers, changed, one matrix after the other; where there are many, drawn where they are used."""
        generator = self.generator
        if math.prod(shape) >= MANY:
            generator = torch.Generator(self.device).manual_seed(self.generator.initial_seed() + sum(shape))
        made = torch.empty(shape, dtype=dtype, device=self.device)
        for part in made if len(shape) > 2 else [made]:
            part.copy_(change(torch.randn(part.shape, generator=generator, device=generator.device)))
        return made

    def weights(self, *shape, dtype=torch.float32):
        return self.each(dtype, lambda x: x.div_(shape[-1] ** 0.5), *shape)

    def bfloat16_weights(self, *shape):
        return self.weights(*shape, dtype=torch.bfloat16)

    def routes(self, rows, top_k, experts):
        """Numbers of experts in the upper half of 32 bits, their weights as bfloat16 in the lower."""
        chosen = torch.rand(rows, experts, generator=self.generator).argsort(dim=1)[:, :top_k].to(torch.int32)
        weights = torch.rand(rows, top_k, generator=self.generator)
        bits = (weights / weights.sum(dim=1, keepdim=True)).to(torch.bfloat16).view(torch.int16).to(torch.int32)
        return (chosen * 65536 + bits).to(self.device)

    def integers(self, low, high, *shape, dtype=torch.int32):
        return torch.randint(low, high, shape, generator=self.generator).to(dtype).to(self.device)

    def permutation(self, count):
        return torch.randperm(count, generator=self.generator).to(torch.int32)

    def tensor(self, values, dtype=torch.int32):
        return torch.tensor(values, dtype=dtype, device=self.device)

    def starts(self, lengths, dtype=torch.int32):
        """Where sequences of these lengths start, and the last one ends."""
        return torch.tensor([0, *lengths]).cumsum(0).to(dtype).to(self.device)

    def padded(self, lengths):
        return torch.cat((lengths, lengths.new_zeros(1)))

    def pages(self, lengths, page_size):
        """Shuffled pages of sequences: starts, page table, tokens on the last pages, size of the pool."""
        counts = [-(-n // page_size) for n in lengths]
        pool = sum(counts) + 2
        last = [(n - 1) % page_size + 1 if n else 0 for n in lengths]
        table = self.permutation(pool)[: sum(counts)].to(self.device)
        return self.starts(counts), table, self.tensor(last), pool


LARGE = 1 << 28  # bytes: nobody writes into inputs of that size


def copies(inputs):
    """Inputs for one call: a reference may write into those that it is given."""
    return [value.clone() if isinstance(value, torch.Tensor) and value.nbytes < LARGE else value for value in inputs]


def call(run, names, inputs):
    """By the parameters' names where they are the inputs': some references take them in another order."""
    parameters = list(inspect.signature(run).parameters)
    if set(parameters) == set(names):
        return run(**dict(zip(names, copies(inputs))))
    return run(*copies(inputs))


def as_list(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def check_form(outputs, specs, axes):
    """Count, dtypes and shapes are those of the definition; returns the sizes of all axes."""
    assert len(outputs) == len(specs), f"{len(outputs)} outputs, the definition has {len(specs)}"
    for output, (name, (dtype, shape)) in zip(outputs, specs.items()):
        assert output.dtype == dtype, f"{name} is {output.dtype}, not {dtype}"
        assert len(output.shape) == len(shape), f"{name} has shape {tuple(output.shape)}, not {shape}"
        for axis, size in zip(shape, output.shape):
            assert axes.setdefault(axis, size) == size, f"{name}: the axis {axis} is {size}, not {axes[axis]}"


def bind_axes(inputs, specs, constants):
    axes = dict(constants)
    for value, (name, shape) in zip(inputs, specs.items()):
        for axis, size in zip(shape or (), value.shape if shape else ()):
            assert axes.setdefault(axis, size) == size, f"{name}: the axis {axis} is {size}, not {axes[axis]}"
    return axes


def distance_of(x, y):
    """The length of what is between two vectors in lengths of the second, and their cosine."""
    between, length = (x - y).norm().item(), y.norm().item()
    if between == 0:
        return 0.0, 1.0
    if length == 0:
        return math.inf, 0.0
    return between / length, (x @ y).item() / max(x.norm().item() * length, 1e-300)


def compare(name, got, expected, atol, rtol, ratio=1.0, distance=math.inf, is_scaled=True):
    """Fail with the worst places where they differ; -inf and -inf are equal, NaN equals nothing.

    A share `ratio` of the elements must be within the tolerance, and all together, of floats, no further away than
    `distance` times the norm of what is expected. For outputs that are small, `atol` is in units of their scale.
    """
    assert got.shape == expected.shape, f"{name}: {tuple(got.shape)} against {tuple(expected.shape)}"
    if got.numel() == 0:
        return
    x, y = got.detach().double().flatten(), expected.detach().double().flatten().to(got.device)
    finite = x.isfinite() & y.isfinite()
    a, b = x[finite], y[finite]
    if is_scaled and y.isfinite().any():
        atol = atol * min(1.0, (y[y.isfinite()] ** 2).mean().sqrt().item())
    same = x == y
    error = torch.where(same, torch.zeros_like(x), (x - y).abs())
    bad = ~same & ~(error <= atol + rtol * y.abs())
    matched = 1 - bad.double().mean().item()
    far, cosine = distance_of(a, b)
    mse = ((a - b) ** 2).mean().item() if a.numel() else math.nan
    print(f"{name}: largest error {error.nan_to_num(math.inf).max().item():.3e}, within {matched:.4%}, "
          f"distance {far:.3e}, cosine {cosine:.8f}, MSE {mse:.3e}")
    if matched >= ratio and (far <= distance or not got.is_floating_point()):
        return
    if matched >= ratio:
        bad = ~same
    worst = torch.where(bad, error.nan_to_num(math.inf), torch.zeros_like(error)).topk(min(5, x.numel())).indices
    lines = []
    for place in worst.tolist():
        index = tuple(int(i) for i in torch.unravel_index(torch.tensor(place), got.shape))
        lines.append(f"  {index}: expected {y[place].item():.6g}, got {x[place].item():.6g}")
    pytest.fail(f"{name}: {matched:.4%} within atol={atol:.3g} rtol={rtol}, wanted {ratio:.2%}; "
                f"off by {far:.3e} of the norm, allowed {distance}\n" + "\n".join(lines))


def check_drawn(samples, distribution):
    """Nothing is drawn that may not be."""
    chance = distribution.to(samples.device).gather(1, samples.long().unsqueeze(1))
    assert bool((chance > 0).all()), f"drawn with no chance: {samples[chance.squeeze(1) <= 0].tolist()}"


def check_shares(draw, distribution, draws=2000):
    """How often tokens are drawn is what the distribution says: by total variation over its largest tokens."""
    row = distribution[0].double().cpu()
    counts = torch.zeros_like(row)
    for _ in range(draws):
        counts[int(draw()[0])] += 1
    top = row.topk(min(8, row.numel())).indices
    expected = torch.cat((row[top], 1 - row[top].sum().unsqueeze(0)))
    seen = counts / draws
    found = torch.cat((seen[top], 1 - seen[top].sum().unsqueeze(0)))
    distance = 0.5 * (expected - found).abs().sum().item()
    assert distance < 4 * math.sqrt(len(expected) / draws), f"total variation {distance:.3f} from the distribution"
]==]
