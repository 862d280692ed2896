"""{{definition}} by FlashInfer: {{summary}}

{{signature}}
"""

import flashinfer

EPS = {{eps}}


def run({{names}}):
    return flashinfer.norm.rmsnorm(hidden_states, weight, eps=EPS)
