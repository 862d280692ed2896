"""{{definition}}: {{summary}}

{{signature}}
"""

import torch

EPS = {{eps}}


@torch.no_grad()
def run({{names}}):
    # The sum is normalized before it would be rounded to the residual's dtype.
    x = hidden_states.to(torch.float32) + residual.to(torch.float32)
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + EPS)
    return (x * scale * weight.to(torch.float32)).to(hidden_states.dtype)
