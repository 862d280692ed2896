-- Config classes of a small SGLang and a small transformers.
local classes = require "hone.sglang.config_classes"
local fs = require "hone.fs"
local json = require "hone.json"
local python = require "hone.python"

local REGISTRY = [[
from sglang.srt.configs.hybrid import HybridConfig

_CONFIG_REGISTRY = {cls.model_type: cls for cls in [HybridConfig]}
]]

local HYBRID = [[
from transformers import PretrainedConfig


class HybridConfig(PretrainedConfig):
    model_type = "hybrid"
    attribute_map = {"n_layer": "num_hidden_layers"}

    def __init__(self, num_hidden_layers=8, interval=4, head_dim=256, rope_theta=1e6, **kwargs):
        super().__init__(**kwargs)
        self.num_hidden_layers = num_hidden_layers
        self.interval = interval
        self.head_dim = head_dim
        self.rope_theta = rope_theta

    @property
    def kinds(self):
        return ["full" if (i + 1) % self.interval == 0 else "linear" for i in range(self.num_hidden_layers)]


class ForgottenConfig(PretrainedConfig):
    model_type = "forgotten"
    answer = 42
]]

local DECLARED = [[
from huggingface_hub.dataclasses import strict

from ...configuration_utils import PreTrainedConfig
from ...utils import auto_docstring, logging
from ...utils.type_validators import interval
from ..auto import CONFIG_MAPPING, AutoConfig

logger = logging.get_logger(__name__)


@auto_docstring(checkpoint="org/name")
@strict
class WholeTextConfig(PreTrainedConfig):
    model_type = "whole_text"
    default_theta = 500000.0

    hidden_size: int = 64
    num_heads: int = 4
    head_dim: int | None = None
    scale: float = interval(min=0.0, max=1.0)(default=0.5)
    layer_types: list[str] | None = None
    rope_parameters: dict | None = None

    def __post_init__(self, **kwargs):
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_heads
        if self.layer_types is None:
            self.layer_types = ["chunked", "full"]
        super().__post_init__(**kwargs)


@strict(accept_kwargs=True)
class WholeConfig(PreTrainedConfig):
    model_type = "whole"
    sub_configs = {"text_config": WholeTextConfig, "vision_config": AutoConfig}

    text_config: dict | None = None
    vision_config: dict | None = None
]]

local dir

-- The config that `data` gives, in a world of its own; its fields are read with `read`.
local function made(data, with_transformers)
  local transformers = with_transformers and assert(classes.transformers(fs.join(dir.path, "tf"))) or nil
  local packages, opaque = classes.packages(transformers)
  packages.sglang = fs.join(dir.path, "sglang")
  local world = python.abstract { packages = packages, opaque = opaque }
  local options = {
    package = packages.sglang,
    transformers = transformers,
    on_missing = function(name) return "the config has no " .. name end,
  }
  local config = assert(assert(classes.new(world, options)):config(json.decode(data)))
  local function read(path)
    local value = config
    for name in path:gmatch "[^.]+" do
      local why
      value, why = world:get(value, name)
      if value == nil then return nil, why end
    end
    return python.to_lua(value), value
  end
  return read, world, config
end

