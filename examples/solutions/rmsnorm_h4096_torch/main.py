import torch


def run(hidden_states, weight):
    x = hidden_states.float()
    return torch.nn.functional.rms_norm(x, x.shape[-1:], weight.float(), 1e-5).to(hidden_states.dtype)
