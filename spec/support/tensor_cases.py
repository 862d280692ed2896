"""Write what torch computes, for spec/tensor/parity_spec.lua: tensor_cases.py FOLDER.

FOLDER/cases.jsonl has a case a line: {"group", "call", "args", "expect", "mode"}; FOLDER/cases.bin
the bytes of all storages, to which tensors refer: {"at", "bytes", "dtype", "shape", "stride",
"offset"}. An argument is a tensor, a number, null, {"list": [...]} or {"number": "inf"}. "mode" says
how near the results must be: "exact", or units in the last place, or a relative tolerance.
Dimensions are written as Lua counts them, from 1.
"""

import itertools
import json
import math
import sys
import warnings

import torch

warnings.filterwarnings("ignore")
torch.manual_seed(7)
torch.set_num_threads(1)

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
SMALL = [torch.float8_e4m3fn, torch.float8_e5m2]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
PLAIN = FLOATS + INTEGERS + [torch.bool]
EVERY = PLAIN + SMALL

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.0, -2.5, 3.0, math.inf, -math.inf, math.nan,
           1e-40, -1e-40, 1.4e-45, 1e-8, 65504.0, -65504.0, 448.0, 57344.0, 1e30, -1e30, 3.4e38,
           88.0, -88.0, 89.5, -104.5, 10.25, -7.75, 0.1, -0.1, 0.625, 0.624, 20.5, -20.5]
WHOLE = [0, 1, -1, 2, -2, 3, 5, -7, 10, 63, 64, 100, 127, -128, 128, 255, 256, 32767, -32768,
         2**31 - 1, -2**31, 2**40, 2**63 - 1, -2**63]


def name(dtype):
    return str(dtype).removeprefix("torch.")


def values(dtype, n):
    """n values of a dtype: the special ones first, then random ones."""
    if dtype == torch.bool:
        return torch.rand(n) < 0.5
    if dtype in INTEGERS:
        info = torch.iinfo(dtype)
        special = [v for v in WHOLE if info.min <= v <= info.max]
        made = torch.randint(-100 if info.min < 0 else 0, 100, (n,), dtype=dtype)
        special = torch.tensor(special, dtype=dtype)
    else:
        special = torch.tensor(SPECIAL, dtype=torch.float64).to(dtype)
        made = (torch.randn(n, dtype=torch.float64) * 3).to(dtype)
    k = min(n, len(special))
    made[:k] = special[:k]
    return made


def calm(dtype, *shape):
    """Values near 1, for sums."""
    if dtype == torch.bool:
        return torch.rand(*shape) < 0.7
    if dtype in INTEGERS:
        return torch.randint(0, 50, shape, dtype=dtype)
    return torch.randn(*shape, dtype=torch.float64).to(dtype)


class Cases:
    def __init__(self, folder):
        self.lines = open(f"{folder}/cases.jsonl", "w")
        self.data = open(f"{folder}/cases.bin", "wb")
        self.at = 0
        self.written = {}  # from bytes to where they are: many cases share their inputs

    def tensor(self, t):
        storage = t.untyped_storage()
        raw = bytes(torch.tensor([], dtype=torch.uint8).set_(storage).numpy()) if len(storage) else b""
        at = self.written.get(raw)
        if at is None:
            at = self.written[raw] = self.at
            self.data.write(raw)
            self.at += len(raw)
        return {"at": at, "bytes": len(raw), "dtype": name(t.dtype), "shape": list(t.shape),
                "stride": list(t.stride()), "offset": t.storage_offset()}

    def argument(self, a):
        if isinstance(a, torch.Tensor):
            return self.tensor(a)
        if isinstance(a, (list, tuple)):
            return {"list": [self.argument(x) for x in a]}
        if isinstance(a, float) and not math.isfinite(a):
            return {"number": repr(a)}
        return a

    def add(self, group, call, args, expect, mode="exact"):
        """Results that fill no storage of their own are written compactly."""
        expect = expect if isinstance(expect, (list, tuple)) else [expect]
        expect = [e.contiguous().clone() if isinstance(e, torch.Tensor) else e for e in expect]
        self.lines.write(json.dumps({
            "group": group, "call": call, "args": [self.argument(a) for a in args],
            "expect": [self.argument(e) for e in expect], "mode": mode}) + "\n")

    def run(self, group, call, function, args, mode="exact", lua=None):
        """One case, unless torch has no such thing on the CPU. `lua`: the arguments as Lua has them."""
        recorded = [self.argument(a) for a in (lua if lua is not None else args)]
        try:
            expect = function(*args)
        except (RuntimeError, TypeError, NotImplementedError, IndexError) as error:
            refused = str(error)
            if "not implemented" in refused or "not supported" in refused or "Promotion" in refused or "not support" in refused:
                return
            self.lines.write(json.dumps({"group": group, "call": call, "args": recorded, "refused": refused[:200]}) + "\n")
            return
        expect = list(expect) if isinstance(expect, (tuple, list)) else [expect]
        expect = [self.argument(e.contiguous().clone() if isinstance(e, torch.Tensor) else e) for e in expect]
        self.lines.write(json.dumps({"group": group, "call": call, "args": recorded, "expect": expect, "mode": mode}) + "\n")


