local fs, json, ops = require "hone.fs", require "hone.json", require "hone.ops"
local traceset = require "hone.dataset.traceset"
local support = require "support.dataset"

local function norm(size, eps, model)
  local about = { models = { model or "model-a" } }
  return assert(ops.build("rmsnorm", "rmsnorm", { hidden_size = size, eps = eps or 1e-6 }, about))
end

local function gemm(n, model)
  return assert(ops.build("gemm", "gemm", { N = n, K = 64 }, { models = { model or "model-a" } }))
end

local function prefill(model)
  local params = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64, page_size = 64 }
  return assert(ops.build("gqa_paged", "prefill_causal", params, { models = { model }, tp = 1 }))
end

-- What a plan decides, in words.
local function actions(plan)
  local list = {}
  for i, decision in ipairs(plan.decisions) do
    list[i] = decision.action .. " " .. decision.name
  end
  return list
end

describe("hone.dataset.traceset", function()
  local folder, root

  before_each(function()
    folder = assert(fs.tempdir())
    root = folder.path
  end)

  after_each(function() folder:remove() end)

  local function path_of(definition, name)
    return fs.join(root, "definitions", definition.op_type, (name or definition.name) .. ".json")
  end

  local function store(definition, name)
    assert(json.write(path_of(definition, name), definition, { indent = 2, newline = true }))
  end

  local function open() return assert(traceset.open(root)) end

  local function plan(...) return traceset.plan(open(), { ... }) end

  describe("reading", function()
    it("lists definitions in the order of their paths, however deep they lie", function()
      store(norm(64))
      store(gemm(8))
      assert(json.write(fs.join(root, "definitions", "flat.json"), gemm(16)))
      assert(fs.write(fs.join(root, "definitions", "gemm", "notes.txt"), "no definition"))
      local names = {}
      for i, entry in ipairs(traceset.definitions(open())) do
        names[i] = entry.definition.name
      end
      assert.same({ "gemm_n16_k64", "gemm_n8_k64", "rmsnorm_h64" }, names)
    end)

    it("takes a dataset without definitions for an empty one", function()
      assert.same({}, traceset.definitions(open()))
      assert.same({}, traceset.errors(open()))
    end)

    it("refuses a dataset that is not there, unless it is to be made", function()
      local missing = fs.join(root, "nowhere")
      local set, why = traceset.open(missing)
      assert.is_nil(set)
      assert.equal(("cannot open the dataset %s: no such directory"):format(missing), why)
      assert.same({}, traceset.definitions(assert(traceset.open(missing, { create = true }))))
      assert.is_false(fs.exists(missing))
    end)

    it("finds one definition without reading the others", function()
      store(gemm(8))
      assert(fs.write(fs.join(root, "definitions", "gemm", "broken.json"), "{"))
      local set = open()
      local definition, path = traceset.definition(set, "gemm_n8_k64")
      assert.equal("gemm_n8_k64", definition.name)
      assert.equal(path_of(gemm(8)), path)
      assert.is_nil(set.entries)
      assert.is_nil(traceset.definition(set, "gemm_n9_k64"))
    end)

    it("finds a definition in a file of another name", function()
      store(gemm(8), "renamed")
      assert.equal("gemm_n8_k64", traceset.definition(open(), "gemm_n8_k64").name)
    end)

    it("finds the same kernel under any name", function()
      local other = gemm(8)
      other.name = "my_gemm"
      store(other)
      local same = traceset.by_signature(open(), (ops.signature(gemm(8))))
      assert.equal("my_gemm", same[1].definition.name)
      assert.same({}, traceset.by_signature(open(), (ops.signature(gemm(16)))))
    end)

    it("reports a broken file with its position, and reads the others", function()
      store(gemm(8))
      local path = fs.join(root, "definitions", "gemm", "broken.json")
      assert(fs.write(path, '{\n  "name": "x",,\n}'))
      local set = open()
      assert.equal(1, #traceset.definitions(set))
      local failure = traceset.errors(set)[1]
      assert.same({ path, 2, 15 }, { failure.path, failure.line, failure.column })
      assert.equal(path .. ":2:15: ", failure.message:match("^.*:2:15: "))
    end)

    it("reports a definition that is none, with its fields", function()
      local bad = gemm(8)
      bad.inputs.A.dtype = "float64"
      store(bad)
      local set = open()
      assert.same({}, traceset.definitions(set))
      local expected = path_of(bad) .. ': inputs.A.dtype is no known dtype: "float64"'
      assert.equal(expected, traceset.errors(set)[1].message)
    end)

    it("reports the second definition of a name", function()
      store(gemm(8))
      store(gemm(8), "zzz")
      local set = open()
      assert.equal(1, #traceset.definitions(set))
      local first, second = path_of(gemm(8)), path_of(gemm(8), "zzz")
      assert.equal(
        ("%s: name 'gemm_n8_k64' is taken by %s"):format(second, first),
        traceset.errors(set)[1].message
      )
    end)
  end)

  describe("planning", function()
    it(
      "finds new kernels",
      function() assert.same({ "new gemm_n8_k64", "new rmsnorm_h64" }, actions(plan(gemm(8), norm(64)))) end
    )

    it("leaves a kernel alone that has the model's tag", function()
      store(gemm(8))
      assert.same({ "unchanged gemm_n8_k64" }, actions(plan(gemm(8))))
    end)

    it("gives an existing kernel the model's tag", function()
      store(gemm(8))
      local decided = plan(gemm(8, "model-b"))
      assert.same({ "existing gemm_n8_k64" }, actions(decided))
      assert.same({ "model:model-b" }, decided.decisions[1].tags)
    end)

    it("knows an existing kernel under another name", function()
      local other = gemm(8)
      other.name = "gemm_n_8_k_64"
      store(other)
      local decided = plan(gemm(8, "model-b"))
      assert.same({ "existing gemm_n_8_k_64" }, actions(decided))
      assert.same({ "gemm_n8_k64 is called gemm_n_8_k_64 here" }, decided.decisions[1].notes)
    end)

    it("prefers the kernel of the same name when there are several", function()
      local other = gemm(8)
      other.name = "a_gemm"
      store(other)
      store(gemm(8))
      assert.same({ "unchanged gemm_n8_k64" }, actions(plan(gemm(8))))
    end)

    it("versions the name of a kernel with another epsilon, and flags it", function()
      store(norm(64, 1e-6))
      local decided = plan(norm(64, 1e-5))
      assert.same({ "conflict rmsnorm_h64_v2" }, actions(decided))
      local decision = decided.decisions[1]
      assert.equal("differs from rmsnorm_h64: eps 1e-06 there, 1e-05 here", decision.reason)
      assert.equal("rmsnorm_h64_v2", decision.definition.name)
      assert.equal(path_of(norm(64), "rmsnorm_h64_v2"), decision.path)
    end)

    it("finds the versioned kernel again", function()
      store(norm(64, 1e-6))
      assert(traceset.apply(plan(norm(64, 1e-5))))
      assert.same({ "unchanged rmsnorm_h64_v2" }, actions(plan(norm(64, 1e-5))))
      assert.same({ "conflict rmsnorm_h64_v3" }, actions(plan(norm(64, 1e-4))))
    end)

    it("takes kernels of the same shape for two when their names say in what they differ", function()
      local params = { head_size = 64, rotary_dim = 64 }
      store(assert(ops.build("rope", "neox", params)))
      local decided = plan(assert(ops.build("rope", "gptj", params)))
      assert.same({ "new rope_with_cos_sin_cache_gptj_style_d64_rd64" }, actions(decided))
    end)

    it("flags a kernel whose epsilon differs from that of the same shape under another name", function()
      local other = norm(64, 1e-6)
      other.name = "my_norm"
      store(other)
      local decided = plan(norm(64, 1e-5))
      assert.same({ "conflict rmsnorm_h64" }, actions(decided))
      assert.equal("differs from my_norm: eps 1e-06 there, 1e-05 here", decided.decisions[1].reason)
    end)

    it("does not take an epsilon that it cannot read for an equal one", function()
      local other = norm(64)
      other.reference = "def run(hidden_states, weight):\n    return normalize(hidden_states, weight)\n"
      store(other)
      local decided = plan(norm(64))
      assert.same({ "conflict rmsnorm_h64_v2" }, actions(decided))
      assert.equal("differs from rmsnorm_h64: eps unknown there, 1e-06 here", decided.decisions[1].reason)
    end)

    it("versions the name of a kernel whose name means something else here", function()
      local other = gemm(8)
      other.inputs.A.dtype = "bfloat16"
      store(other)
      local decided = plan(gemm(8))
      assert.same({ "conflict gemm_n8_k64_v2" }, actions(decided))
      assert.equal("differs from gemm_n8_k64: other inputs", decided.decisions[1].reason)
    end)

    it("does not write over a file that it cannot read", function()
      assert(fs.write(path_of(gemm(8)), "{"))
      local decided = plan(gemm(8))
      assert.same({ "conflict gemm_n8_k64_v2" }, actions(decided))
      assert.equal("gemm_n8_k64.json holds another definition, or none", decided.decisions[1].reason)
    end)

    it("does not write over a file that holds a definition of another name", function()
      store(gemm(16), "gemm_n8_k64")
      assert.same({ "conflict gemm_n8_k64_v2" }, actions(plan(gemm(8))))
    end)

    it("takes the dataset's two shapes of kv_last_page_len for one kernel, and notes it", function()
      local other = prefill "model-a"
      other.inputs.kv_last_page_len.shape = { "len_indptr" }
      other.axes.batch_size = nil
      store(other)
      local decided = plan(prefill "model-b")
      assert.same({ "existing " .. other.name }, actions(decided))
      assert.same(
        { "kv_last_page_len has one entry a sequence (batch_size), not len_indptr" },
        decided.decisions[1].notes
      )
    end)

    it("merges kernels that are new twice", function()
      local decided = plan(gemm(8, "model-a"), gemm(8, "model-b"), gemm(8, "model-a"))
      assert.same({ "new gemm_n8_k64", "existing gemm_n8_k64", "unchanged gemm_n8_k64" }, actions(decided))
      local merged = decided.decisions[1].definition
      assert.same({ "status:unverified", "model:model-a", "model:model-b" }, merged.tags)
      assert.equal(1, #assert(traceset.apply(decided)).created)
    end)

    it("tells two new kernels of one name apart", function()
      local decided = plan(norm(64, 1e-6), norm(64, 1e-5))
      assert.same({ "new rmsnorm_h64", "conflict rmsnorm_h64_v2" }, actions(decided))
    end)

    it("changes nothing that it is given", function()
      store(gemm(8))
      local set, definition = open(), gemm(8, "model-b")
      local before = json.encode(definition)
      traceset.plan(set, { definition, norm(64) })
      assert.same({ "existing gemm_n8_k64" }, actions(traceset.plan(set, { definition })))
      assert.equal(before, json.encode(definition))
    end)

    it("adds definitions beside those that exist when it is not to look for equal ones", function()
      store(gemm(8))
      local decided = traceset.plan(open(), { gemm(8), norm(64) }, { deduplicate = false })
      assert.same({ "conflict gemm_n8_k64_v2", "new rmsnorm_h64" }, actions(decided))
      assert.equal("differs from gemm_n8_k64: the same name", decided.decisions[1].reason)
    end)
  end)

  describe("writing", function()
    it("puts new definitions where the dataset's readers look for them", function()
      local done = assert(traceset.apply(plan(gemm(8), norm(64))))
      assert.same({ created = { path_of(gemm(8)), path_of(norm(64)) }, tagged = {} }, done)
      local text = assert(fs.read(path_of(gemm(8))))
      assert.equal('{\n  "name": "gemm_n8_k64",\n', text:match("^{\n[^\n]*\n"))
      assert.equal("\n}\n", text:sub(-3))
      assert.same({}, traceset.errors(open()))
      assert.equal(json.encode(gemm(8)), json.encode((traceset.definition(open(), "gemm_n8_k64"))))
    end)

    it("changes nothing of an existing file but its tags", function()
      local text = [[
{"op_type":   "gemm", "name": "gemm_n8_k64",
  "tags": [ "status:verified" ],
  "axes": {"M": {"type": "var"}, "N": {"type": "const", "value": 8}, "K": {"value": 64}},
  "inputs": {"A": {"shape": ["M", "K"], "dtype": "float16"}, "B": {"shape": ["N", "K"], "dtype": "float16"}},
  "outputs": {"C": {"shape": ["M", "N"], "dtype": "float16"}}, "mine": 1.50,
  "reference": "def run(A, B): return A @ B.T"}]]
      assert(fs.write(path_of(gemm(8)), text))
      local done = assert(traceset.apply(plan(gemm(8, "model-a"), gemm(8, "model-b"))))
      assert.same({ created = {}, tagged = { path_of(gemm(8)) } }, done)
      local after = assert(fs.read(path_of(gemm(8))))
      assert.same({ "status:verified", "model:model-a", "model:model-b" }, json.decode(after).tags)
      local list = text:find('[ "status', 1, true)
      assert.equal(text:sub(1, list), after:sub(1, list))
      local rest = text:sub(text:find("],\n", 1, true), -1)
      assert.equal(rest, after:sub(-#rest))
    end)

    it("gives a file without tags its first one", function()
      local other = gemm(8)
      other.tags = nil
      store(other)
      assert(traceset.apply(plan(gemm(8))))
      assert.same({ "model:model-a" }, traceset.definition(open(), "gemm_n8_k64").tags)
    end)

    it("leaves nothing to do for a second run", function()
      store(gemm(16))
      assert(traceset.apply(plan(gemm(8), gemm(16, "model-b"))))
      local again = plan(gemm(8), gemm(16, "model-b"))
      assert.same({ "unchanged gemm_n8_k64", "unchanged gemm_n16_k64" }, actions(again))
      assert.same({ created = {}, tagged = {} }, traceset.apply(again))
    end)

    it("does not add a tag twice when the file got it meanwhile", function()
      store(gemm(8))
      local decided = plan(gemm(8, "model-b"))
      assert(traceset.apply(decided))
      assert(traceset.apply(decided))
      assert.same(
        { "status:unverified", "model:model-a", "model:model-b" },
        traceset.definition(open(), "gemm_n8_k64").tags
      )
    end)

    it("writes nothing at all when an existing file is not what it was", function()
      store(gemm(8))
      local decided = plan(norm(64), gemm(8, "model-b"))
      assert(fs.write(path_of(gemm(8)), '{ "tags": 7 }'))
      local done, why = traceset.apply(decided)
      assert.is_nil(done)
      assert.truthy(why:find("^cannot add tags to " .. path_of(gemm(8)):gsub("%p", "%%%0") .. ": "), why)
      assert.is_false(fs.exists(path_of(norm(64))))
    end)

    it("refuses a dataset that cannot be written with one line", function()
      assert(fs.write(fs.join(root, "definitions"), "a file where a folder should be"))
      local done, why = traceset.apply(plan(gemm(8)))
      assert.is_nil(done)
      assert.truthy(why:find("^cannot write " .. path_of(gemm(8)):gsub("%p", "%%%0")), why)
      assert.is_nil(why:find("\n", 1, true))
    end)
  end)

  it("adds tags to the public dataset's files as their editors would", function()
    local public, absent = support.trace()
    if not public then return pending(absent) end
    local before, definitions = {}, {}
    for _, entry in ipairs(traceset.definitions(assert(traceset.open(public)))) do
      local path = path_of(entry.definition)
      before[path] = assert(fs.read(entry.path))
      assert(fs.write(path, before[path]))
      local definition = json.decode(before[path])
      definition.tags = { "model:model-x" }
      table.insert(definitions, definition)
    end
    assert.equal(76, #definitions)
    local done = assert(traceset.apply(traceset.plan(open(), definitions)))
    assert.same({ 0, 76 }, { #done.created, #done.tagged })
    for path, text in pairs(before) do
      local after, count = assert(fs.read(path)):gsub(',\n    "model:model%-x"', "")
      assert.equal(1, count, path)
      assert.is_true(after == text, path)
    end
  end)

  it("reads and signs the public dataset, where every kernel of hone's op types is its own", function()
    local public, absent = support.trace()
    if not public then return pending(absent) end
    local set = assert(traceset.open(public))
    assert.equal(76, #traceset.definitions(set))
    local seen = {}
    for _, entry in ipairs(traceset.definitions(set)) do
      local name, signature = entry.definition.name, ops.signature(entry.definition)
      if ops.get(entry.definition.op_type) then assert.is_nil(seen[signature], name) end
      seen[signature] = name
    end
  end)
end)
