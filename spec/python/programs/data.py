d = {"b": 1, "a": 2}
d["c"] = 3
del d["b"]
d["b"] = 9
print(d, list(d), list(d.values()), list(d.items()), len(d), "a" in d, d.get("z"), d.get("z", 0), d.pop("a"), d.pop("q", None))
d.update({"x": 1}, y=2)
print(d, d.setdefault("x", 5), d.setdefault("n", []), {**d, "x": 7}, dict(a=1), dict([("k", 1)]), d | {"m": 0})
print({1: "i", 1.0: "f", True: "t"}, {(1, 2): 3}[(1, 2)], {frozenset([1, 2]): 1}[frozenset([2, 1])])
for bad in (lambda: d["nope"], lambda: {}.pop("x"), lambda: {[]: 1}, lambda: [][0], lambda: (1,)[5], lambda: [].pop(), lambda: [1].index(2), lambda: [].remove(1)):
    try:
        bad()
    except Exception as e:
        print(type(e).__name__, e)
l = [3, 1, 2]
l.sort(); print(l); l.sort(reverse=True); print(l); l.append(5); l.extend([6, 7]); l.insert(0, 0); print(l, l.pop(), l.pop(0))
l[1:3] = ["x", "y", "z"]; print(l); del l[0]; print(l, l[::-1], l[-2:], l[::2], l.count("x"), l.index("y")); l.reverse(); print(l)
l[::2] = [0] * len(l[::2]); print(l); l *= 2; print(l, l + [1], [0] * 3, (1, 2) * 2, l.copy() == l, l.clear(), l)
print(sorted(["bb", "a", "ccc"], key=len, reverse=True), sorted("hello"), min(3, 1, 2), max([4, 9]), min([], default="none"), max("ab", "b", key=len))
s = {3, 1}
s.add(2); s.discard(9)
print(sorted(s), sorted(s | {5}), sorted(s & {1, 2}), sorted(s - {1}), sorted(s ^ {1, 7}), {1} <= s, s >= {1, 2, 3}, s == {1, 2, 3}, sorted(s.union([8])), len(s), set(), frozenset([1]))
a, (b, *c), d2 = 1, (2, 3, 4), 5
print(a, b, c, d2, [*range(3), *"ab"], (*[1], 2))
try:
    a, b = 1, 2, 3
except ValueError as e:
    print(e)
try:
    a, b, c = 1, 2
except ValueError as e:
    print(e)
print(list(range(10, 0, -3)), range(5)[1:3], len(range(0, 10, 3)), 4 in range(5), range(3) == range(0, 3), list(reversed(range(3))))
print(list(enumerate("ab", 1)), list(zip([1, 2], "xyz")), list(map(lambda x, y: x + y, [1, 2], [3, 4])), list(filter(None, [0, 1, "", "a"])), any([0, 1]), all([]), sum([1, 2], 10))
print([x + y for x in range(3) for y in range(x) if (x + y) % 2], {x % 3 for x in range(3)}, {k: v for k, v in [(1, 2)]}, [[j for j in range(i)] for i in range(3)])
print((1, 2) < (1, 3), [1, 2] == [1, 2.0], (1,) + (2,), "a" < "b", [1] > [0, 5], 1 < 2 < 3, 1 < 3 < 2, 1 == 1.0, True == 1, None is None)
from collections import OrderedDict, defaultdict, namedtuple, deque, Counter
dd = defaultdict(list); dd["a"].append(1); print(dict(dd), dd["zz"])
Point = namedtuple("Point", ["x", "y"]); p = Point(1, y=2); print(p, p.x, p[1], p._replace(x=5), p == (1, 2), tuple(p))
q = deque([1, 2]); q.appendleft(0); q.append(3); print(q.popleft(), list(q)); print(Counter("abca").most_common(1), list(OrderedDict(a=1).items()))
import itertools, functools, operator, copy
print(list(itertools.chain([1], [2, 3])), list(itertools.product([1, 2], "ab")), list(itertools.accumulate([1, 2, 3])), list(itertools.islice(itertools.count(5), 3)), [(k, list(g)) for k, g in itertools.groupby([1, 1, 2])], list(itertools.chain.from_iterable([[1], [2]])), list(itertools.combinations([1, 2, 3], 2)))
print(functools.reduce(operator.add, [1, 2, 3]), functools.partial(int, base=2)("101"), operator.itemgetter(1)([1, 2]), operator.attrgetter("x")(p))
@functools.lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
print(fib(50))
x = [[1], {"a": [2]}]; y = copy.deepcopy(x); z = copy.copy(x); x[0].append(9); print(y, z)
def deco(f):
    @functools.wraps(f)
    def inner(*a, **k): return ("deco", f(*a, **k))
    return inner
@deco
def g(a, b=2): return a + b
print(g(1), g.__name__, g(b=1, a=1))
t = (1, [2]); t[1].append(3); print(t, t.index(1), t.count(1), hash((1, 2)) == hash((1, 2)))
m = [1, 2, 3]
for i, v in enumerate(m):
    if v == 2: continue
    m[i] += 10
else:
    print("else ran", m)
for v in m:
    if v == 2: break
else:
    print("not printed")
i = 0
while True:
    i += 1
    if i > 3: break
print(i, (n := 5) + n, [y := 1, y ** 2], not [], 0 or "x", 1 and "y", None or 0)