# ---- casts ------------------------------------------------------------------------------------------

# Beyond 448 float8_e4m3fn has no number: newer releases of torch stop there, older ones give NaN.
STOPS = not torch.tensor(1000.0).to(torch.float8_e4m3fn).float().isnan().item()


def representable(t, to):
    if STOPS or to != torch.float8_e4m3fn or t.dtype in (torch.bool, to):
        return t
    return t.double().clamp(-448, 448).to(t.dtype)


def casts(c):
    halves = torch.arange(65536, dtype=torch.int32).to(torch.int16)
    bytes_ = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    for dtype, bits in [(d, halves) for d in FLOATS[2:]] + [(d, bytes_) for d in SMALL]:
        for to in [torch.float64, torch.float32] + FLOATS[2:] + SMALL:
            every = representable(bits.view(dtype), to)
            c.run("cast", "to", lambda t, to=to: t.to(to), [every], lua=[every, name(to)])
    bits = torch.randint(-2**31, 2**31 - 1, (100003,), dtype=torch.int64).to(torch.int32).view(torch.float32)
    near = torch.cat([torch.randn(50000), torch.randn(50000) * 300, torch.randn(50000) * 1e-3])
    ties = torch.arange(-70000, 70000).float() / 16
    for to in EVERY[1:4] + SMALL:
        for t in (bits, near, ties):
            t = representable(t, to)
            c.run("cast", "to", lambda t, to=to: t.to(to), [t], lua=[t, name(to)])
    for source, to in itertools.product(EVERY, EVERY):
        t = representable(values(source, 67), to)
        if to in INTEGERS and source in FLOATS + SMALL:  # out of range is nobody's promise
            t = torch.nan_to_num(t.double(), 0, 100, -100).clamp(-128 if to != torch.uint8 else 0, 127).to(source)
        c.run("cast", "to", lambda t, to=to: t.to(to), [t], lua=[t, name(to)])
        c.run("cast", "to", lambda t, to=to: t.to(to), [t[:60].view(6, 10).t()[::3]], lua=[t[:60].view(6, 10).t()[::3], name(to)])


# ---- elementwise ------------------------------------------------------------------------------------

def silu(t):
    return torch.nn.functional.silu(t)


UNARY_EXACT = ["neg", "abs", "sign", "square", "floor", "ceil", "trunc", "round", "frac", "relu", "reciprocal",
               "isnan", "isinf", "isfinite", "logical_not", "bitwise_not"]
UNARY_NEAR = {"sqrt": 1, "exp": 2, "exp2": 2, "expm1": 2, "log": 2, "log2": 2, "log10": 2, "log1p": 3, "sin": 2, "cos": 2, "tan": 2,
              "tanh": 3, "erf": 2, "sigmoid": 4, "rsqrt": 2}


def views(dtype):
    """A tensor of every kind of layout."""
    t = values(dtype, 120)
    yield t
    yield t.view(10, 12).t()
    yield t.view(4, 5, 6)[1::2, :, ::3]
    yield t[3].reshape(())
    yield t[:0]
    yield t[:7].view(7, 1).expand(7, 5)
    yield t[:105].view(3, 5, 7).permute(2, 0, 1)
    yield t[1:]


