--- The base of HuggingFace's config classes, as far as models see of it.
--
-- A config class works out what config.json leaves out: a layer's type from its position, the size of a head.
-- It does so in Python, and so does its base, which is written here for the evaluator: it keeps what it is
-- given, knows the fields that every config has, and takes a class whose fields are declared for a dataclass,
-- as transformers does from version 5 on.
local python = require "hone.python"

local M = {}

local SOURCE = [=[
import dataclasses
import torch

# Parts of a config that are configs of their own even when nothing says so.
MEDIA = ("vision_config", "audio_config")
PARTS = ("text_config", "llm_config", "language_config", "thinker_config", *MEDIA)


class PretrainedConfig:
    model_type = ""
    base_config_key = ""
    sub_configs = {}
    sub_configs_defaults = {}
    attribute_map = {}
    default_theta = 10000.0

    architectures = None
    dtype = None
    quantization_config = None
    pad_token_id = None
    bos_token_id = None
    eos_token_id = None
    sep_token_id = None
    tie_word_embeddings = True
    is_encoder_decoder = False
    is_decoder = False
    add_cross_attention = False
    chunk_size_feed_forward = 0
    output_hidden_states = False
    output_attentions = False
    return_dict = True
    use_return_dict = True
    problem_type = None
    id2label = None
    name_or_path = ""

    def __init_subclass__(cls):
        if "__init__" not in vars(cls) and cls.__annotations__:
            declare(cls)

    def __init__(self, **fields):
        self.__post_init__(**fields)

    def __post_init__(self, **fields):
        dtype = fields.pop("torch_dtype", None)
        declared = hasattr(self, "rope_parameters")
        if declared:
            fields = self.convert_rope_params_to_dict(**fields)
        for name, value in fields.items():
            setattr(self, name, value)
        if self.dtype is None:
            self.dtype = dtype
        if isinstance(self.dtype, str):
            self.dtype = getattr(torch, self.dtype.removeprefix("torch."))
        make_parts(self)
        if not declared:
            gather_rotary(self)

    def __setattr__(self, name, value):
        object.__setattr__(self, self.attribute_map.get(name, name), value)

    @property
    def torch_dtype(self):
        return self.dtype

    @torch_dtype.setter
    def torch_dtype(self, value):
        self.dtype = value

    @property
    def num_labels(self):
        return 2 if self.id2label is None else len(self.id2label)

    @num_labels.setter
    def num_labels(self, count):
        self.id2label = {i: str(i) for i in range(count)}

    def __iter__(self):
        return iter(vars(self))

    def get_text_config(self, *args, **kwargs):
        for name in ("text_encoder", "decoder", "generator", "text_config"):
            part = getattr(self, name, None)
            if isinstance(part, PretrainedConfig):
                return part
        return self

    @classmethod
    def from_dict(cls, fields, **more):
        return cls(**{**fields, **more})

    def to_dict(self):
        return dict(vars(self))

    def update(self, fields):
        for name, value in fields.items():
            setattr(self, name, value)

    def convert_rope_params_to_dict(self, **fields):
        """What a class that declares rope_parameters does with the fields that say the same; some do more."""
        scaling = fields.pop("rope_scaling", None)
        if scaling:
            self.rope_parameters = scaling
        for name in ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings"):
            if name in fields:
                setattr(self, name, fields[name])
        self.standardize_rope_params()
        return fields

    def standardize_rope_params(self):
        gather_rotary(self)
        self.rope_scaling = self.rope_parameters


class MediaConfig(PretrainedConfig):
    """A part for pictures or sound whose class is not known: what it lacks is unknown."""


def declare(cls):
    """A class whose fields are declared: given values and defaults first, then what the class works out."""
    cls = dataclasses.dataclass(cls, kw_only=True)
    fields = dataclasses.fields(cls)

    def __init__(self, **given):
        for field in fields:
            if field.name in given:
                setattr(self, field.name, given.pop(field.name))
            elif field.default is not dataclasses.MISSING:
                setattr(self, field.name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                setattr(self, field.name, field.default_factory())
        self.__post_init__(**given)

    cls.__init__ = __init__


def part_class(config, name, part):
    """The class of a part: what the config's class says, else what the part's own model_type says."""
    declared = config.sub_configs.get(name) or config.sub_configs_defaults.get(name)
    declared = getattr(declared, "config_class", declared)
    if isinstance(declared, type) and issubclass(declared, PretrainedConfig):
        return declared
    known = class_of_model_type(part.get("model_type"))
    return known or (MediaConfig if name in MEDIA else PretrainedConfig)


def make_parts(config):
    for name, part in list(vars(config).items()):
        known = name in PARTS or name in config.sub_configs or name in config.sub_configs_defaults
        if isinstance(part, dict) and (known or name.endswith("_config") and "model_type" in part):
            setattr(config, name, part_class(config, name, part)(**part))
    for name in config.sub_configs_defaults:
        if getattr(config, name, None) is None:
            setattr(config, name, part_class(config, name, {})())


def text_part(config):
    """The part that describes the language model, the config itself where there are no parts."""
    for name in ("thinker_config", "llm_config", "language_config", "text_config"):
        part = getattr(config, name, None)
        if isinstance(part, PretrainedConfig):
            return text_part(part)
    return config


def complete(config, own):
    """What the server adds to a config that it has loaded. `own`: the class is the server's own."""
    text = text_part(config)
    heads = getattr(text, "num_attention_heads", None)
    if getattr(text, "head_dim", None) is None and heads and hasattr(text, "hidden_size"):
        text.head_dim = text.hidden_size // heads
    for part in (config, text):
        if not hasattr(part, "rope_parameters"):  # a constructor of its own may set rope_theta last
            gather_rotary(part)
    if text is config or own:
        return
    for name, value in vars(text).items():
        if value is not None and not hasattr(config, name):
            setattr(config, name, value)


def gather_rotary(config):
    """What a config says of rotary embeddings, under one name."""
    scaling = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    theta = getattr(config, "rope_theta", None)
    if not isinstance(scaling, dict):
        if theta is None and not hasattr(config, "rope_parameters"):
            return
        scaling = {}
    theta = config.default_theta if theta is None else theta
    gathered = dict(scaling)
    labels = getattr(config, "layer_types", None) or ()
    nested = [name for name in gathered if name in labels]
    for name in nested:
        if gathered[name] is not None:
            gathered[name] = rotary(config, gathered[name], theta)
    config.rope_parameters = gathered if nested else rotary(config, gathered, theta)


def rotary(config, given, theta):
    gathered = dict(given)
    gathered.setdefault("rope_theta", theta)
    gathered.setdefault("rope_type", gathered.get("type", "default"))
    factor = getattr(config, "partial_rotary_factor", None)
    if factor is not None:
        gathered.setdefault("partial_rotary_factor", factor)
    if gathered["rope_type"] in ("llama3", "yarn", "longrope"):
        length = getattr(config, "original_max_position_embeddings", None)
        length = getattr(config, "max_position_embeddings", None) if length is None else length
        if length is not None:
            gathered.setdefault("original_max_position_embeddings", length)
    return gathered
]=]

---The class.
---@param world hone.python.World
---@param class_of_model_type fun(model_type: string): hone.python.Value? # the class of a part, by its model_type
---@param on_missing fun(name: string): string # what to say of a field that no config has
---@return hone.python.Value? class
---@return hone.python.Value|string complete # what the server adds: complete(config, own); or why there is no class
function M.class(world, class_of_model_type, on_missing)
  local module, message = world:run(SOURCE, "PretrainedConfig")
  if not module then return nil, message end
  local by_type = python.fn("class_of_model_type", function(args)
    local model_type = args[1]
    return type(model_type) == "string" and class_of_model_type(model_type) or python.none()
  end)
  world:set(module, "class_of_model_type", by_type)
  local class = world:get(module, "PretrainedConfig")
  -- A field that is not there may be known under another name.
  local media = world:get(module, "MediaConfig")
  local function missing(args)
    local config, name = args[1], args[2]
    if config.cls == media then return python.unknown(python.value(name)) end
    local other = world:call_method(world:get(config, "attribute_map"), "get", { name })
    if not python.is_none(other) then return world:get(config, python.value(other)) end
    return world:raise("AttributeError", on_missing(name))
  end
  world:set(class, "__getattr__", python.fn("__getattr__", missing))
  return class, world:get(module, "complete")
end

return M
