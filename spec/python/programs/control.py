def tries(kind):
    log = []
    try:
        log.append("body")
        if kind == 1: raise ValueError("v", 2)
        if kind == 2: raise KeyError("k")
        if kind == 3: return log + ["ret"]
        if kind == 4: raise RuntimeError
    except ValueError as e:
        log.append(f"value {e} {e.args}")
    except (KeyError, IndexError) as e:
        log.append(f"key {e} {type(e).__name__}")
    except Exception as e:
        log.append(f"other {e!r}")
        try:
            raise TypeError("inner") from e
        except TypeError as t:
            log.append(f"{t} from {t.__cause__!r}")
    else:
        log.append("else")
    finally:
        log.append("finally")
        print("f", kind)
    return log
for k in range(5): print(tries(k))
class MyError(Exception):
    def __init__(self, code): super().__init__(f"code {code}"); self.code = code
try:
    raise MyError(5)
except MyError as e:
    print(e, e.code, isinstance(e, Exception), repr(e))
def reraise():
    try:
        raise ValueError("a")
    except ValueError:
        raise
try:
    reraise()
except ValueError as e:
    print("re", e)
def fin():
    for i in range(3):
        try:
            if i == 1: continue
            if i == 2: break
        finally:
            print("fin", i)
    return "done"
print(fin())
def gen():
    x = yield 1
    print("got", x)
    try:
        y = yield 2
    except ValueError as e:
        print("thrown", e)
        y = yield 99
    return "end"
g = gen(); print(next(g), g.send("A"), g.throw(ValueError("boom")))
try:
    next(g)
except StopIteration as e:
    print("stop", e.value)
def delegating():
    r = yield from inner()
    print("r", r)
    yield from [7, 8]
def inner():
    yield 5
    return 6
print(list(delegating()), next(iter([]), "default"), [*(i * i for i in range(4) if i % 2)], sum(i for i in range(5)))
def counter():
    n = 0
    def inc(by=1):
        nonlocal n
        n += by
        return n
    return inc
c = counter(); c(); print(c(5), counter()())
total = 0
def add(x):
    global total
    total += x
add(3); add(4); print(total)
fs = [lambda i=i: i for i in range(3)]; gs = [lambda: i for i in range(3)]
print([f() for f in fs], [f() for f in gs])
def local_error():
    try:
        print(zz)
        zz = 1
    except UnboundLocalError as e:
        print(type(e).__name__)
    try:
        undefined_name
    except NameError as e:
        print(e)
local_error()
def m(x):
    match x:
        case 0: return "zero"
        case "a" | "b": return "letter"
        case [1, *rest]: return f"list {rest}"
        case (2, y): return f"pair {y}"
        case {"k": v, **rest}: return f"dict {v} {rest}"
        case int(n) if n > 10: return f"big {n}"
        case str() as s: return f"str {s}"
        case None: return "none"
        case _: return "other"
print([m(x) for x in (0, "b", [1, 2, 3], (2, 9), {"k": 1, "z": 2}, 50, "zzz", None, 5, 3.5)])
from contextlib import contextmanager, nullcontext, suppress
@contextmanager
def ctx(name):
    print("in", name)
    try:
        yield name.upper()
    except ValueError as e:
        print("caught", e)
    finally:
        print("out", name)
with ctx("a") as a, ctx("b") as b:
    print(a, b)
with ctx("c"):
    raise ValueError("inside")
with suppress(KeyError), nullcontext(5) as n:
    print(n); {}["x"]
def early():
    with ctx("d"):
        return "early"
print(early())
assert True, "no"
try:
    assert 1 == 2, "message"
except AssertionError as e:
    print("assert", e)
def star(*args, sep="-", **kw): return sep.join(str(a) for a in args) + str(sorted(kw))
print(star(1, 2, sep="+", z=1), star(*[1, 2], **{"sep": "/"}), star(*"ab", *"cd"))
print((lambda *a, **k: (a, k))(1, x=2), (lambda x, y=2: x + y)(1))
x = 10
def shadow():
    x = [x2 for x2 in range(3)]
    return x
print(shadow(), x, [x for x in range(2)], x)
class It:
    def __init__(self): self.i = 0
    def __iter__(self): return self
    def __next__(self):
        self.i += 1
        if self.i > 3: raise StopIteration
        return self.i
print(list(It()), sum(It()), [a for a in It()], 2 in It(), max(It()), dict(enumerate(It())))
def rec(n): return rec(n + 1)
try:
    rec(0)
except RecursionError as e:
    print("RecursionError", e)
