"""{{definition}}: {{summary}}

{{signature}}
"""

import torch


@torch.no_grad()
def run({{names}}):
    return torch.matmul(A, B.transpose(0, 1))