describe("hone.sglang.config_classes", function()
  setup(function()
    dir = assert(fs.tempdir())
    for path, text in pairs {
      ["sglang/srt/utils/hf_transformers/common.py"] = REGISTRY,
      ["sglang/srt/configs/hybrid.py"] = HYBRID,
      ["tf/transformers/models/whole/configuration_whole.py"] = DECLARED,
      ["tf/transformers/models/auto/__init__.py"] = "",
      ["tf/transformers/utils/__init__.py"] = "raise RuntimeError('nor is this')\n",
      ["tf/transformers/configuration_utils.py"] = "raise RuntimeError('this is not to be read')\n",
    } do
      local full = fs.join(dir.path, path)
      assert(fs.mkdir(fs.dirname(full)))
      assert(fs.write(full, text))
    end
  end)
  teardown(function() dir:remove() end)

  it("makes a config with the class that SGLang lists for its model type", function()
    local read = made '{"model_type": "hybrid", "num_hidden_layers": 4, "extra": 3}'
    assert.same({ "linear", "linear", "linear", "full" }, read "kinds")
    assert.equal(256, (read "head_dim"))
    assert.equal(3, (read "extra"))
    assert.equal(4, (read "n_layer"))
  end)

  it("remembers where numbers come from, also those that the class has put in", function()
    local read = made '{"model_type": "hybrid", "num_hidden_layers": 4}'
    assert.equal("head_dim 256", python.explain(select(2, read "head_dim")))
    assert.equal("num_hidden_layers 4", python.explain(select(2, read "num_hidden_layers")))
  end)

  it("does not use a class that SGLang does not list", function()
    local read = made '{"model_type": "forgotten"}'
    assert.same({ nil, "AttributeError: the config has no answer" }, { read "answer" })
  end)

  it("knows what every config has when there is no class", function()
    local read = made '{"model_type": "nobody", "hidden_size": 8, "torch_dtype": "bfloat16"}'
    assert.equal(8, (read "hidden_size"))
    assert.is_false((read "is_encoder_decoder"))
    assert.equal(json.null, (read "quantization_config"))
    assert.same({ nil, "AttributeError: the config has no num_heads" }, { read "num_heads" })
  end)

  it("gathers what a config says of rotary embeddings", function()
    local old =
      '{"rope_theta": 10000.0, "max_position_embeddings": 32, "rope_scaling": {"type": "yarn", "factor": 4}}'
    local read = made(old)
    local rope = read "rope_parameters"
    assert.same({ "yarn", 10000.0, 4, 32 }, {
      rope.rope_type,
      rope.rope_theta,
      rope.factor,
      rope.original_max_position_embeddings,
    })
    rope = made '{"rope_theta": 5.0, "rope_scaling": null, "partial_rotary_factor": 0.5}' "rope_parameters"
    assert.same({ "default", 5.0, 0.5 }, { rope.rope_type, rope.rope_theta, rope.partial_rotary_factor })
    rope = made '{"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}' "rope_parameters"
    assert.equal(7.0, rope.rope_theta)
  end)

  it("leaves parts that are no configs as dicts, and makes configs of those that are", function()
    local data =
      '{"linear_attn_config": {"heads": [1, 2]}, "text_config": {"hidden_size": 5}, "vision_config": {"a": 1}}'
    local read, world, config = made(data)
    assert.same({ 1, 2 }, read("linear_attn_config").heads)
    assert.equal(5, (read "text_config.hidden_size"))
    assert.is_false((read "text_config.is_decoder"))
    assert.equal(5, python.to_lua(world:get(world:call_method(config, "get_text_config"), "hidden_size")))
    assert.is_true(python.is_unknown(select(2, read "vision_config.depth")))
  end)

  it("adds what the server adds: the size of a head, and the text part's fields on the whole", function()
    local read = made '{"text_config": {"hidden_size": 96, "num_attention_heads": 8, "vocab_size": 5}}'
    local head_dim, traced = read "text_config.head_dim"
    assert.equal(12, head_dim)
    assert.equal(
      "text_config.hidden_size 96 / text_config.num_attention_heads 8 = 12",
      python.explain(traced)
    )
    assert.equal(5, (read "vocab_size"))
  end)

  it("evaluates the class that transformers has, where its sources are at hand", function()
    local data = '{"model_type": "whole", "text_config": {"hidden_size": 96, "num_heads": 8}}'
    local read = made(data, true)
    assert.equal(12, (read "text_config.head_dim"))
    assert.equal(0.5, (read "text_config.scale"))
    assert.same({ "chunked", "full" }, (read "text_config.layer_types"))
    assert.equal(500000.0, read("text_config.rope_parameters").rope_theta)
    read = made(data, false)
    assert.same({ nil, "AttributeError: the config has no head_dim" }, { read "text_config.head_dim" })
  end)

  it("finds the class of a type that is part of another model's file", function()
    local read = made('{"model_type": "whole_text"}', true)
    assert.equal(16, (read "head_dim"))
  end)

  it("says when a folder holds no transformers", function()
    local folder, why = classes.transformers(fs.join(dir.path, "sglang"))
    assert.is_nil(folder)
    assert.matches("cannot read transformers' sources in .*: it has no models/auto folder$", why)
  end)
end)