def unary(c):
    for op in UNARY_EXACT + list(UNARY_NEAR):
        mode = "exact" if op in UNARY_EXACT else {"ulp": UNARY_NEAR[op]}
        for dtype in PLAIN:
            if op == "square" and dtype == torch.bool:
                continue
            for t in views(dtype):
                if op == "erf" and dtype == torch.bfloat16:  # torch has erf(1e-8) = 0
                    t = torch.where(t.abs() < 1e-6, 0, t)
                c.run("unary", op, getattr(torch, op), [t], mode)
            if op not in ("isnan", "isinf", "isfinite", "relu", "logical_not", "erf"):
                t = values(dtype, 50)
                c.run("unary in place", op + "_", getattr(torch.Tensor, op + "_"), [t.clone()], mode, lua=[t])
    for dtype in PLAIN:
        for t in views(dtype):
            c.run("unary", "silu", silu, [t], {"ulp": 4})
            c.run("unary", "softplus", torch.nn.functional.softplus, [t], {"ulp": 4})
            t = torch.where(t.isfinite(), t, 1) if dtype in FLOATS else t  # torch: gelu(inf) = NaN, at times
            loose = {"rel": 1e-5, "abs": 1e-6} if dtype in FLOATS[:2] else {"rel": 1e-2, "abs": 1e-4}
            c.run("unary", "gelu", torch.nn.functional.gelu, [t], loose)
            c.run("unary", "gelu_tanh", lambda t: torch.nn.functional.gelu(t, approximate="tanh"), [t], loose)
    large = values(torch.float32, 300007)
    for op in ("neg", "exp", "sqrt", "sigmoid", "tanh", "log"):
        c.run("unary", op, getattr(torch, op), [large], {"ulp": 4} if op != "neg" else "exact")


BINARY = ["add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "maximum", "minimum", "atan2", "eq", "ne", "lt", "le",
          "gt", "ge", "logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor",
          "bitwise_left_shift", "bitwise_right_shift"]
NEAR = {"pow": {"ulp": 4}, "atan2": {"ulp": 2}}


def tame(x):
    """Of a size that torch's vectorised fmod copes with: it gives NaN for subnormal divisors."""
    if not x.is_floating_point():
        return x if x.dtype == torch.bool else x.clamp(-100 if x.dtype.is_signed else 0, 100)
    x = torch.nan_to_num(x.double(), 1, 7, -7).clamp(-100, 100).to(x.dtype)
    return torch.where(x.abs() < 1e-6, torch.zeros_like(x), x)


def safe(op, a, b):
    """Without what is undefined: division of integers by zero, shifts of negative numbers."""
    if op in ("floor_divide", "remainder", "fmod") and not b.is_floating_point() and not a.is_floating_point():
        b = torch.where(b == 0, torch.ones_like(b), b)
        b = torch.where(b == -1, torch.full_like(b, 3), b) if b.dtype not in (torch.bool, torch.uint8) else b
    if op.endswith("shift") and not b.is_floating_point():
        b, a = [x if x.dtype == torch.bool else x.clamp(0, most) for x, most in ((b, 7), (a, 15))]
    if op == "pow" and not b.is_floating_point() and not a.is_floating_point() and b.dtype != torch.bool:
        b = b.clamp(0, 9)
    if op in ("remainder", "fmod", "floor_divide") and (a.is_floating_point() or b.is_floating_point()):
        a, b = tame(a), tame(b)
    return a, b


def binary_pair(c, op, a, b, group="binary"):
    a, b = safe(op, a, b)
    if op in ("maximum", "minimum"):  # of -0 and 0 either may come out
        a, b = (x + 0 if x.is_floating_point() else x for x in (a, b))
    mode = NEAR.get(op, "exact")
    if op == "floor_divide" and torch.result_type(a, b) in FLOATS[2:]:
        mode = {"ulp": 2}  # torch rounds in between
    c.run(group, op, getattr(torch, op), [a, b], mode)


