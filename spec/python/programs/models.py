from dataclasses import dataclass, field, replace, fields, asdict, is_dataclass
from enum import Enum, IntEnum, Flag, IntFlag, auto, unique
from typing import Any, ClassVar, Dict, Generic, List, NamedTuple, Optional, Tuple, TypeVar, Union, TYPE_CHECKING
from abc import ABC, abstractmethod
from functools import cached_property, partial, lru_cache
if TYPE_CHECKING:
    import nowhere
@dataclass
class Config:
    name: str
    size: int = 4
    tags: List[str] = field(default_factory=list)
    shared: ClassVar[int] = 7
    hidden: int = field(default=0, repr=False)
    def __post_init__(self): self.double = self.size * 2
@dataclass
class Sub(Config):
    extra: Optional[int] = None
@dataclass(frozen=True)
class Key:
    a: int
    b: Tuple[int, ...] = ()
@dataclass(order=True, kw_only=True)
class Ordered:
    x: int
    y: int = 0
c = Config("n"); d = Sub("m", 8, extra=3)
c.tags.append("t")
print(c, d, Config("q").tags, c.double, c == Config("n", tags=["t"]), c != d, Config.shared)
print(replace(d, size=1), [f.name for f in fields(Sub)], asdict(c), is_dataclass(Config), {Key(1, (2,)): "v"}[Key(1, (2,))], Key(1) == Key(1), Ordered(x=1) < Ordered(x=1, y=2))
for bad in (lambda: Config(), lambda: Config("a", nope=1), lambda: setattr(Key(1), "a", 2)):
    try:
        bad()
    except Exception as e:
        print(type(e).__name__, e)
class Color(Enum):
    RED = 1
    GREEN = auto()
    CRIMSON = 1
    @property
    def pretty(self): return self.name.title()
    @classmethod
    def default(cls): return cls.GREEN
    def is_red(self): return self == Color.RED
class Num(IntEnum):
    ONE = 1
    TWO = 2
class S(str, Enum):
    A = "a"
    B = "b"
class F(Flag):
    R = auto()
    W = auto()
    X = auto()
    RW = R | W
class Planet(Enum):
    EARTH = (1, 2.5)
    MARS = (2, 3.5)
    def __init__(self, order, mass):
        self.order = order
        self.mass = mass
print(Color.RED, repr(Color.GREEN), Color.RED.value, Color(2), Color["RED"], Color.CRIMSON is Color.RED, list(Color), len(Color), Color.RED.pretty, Color.default(), Color.RED.is_red(), Color.RED in (Color.RED,), isinstance(Color.RED, Color), Color.RED == 1)
print(Num.ONE + 1, Num.TWO > 1, Num(2), repr(Num.ONE), Num.ONE == 1, [1, 2][Num.ONE], {Num.ONE: "x"}[1], max(Num), S.A == "a", S("b"), S.A.value, S.A.upper(), {"a": 1}[S.A], f"{S.A.value}")
print(F.R | F.X, F.RW.value, F.R in F.RW, bool(F.R & F.W), Planet.EARTH.mass, Planet.MARS.value, {Color.RED: 1}[Color.RED], Color.RED != Color.GREEN, [m.name for m in S], Color.__members__.keys())
try:
    Color(9)
except ValueError as e:
    print(e)
class Pt(NamedTuple):
    x: int
    y: int = 5
    def norm(self): return self.x + self.y
p = Pt(1); print(p, p.norm(), p[0], Pt(y=1, x=2)); x, y = p; print(x, y)
T = TypeVar("T")
class Box(Generic[T]):
    def __init__(self, v: T): self.v = v
    def get(self) -> "T": return self.v
print(Box[int](5).get(), Box(6).get())
class Abs(ABC):
    @abstractmethod
    def run(self): ...
    @property
    @abstractmethod
    def p(self): ...
class Conc(Abs):
    def run(self): return "run"
    @property
    def p(self): return 1
    @cached_property
    def slow(self):
        print("computed")
        return 42
k = Conc(); print(k.run(), k.p, k.slow, k.slow)
def typed(a: Union[int, str], b: "Undefined" = None, *, c: Dict[str, Any] | None = None) -> List[int]:
    z: int = 5
    w: List[int]
    return [z]
print(typed(1), partial(typed, 1, c={})())
import os, logging, math, types, json as _unused
logger = logging.getLogger(__name__); logger.info("hi %s", 1)
print(os.getenv("SURELY_NOT_SET"), os.environ.get("SURELY_NOT_SET", "d"), types.SimpleNamespace(a=1, b="x"), os.path.join("a", "b"))
