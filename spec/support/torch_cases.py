"""Cases for the specs of tensors, with PyTorch's answers: torch_cases.py ROOM FOLDER.

FOLDER gets tensors.safetensors and cases.json, a list of cases that name their tensors in it."""
import itertools
import json
import random
import string
import sys

import numpy
import torch
from safetensors.torch import save_file

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]


class Cases:
    def __init__(self):
        self.tensors, self.cases = {}, []

    def keep(self, tensor):
        name = f"t{len(self.tensors)}"
        self.tensors[name] = tensor.detach().clone().contiguous()
        return name

    def add(self, **case):
        self.cases.append(case)

    def save(self, folder):
        save_file(self.tensors, f"{folder}/tensors.safetensors")
        with open(f"{folder}/cases.json", "w") as file:
            json.dump(self.cases, file)


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


# ---- order ------------------------------------------------------------------------------------------


def special_values(dtype):
    if dtype == torch.bool:
        return torch.tensor([True, False, True])
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)
        return torch.tensor([limits.min, limits.max, 0, 1, limits.max - 1], dtype=dtype)
    values = [0.0, -0.0, 1.0, -1.0, float("nan"), torch.finfo(dtype).max, torch.finfo(dtype).min]
    values += [torch.finfo(dtype).smallest_normal, -torch.finfo(dtype).smallest_normal]
    if dtype != torch.float8_e4m3fn:
        values += [float("inf"), float("-inf")]
    return torch.tensor(values, dtype=torch.float64).to(dtype)


def with_specials(shape, dtype):
    """Few different values, so that many are equal, and the special ones among them."""
    numbers = torch.randint(-9, 10, shape) if dtype != torch.uint8 else torch.randint(0, 19, shape)
    tensor = (numbers > 0) if dtype == torch.bool else numbers.to(torch.float32).to(dtype)
    if tensor.numel() > 4:
        bits = tensor.view(-1)
        special = special_values(dtype)
        at = torch.randperm(bits.numel())[: len(special)]
        for i, place in enumerate(at):
            bits[place] = special[i]
    return tensor


def sortable(tensor):
    """What torch can sort and take the top of, in the same order."""
    if tensor.dtype == torch.bool:
        return tensor.to(torch.uint8)
    return tensor.float() if tensor.dtype in FLOAT8 else tensor


def sort_case(cases, tensor, dim, descending):
    indices = torch.sort(sortable(tensor), dim=dim, descending=descending, stable=True).indices
    return dict(
        dim=dim if dim < 0 else dim + 1,
        descending=descending,
        indices=cases.keep(indices),
        values=cases.keep(bits_of(tensor).gather(dim, indices) if tensor.dim() else bits_of(tensor)),
    )


def bits_of(tensor):
    """As integers: gather() does not know float8, and changes the bits of a bfloat16's NaN."""
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.view(integers[tensor.element_size()]) if tensor.dtype.is_floating_point else tensor


def sort_cases(cases):
    shapes = [(), (0,), (1,), (7,), (300,), (3, 5), (4, 100, 3), (2, 0, 3), (129, 65), (2, 3, 2, 3)]
    for dtype in FLOATS + FLOAT8 + INTEGERS + [torch.bool]:
        for shape in shapes:
            tensor = with_specials(shape, dtype)
            name = cases.keep(tensor)
            for dim in range(-1, max(len(shape), 1)):
                for descending in (False, True):
                    cases.add(kind="sort", input=name, **sort_case(cases, tensor, dim, descending))
        topk_cases(cases, dtype)
        search_cases(cases, dtype)


def topk_cases(cases, dtype):
    for shape, k in [((50,), 5), ((4, 300), 8), ((3, 7, 2), 2), ((6,), 6), ((5, 2000), 256), ((4,), 0)]:
        tensor = with_specials(shape, dtype)
        name = cases.keep(tensor)
        for dim, largest in itertools.product(range(len(shape)), (True, False)):
            if shape[dim] < k:
                continue
            values = torch.topk(sortable(tensor), k, dim=dim, largest=largest).values
            cases.add(
                kind="topk", input=name, k=k, dim=dim + 1, largest=largest, values=cases.keep(values.to(dtype)),
                **{"sorted": sort_case(cases, tensor, dim, largest)},
            )


