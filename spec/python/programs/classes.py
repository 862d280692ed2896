class Base:
    count = 0
    def __init__(self, a, b=2, *rest, c, d=4, **more):
        self.a, self.b, self.rest, self.c, self.d, self.more = a, b, rest, c, d, more
        Base.count += 1
    def __repr__(self):
        return f"{type(self).__name__}({self.a}, {self.b}, {self.rest}, {self.c}, {self.d}, {self.more})"
    def describe(self):
        return "base"
    @property
    def total(self):
        return self.a + self.b
    @total.setter
    def total(self, v):
        self.a = v - self.b
    @classmethod
    def make(cls, *args, **kw):
        return cls(*args, c=0, **kw)
    @staticmethod
    def twice(x):
        return 2 * x
class Left(Base):
    def describe(self):
        return "left " + super().describe()
class Right(Base):
    def describe(self):
        return "right " + super().describe()
class Both(Left, Right):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.both = True
    def describe(self):
        return "both " + super(Both, self).describe()
print(Base(1, c=3), Base(1, 5, 6, 7, c=3, e=9))
b = Both(1, c=2)
print(b.describe(), [k.__name__ for k in Both.__mro__], b.total, Both.make(7).a, Base.count)
b.total = 10
print(b.a, b.twice(4), Both.twice(5), vars(b))
print(isinstance(b, Left), isinstance(b, (int, Right)), issubclass(Both, Base), issubclass(Left, Right))
try:
    Base()
except TypeError as e:
    print(e)
try:
    Base(1)
except TypeError as e:
    print(e)
def f(a, b=1, /, c=2, *, d, e=5): return (a, b, c, d, e)
print(f(1, d=4), f(1, 2, c=3, d=4, e=6))
for bad in (lambda: f(), lambda: f(1, 2, 3, 4, d=5), lambda: f(1, d=2, z=3), lambda: f(1), lambda: f(1, d=1, d2=2)):
    try:
        bad()
    except TypeError as e:
        print(e)
class Bare: pass
try:
    Bare(1)
except TypeError as e:
    print(e)
class Meta(type):
    def __call__(cls, *args):
        obj = super().__call__(*args)
        obj.tag = "meta"
        return obj
class WithMeta(metaclass=Meta):
    def __init__(self, x): self.x = x
w = WithMeta(3)
print(w.x, w.tag, type(WithMeta).__name__)
class Plugin:
    registry = []
    def __init_subclass__(cls, name=None, **kw):
        super().__init_subclass__(**kw)
        Plugin.registry.append((cls.__name__, name))
class P1(Plugin, name="one"): pass
class P2(Plugin): pass
print(Plugin.registry)
class Desc:
    def __set_name__(self, owner, name): self.name = name
    def __get__(self, obj, owner=None):
        if obj is None: return self
        return obj.__dict__.get(self.name, "unset")
    def __set__(self, obj, value):
        obj._store = value * 2
class Uses:
    d = Desc()
u = Uses()
print(u.d); u.d = 4; print(u._store, Uses.d.name)
class Dyn:
    def __getattr__(self, name):
        if name.startswith("x"): return name.upper()
        raise AttributeError(name)
d = Dyn()
print(d.xyz, hasattr(d, "abc"), getattr(d, "abc", 7), getattr(d, "xa"))
class Call:
    def __call__(self, *a, **k): return a, k
    def __len__(self): return 0
    def __bool__(self): return True
    def __contains__(self, x): return x == 3
    def __getitem__(self, i): return i
    def __iter__(self): return iter([1, 2])
    def __enter__(self): print("enter"); return self
    def __exit__(self, *a): print("exit", a[0]); return True
    def __eq__(self, o): return isinstance(o, Call)
    def __hash__(self): return 7
c = Call()
print(c(1, x=2), len(c), bool(c), 3 in c, c[1:2], c[1, 2], list(c), c == Call(), c != Call(), {c: 1}[Call()])
with c as k:
    raise ValueError("swallowed")
class V:
    def __init__(self, x): self.x = x
    def __add__(self, o): return V(self.x + (o.x if isinstance(o, V) else o))
    __radd__ = __add__
    def __mul__(self, o): return NotImplemented
    def __lt__(self, o): return self.x < o.x
    def __neg__(self): return V(-self.x)
    def __iadd__(self, o): self.x += 100; return self
    def __repr__(self): return f"V{self.x}"
v = V(1) + 2
v += 1
print(v, 3 + V(4), sorted([V(3), V(1)]), -V(2), sum([V(1), V(2)], V(0)))
try:
    V(1) * 2
except TypeError as e:
    print(e)
X = type("X", (Base,), {"describe": lambda self: "dynamic"})
print(X(1, c=1).describe(), X.__name__)
def outer():
    class Inner:
        y = 5
        def get(self): return __class__.y
    return Inner
print(outer()().get(), outer().__qualname__)
del b.both
print(hasattr(b, "both"), callable(c), callable(3))
