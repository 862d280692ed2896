"""Spoils dumps: spoil_dumps.py FOLDER SEED puts other values into some of their metadata, cuts some of their files of
tensors short and changes bytes in others. The same seed spoils the same."""

import json
import os
import random
import sys

VALUES = ['null', 'true', '-1', '0', '3.5', '1e300', 'NaN', '"x"', '""', '[]', '[1]', '{}', '{"a": 1}', '[null]',
          '4611686018427387904', '"torch.int32"', '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]', '{"value": {}}', '[[1]]']


def paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, path + (key,))


def spoil_metadata(file, draw):
    with open(file) as lines:
        record = json.loads(lines.readlines()[-1])
    *way, last = draw.choice([path for path in paths(record) if path])
    inner = record
    for key in way:
        inner = inner[key]
    inner[last] = json.loads(draw.choice(VALUES))
    with open(file, "w") as lines:
        lines.write(json.dumps(record) + "\n")


def spoil_tensors(file, draw):
    with open(file, "rb") as whole:
        data = bytearray(whole.read())
    header = 8 + int.from_bytes(data[:8], "little")
    how = draw.choice(["cut", "header", "values"])
    if how == "cut":
        data = data[: draw.randint(0, len(data))]
    first, last = (0, header - 1) if how == "header" else (header, min(header + 64, len(data)) - 1)
    for _ in range(4 if how != "cut" and last >= first else 0):
        data[draw.randint(first, last)] = draw.randint(0, 255)
    with open(file, "wb") as whole:
        whole.write(data)


folder, draw = sys.argv[1], random.Random(int(sys.argv[2]))
for name in sorted(os.listdir(folder)):
    kind = draw.random()
    if kind < 0.6:
        spoil_metadata(os.path.join(folder, name, "metadata.jsonl"), draw)
    if kind > 0.4:
        spoil_tensors(os.path.join(folder, name, "inputs.safetensors"), draw)