def binary(c):
    for op in BINARY:
        for x, y in itertools.product(PLAIN, PLAIN):
            a, b = values(x, 61), values(y, 61)[torch.randperm(61)]
            binary_pair(c, op, a, b)
            binary_pair(c, op, a, b[5].reshape(()), "binary with 0-d")
            binary_pair(c, op, a[3].reshape(()), b, "binary with 0-d")
        for dtype in (torch.float32, torch.bfloat16, torch.int32):
            a, b = values(dtype, 120), values(dtype, 120).flip(0)
            for u, v in [(a.view(10, 12), b[:12]), (a.view(10, 12).t(), b.view(12, 10)), (a[:10].view(10, 1), b[:7]),
                         (a.view(4, 5, 6)[::2, 1:], b[:6]), (a[:0].view(0, 5), b[:5]), (a[3].reshape(()), b[4].reshape(())),
                         (a[:3].expand(40, 3), b.view(40, 3)), (a.view(2, 3, 4, 5), b[:60].view(3, 4, 5).transpose(1, 2).transpose(1, 2)),
                         (a[::3], b[1:120:3]), (a.view(2, 3, 4, 5).permute(3, 1, 0, 2), b[:20].view(5, 1, 1, 4))]:
                binary_pair(c, op, u, v, "binary broadcast")


def scalars(c):
    numbers = [0, 1, 2, -1, 3, 7, 0.5, 2.0, 0.1, -1.5, True, 100, 3.0, -0.5]
    for op in BINARY:
        for dtype in PLAIN:
            t = values(dtype, 61)
            for number in numbers:
                if op in ("maximum", "minimum", "atan2", "logical_and", "logical_or", "logical_xor"):
                    continue
                kind = torch.tensor(number)
                a, _ = safe(op, t, kind)
                if op in ("floor_divide", "remainder", "fmod") and number in (0, -1):
                    continue
                if op == "pow" and not a.is_floating_point() and not isinstance(number, float) and a.dtype != torch.bool and number in (100,):
                    continue
                if op.endswith("shift") and (number in (-1, 100) or isinstance(number, (float, bool))):
                    continue
                if op == "sub" and isinstance(number, bool):
                    continue
                if op in ("fmod", "pow") and isinstance(number, bool):
                    continue
                if dtype == torch.uint8 and number == -1 and op in ("eq", "ne", "lt", "le", "gt", "ge"):
                    continue
                c.run("binary with a number", op, getattr(torch, op), [a, number], NEAR.get(op, "exact"))
    for dtype in PLAIN:
        t = values(dtype, 61)
        c.run("binary with a number", "__rsub", lambda t: 3 - t, [t])
        c.run("binary with a number", "__rdiv", lambda t: torch.div(torch.tensor(3), t), [t])


def in_place(c):
    for op in ["add", "sub", "mul", "div", "maximum", "floor_divide", "pow"]:
        method = getattr(torch.Tensor, op + "_", None)
        if method is None:
            continue
        for x, y in itertools.product(PLAIN, PLAIN):
            a, b = safe(op, values(x, 40), values(y, 40).flip(0))
            mode = {"ulp": 1} if op == "floor_divide" and x in FLOATS[2:] else NEAR.get(op, "exact")
            c.run("in place", op + "_", method, [a.clone(), b], mode, lua=[a, b])
        a = values(torch.float32, 60).view(6, 10)
        c.run("in place", op + "_", method, [a.clone(), a[0].abs()], NEAR.get(op, "exact"), lua=[a, a[0].abs().clone()])


