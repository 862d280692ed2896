"""Functions without arguments whose results must be CPython's: see concrete_spec.lua."""
import math
from math import sqrt as root

LIMIT = 3
names = ["a", "b"]


def case_integers():
    return (-1) ** 10**9, -7 // 2, -7 % 3, 7 // -2, 7 % -3, 2**10, 0x1F, 0b101, 0o17, 1_000, 7 & 3, 7 | 8, 5 ^ 1, 1 << 40, -9 >> 1, ~5


def case_floats():
    return 7 / 2, 6 / 3, -7.5 // 2, -7.5 % 2, 1e3, 2**-1, 2**0.5, 1e16, 1e-5, 0.1 + 0.2, float("inf"), -0.0


def case_mixed():
    return 1 + 2.0, True + 1, 3 * 0.5, 10 // 4 * 1.0, abs(-3), abs(-2.5), round(2.5), round(3.5), round(2.345, 2)


def case_big():
    return 9223372036854775807, -9223372036854775807 - 1, 3037000499 * 3037000499, 2**62


def case_compare():
    a, b = 3, 3.0
    return a == b, a != b, 1 < 2 < 3, 1 < 3 < 2, 1 <= 1 >= 0, "a" < "b", [1, 2] < [1, 3], (1, 2) == (1, 2), None is None, [] is not None


def case_logic():
    return 0 or "x", 1 and [], not [], None or 0 or (), "a" and 5, not 1 == 2, True and not False


def case_conditional():
    return [("even" if i % 2 == 0 else "odd") if i else "none" for i in range(4)]


def case_loops():
    log = []
    for i in range(10, 0, -3):
        if i == 7:
            continue
        log.append(i)
    else:
        log.append("done")
    while True:
        log.append(len(log))
        if len(log) > 6:
            break
    else:
        log.append("never")
    for i in range(3):
        for j in range(3):
            if j == i:
                break
            log.append((i, j))
    return log, i, j


def case_unpack():
    a, (b, *c), d = 1, (2, 3, 4), [5]
    e = f = g = 7
    first, *rest = "xyz"
    x, y = 1, 2
    x, y = y, x
    return a, b, c, d, e, f, g, first, rest, x, y


def case_augmented():
    a, b, c, d = 5, 6.0, [1], "s"
    a += 2
    a -= 1
    a *= 3
    a //= 2
    a **= 2
    a %= 50
    b /= 4
    c += [2, 3]
    other = c
    other += (4,)
    d += "t"
    e = [1, 2, 3]
    e[1] += 10
    f = 6
    f <<= 2
    f |= 1
    f &= 0x1F
    f ^= 2
    f >>= 1
    return a, b, c, d, e, f


def case_sequences():
    a = [0, 1, 2, 3, 4, 5]
    b = (1, 2) + (3,)
    a[2] = 20
    a[-1] = 50
    return a[1:4], a[::-1], a[::2], a[-3:-1], a[10:], a[:2] * 2, b * 2, b[1], len(a), 3 in a, 9 not in a, a.index(3), a.count(1)


def case_list_methods():
    a = [3, 1]
    a.append(2)
    a.extend((5, 4))
    a.insert(0, 9)
    p = a.pop()
    q = a.pop(0)
    a.reverse()
    return a, p, q, sorted(a), sorted(a, reverse=True), sorted(["bb", "a"], key=len), list(reversed(a)), a.copy() == a


def case_dicts():
    d = {"a": 1, (1, 2): "t", 3: [4]}
    d["b"] = 2
    d["a"] += 5
    return d["a"], d[(1, 2)], len(d), "b" in d, list(d), list(d.values()), d.get("z"), d.get("z", 0), list(d.items())[0], {k: v for k, v in zip("xy", range(2))}


def case_strings():
    s = "Hello" " " 'World' + r"\n" + "\t" + "\u00e9"
    return s, s.lower(), "abc".upper(), s.startswith("He"), s.endswith("x"), s[1], s[-2:], "a-b-c".split("-"), "-".join(["x", "y"]), "abc".replace("b", "ZZ"), " x ".strip(), "ab" * 2, "b" in "abc", len("abc")


def case_formats():
    x, y, z = 3, 2.5, "s"
    return f"{x} {y:.2f} {z!r:>5} {x + 1:04d} {{}} {y:8.3e} {z:<3}| {True} {None} {[1, 'a']} {x:,}"


def case_comprehensions():
    return [i * j for i in range(3) for j in range(2) if i], sum(i for i in range(5)), [x for x, _ in [(1, 2), (3, 4)]], max(k * k for k in (-3, 2)), [[j for j in range(i)] for i in range(3)]


def case_builtins():
    return min(3, 1, 2), max([1, 5, 3]), min([], default=4), sum([1, 2], 10), any([0, 1]), all([1, 0]), list(zip([1, 2], "ab")), list(enumerate("ab", start=1)), list(range(5, 0, -2)), int("12"), int(-2.7), float("1.5"), bool([]), str(1.0), list(map(abs, [-1, 2])), divmod(7, 2), tuple([1, 2]), isinstance(1, int), isinstance(1.0, (int, str)), isinstance("s", str)


def case_math():
    return math.sqrt(16), math.ceil(1.2), math.floor(-1.2), math.pi, math.log(8, 2), math.log2(8), math.exp(0), math.inf, math.isnan(math.nan), root(4), math.prod([2, 3]), math.gcd(12, 18), math.isqrt(17), math.trunc(-1.5), math.pow(2, 3)


def helper(a, b=2, *args, c=3, **more):
    return a, b, args, c, more


def case_calls():
    return helper(1), helper(1, 5), helper(1, 2, 3, 4, c=5), helper(b=1, a=0), helper(1, *[7, 8], **{"c": 9}), helper(1, z=4, y=3)[4] == {"z": 4, "y": 3}


def case_closures():
    total = 0

    def add(n):
        nonlocal total
        total += n
        return total

    def outer(k):
        return lambda v, w=k: v * w + total

    add(3)
    add(4)
    return total, outer(2)(10), [f(1) for f in [lambda x, i=i: x + i for i in range(3)]]


def case_defaults_are_shared():
    def grow(item, seen=[]):
        seen.append(item)
        return seen

    grow(1)
    return grow(2)


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def case_recursion():
    return fibonacci(15)


def case_globals():
    return LIMIT, names, [LIMIT * n for n in range(LIMIT)]


def case_walrus():
    if (n := len("four")) > 3:
        return n
    return None


def case_annotations():
    x: int = 3
    y: "list[int]"
    return x


def case_pass():
    pass
    if LIMIT:
        pass
    elif names:
        return 1
    else:
        return 2
