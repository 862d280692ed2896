"""What torch takes on the GPU: tensor_peers.py REPEATS; reads "SETUP\\tEXPRESSION" lines, prints the median
microseconds of each, or "-" where this torch cannot do it."""
import statistics
import sys

import torch

torch.backends.cuda.matmul.allow_tf32 = False
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


for line in sys.stdin:
    setup, expression = line.rstrip("\n").split("\t")
    names = {"torch": torch, "F": torch.nn.functional}
    try:
        exec(setup, names)
        print(f"{median_us(eval('lambda: ' + expression, names)):.2f}", flush=True)
    except Exception as error:
        print("-", str(error).splitlines()[0], file=sys.stderr)
        print("-", flush=True)
    names.clear()
    torch.cuda.empty_cache()