def search_cases(cases, dtype):
    if dtype in FLOAT8:
        return
    tensor = with_specials((60,), dtype)
    values, inverse, counts = torch.unique(tensor, return_inverse=True, return_counts=True)
    if dtype.is_floating_point:  # which of -0 and 0 stands for both is nobody's business
        values = values + 0
    cases.add(kind="unique", input=cases.keep(tensor), values=cases.keep(values),
              inverse=cases.keep(inverse), counts=cases.keep(counts))
    if dtype == torch.bool:
        return
    for shape, wanted in [((40,), (3, 9)), ((3, 20), (3, 5)), ((0,), (4,))]:
        ordered = torch.randint(0, 20, shape).to(dtype).sort(-1).values
        values = torch.randint(0, 22, wanted).to(dtype)
        for right in (False, True):
            places = torch.searchsorted(ordered, values, right=right)
            cases.add(kind="search", input=cases.keep(ordered), wanted=cases.keep(values), right=right,
                      places=cases.keep(places))


# ---- products ---------------------------------------------------------------------------------------

PRODUCT_SHAPES = [
    ((3,), (3,)), ((0,), (0,)), ((4, 3), (3,)), ((3,), (3, 4)), ((5, 7), (7, 3)), ((1, 1), (1, 1)),
    ((0, 3), (3, 2)), ((3, 0), (0, 2)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)), ((1, 3, 4), (6, 4, 2)), ((5, 1, 3, 4), (2, 4, 3)), ((3, 4), (5, 2, 4, 3)),
    ((2, 0, 4), (4, 5)), ((0, 3, 4), (0, 4, 2)), ((65, 130), (130, 33)), ((3, 2100), (2100, 5)),
    ((40, 8, 16), (40, 16, 8)), ((2, 2, 2, 2, 3), (2, 1, 2, 3, 2)), ((13, 515), (515, 129)), ((128, 600), (600, 64)),
]


def operand(shape, dtype):
    if dtype.is_floating_point:
        return torch.randn(shape, dtype=torch.float64).to(dtype)
    return torch.randint(0 if dtype == torch.uint8 else -20, 20, shape).to(dtype)


def epsilon(dtype):
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0


def product_bound(a, b, exact, depth):
    """How far a product that is added up in float32 (float64) and rounded once may be off."""
    wide = torch.float64 if a.dtype == torch.float64 else torch.float32
    sizes = torch.matmul(a.double().abs(), b.double().abs())
    bound = sizes * epsilon(wide) * (depth + 2) + exact.abs() * epsilon(a.dtype)
    return bound + torch.finfo(a.dtype).tiny


def product_case(cases, a, b):
    exact = torch.matmul(a.double(), b.double())
    case = dict(kind="matmul", a=cases.keep(a), b=cases.keep(b))
    if a.dtype.is_floating_point:
        cases.add(**case, exact=cases.keep(exact), bound=cases.keep(product_bound(a, b, exact, a.shape[-1])))
    else:
        cases.add(**case, result=cases.keep(torch.matmul(a, b)))


def sum_cases(cases, dtype):
    a, b = operand((5, 7), dtype), operand((7, 3), dtype)
    for shape in [(5, 3), (3,), (1, 3), (5, 1), ()]:
        c = operand(shape, dtype)
        for beta, alpha in [(1, 1), (0, 2), (3, -1)]:
            exact = beta * c.double() + alpha * torch.matmul(a.double(), b.double())
            case = dict(kind="addmm", c=cases.keep(c), a=cases.keep(a), b=cases.keep(b), beta=beta, alpha=alpha)
            if not dtype.is_floating_point:
                cases.add(**case, result=cases.keep(torch.addmm(c, a, b, beta=beta, alpha=alpha)))
                continue
            bound = product_bound(a, b, exact, 20) * 4 + c.double().abs() * epsilon(torch.float32) * 4
            cases.add(**case, exact=cases.keep(exact), bound=cases.keep(bound))


