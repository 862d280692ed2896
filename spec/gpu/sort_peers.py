"""What torch takes on the GPU for the cases of bench/gpu_sort.lua: sort_peers.py REPEATS prints a line
"LABEL\\tMICROSECONDS" for each, the median."""
import statistics
import sys

import torch

REPEATS = int(sys.argv[1])


def median_us(call):
    for _ in range(3):
        call()
    times = []
    for _ in range(REPEATS):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        torch.cuda._sleep(200_000)  # the host is ahead when the first event is reached
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) * 1e3)
    return statistics.median(times)


def show(label, call):
    print(f"{label}\t{median_us(call):.2f}", flush=True)


def random(*shape):
    return torch.rand(*shape, device="cuda") - 0.5


logits = random(64, 129280)
show("sort of 64 x 129280 float32", lambda: logits.sort())
show("topk 50 of 64 x 129280 float32", lambda: logits.topk(50))
show("topk 1000 of 64 x 129280 float32", lambda: logits.topk(1000))
row = random(1 << 24)
show("sort of 16 Mi float32", lambda: row.sort())
show("topk 100 of 16 Mi float32", lambda: row.topk(100))
short = random(1 << 20, 32)
show("sort of 1 Mi x 32 float32", lambda: short.sort())
square = random(4096, 4096)
show("sort of 4096 x 4096 float32", lambda: square.sort())
integers = torch.randint(0, 100000, (1 << 22,), device="cuda")
show("unique of 1 Mi x 4 int64", lambda: integers.unique(return_inverse=True, return_counts=True))
flags = random(1 << 24) > 0
show("nonzero of 16 Mi bools", lambda: flags.nonzero())
target, index = random(2048, 4096), torch.randint(0, 2048, (16384,), device="cuda")
source = random(16384, 4096)
show("index_add_ of 16384 x 4096 float32", lambda: target.index_add_(0, index, source))
