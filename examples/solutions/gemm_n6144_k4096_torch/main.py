import torch


def run(A, B):
    return torch.nn.functional.linear(A, B)
