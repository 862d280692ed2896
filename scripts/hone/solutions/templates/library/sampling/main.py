"""{{definition}} by FlashInfer: {{summary}}

{{signature}}
"""

import torch
from {{module}} import {{function}}


def run({{names}}):
    return {{function}}({{names}}).to(torch.int64)
