print(7 // 2, -7 // 2, 7 // -2, -7 % 3, 7 % -3, 7.5 // 2, -7.5 % 2, 2 ** 10, 2 ** -1, (-2) ** 3, 2 ** 0.5, 10 / 4, 10 / 5, 1e3, 5 % 5.0)
print(1 + True, 3 * 1.0, 1 << 4, 255 >> 3, -1 >> 1, 6 & 3, 6 | 3, 6 ^ 3, ~5, -(-3), +4, not 3, True & False, True | False, True + True, 5 & -2)
print(abs(-3), abs(-2.5), round(2.5), round(3.5), round(-2.5), round(2.567, 2), round(7), round(1234.5, -2), divmod(7, 3), divmod(-7, 3), pow(2, 5), pow(2, 5, 7), sum([0.1] * 3), min(2, 1.5), max(-1, -2))
print(int(1e15), 1e15, 1e16, 123456.789, 1e-5, 0.0001, 5e-324, 1.7976931348623157e308, 2.0 ** 60, 100 * 1.1, 3.0, -0.0, 1_000_000, 0xff, 0b101, 0o17, .5, 1., 1e2)
print(1 == 1.0, 0.1 + 0.2 == 0.3, 3 > 2.5, 2 ** 62, -2 ** 2, 9007199254740993, 4611686018427387904 - 1, 7 / 2 * 2, 1 // 1, 2 ** 3 ** 2, -7 // 2 * 2 + -7 % 2)
for bad in (lambda: 1 / 0, lambda: 1 // 0, lambda: 1 % 0, lambda: 1.0 / 0, lambda: 0 ** -1, lambda: 1 << -1, lambda: 1.5 & 1, lambda: -"a", lambda: int("1.5"), lambda: round("a"), lambda: abs("a")):
    try:
        bad()
    except Exception as e:
        print(type(e).__name__)
import math
print(math.ceil(2.1), math.floor(-2.1), math.sqrt(16), math.log2(8), math.gcd(12, 18), math.prod([1, 2, 3]), math.pi, math.inf, math.isnan(math.nan), math.isclose(1, 1 + 1e-12), math.trunc(-2.7), math.log(math.e), math.pow(2, 3), math.exp(0), math.lcm(4, 6))
def ceil_div(a, b): return -(-a // b)
def align(x, m): return (x + m - 1) // m * m
print(ceil_div(7, 2), align(130, 64), (5).bit_length(), (2.0).is_integer(), float(3), int("7") + 1, 10 ** 15, 1 if 0 else 2, 3 if [] else 4)
x = 5; x += 1; x *= 2; x -= 3; x //= 2; x **= 2; x %= 7; x <<= 3; x |= 1; x ^= 2; x &= 15; x >>= 1
print(x, isinstance(True, int), isinstance(1, float), type(1).__name__, type(1.0).__name__, type(True).__name__, type(None).__name__, type("").__name__, type([]), type(print).__name__)