def refused_products(cases):
    f, d = torch.float32, torch.float64
    for function, shape_a, dtype_a, shape_b, dtype_b in [
        ("matmul", (3, 4), f, (3, 4), f), ("matmul", (3, 4), f, (4, 3), d), ("matmul", (), f, (3,), f),
        ("matmul", (3,), f, (4,), f), ("matmul", (2, 3, 4), f, (3, 4, 5), f), ("mm", (3,), f, (3,), f),
        ("mm", (2, 3), f, (4, 2), f), ("bmm", (2, 3, 4), f, (4, 5), f), ("bmm", (2, 3, 4), f, (3, 4, 5), f),
        ("bmm", (2, 3, 4), f, (2, 3, 4), f), ("dot", (3,), f, (4,), f), ("dot", (3, 1), f, (3,), f),
        ("mv", (3, 4), f, (3,), f), ("outer", (3, 1), f, (3,), f), ("matmul", (2, 2), torch.bool, (2, 2), torch.bool),
        ("dot", (3,), f, (3,), torch.int64), ("bmm", (1, 2, 2), f, (1, 2, 2), torch.float16),
    ]:
        a, b = operand(shape_a, dtype_a), operand(shape_b, dtype_b)
        try:
            getattr(torch, function)(a, b)
        except (RuntimeError, IndexError) as error:
            cases.add(kind="refused", method=function, a=cases.keep(a), b=cases.keep(b), why=str(error))
        else:
            raise AssertionError(f"torch takes {function} of {shape_a} and {shape_b}")


def linalg_cases(cases):
    for dtype in FLOATS + FLOAT8 + INTEGERS:
        for shape_a, shape_b in PRODUCT_SHAPES:
            product_case(cases, operand(shape_a, dtype), operand(shape_b, dtype))
        sum_cases(cases, dtype)
    refused_products(cases)
    einsum_cases(cases)


# ---- Einstein's sums --------------------------------------------------------------------------------

EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij->ji", (2, 3)), ("ij->", (2, 3)),
    ("ij->j", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)), ("i,i->", (3,), (3,)), ("i,j->ij", (3,), (4,)),
    ("ij,ij->ij", (3, 4), (3, 4)), ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bhqk,bhkd->bqhd", (2, 3, 4, 6), (2, 3, 6, 5)), ("a,b,c->abc", (2,), (3,), (4,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("ab,cd->", (2, 3), (4, 5)), ("...->...", (2, 3)),
    ("...i->...", (2, 3)), ("i...->...i", (2, 3, 4)), ("ij,i->j", (3, 4), (3,)), (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("ij,jk->ik", (2, 1), (3, 4)), ("Ab,bA->", (2, 3), (3, 2)), ("iij->ij", (3, 3, 2)), ("ij,jk->ik", (0, 3), (3, 4)),
    ("ij,jk->ik", (2, 0), (0, 4)), ("hd,nd->nh", (4, 8), (5, 8)), ("bshd,bthd->bhst", (2, 3, 2, 4), (2, 5, 2, 4)),
    ("...,...->...", (3,), (2, 3)), ("->", ()), (",->", (), ()), ("...ii->...i", (2, 3, 3)), ("bA,ab", (2, 3), (4, 2)),
    # refused
    ("ij,jk->il", (2, 3), (3, 4)), ("ij->ii", (2, 2)), ("ij,jk->ik", (2, 3), (4, 5)), ("i->i", (2, 3)),
    ("ij", (2,)), ("ij,jk->ik", (2, 3)), ("i1->i", (2, 3)), ("..->", (2,)), ("ii->i", (2, 3)), ("i...j...", (2, 3)),
    ("ij->i-j", (2, 3)), ("ij,->", (2, 3)), ("i,i", (2,), (3,)), ("ij->k->l", (2, 3)),
]


def random_equation(rng):
    letters = rng.sample(string.ascii_letters, 5)
    sizes = {letter: rng.randint(1, 4) for letter in letters}
    terms, shapes = [], []
    for _ in range(rng.randint(1, 4)):
        chosen = [rng.choice(letters) for _ in range(rng.randint(0, 4))]
        shape = [1 if rng.random() < 0.1 and chosen.count(c) == 1 else sizes[c] for c in chosen]
        if rng.random() < 0.3:
            at = rng.randint(0, len(chosen))
            extra = [2, 3][2 - rng.randint(0, 2):]
            chosen.insert(at, "...")
            shape[at:at] = extra
        terms.append("".join(chosen))
        shapes.append(tuple(shape))
    equation = ",".join(terms)
    if rng.random() < 0.7:
        used = [letter for letter in letters if letter in equation]
        output = rng.sample(used, rng.randint(0, len(used)))
        if "..." in equation and rng.random() < 0.8:
            output.insert(rng.randint(0, len(output)), "...")
        equation += "->" + "".join(output)
    return (equation, *shapes)


