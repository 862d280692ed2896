--- A small SGLang tree: the layers that the op types know, and model files that a spec writes.
local fs = require "hone.fs"

local tiny = {}

local LAYERS = {
  ["srt/layers/layernorm.py"] = [[
import torch

class RMSNorm(torch.nn.Module):
    def __init__(self, hidden_size, eps=1e-6):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(hidden_size))
        self.hidden_size = hidden_size
        self.variance_epsilon = eps

    def forward(self, x, residual=None):
        return torch.ops.norm(x, residual)
]],
  ["srt/layers/linear.py"] = [[
import torch
from sglang.srt.distributed import get_tensor_model_parallel_world_size

class LinearBase(torch.nn.Module):
    def __init__(self, input_size, output_size):
        super().__init__()
        self.input_size = input_size
        self.output_size = output_size
        self.weight = torch.nn.Parameter(torch.ones(output_size, input_size))

    def forward(self, x):
        return torch.matmul(x, self.weight), None

class ColumnParallelLinear(LinearBase):
    pass

class QKVParallelLinear(ColumnParallelLinear):
    def __init__(self, hidden_size, head_size, total_num_heads, total_num_kv_heads):
        self.head_size = head_size
        self.total_num_heads = total_num_heads
        self.total_num_kv_heads = total_num_kv_heads
        tp_size = get_tensor_model_parallel_world_size()
        kv_heads = max(1, total_num_kv_heads // tp_size)
        super().__init__(hidden_size, (total_num_heads // tp_size + 2 * kv_heads) * tp_size * head_size)
]],
  ["srt/layers/radix_attention.py"] = [[
import torch

class RadixAttention(torch.nn.Module):
    def __init__(self, num_heads, head_dim, scaling, num_kv_heads, layer_id, logit_cap=0.0,
                 v_head_dim=-1, sliding_window_size=-1, is_cross_attention=False,
                 pos_encoding_mode="NONE", logit_capping_method="tanh", attn_type="decoder"):
        super().__init__()
        self.tp_q_head_num = num_heads
        self.tp_k_head_num = num_kv_heads
        self.head_dim = head_dim
        self.v_head_dim = v_head_dim if v_head_dim != -1 else head_dim
        self.logit_cap = logit_cap
        self.sliding_window_size = sliding_window_size
        self.is_cross_attention = is_cross_attention
        self.pos_encoding_mode = pos_encoding_mode
        self.logit_capping_method = logit_capping_method
        self.attn_type = attn_type

    def forward(self, q, k, v, forward_batch, **kwargs):
        return torch.ops.attention(q, k, v)
]],
  ["srt/layers/logits_processor.py"] = [[
import torch

class LogitsProcessor(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self, hidden_states):
        return hidden_states
]],
  ["srt/distributed/__init__.py"] = "from sglang.srt.distributed.parallel_state import *\n",
  ["srt/distributed/parallel_state.py"] = [[
def get_tensor_model_parallel_world_size():
    return _group().world_size
]],
  ["srt/model_executor/forward_batch_info.py"] = [[
from enum import IntEnum, auto

class ForwardMode(IntEnum):
    EXTEND = auto()
    DECODE = auto()

    def is_decode(self):
        return self == ForwardMode.DECODE
]],
  ["srt/utils/common.py"] = [[
import torch

def make_layers(num_hidden_layers, layer_fn, prefix=""):
    return torch.nn.ModuleList(
        [layer_fn(idx=idx, prefix=f"{prefix}.{idx}") for idx in range(num_hidden_layers)]
    )
]],
  ["srt/environ.py"] = [[
class Envs:
    SGLANG_FANCY = EnvBool(False)
    SGLANG_LIMIT = EnvInt(
        7, deprecated_name="LIMIT"
    )
    SGLANG_COMPUTED = EnvInt(2 * 3)

envs = Envs()
]],
  ["srt/server_args.py"] = [[
class ServerArgs:
    tp_size: int = 1
    enable_fancy: bool = False
]],
}

---A model: what stands before its classes, more arguments of its attention and of the call of it, more of a layer's
---__init__ and forward, more of the model's forward, more methods of the model.
---@param options { before: string?, methods: string?, attention: string?, given: string?, init: string?, layer: string?, forward: string? }?
function tiny.model(options)
  options = options or {}
  return ([[
import torch
from torch import nn
from sglang.srt.distributed import get_tensor_model_parallel_world_size
from sglang.srt.layers.layernorm import RMSNorm
from sglang.srt.layers.linear import ColumnParallelLinear, QKVParallelLinear
from sglang.srt.layers.logits_processor import LogitsProcessor
from sglang.srt.layers.radix_attention import RadixAttention
from sglang.srt.environ import envs
from sglang.srt.utils.common import make_layers
${before}

class Layer(nn.Module):
    def __init__(self, config, layer_id, prefix):
        super().__init__()
        tp = get_tensor_model_parallel_world_size()
        head_dim = config.hidden_size // config.num_attention_heads
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.unused = ColumnParallelLinear(3, 5)
        self.qkv_proj = QKVParallelLinear(
            config.hidden_size, head_dim, config.num_attention_heads, config.num_key_value_heads
        )
        self.attn = RadixAttention(
            config.num_attention_heads // tp, head_dim, head_dim**-0.5,
            max(1, config.num_key_value_heads // tp), layer_id${attention}
        )
        self.layer_id = layer_id
        ${init}

    def forward(self, x, residual, forward_batch):
        ${layer}
        if residual is None:
            residual = x
            x = self.norm(x)
        else:
            x, residual = self.norm(x, residual)
        qkv, _ = self.qkv_proj(x)
        q, k, v = qkv.split([1, 1, 1])
        return self.attn(q, k, v, forward_batch${given}), residual


class TinyForCausalLM(nn.Module):
    def __init__(self, config, quant_config=None):
        super().__init__()
        self.layers = make_layers(
            config.num_hidden_layers, lambda idx, prefix: Layer(config, idx, prefix), prefix="layers"
        )
        self.logits_processor = LogitsProcessor(config)

    def forward(self, input_ids, positions, forward_batch):
        x, residual = input_ids, None
        for layer in self.layers:
            x, residual = layer(x, residual, forward_batch)
        ${forward}
        return self.logits_processor(x)
${methods}

EntryClass = TinyForCausalLM
]]):gsub("%${(%w+)}", {
    before = options.before or "",
    attention = options.attention or "",
    given = options.given or "",
    init = options.init or "",
    layer = options.layer or "",
    forward = options.forward or "",
    methods = options.methods or "",
  })
end

tiny.CONFIG = [[{
  "architectures": ["TinyForCausalLM"], "model_type": "tiny", "hidden_size": 64, "num_attention_heads": 8,
  "num_key_value_heads": 2, "num_hidden_layers": 2, "rms_norm_eps": 1e-05, "vocab_size": 100,
  "torch_dtype": "bfloat16"
}
]]

---Write the tree below `folder`.
---@param folder string
---@param models table<string, string> # by file name without .py
function tiny.write(folder, models)
  for path, text in pairs(LAYERS) do
    local full = fs.join(folder, "sglang", path)
    assert(fs.mkdir(fs.dirname(full)))
    assert(fs.write(full, text))
  end
  assert(fs.mkdir(fs.join(folder, "sglang/srt/models")))
  for name, text in pairs(models) do
    assert(fs.write(fs.join(folder, "sglang/srt/models", name .. ".py"), text))
  end
end

return tiny