def ternary(c):
    for dtype in PLAIN:
        for t in views(dtype):
            mask = torch.rand(t.shape) < 0.5
            other = values(dtype, max(t.numel(), 1))[:t.numel()].reshape(t.shape)
            c.run("where", "where", lambda t, m, o: torch.where(m, t, o), [t, mask, other])
            if dtype != torch.bool:
                c.run("clamp", "clamp", torch.clamp, [t, 1, 5])
                c.run("clamp", "clamp", lambda t, lo, hi: torch.clamp(t, max=hi), [t, None, 5])
                c.run("clamp", "clamp", lambda t, lo: torch.clamp(t, min=lo), [t, 2])
                c.run("clamp", "clamp", torch.clamp, [t, -0.5, 1.25])
            c.run("masked_fill", "masked_fill", torch.masked_fill, [t, mask, 1])
        a, b = values(dtype, 30).view(5, 6), values(torch.float32, 6)
        c.run("where", "where", lambda t, m, o: torch.where(m, t, o), [a, torch.rand(5, 1) < 0.5, b])
        c.run("where", "where", lambda t, m, o: torch.where(m, t, o), [a, torch.rand(5, 1) < 0.5, 2])
        c.run("where", "where", lambda t, m, o: torch.where(m, t, o), [a, torch.rand(5, 1) < 0.5, 2.5])
    t = values(torch.float32, 40)
    low, high = values(torch.float32, 40).flip(0), values(torch.float32, 40).roll(7)
    c.run("clamp", "clamp", torch.clamp, [t, low, high])
    for dtype in FLOATS:
        a, b = calm(dtype, 31), calm(dtype, 31)
        c.run("lerp", "lerp", torch.lerp, [a, b, 0.25], {"ulp": 1})
        c.run("lerp", "lerp", torch.lerp, [a, b, 0.75], {"ulp": 1})


# ---- reductions -------------------------------------------------------------------------------------

def lua_dims(dims):
    if dims is None:
        return None
    return [d + 1 if d >= 0 else d for d in dims] if isinstance(dims, (list, tuple)) else (dims + 1 if dims >= 0 else dims)


def layouts(dtype):
    yield calm(dtype, 4, 5, 6), [None, [0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2], [-1]]
    yield calm(dtype, 37, 41).t(), [None, [0], [1]]
    yield calm(dtype, 6, 8, 10)[::2, 1:, ::3], [None, [0], [1], [2], [0, 2]]
    yield calm(dtype, 1)[0].reshape(()), [None]
    yield calm(dtype, 1, 7).expand(5, 7), [None, [0], [1]]
    yield calm(dtype, 3, 1030), [None, [0], [1]]
    yield calm(dtype, 1030, 3), [None, [0], [1]]
    yield calm(dtype, 700, 600), [None, [0], [1]]
    yield calm(dtype, 0, 3), [None, [0], [1]]


def near(dtype, n):
    """What torch's and our order of additions may differ by, for n numbers near 1."""
    eps = 2.0**-53 if dtype == torch.float64 else 2.0**-24 if dtype == torch.float32 else 2.0**-7
    return {"rel": 32 * eps, "abs": 16 * eps * max(math.sqrt(n), 1)}


def reductions(c):
    for dtype in PLAIN:
        for t, choices in layouts(dtype):
            for dims, keepdim in itertools.product(choices, (False, True)):
                if dims is None and keepdim:
                    continue
                loose = near(dtype, t.numel()) if dtype in FLOATS else "exact"
                def take(f, **more):
                    return lambda t: f(t, dims, keepdim, **more) if dims is not None else f(t, **more)
                lua = [t, lua_dims(dims), keepdim]
                c.run("sum", "sum", take(torch.sum), [t], loose, lua=lua)
                c.run("mean", "mean", take(torch.mean), [t], loose, lua=lua)
                if dtype in FLOATS and t.numel() > 0:
                    c.run("norm", "norm", lambda t: torch.linalg.vector_norm(t, dim=dims, keepdim=keepdim), [t], loose, lua=lua)
                    wide = dict(loose, rel=loose["rel"] * 4)
                    c.run("var", "var", lambda t: torch.var(t, dim=dims, keepdim=keepdim), [t], wide, lua=lua)
                    c.run("logsumexp", "logsumexp",
                          lambda t: torch.logsumexp(t, dims if dims is not None else tuple(range(t.dim())), keepdim), [t], loose, lua=lua)
                if dims is None and dtype in INTEGERS:
                    c.run("prod", "prod", torch.prod, [t])
                if dims is not None:
                    c.run("amax", "amax", lambda t: torch.amax(t, dims, keepdim), [t], lua=lua)
                    c.run("amin", "amin", lambda t: torch.amin(t, dims, keepdim), [t], lua=lua)
                    c.run("any", "any", lambda t: torch.any(t, dims, keepdim), [t], lua=lua)
                    c.run("all", "all", lambda t: torch.all(t, dims, keepdim), [t], lua=lua)
                else:
                    for op in ("max", "min", "any", "all"):
                        c.run(op, op, getattr(torch, op), [t])
                if dims is None or len(dims) == 1:
                    d = None if dims is None else dims[0]
                    one = [t, lua_dims(d), keepdim]
                    c.run("argmax", "argmax", lambda t: torch.argmax(t, d, keepdim), [t], lua=one)
                    c.run("argmin", "argmin", lambda t: torch.argmin(t, d, keepdim), [t], lua=one)
                if dims is not None and len(dims) == 1:
                    d = dims[0]
                    c.run("max", "max", lambda t: tuple(torch.max(t, d, keepdim)), [t], lua=[t, lua_dims(d), keepdim])
                    c.run("min", "min", lambda t: tuple(torch.min(t, d, keepdim)), [t], lua=[t, lua_dims(d), keepdim])
                    if not keepdim and dtype in FLOATS:
                        c.run("softmax", "softmax", lambda t: torch.softmax(t, d), [t], {"rel": 1e-5, "abs": 1e-7} if dtype in FLOATS[:2] else {"ulp": 1}, lua=[t, lua_dims(d)])
                        c.run("log_softmax", "log_softmax", lambda t: torch.log_softmax(t, d), [t], {"rel": 1e-5, "abs": 2e-6} if dtype in FLOATS[:2] else {"rel": 1e-2, "abs": 8e-3}, lua=[t, lua_dims(d)])
                    if not keepdim:
                        c.run("cumsum", "cumsum", lambda t: torch.cumsum(t, d), [t], "exact", lua=[t, lua_dims(d)])
                        if dtype in INTEGERS:
                            c.run("cumprod", "cumprod", lambda t: torch.cumprod(t, d), [t], "exact", lua=[t, lua_dims(d)])
    specials(c)


