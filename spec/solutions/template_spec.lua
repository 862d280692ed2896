--- Beginnings of solutions: what they make of a definition, that they build, and that the whole ones pass.
local fs, json, ops = require "hone.fs", require "hone.json", require "hone.ops"
local build, process = require "hone.bench.build", require "hone.process"
local kernels = require "support.kernels"
local folder, template = require "hone.solutions.folder", require "hone.solutions.template"
local solution, traceset = require "hone.dataset.solution", require "hone.dataset.traceset"

-- Sizes that divide no tile, and pages that are partly full.
local DEFINITIONS = {
  gemm = assert(ops.build("gemm", "gemm", { N = 19, K = 45 })),
  rmsnorm = assert(ops.build("rmsnorm", "rmsnorm", { hidden_size = 70, eps = 1e-5 })),
  fused = assert(ops.build("rmsnorm", "fused_add_rmsnorm", { hidden_size = 70, eps = 1e-6 })),
  decode = assert(
    ops.build("gqa_paged", "decode", { num_qo_heads = 4, num_kv_heads = 2, head_dim = 16, page_size = 4 })
  ),
  rope = assert(ops.build("rope", "neox", { head_size = 16, rotary_dim = 8 })),
}

local function make(name, definition, options)
  options = options or {}
  options.author, options.name = "me", definition.name .. "_" .. name
  return template.make(name, definition, options)
end

local function source_of(made, path)
  for _, source in ipairs(made.sources) do
    if source.path == path then return source.content end
  end
end