def einsum_cases(cases):
    rng = random.Random(1)
    equations = EQUATIONS + [random_equation(rng) for _ in range(400)]
    for dtype, (equation, *shapes) in itertools.product([torch.float64, torch.float32, torch.int64], equations):
        operands = [operand(shape, dtype) for shape in shapes]
        case = dict(kind="einsum", equation=equation, operands=[cases.keep(t) for t in operands])
        try:
            result = torch.einsum(equation, *[t.double() for t in operands])
        except (RuntimeError, ValueError) as error:
            cases.add(**case, why=str(error))
            continue
        bound = torch.einsum(equation, *[t.double().abs() for t in operands]) * epsilon(dtype) * 100
        cases.add(**case, exact=cases.keep(result), bound=cases.keep(bound))


# ---- text -------------------------------------------------------------------------------------------


def without_module(add):
    """hone names its dtypes without "torch."."""

    def add_renamed(text, suffixes, *rest, **named):
        return add(text, [s.replace("torch.", "") for s in suffixes], *rest, **named)

    return add_renamed


def printed_values(rng, shape, dtype):
    kind = rng.choice(["normal", "integer", "wide", "small", "large", "special", "constant"])
    normal = torch.randn(shape, dtype=torch.float64)
    values = {
        "normal": lambda: normal,
        "integer": lambda: torch.randint(-500, 2000, shape).double(),
        "wide": lambda: normal * 10.0 ** torch.randint(-8, 9, shape).double(),
        "small": lambda: normal * 1e-6,
        "large": lambda: (normal * 1e9).round(),
        "special": lambda: torch.tensor(
            rng.choices([0.0, -0.0, 1.0, 0.5, float("inf"), float("-inf"), float("nan")],
                        k=normal.numel()), dtype=torch.float64).reshape(shape),
        "constant": lambda: torch.full(shape, rng.choice([0.0, 1.0, 2.5, 1e-5, 1e5, 123456789.0, 1000.0, 1000.5]),
                                       dtype=torch.float64),
    }[kind]()
    if dtype == torch.bool:
        return values > 0
    if not dtype.is_floating_point:
        values = values.nan_to_num(0, 100, -100).clamp(-2e9, 2e9)
        return values.long().to(dtype)
    return values.to(dtype)


