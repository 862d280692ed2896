local fs = require "hone.fs"
local config = require "hone.model.config"
local kernels = require "hone.sglang.kernels"
local sources = require "hone.sglang.sources"
local tiny = require "support.tiny_sglang"
local walk = require "hone.sglang.walk"

-- Walk a small model and collect its kernels; `options` change the model's source and the walk.
local function walked(options)
  options = options or {}
  local dir <close> = fs.tempdir()
  tiny.write(dir.path, { tiny = tiny.model(options) })
  local path = fs.join(dir.path, "config.json")
  assert(fs.write(path, options.config or tiny.CONFIG))
  local result, message = walk.walk {
    package = assert(sources.package(dir.path)),
    model = { module = "sglang.srt.models.tiny", class = "TinyForCausalLM" },
    config = assert(config.from_file(path)),
    tp = options.tp or 1,
    ep = 1,
    modes = options.modes or { "prefill", "decode" },
  }
  if not result then return nil, message end
  return result, kernels.collect(result, { page_sizes = { 1, 64 }, gemm_dtype = "float16" })
end

local function by_variant(found)
  local map = {}
  for _, kernel in ipairs(found.kernels) do
    map[kernel.variant .. (kernel.params.page_size or "")] = kernel
  end
  return map
end

describe("hone.sglang.walk", function()
  it("finds every layer of a model with its module path and its source line", function()
    local result = assert(walked())
    local paths = {}
    for _, layer in ipairs(result.layers) do
      paths[layer.path] = layer.site.line
    end
    assert.is_number(paths["layers.0.qkv_proj"])
    assert.is_number(paths["layers.1.attn"])
    assert.same({}, result.warnings)
  end)

  it("takes the first norm for the plain one and those with a residual for the fused one", function()
    local _, found = walked()
    local map = by_variant(found)
    assert.equal(64, map.rmsnorm.params.hidden_size)
    assert.equal(1e-05, map.rmsnorm.params.eps)
    assert.equal(1, map.rmsnorm.modules[1].count)
    assert.equal(1, map.fused_add_rmsnorm.modules[1].count)
  end)

  it("divides attention heads by the tensor parallel size and leaves GEMMs whole", function()
    local _, found = walked { tp = 2 }
    local map = by_variant(found)
    assert.same({ num_qo_heads = 4, num_kv_heads = 1, head_dim = 8, page_size = 64 }, map.decode64.params)
    assert.same({ N = 96, K = 64, dtype = "float16" }, map.gemm.params)
  end)

  it("gives a rank one key-value head when there are more ranks than heads", function()
    local _, found = walked { tp = 8 }
    local map = by_variant(found)
    assert.equal(1, map.decode1.params.num_kv_heads)
    assert.equal(96, map.gemm.params.N)
  end)

  it("remembers the arithmetic behind constants", function()
    local _, found = walked { tp = 2 }
    local origins = by_variant(found).decode1.origins
    assert.equal("num_attention_heads 8 / TP 2 = 4", origins.num_qo_heads)
    assert.equal("hidden_size 64 / num_attention_heads 8 = 8", origins.head_dim)
  end)

  it("finds only the kernels of the modes that it follows", function()
    local _, found = walked { modes = { "decode" } }
    local map = by_variant(found)
    assert.is_table(map.decode1)
    assert.is_nil(map.prefill_causal1)
    assert.is_nil(map.prefill_causal)
  end)

  it("takes a norm whose weight another kernel reads for one that runs", function()
    local init = "self.q_norm = RMSNorm(16)"
    local _, found = walked { init = init, layer = "torch.ops.fused_qk_norm(x, self.q_norm.weight)" }
    local sizes = {}
    for _, kernel in ipairs(found.kernels) do
      if kernel.variant == "rmsnorm" then sizes[kernel.params.hidden_size] = kernel.modules[1].path end
    end
    assert.equal("layers.*.q_norm", sizes[16])
  end)

  it("does not take a layer that is built and never run for a kernel", function()
    local _, found = walked()
    assert.equal("layers.*.unused", found.unused[1].path)
    assert.equal(2, found.unused[1].count)
    for _, kernel in ipairs(found.kernels) do
      assert.is_not.equal(3, kernel.params.K)
    end
  end)

  it("lists a layer that no op type knows for review, with its line", function()
    local _, found = walked { init = "self.gate = nn.Conv1d(4, 8, 3)" }
    assert.equal(1, #found.review)
    assert.equal("layers.*.gate", found.review[1].path)
    assert.equal("Conv1d", found.review[1].class)
    assert.matches("models/tiny.py$", found.review[1].file)
  end)

  it("lists attention that no definition describes for review, with the reason", function()
    for attention, why in pairs {
      [", v_head_dim=4"] = "not grouped query attention",
      [", v_head_dim=4, sliding_window_size=7"] = "and there is a window, a soft cap or a sink",
      [", logit_cap=12.5"] = "its logits are capped at 12.5; definitions have whole numbers",
      [', logit_cap=30, logit_capping_method="RADIX"'] = "its logits are capped by RADIX",
      [', attn_type="encoder_only"'] = "its mask is not causal (attn_type encoder_only)",
      [', pos_encoding_mode="ALIBI"'] = "it encodes positions itself",
      [", is_cross_attention=True"] = "it attends to another sequence",
    } do
      local _, found = walked { attention = attention }
      assert.equal(1, #found.review, attention)
      assert.matches(why, found.review[1].why, 1, true)
      assert.matches("models/tiny.py$", found.review[1].file)
      assert.is_nil(by_variant(found).decode1)
    end
  end)

  it("tells sliding windows, soft caps and sinks apart from plain attention", function()
    local _, found = walked { attention = ", sliding_window_size=127" }
    local window = by_variant(found).decode_window1
    assert.equal(128, window.params.window_size)
    assert.is_truthy(by_variant(found).prefill_causal_window)
    _, found = walked { attention = ", logit_cap=50.0, sliding_window_size=config.hidden_size - 1" }
    local both = by_variant(found).prefill_causal_window_softcap64
    assert.same({ 64, 50 }, { both.params.window_size, both.params.logits_soft_cap })
    _, found = walked { given = ", sinks=torch.ones(8)" }
    assert.is_truthy(by_variant(found).decode_sink1)
    assert.is_nil(by_variant(found).decode1)
    assert.is_nil(by_variant(found).prefill_causal_sink) -- over the cache only
    _, found = walked { given = ", sinks=None" }
    assert.is_truthy(by_variant(found).decode1)
  end)

  it("takes attention with one head of keys that hold the values for absorbed latent attention", function()
    local _, found = walked { attention = ", v_head_dim=6", tp = 2 }
    local map = by_variant(found)
    local expected = { num_qo_heads = 4, head_dim_ckv = 6, head_dim_kpe = 2, page_size = 1 }
    assert.same(expected, map.decode1.params)
    assert.equal("mla_paged", map.decode1.op_type)
    assert.same({}, found.review)
    -- With a single head of queries the rotary part of the keys, which comes apart, shows it.
    _, found = walked { attention = ", v_head_dim=6", given = ", k_rope=x", tp = 8 }
    assert.equal(1, by_variant(found).decode1.params.num_qo_heads)
    _, found = walked { attention = ", v_head_dim=6", tp = 8 }
    assert.equal("mla_ragged", by_variant(found).prefill_causal.op_type)
    assert.is_nil(by_variant(found).decode1)
  end)

  it("does not take latent attention with a window for that without", function()
    local _, found = walked { attention = ", v_head_dim=6, sliding_window_size=7", tp = 2 }
    assert.is_nil(by_variant(found).decode1)
    assert.equal(2, found.review[1].count)
    assert.matches("no definition describes both", found.review[1].why, 1, true)
  end)

  it("takes attention that is told where to look for sparse attention", function()
    local _, found = walked { attention = ", v_head_dim=6", given = ", topk_indices=x", tp = 2 }
    assert.is_nil(by_variant(found).decode1)
    assert.matches("how many tokens its indexer picks is not known", found.review[1].why, 1, true)
  end)

  it(
    "takes attention with as many heads of keys as of queries for latent attention before absorption",
    function()
      local multi_head = tiny.CONFIG:gsub('"num_key_value_heads": 2', '"num_key_value_heads": 8')
      local _, found = walked { config = multi_head, attention = ", v_head_dim=4" }
      local kernel = by_variant(found).prefill_causal
      assert.equal("mla_ragged", kernel.op_type)
      assert.same({ num_qo_heads = 8, qk_dim = 8, vo_dim = 4 }, kernel.params)
      assert.same({}, found.review)
    end
  )

  it("takes no two dimensions of tensors for equal, nor for different", function()
    local init = "self.a = nn.Linear(4, 8); self.b = nn.Linear(4, 16)"
    local layer = "self.a(x) if x.shape[-1] != x.shape[0] else self.b(x)"
    local _, found = walked { init = init, layer = layer }
    assert.equal("layers.*.unused", found.unused[1].path)
    assert.equal(1, #found.unused)
  end)

  it("takes torch's linear layer for a GEMM where it runs, called or by its weight", function()
    local init = "self.a = nn.Linear(4, 8); self.b = nn.Linear(12, 16); self.c = nn.Linear(20, 24)"
    local layer = "self.a(x); torch.mm(x, self.b.weight)"
    local _, found = walked { init = init, layer = layer }
    local features = {}
    for _, kernel in ipairs(found.kernels) do
      features[kernel.params.N or 0] = kernel.params.K
    end
    assert.same({ 4, 12 }, { features[8], features[16] })
    assert.is_nil(features[24])
    assert.equal("layers.*.c", found.unused[#found.unused].path)
  end)

  it("takes a class of the model's own that multiplies by a matrix of its own for a linear layer", function()
    local gate = [[

class Gate(nn.Module):
    def __init__(self, rows, columns):
        super().__init__()
        self.weight = nn.Parameter(torch.empty((rows, columns)))

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight)

]]
    local _, found =
      walked { before = gate, init = "self.gate = Gate(24, config.hidden_size)", layer = "self.gate(x)" }
    local gemm
    for _, kernel in ipairs(found.kernels) do
      if kernel.params.N == 24 then gemm = kernel end
    end
    assert.same({ N = 24, K = 64, dtype = "float16" }, gemm.params)
    assert.equal("hidden_size 64", gemm.origins.K)
    assert.equal("layers.*.gate", gemm.modules[1].path)
    assert.same({}, found.review)
  end)

  it("takes a linear layer whose weight something reads for one that runs", function()
    local init = "self.linear = ColumnParallelLinear(8, 16)"
    local _, found = walked { init = init, layer = "x = torch.mm(x, self.linear.weight)" }
    local found_it = false
    for _, kernel in ipairs(found.kernels) do
      found_it = found_it or kernel.params.N == 16
    end
    assert.is_true(found_it)
  end)

  it("names the field, the file and the class when the config lacks what the model needs", function()
    local result, message = walked { config = (tiny.CONFIG:gsub('"hidden_size": 64, ', "")) }
    assert.is_nil(result)
    assert.matches("cannot construct TinyForCausalLM: config ", message, 1, true)
    assert.matches("has no field 'hidden_size', which Layer asks for at ", message, 1, true)
    assert.matches("config.json", message, 1, true)
  end)

  it("shows the assertion that a parallel size breaks", function()
    local result, message = walked {
      tp = 3,
      init = "assert config.num_attention_heads % tp == 0",
    }
    assert.is_nil(result)
    assert.matches("with TP 3: its source asserts config.num_attention_heads % tp == 0", message, 1, true)
  end)

  it("ends an endless loop in a model file with a message", function()
    local result, message = walked { init = "while True: self.x = 1" }
    assert.is_nil(result)
    assert.matches("stopped after %d+ steps", message)
    assert.matches("models/tiny.py:%d+", message)
    assert.is_nil(message:find("\n"))
  end)

  it("names the place of a syntax error in a model file", function()
    local result, message = walked { init = "self.x = = 1" }
    assert.is_nil(result)
    assert.matches("tiny.py:%d+:%d+: syntax error", message)
  end)

  it("makes of a model's weights what loading them makes, when forward needs it", function()
    local layer = "self.extra(x) if self.absorbed.dtype else None"
    local load = "\n    def load_weights(self, weights):\n        for _ in weights: raise ValueError()\n"
      .. "        for layer in self.layers: layer.absorbed = layer.qkv_proj.weight.t()\n"
    local result, found = walked {
      init = "self.extra = nn.Linear(4, 8); self.absorbed = None",
      layer = layer,
      methods = load,
    }
    assert.same({}, result.warnings)
    assert.equal(1, #found.unused)
  end)

  it(
    "works once after loading on layers that others stand for, where the model is told of which weights",
    function()
      local deep = tiny.CONFIG:gsub('"num_hidden_layers": 2', '"num_hidden_layers": 40')
      local finish = "\n    def post_load_weights(self, weight_names=None):\n"
        .. "        for name in weight_names:\n"
        .. "            if not name.endswith('.qkv_proj.weight'): continue\n"
        .. "            layer = self.layers[int(name.split('.')[1])]\n"
        .. "            assert not layer.worked\n"
        .. "            layer.worked = True\n"
      local init = "self.worked = False; self.extra = nn.Linear(4, 8)"
      local result, found =
        walked { config = deep, init = init, layer = "if self.worked: self.extra(x)", methods = finish }
      assert.is_true(#result.layers < 40)
      assert.equal(1, #found.unused)
      assert.equal("layers.*.unused", found.unused[1].path)
    end
  )

  it("answers for a server with nothing plugged in, on a device whose name is known", function()
    local init = "self.gate = nn.Conv1d(4, 8, 3) if len(entry_points(group='x')) > 0"
      .. " or torch.compiler.is_compiling() or 'H100' not in torch.cuda.get_device_name() else None"
    local _, found = walked { before = "from importlib.metadata import entry_points", init = init }
    assert.same({}, found.review)
  end)

  it("goes on with a warning when forward cannot be followed", function()
    local result = assert(walked { forward = 'raise ValueError("no way")' })
    assert.equal(2, #result.warnings)
    assert.matches(
      "forward for prefill could not be followed: ValueError: no way",
      result.warnings[1],
      1,
      true
    )
  end)

  describe("with many layers", function()
    local DEEP = tiny.CONFIG:gsub('"num_hidden_layers": 2', '"num_hidden_layers": 40')

    local function count_of(found, path)
      for _, kernel in ipairs(found.kernels) do
        for _, module in ipairs(kernel.modules) do
          if module.path == path then return module.count end
        end
      end
    end

    it("builds layers that cannot differ once, and counts them all", function()
      local result, found = walked { config = DEEP }
      assert.equal(40, count_of(found, "layers.*.qkv_proj"))
      assert.equal(39, count_of({ kernels = { by_variant(found).fused_add_rmsnorm } }, "layers.*.norm"))
      assert.is_true(#result.layers < 40)
    end)

    it("makes layers one object that come out alike although their constructor looks at the index", function()
      local init = "if layer_id % 4 == 3: self.extra = RMSNorm(7)"
      local result, found = walked { config = DEEP, init = init }
      assert.is_true(#result.layers < 40)
      assert.equal(40, count_of(found, "layers.*.qkv_proj"))
      assert.equal("layers.*.extra", found.unused[2].path)
      assert.equal(10, found.unused[2].count)
    end)

    it("builds layers of each kind once when the kinds follow from the index", function()
      local init = "self.extra = ColumnParallelLinear(5, 8 if layer_id % 4 == 3 or layer_id < 3 else 16)"
      local result, found = walked { config = DEEP, init = init, layer = "self.extra(x)" }
      local counts, built = {}, {}
      for _, kernel in ipairs(found.kernels) do
        if kernel.params.K == 5 then counts[kernel.params.N] = kernel.modules[1].count end
      end
      assert.same({ [8] = 13, [16] = 27 }, counts)
      for _, layer in ipairs(result.layers) do
        if layer.path:find "%.extra$" then built[#built + 1] = layer.path:match "%d+" end
      end
      assert.is_true(#built < 12, table.concat(built, " "))
    end)

    it("keeps layers apart that their constructor gives other sizes", function()
      local init = "self.extra = ColumnParallelLinear(5, 8 * (layer_id // 10 + 1))"
      local _, found = walked { config = DEEP, init = init, layer = "self.extra(x)" }
      local counts = {}
      for _, kernel in ipairs(found.kernels) do
        if kernel.params.K == 5 then counts[kernel.params.N] = kernel.modules[1].count end
      end
      assert.same({ [8] = 10, [16] = 10, [24] = 10, [32] = 10 }, counts)
    end)

    it("runs layers that stand for others until nothing changes", function()
      local result = walked { config = DEEP }
      for _, layer in ipairs(result.layers) do
        assert.is_true(#layer.called <= 2 * 3, layer.path)
      end
    end)

    it("builds every layer when its constructor takes the index from its name", function()
      local init = "if int(prefix.rsplit('.', 1)[1]) % 4 == 3: self.extra = RMSNorm(7)"
      local _, found = walked { config = DEEP, init = init }
      assert.equal(10, found.unused[2].count)
    end)

    it("builds every layer when forward looks at the index", function()
      local init = "self.extra = RMSNorm(7)"
      local _, found = walked { config = DEEP, init = init, layer = "if self.layer_id == 20: self.extra(x)" }
      assert.equal(1, count_of(found, "layers.*.extra"))
      assert.equal(39, found.unused[#found.unused].count)
    end)
  end)

  it("takes environment variables at their declared defaults", function()
    local init =
      "if envs.SGLANG_LIMIT.get() == 7 and not envs.SGLANG_FANCY.get(): self.gate = nn.Conv1d(4, 8, 3)"
    local _, found = walked { init = init }
    assert.equal("Conv1d", found.review[1].class)
    _, found = walked { init = "if envs.SGLANG_LIMIT.get() != 7: self.gate = nn.Conv1d(4, 8, 3)" }
    assert.same({}, found.review)
  end)

  it("explores both ways of what depends on a variable whose default is computed", function()
    local _, found = walked { init = "if envs.SGLANG_COMPUTED.get() > 5: self.gate = nn.Conv1d(4, 8, 3)" }
    assert.equal("Conv1d", found.review[1].class)
  end)
end)
