import triton


@triton.jit
def five(a, b, c, n, s):
    pass