def print_cases(cases):
    import torch._tensor_str as text

    text._add_suffixes = without_module(text._add_suffixes)
    rng = random.Random(2)
    shapes = [(), (0,), (1,), (3,), (17,), (40,), (1000,), (1001,), (0, 3), (2, 0), (3, 4), (2, 30), (7, 1), (40, 40),
              (2, 2, 2), (3, 1, 4), (12, 10, 11), (1, 2000), (2000, 1), (2, 3, 2, 2), (7, 7, 7, 7), (1, 1, 1, 1, 3),
              (2, 501), (3, 3, 300)]
    for dtype, shape in itertools.product(FLOATS + FLOAT8 + INTEGERS + [torch.bool], shapes):
        for _ in range(3):
            tensor = printed_values(rng, shape, dtype)
            cases.add(kind="print", input=cases.keep(tensor), text=repr(tensor))
    tensor = torch.randint(0, 256, (3, 5), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    cases.add(kind="print", input=cases.keep(tensor), text=repr(tensor).replace("e2m1fn_x2", "e2m1"))
    tensor = torch.randn(5, 40) * 100
    for options in [dict(precision=2), dict(threshold=10), dict(threshold=10, edgeitems=1), dict(linewidth=40),
                    dict(sci_mode=True), dict(sci_mode=False), dict(precision=0), dict(threshold=float("inf"))]:
        torch.set_printoptions(profile="default", sci_mode=None)
        torch.set_printoptions(**options)
        renamed = {"edgeitems": "edge_items", "linewidth": "line_width", "sci_mode": "scientific"}
        ours = {renamed.get(k, k): (10**18 if v == float("inf") else v) for k, v in options.items()}
        cases.add(kind="print", input=cases.keep(tensor), text=repr(tensor), options=ours)


# ---- random bits ------------------------------------------------------------------------------------


def philox(seed, offset, blocks, attempt=0):
    """Ten rounds for an array of block numbers -> four arrays of 32-bit words."""
    mask = numpy.uint64(0xFFFFFFFF)
    c = [blocks & mask, (blocks >> numpy.uint64(32)) | numpy.uint64(attempt << 16),
         numpy.full_like(blocks, offset & 0xFFFFFFFF), numpy.full_like(blocks, offset >> 32)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = c[0] * numpy.uint64(0xD2511F53), c[2] * numpy.uint64(0xCD9E8D57)
        c = [(b >> numpy.uint64(32)) ^ c[1] ^ numpy.uint64(k0), b & mask,
             (a >> numpy.uint64(32)) ^ c[3] ^ numpy.uint64(k1), a & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


F = numpy.float32


def poly(coefficients, x, kind=F):
    p = kind(coefficients[0])
    for c in coefficients[1:]:
        p = p * x + kind(c)
    return p


def log32(x):
    """The steps of philox_log, each of which numpy rounds on its own."""
    bits = x.view(numpy.uint32) - numpy.uint32(0x3F3504F3)
    e = (bits.view(numpy.int32) >> 23).astype(F)
    f = ((bits & numpy.uint32(0x7FFFFF)) + numpy.uint32(0x3F3504F3)).view(F) + F(-1)
    z = f * f
    p = poly([7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
              -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1], f)
    y = (p * f) * z + e * F(-2.12194440e-4)
    y = y + z * F(-0.5)
    return (f + y) + e * F(0.693359375)


def sincos32(word):
    quadrant = (word + numpy.uint32(0x20000000)) >> numpy.uint32(30)
    x = (word - (quadrant << numpy.uint32(30))).view(numpy.int32).astype(F) * F(1.4629180793e-9)
    z = x * x
    s = (poly([-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1], z) * z) * x + x
    c = (poly([2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2], z) * z) * z
    c = c + (z * F(-0.5) + F(1))
    odd, swap = (quadrant & 1) == 1, quadrant & 2
    sine, cosine = numpy.where(odd, c, s), numpy.where(odd, s, c)
    return numpy.where(swap, -sine, sine), numpy.where((quadrant + 1) & 2, -cosine, cosine)


def normal32(seed, offset, n):
    words = [w.astype(numpy.uint32) for w in philox(seed, offset, numpy.arange((n + 3) // 4, dtype=numpy.uint64))]
    out = numpy.empty((len(words[0]), 4), F)
    for pair in (0, 2):
        u = words[pair].astype(F) * F(2**-32) + F(2**-33)
        radius = numpy.sqrt(F(-2) * log32(u))
        sine, cosine = sincos32(words[pair + 1])
        out[:, pair], out[:, pair + 1] = radius * cosine, radius * sine
    return out.reshape(-1)[:n]


def uniform32(seed, offset, n, digits=24):
    words = philox(seed, offset, numpy.arange((n + 3) // 4, dtype=numpy.uint64))
    return (numpy.stack(words, 1).reshape(-1)[:n] >> numpy.uint64(32 - digits)).astype(F) * F(2.0**-digits)


def words64(seed, offset, n):
    w = philox(seed, offset, numpy.arange((n + 1) // 2, dtype=numpy.uint64))
    pairs = numpy.stack([w[0] | w[1] << numpy.uint64(32), w[2] | w[3] << numpy.uint64(32)], 1)
    return pairs.reshape(-1)[:n]


def random_cases(cases):
    n = 100003
    for seed, offset in [(0, 0), (1, 0), (2**40 + 5, 3), (2**63 + 7, 2**33)]:
        words = words64(seed, offset, n)
        expected = dict(
            uniform=torch.from_numpy(uniform32(seed, offset, n)),
            uniform_half=torch.from_numpy(uniform32(seed, offset, n, 11)).half(),
            normal=torch.from_numpy(normal32(seed, offset, n)),
            uniform64=torch.from_numpy((words >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53),
            integers=torch.tensor([(int(w) * 1000 >> 64) - 500 for w in words]),
            permutation=torch.from_numpy(numpy.argsort(words[:5000], kind="stable")),
        )
        signed = seed - 2**64 if seed >= 2**63 else seed
        cases.add(kind="random", seed=signed, offset=offset, n=n,
                  **{what: cases.keep(tensor) for what, tensor in expected.items()})


ROOMS = dict(sort=sort_cases, linalg=linalg_cases, print=print_cases, random=random_cases)

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    collected = Cases()
    ROOMS[sys.argv[1]](collected)
    collected.save(sys.argv[2])
