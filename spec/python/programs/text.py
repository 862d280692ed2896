s = "Hello, World"
print(s.upper(), s.lower(), s.split(", "), s.replace("l", "L"), s.find("o"), s.rfind("o"), s.find("z"), s.startswith("He"), s.endswith(("d", "x")), s[1:4], s[-1], s[::-1], len(s), "lo" in s, s.index("W"), s.count("l"))
print("a,b,,c".split(","), " a  b ".split(), "a,b,c".split(",", 1), "a.b.c".rsplit(".", 1), "k=v".partition("="), "a.b.c".rpartition("."), "x".join(["1", "2"]), "\n".join([]), "a\nb\r\nc".splitlines())
print("  x ".strip() + "|", "xxaxx".strip("x"), "abc".lstrip("ab"), "abc".rstrip("c"), "ab".ljust(4) + "|", "ab".rjust(4), "ab".center(6, "*"), "7".zfill(3), "-7".zfill(4), "abc".title(), "abc".capitalize(), "a-b".removeprefix("a-"), "a.py".removesuffix(".py"))
print("12".isdigit(), "ab".isalpha(), "a1".isalnum(), " ".isspace(), "Ab".isupper(), "ab".islower(), "x_1".isidentifier(), "".isdigit())
n, f = 42, 3.14159
print(f"{n}|{n:5}|{n:<5}|{n:^5}|{n:>5}|{n:05}|{n:+}|{n:x}|{n:#x}|{n:b}|{n:o}|{1234567:,}|{1234567:_}|{n:e}|{-n:5d}")
print(f"{f}|{f:.2f}|{f:8.3f}|{f:<8.1f}|{f:e}|{f:g}|{f:.3}|{0.5:.0%}|{f:+.1f}|{1e20}|{1e-7}|{1e16}|{123456789.0}|{1.0}|{0.1+0.2}|{1/3}|{float('inf')}|{-0.0}")
print(f"{s!r:>20}|{s:.3}|{'x':*^5}|{n!r}|{s!s}|{[1, 'a']}|{n=}|{n + 1 = }|{{braces}}|{None}|{True:>6}|{n:{8}}|{f:{5}.{1}f}")
print("%d %s %r %5.2f %x %05d %-5s| %+d %% %e %g %i" % (5, "a", "b", 2.5, 255, 42, "l", 3, 12345.678, 0.0001, 7), "%s" % 5, "%(a)s-%(b)d" % {"a": 1, "b": 2}, "%s %s" % (1, [2]))
print("{} {} {}".format(1, "a", None), "{0} {1} {0}".format("a", "b"), "{x:>4} {y!r}".format(x=1, y="q"), "{0.real} {1[0]} {2[k]}".format(5, [7], {"k": 8}), "{:{}}".format("a", 5) + "|", "{{}}".format())
print(repr("it's"), repr('say "x"'), repr("a\nb\t\\"), repr("both ' and \""), str(1.5), str(None), str([1, "a", None, True, 2.0]), repr((1,)), repr(()), str({}), repr({1: {2}}))
print(int("12"), int(" -7 "), int("ff", 16), int("0x1f", 0), int(3.9), int(-3.9), float("1.5"), float("1e3"), bool(""), bool("0"), str(True), int(True), float("nan") != float("nan"), int("1_000"))
for bad in (lambda: int("x"), lambda: float("y"), lambda: "a" + 1, lambda: 1 + "a", lambda: "abc"[10], lambda: "a".index("b"), lambda: "%d" % "x", lambda: "{}".format(), lambda: None + 1, lambda: len(5), lambda: [1] + (2,), lambda: {} < {}, lambda: 5(), lambda: None.x, lambda: "a".nope):
    try:
        bad()
    except Exception as e:
        print(type(e).__name__, e)
print("é".upper() if False else "é", len("héllo"), "héllo"[1], "日本"[::-1], ord("é"), chr(26085), "tab\x41\u0042\101", r"raw\n", "con" "cat", b"ab", """multi
line""", "a" * 3, "%s" % (1,))
print(sorted(["b", "A", "c"], key=str.lower), list(map(str, [1, 2])), "-".join(str(x) for x in range(3)), "abc" > "abb", max("abc"), ",".join(sorted({"x", "y"})))
print(hex(255), bin(5), oct(8), hex(-1), format(3.14159, ".2f"), format("a", ">3"), ascii("x"), "a\\b", 'q"q', f'{"nested"}', f"{'a' if n else 'b'}", f"{(lambda x: x * 2)(4)}", f"{ {'k': 1}['k'] }")
import re
print(re.match(r"layers\.(\d+)\.", "layers.12.mlp").group(1), re.search(r"\d+", "ab12").group(), re.sub(r"\s+", " ", "a  b   c"), re.findall(r"[a-z]+", "ab 12 cd"), re.match("x", "y"), re.split(",", "a,b"))
