local fs = require "hone.fs"
local sources = require "hone.sglang.sources"
local tiny = require "support.tiny_sglang"

describe("hone.sglang.sources", function()
  local dir, package

  setup(function()
    dir = fs.tempdir()
    tiny.write(dir.path, {
      tiny = tiny.model(),
      tiny_moe = "EntryClass = [\n    TinyMoeForCausalLM,  # the sparse one\n    OtherForCausalLM,\n]\n",
      helpers = "x = 1\n",
    })
    package = assert(sources.package(dir.path))
  end)

  teardown(function() dir:remove() end)

  it("finds the package in a clone, an unpacked wheel and itself", function()
    assert.equal(fs.join(dir.path, "sglang"), package)
    assert.equal(package, sources.package(package))
    local clone = fs.join(dir.path, "clone")
    assert(fs.mkdir(fs.join(clone, "python/sglang/srt/models")))
    assert.equal(fs.join(clone, "python/sglang"), sources.package(clone))
  end)

  it("says what is wrong with a folder that holds no SGLang", function()
    local found, message = sources.package(fs.join(dir.path, "nowhere"))
    assert.is_nil(found)
    assert.matches("there is no such folder", message, 1, true)
    found, message = sources.package(fs.join(package, "srt"))
    assert.is_nil(found)
    assert.matches("it has no srt/models folder", message, 1, true)
  end)

  it(
    "lists the model files in order",
    function() assert.same({ "helpers", "tiny", "tiny_moe" }, sources.models(package)) end
  )

  it("reads entry classes from one name and from a list with comments", function()
    assert.same({ "TinyForCausalLM" }, sources.entry_classes(package, "tiny"))
    assert.same({ "TinyMoeForCausalLM", "OtherForCausalLM" }, sources.entry_classes(package, "tiny_moe"))
    assert.same({}, sources.entry_classes(package, "helpers"))
  end)

  it("finds a model by its file name", function()
    local model = assert(sources.find(package, "tiny", { "TinyForCausalLM" }, {}))
    assert.equal("sglang.srt.models.tiny", model.module)
    assert.equal("TinyForCausalLM", model.class)
  end)

  it("finds the head that SGLang's configuration names for a model's drafts", function()
    local path = fs.join(package, "srt/configs/model_config.py")
    assert(fs.mkdir(fs.dirname(path)))
    assert(fs.write(
      path,
      [[
class ModelConfig:
    def _config_draft_model(self):
        if self.is_draft_model and self.hf_config.architectures[0] in [
            "TinyForCausalLM",
            "TinyV2ForCausalLM",
        ]:
            self.hf_config.architectures[0] = "OtherForCausalLM"
        if (
            is_draft_model
            and self.hf_config.architectures[0] == "BigForCausalLM"
        ):
            self.hf_config.architectures[0] = "TinyMoeForCausalLM"
]]
    ))
    assert.equal("OtherForCausalLM", sources.find(package, "tiny_moe", { "TinyV2ForCausalLM" }, {}).class)
    assert.equal("TinyMoeForCausalLM", sources.find(package, "tiny_moe", { "BigForCausalLM" }, {}).class)
    assert.is_nil((sources.find(package, "tiny", { "BigForCausalLM" }, {})))
  end)

  it("finds a model by the name of the model, when the config says which class it is", function()
    local model = assert(sources.find(package, "tiny-2.5-7b", { "OtherForCausalLM" }, {}))
    assert.equal("tiny_moe", model.name)
    model = assert(sources.find(package, "brand_new", { "TinyForCausalLM" }, { "brand_new" }))
    assert.equal("tiny", model.name)
  end)

  it("suggests the closest name for one that nothing has", function()
    local model, message = sources.find(package, "tinny", { "TinyForCausalLM" }, { "llama" })
    assert.is_nil(model)
    assert.matches("did you mean tiny?", message, 1, true)
    assert.matches("tiny_moe", message, 1, true)
  end)

  it("notices a config that belongs to another model file", function()
    local model, message = sources.find(package, "tiny", { "OtherForCausalLM" }, {})
    assert.is_nil(model)
    assert.matches("does not implement the config's OtherForCausalLM", message, 1, true)
    assert.matches("try --model-name tiny_moe", message, 1, true)
  end)
end)

describe("hone.sglang.settings", function()
  local settings = require "hone.sglang.settings"

  it("reads defaults from the server's dataclass", function()
    local dir <close> = fs.tempdir()
    assert(fs.mkdir(fs.join(dir.path, "srt")))
    assert(fs.write(
      fs.join(dir.path, "srt/server_args.py"),
      [[
@dataclass
class ServerArgs:
    model_path: str
    tp_size: int = 1
    ratio: float = 0.5
    name: str = "auto"
    on: bool = True
    nothing: Optional[str] = None
    computed: int = tp_size * 2
]]
    ))
    local defaults = settings.read(dir.path).defaults
    assert.equal(1, defaults.tp_size)
    assert.equal(0.5, defaults.ratio)
    assert.equal("auto", defaults.name)
    assert.is_true(defaults.on)
    assert.equal(settings.NONE, defaults.nothing)
    assert.is_nil(defaults.computed)
    assert.is_nil(defaults.model_path)
  end)

  it("reads namespaces and their groups where the settings are spread over files", function()
    local dir <close> = fs.tempdir()
    assert(fs.mkdir(fs.join(dir.path, "srt/arg_groups/fields")))
    assert(fs.write(
      fs.join(dir.path, "srt/arg_groups/fields/exec_.py"),
      [[
class ExecComm(Struct):
    _NS_PATH = "exec.comm"
    reduction: A[str, "help"] = "auto"
]]
    ))
    local found = settings.read(dir.path)
    assert.equal("auto", found.defaults.reduction)
    assert.same({ exec = true, comm = true }, found.groups)
  end)
end)