def specials(c):
    for dtype in FLOATS:
        for fill in (math.nan, math.inf, -math.inf):
            for where in (0, 5, 1028):
                t = calm(dtype, 1030)
                t[where] = fill
                if fill != fill:
                    t[where // 2 + 1] = fill
                for op in ("sum", "max", "min", "argmax", "argmin"):
                    c.run("non-finite", op, getattr(torch, op), [t], near(dtype, 1030) if op == "sum" else "exact")
                u = t.view(10, 103)
                for d in (0, 1):
                    c.run("non-finite", "max", lambda t: tuple(torch.max(t, d)), [u], lua=[u, d + 1])
                    c.run("non-finite", "amin", lambda t: torch.amin(t, d), [u], lua=[u, d + 1])
                    c.run("non-finite", "logsumexp", lambda t: torch.logsumexp(t, d), [u], near(dtype, 1030), lua=[u, d + 1])
                    c.run("non-finite", "softmax", lambda t: torch.softmax(t, d), [u], {"rel": 1e-5, "abs": 1e-6} if dtype in FLOATS[:2] else {"ulp": 1}, lua=[u, d + 1])
    t = torch.full((4, 3), -math.inf)
    c.run("non-finite", "logsumexp", lambda t: torch.logsumexp(t, 1), [t], lua=[t, 2])
    t = torch.randn(1 << 20)
    c.add("sum", "sum", [t], t.double().sum().float(), {"rel": 1e-5, "abs": 1e-4})


# ---- shapes and indices -----------------------------------------------------------------------------

def shapes(c):
    t = torch.arange(120, dtype=torch.int32)
    for u in (t.view(4, 5, 6), t.view(4, 5, 6).permute(2, 0, 1), t.view(4, 5, 6)[:, ::2], t.view(1, 120), t.view(5, 24).t()[::2]):
        for shape in ([-1], [2, -1], [u.numel()], [1, -1, 1], [3, -1, 2], [4, 30], [20, 6], [6, 20], [7, 3]):
            c.run("shapes", "reshape", lambda u: u.reshape(shape), [u], lua=[u, shape])
            c.run("shapes", "view", lambda u: u.view(shape), [u], lua=[u, shape])
        for a, b in itertools.product(range(u.dim()), repeat=2):
            c.run("shapes", "transpose", lambda u: u.transpose(a, b), [u], lua=[u, a + 1, b - u.dim()])
        for order in itertools.permutations(range(u.dim())):
            c.run("shapes", "permute", lambda u: u.permute(order), [u], lua=[u, [d + 1 for d in order]])
        for d in range(u.dim() + 1):
            c.run("shapes", "unsqueeze", lambda u: u.unsqueeze(d), [u], lua=[u, d + 1])
        for d in range(u.dim()):
            for n in (1, 2, 3, 7):
                c.run("shapes", "chunk", lambda u: [list(u.chunk(n, d))], [u], lua=[u, n, d + 1])
                c.run("shapes", "split", lambda u: [list(u.split(n, d))], [u], lua=[u, n, d + 1])
            c.run("shapes", "flip", lambda u: u.flip(d), [u], lua=[u, d + 1])
            c.run("shapes", "repeat_interleave", lambda u: u.repeat_interleave(3, d), [u], lua=[u, 3, d + 1])
            n = torch.randint(0, 4, (u.shape[d],))
            c.run("shapes", "repeat_interleave", lambda u: u.repeat_interleave(n, d), [u], lua=[u, n, d + 1])
            c.run("shapes", "cat", lambda a, b: torch.cat([a, b], d), [u, u + 1], lua=[[u, u + 1], d + 1])
            c.run("shapes", "cat", lambda a, b: torch.cat([a, b], d), [u, u.float()], lua=[[u, u.float()], d + 1])
            c.run("shapes", "stack", lambda a, b: torch.stack([a, b], d), [u, u + 1], lua=[[u, u + 1], d + 1])
        c.run("shapes", "flip", lambda u: u.flip(list(range(u.dim()))), [u], lua=[u, list(range(1, u.dim() + 1))])
        for times in ([2] * u.dim(), [2, 1, 3, 1][:max(u.dim(), 3)], [0] * u.dim(), [3] + [1] * u.dim()):
            c.run("shapes", "tile", lambda u: u.repeat(times), [u], lua=[u, times])
        c.run("shapes", "flatten", lambda u: u.flatten(), [u])
        c.run("shapes", "squeeze", lambda u: u.squeeze(), [u])
        c.run("shapes", "contiguous", lambda u: u.contiguous(), [u])
        for k in (-3, -1, 0, 1, 2, 99):
            c.run("shapes", "tril", lambda u: u.tril(k), [u], lua=[u, k])
            c.run("shapes", "triu", lambda u: u.triu(k), [u], lua=[u, k])
    for source, to in itertools.product(EVERY, EVERY):
        u = values(source, 48).view(3, 16)
        c.run("view(dtype)", "view", lambda u: u.view(to), [u], lua=[u, name(to)])
        c.run("view(dtype)", "view", lambda u: u.view(to), [u[1:, 8:]], lua=[u[1:, 8:], name(to)])


def indices(c):
    for dtype in EVERY:
        t = values(dtype, 120).view(4, 5, 6)
        i, j, k = torch.tensor([0, 3, 1, 3]), torch.tensor([[4], [-1]]), torch.tensor(2)
        mask = torch.rand(4, 5) < 0.5
        row = torch.rand(6) < 0.5
        every = ":"
        for key, lua in [((i,), [i]), ((slice(None), j), [every, j]), ((i, slice(None), i), [i, every, i]), ((i, j), [i, j]),
                         ((i, j, k), [i, j, k]), ((slice(None), i, j), [every, i, j]), ((mask,), [mask]), ((slice(None), slice(None), row), [every, every, row]),
                         ((mask, k), [mask, k]), ((Ellipsis, i), ["...", i]), ((None, i), ["new", i]), ((1, i), [2, i]), ((i, 1), [i, 2]),
                         ((slice(1, 3), i), [[2, 3], i]), ((slice(0, 4, 2), j, slice(1, 6, 2)), [[1, 4, 2], j, [2, 6, 2]]), ((j.int(),), [j.int()]),
                         ((torch.zeros(0, dtype=torch.int64),), [torch.zeros(0, dtype=torch.int64)]), ((2,), [3]), ((-1,), [-1]), ((1, 2, 3), [2, 3, 4]),
                         ((slice(None), None, 2), [every, "new", 3]), ((torch.tensor([4]),), [torch.tensor([4])]), ((torch.tensor([-5]),), [torch.tensor([-5])])]:
            for u in (t, t.permute(0, 1, 2), values(dtype, 120).view(6, 5, 4).permute(2, 1, 0)):
                c.run("index", "index", lambda u: u[key], [u], lua=[u, lua])
                value = values(dtype, 1)[0]
                def put(u, v):
                    u = u.clone(memory_format=torch.contiguous_format)
                    u[key] = v
                    return u
                c.run("index_put_", "index_put_", put, [u, value], lua=[u.contiguous(), lua, value])
        for d in range(3):
            n = torch.tensor([0, 2, 2, 1])
            c.run("index_select", "index_select", lambda t: t.index_select(d, n), [t], lua=[t, d + 1, n])
            source = values(dtype, 200)[:t.numel() // t.shape[d] * 4].reshape([4 if e == d else s for e, s in enumerate(t.shape)])
            unique = torch.tensor([0, 3, 1, 2])
            c.run("index_copy_", "index_copy_", lambda t, s: t.clone().index_copy_(d, unique, s), [t, source], lua=[t, d + 1, unique, source])
            index = torch.randint(0, t.shape[d], (3, 4, 5)) % torch.tensor(t.shape[d])
            c.run("gather", "gather", lambda t: t.gather(d, index), [t], lua=[t, d + 1, index])
            whole = torch.stack([torch.randperm(t.shape[d])[:3] for _ in range(20)]).t().reshape(3, 4, 5).movedim(0, d)
            whole = whole[tuple(slice(0, s) for s in t.shape)]
            source = values(dtype, 200)[:whole.numel()].reshape(whole.shape)
            c.run("scatter_", "scatter_", lambda t, s: t.clone().scatter_(d, whole, s), [t, source], lua=[t, d + 1, whole, source])
            c.run("scatter_", "scatter_", lambda t: t.clone().scatter_(d, whole, 1), [t], lua=[t, d + 1, whole, 1])
            bad = index.clone()
            bad[1, 2, 3] = t.shape[d]
            c.run("gather", "gather", lambda t: t.gather(d, bad), [t], lua=[t, d + 1, bad])
            if dtype in FLOATS[:2] + INTEGERS:
                calm_t, s = calm(dtype, 4, 5, 6), calm(dtype, 3, 4, 5)
                loose = {"rel": 1e-6, "abs": 1e-6} if dtype in FLOATS else "exact"
                c.run("scatter_add_", "scatter_add_", lambda t, s: t.clone().scatter_add_(d, index, s), [calm_t, s], loose, lua=[calm_t, d + 1, index, s])
                rows = calm(dtype, *[4 if e == d else n for e, n in enumerate(t.shape)])
                c.run("index_add_", "index_add_", lambda t, s: t.clone().index_add_(d, n, s), [calm_t, rows], loose, lua=[calm_t, d + 1, n, rows])
        for u in (t, t.permute(2, 0, 1), t[1:, ::2]):
            c.run("nonzero", "nonzero", torch.nonzero, [u])
            m = torch.rand(u.shape) < 0.4
            c.run("masked_select", "masked_select", torch.masked_select, [u, m])
            c.run("masked_select", "masked_select", torch.masked_select, [u, m[0]])
        c.run("take", "take", torch.take, [t, torch.tensor([[0, 5], [119, -1]])])


def making(c):
    for args in ([5], [2, 9], [0, 1, 0.1], [0, 10, 3], [10, 0, -3], [1.5, 4], [0.0, 5.0], [-3, 3], [0, 100, 7]):
        c.run("arange", "arange", lambda *a: torch.arange(*a), args)
    for args in ([0.0, 1.0, 5], [-3.0, 10.0, 7], [1.0, 1.0, 3], [0.0, 1.0, 1], [5.0, -5.0, 11]):
        c.run("linspace", "linspace", torch.linspace, args, {"ulp": 1})
    for args in ([3], [3, 5], [5, 3], [0]):
        c.run("eye", "eye", torch.eye, args)


if __name__ == "__main__":
    cases = Cases(sys.argv[1])
    for make in (casts, unary, binary, scalars, in_place, ternary, reductions, shapes, indices, making):
        make(cases)
