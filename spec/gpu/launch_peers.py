"""What a launch costs the host in torch, CuPy and Triton: "NAME NANOSECONDS" lines, in the batches of launch.c."""
import statistics
import time

BATCH, BATCHES = 512, 60


def measure(name, call, synchronize):
    for _ in range(BATCH):
        call()
    times = []
    for _ in range(BATCHES):
        synchronize()
        start = time.perf_counter_ns()
        for _ in range(BATCH):
            call()
        times.append((time.perf_counter_ns() - start) / BATCH)
    synchronize()
    print(name, f"{statistics.median(times):.1f}", flush=True)


def torch_add():
    import torch

    x = torch.ones(32, device="cuda")
    out = torch.empty_like(x)
    measure("torch.add", lambda: torch.add(x, x, out=out), torch.cuda.synchronize)


def cupy_raw():
    import cupy

    kernel = cupy.RawKernel(
        'extern "C" __global__ void five(float *a, float *b, float *c, int n, float s) {}', "five"
    )
    x = cupy.ones(32, dtype=cupy.float32)
    n, s = cupy.int32(7), cupy.float32(0.5)
    measure("CuPy RawKernel", lambda: kernel((1,), (32,), (x, x, x, n, s)), cupy.cuda.Device().synchronize)


def triton_jit():
    import torch
    from launch_triton import five

    x = torch.ones(32, device="cuda")
    measure("Triton", lambda: five[(1,)](x, x, x, 7, 0.5), torch.cuda.synchronize)


for each in (torch_add, cupy_raw, triton_jit):
    try:
        each()
    except Exception as problem:  # a peer that is not installed is left out
        print(f"# {each.__name__}: {problem}", flush=True)