describe("templates", function()
  it("make a valid solution of every definition, or say why not", function()
    local kernel <close> = fs.tempdir()
    local path = fs.join(kernel.path, "brought.py")
    assert(fs.write(path, "def attend(*inputs): ...\n"))
    for _, name in ipairs(template.list()) do
      for _, definition in pairs(DEFINITIONS) do
        local made, why = make(name, definition, { kernel = path .. "::attend" })
        if made then
          assert(solution.check(made))
          for _, source in ipairs(made.sources) do
            assert.is_nil(source.content:find("{{", 1, true), source.path)
          end
        else
          assert.matches("no kernel of FlashInfer is known for gemm_n19_k45: a plain product", why)
        end
      end
    end
  end)

  it("take arguments in the definition's order", function()
    local made = assert(make("cuda", DEFINITIONS.decode))
    local parameters = "TensorView q, TensorView k_cache, TensorView v_cache, TensorView kv_indptr, "
      .. "TensorView kv_indices, TensorView kv_last_page_len, double sm_scale, TensorView output, TensorView lse"
    assert.truthy(source_of(made, "kernel.cu"):find("void run(" .. parameters .. ")", 1, true))
  end)

  it("fill in sizes and what only the reference fixes", function()
    local text = source_of(assert(make("triton", DEFINITIONS.rmsnorm)), "main.py")
    assert.truthy(text:find("SIZE, EPS = 70, 1e-05", 1, true))
    text = source_of(assert(make("cuda", DEFINITIONS.gemm)), "kernel.cu")
    assert.truthy(text:find("using Element = __half;\nconstexpr int64_t N = 19, K = 45;", 1, true))
  end)

  it("say which of them are only skeletons", function()
    assert.is_false(select(2, make("cuda", DEFINITIONS.gemm)))
    assert.is_true(select(2, make("cuda", DEFINITIONS.rope)))
    assert.is_false(select(2, make("dense", DEFINITIONS.rope)))
    local gemma = assert(ops.build("rmsnorm", "gemma_rmsnorm", { hidden_size = 70, eps = 1e-6 }))
    assert.is_true(select(2, make("triton", gemma))) -- its weight plus one is not the template's
  end)

  it("bring a kernel along, and ask for one", function()
    local made, why, code = make("vendored", DEFINITIONS.gemm)
    assert.is_nil(made)
    assert.same({ "the template vendored needs --kernel FILE::FUNCTION", "usage" }, { why, code })
    local dir <close> = fs.tempdir()
    local path = fs.join(dir.path, "tiles.py")
    assert(fs.write(path, "def product(a, b): return a @ b.T\n"))
    made = assert(make("vendored", DEFINITIONS.gemm, { kernel = path .. "::product" }))
    assert.equal("def product(a, b): return a @ b.T\n", source_of(made, "vendored/tiles.py"))
    assert.truthy(source_of(made, "main.py"):find("from .vendored.tiles import product as ", 1, true))
  end)

  it("call FlashInfer as the tests of references do, where it has a kernel", function()
    local sizes = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 16, page_size = 4, window_size = 33 }
    local function library(op_type, variant) return make("library", kernels.build(op_type, variant, sizes)) end
    local text = source_of(assert(library("gqa_paged", "prefill_causal_window")), "main.py")
    assert.truthy(text:find('wrapper = wrapped(BatchPrefillWithPagedKVCacheWrapper, "NHD")', 1, true))
    assert.truthy(text:find("window_left=32", 1, true))
    sizes = { num_q_heads = 4, num_v_heads = 8, head_size = 128 }
    text = source_of(assert(library("gdn", "decode")), "main.py")
    assert.truthy(text:find("return flashinfer_call(q, k, v, state.clone(), A_log,", 1, true))
    sizes = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 16, page_size = 4 }
    local made, why = library("gqa_paged", "decode_sink")
    assert.is_nil(made)
    assert.matches("FlashInfer's kernel for .* gives no lse", why)
  end)

  it("are Python that compiles", function()
    local dir <close> = fs.tempdir()
    local command = { "python3", "-m", "py_compile" }
    for _, name in ipairs { "dense", "library", "triton" } do
      for _, definition in pairs(DEFINITIONS) do
        local made = make(name, definition)
        for _, source in ipairs(made and made.sources or {}) do
          local path = fs.join(dir.path, made.name .. "_" .. source.path)
          assert(fs.write(path, source.content))
          command[#command + 1] = path
        end
      end
    end
    assert.is_true(#command > 15)
    local done = assert(process.run(command))
    assert.equal(0, done.status, done.stderr)
  end)

  it("are CUDA that compiles", function()
    if assert(process.run { "sh", "-c", "command -v nvcc" }).status ~= 0 then
      return pending "there is no nvcc"
    end
    local jobs = {}
    for _, name in ipairs { "gemm", "rmsnorm", "fused", "rope" } do
      local made = assert(solution.check((assert(make("cuda", DEFINITIONS[name])))))
      jobs[#jobs + 1] = build.start(DEFINITIONS[name], made, { architecture = "9.0" })
    end
    for _, job in ipairs(jobs) do
      local artefact, why, log = job:wait()
      assert(artefact, why and why .. "\n" .. log)
    end
  end)

  it("pass where they are whole, on the CPU", function()
    local dir <close> = fs.tempdir()
    local root, made_names = dir.path, {}
    for _, definition in pairs(DEFINITIONS) do
      assert(
        json.write(fs.join(root, "definitions", definition.op_type, definition.name .. ".json"), definition)
      )
      local axes, inputs = {}, {}
      for name, size in pairs(assert(require("hone.dataset.inputs").axes(definition))) do
        if definition.axes[name].type == "var" then axes[name] = size end
      end
      for name in pairs(definition.inputs) do
        inputs[name] = { type = "random" }
      end
      if inputs.sm_scale then inputs.sm_scale = { type = "scalar", value = 0.25 } end
      local line = { definition = definition.name, workload = { axes = axes, inputs = inputs, uuid = "u" } }
      local path = fs.join(root, "workloads", definition.op_type, definition.name .. ".jsonl")
      assert(fs.write(path, json.encode(line) .. "\n"))
      for _, name in ipairs { "cpp", "dense" } do
        local made, skeleton = make(name, definition, { target = "cpu" })
        if not skeleton then
          assert(solution.write(root, made))
          made_names[#made_names + 1] = made.name
        end
      end
    end
    local hone = require("hone.paths").exe
    local done =
      assert(process.run { hone, "run", "--local", root, "--devices", "cpu", "--iterations", "2", "--json" })
    assert.equal(0, done.status, done.stderr)
    assert.equal(8, #made_names)
    local set, passed = assert(traceset.open(root)), {}
    for t in set:each "traces" do
      assert.equal("PASSED", t.evaluation.status, t.solution .. "\n" .. t.evaluation.log)
      passed[t.solution] = true
    end
    for _, name in ipairs(made_names) do
      assert.is_true(passed[name], name)
    end
  end)
end)

describe("a solution's folder", function()
  it("is written and read back as it was", function()
    local dir <close> = fs.tempdir()
    local path = fs.join(dir.path, "s")
    local made = assert(solution.check((assert(make("cuda", DEFINITIONS.gemm)))))
    assert(folder.write(path, made))
    assert(fs.write(fs.join(path, "__pycache__/main.pyc"), "x"))
    assert(fs.write(fs.join(path, ".kernel.cu.swp"), "x"))
    assert.equal(solution.encode(made), solution.encode(assert(folder.read(path))))
    assert.same(
      { nil, ("cannot write %s: it exists already"):format(path), "EEXIST" },
      { folder.write(path, made) }
    )
  end)

  it("says what is wrong with it", function()
    local dir <close> = fs.tempdir()
    assert(fs.write(fs.join(dir.path, "solution.json"), '{"name":"s"}'))
    local nothing, why = folder.read(dir.path)
    assert.is_nil(nothing)
    assert.matches("solution.definition must be", why)
  end)
end)
