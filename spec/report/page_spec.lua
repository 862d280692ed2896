--- The page of a dataset: what is in it, that it needs nothing else, and what its script computes.
local fs, json = require "hone.fs", require "hone.json"
local ops, process = require "hone.ops", require "hone.process"
local solution, trace = require "hone.dataset.solution", require "hone.dataset.trace"
local traceset = require "hone.dataset.traceset"
local data_of, page = require "hone.report.data", require "hone.report.page"

local DEFINITION = assert(ops.build("gemm", "gemm", { N = 16, K = 32 }))

local function write_solution(root, author)
  local made = {
    name = author .. "_gemm",
    definition = DEFINITION.name,
    author = author,
    spec = { language = "python", target_hardware = { "cuda" }, entry_point = "a.py::run" },
    sources = { { path = "a.py", content = "def run(A, B): pass" } },
  }
  assert(solution.write(root, made))
  return made
end

local function result_of(made, uuid, size, latency)
  local evaluation = { status = "RUNTIME_ERROR", environment = { hardware = "NVIDIA H200" }, timestamp = "t" }
  if latency then
    evaluation.status, evaluation.correctness = "PASSED", json.object()
    evaluation.performance = { latency_ms = latency, reference_latency_ms = 8, speedup_factor = 8 / latency }
  end
  local inputs = { A = { type = "random" }, B = { type = "random" } }
  return {
    definition = DEFINITION.name,
    workload = { axes = { M = size }, inputs = inputs, uuid = uuid },
    solution = made.name,
    evaluation = evaluation,
  }
end

-- Latencies of each author on the workloads a, b, c; false for a failure.
local LATENCIES = {
  baseline = { 2.0, 4.0, 1.0 },
  ann = { 1.0, 4.1, 2.0 },
  ["<b>bob & co"] = { 0.5, false },
}

local function write_dataset(root, latencies)
  assert(json.write(fs.join(root, "definitions/gemm", DEFINITION.name .. ".json"), DEFINITION))
  for author, list in pairs(latencies) do
    local made = write_solution(root, author)
    for i, latency in ipairs(list) do
      local t = result_of(made, ("abc"):sub(i, i), 8 * i, latency)
      assert(trace.append(root, t, made, DEFINITION))
    end
  end
end

-- What an expression comes to with the page's script loaded and no document around it.
local function evaluate(html, expression)
  local script = assert(html:match "<script>\n(.-)\n</script>")
  local program = [[
    const vm = require("vm"), input = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const context = vm.createContext({ data: JSON.parse(input.data) });
    vm.runInContext(input.script + "\n;globalThis.result = (" + input.expression + ");", context);
    process.stdout.write(JSON.stringify(context.result));
  ]]
  local text = assert(html:match '<script type="application/json" id="data">(.-)</script>')
  local input = json.encode { script = script, data = text, expression = expression }
  local done = assert(process.run { "node", "-e", program, input = input })
  assert.equal(0, done.status, done.stderr)
  return assert(json.decode(done.stdout))
end

describe("the page of a dataset", function()
  local dir, data, html

  setup(function()
    dir = fs.tempdir()
    write_dataset(dir.path, LATENCIES)
    data = assert(data_of.collect(assert(traceset.open(dir.path)), { band = 0.05 }))
    data.dataset = "</title><script>alert(1)</script>"
    html = assert(page.render(data))
  end)
  teardown(function() dir:remove() end)

  it("holds each workload and device once, with the best of each solution", function()
    assert.equal(3, #data.rows)
    assert.same({ "baseline", "ann", "<b>bob & co" }, { table.unpack(data.authors) })
    local row = data.rows[2]
    assert.same({ "b", "M=16", 0 }, { row[2], row[3], row[4] })
    local latencies = {}
    for _, each in ipairs(row[6]) do
      latencies[data.authors[data.solutions[each[1] + 1][2] + 1]] = each[2]
    end
    assert.same({ baseline = 4.0, ann = 4.1, ["<b>bob & co"] = json.null }, latencies)
  end)

  it("counts wins, ties within the band, losses and failures", function()
    local counts = {}
    for _, curve in ipairs(data.curves) do
      counts[curve.author] = { curve.wins, curve.ties, curve.losses, curve.failed, curve.total }
    end
    assert.same({ ann = { 1, 1, 1, 0, 3 }, ["<b>bob & co"] = { 1, 0, 0, 1, 2 } }, counts)
  end)

  it("is there for a dataset without a baseline too, and says so once", function()
    local without <close> = fs.tempdir()
    write_dataset(without.path, { ann = LATENCIES.ann, bob = LATENCIES.ann })
    local collected = assert(data_of.collect(assert(traceset.open(without.path)), { band = 0.05 }))
    assert.equal(1, #collected.notes)
    assert.matches("has no solution of author 'baseline'", collected.notes[1])
    assert.same({}, collected.rankings)
    assert.matches("has no solution of author", assert(page.render(collected)))
  end)

  it("says how much a workload has to do, from its op type", function()
    local work = assert(ops.work(DEFINITION, { M = 8 }))
    assert.same({ work.bytes, work.flops, "float16", true }, { table.unpack(data.rows[1][5]) })
  end)

  it("knows what vendors publish for the devices of traces", function()
    assert.equal(4.8e12, data.ceilings[1].bytes)
    assert.equal(3.35e12, data_of.ceilings("NVIDIA H100 80GB HBM3").bytes)
    assert.equal(2.0e12, data_of.ceilings("NVIDIA H100 PCIe").bytes)
    assert.is_nil(data_of.ceilings "Intel(R) Xeon(R)")
  end)

  it("reaches for nothing", function()
    local rest = html:gsub("http://www%.w3%.org/2000/svg", "")
    for _, pattern in ipairs {
      "https?://",
      "<link",
      "@import",
      " src=",
      "url%(",
      "fetch%(",
      "XMLHttp",
      "import%(",
    } do
      assert.is_nil(rest:find(pattern), pattern)
    end
    assert.truthy(html:find("default-src 'none'", 1, true))
  end)

  it("lets no name out of its place", function()
    local _, scripts = html:gsub("<script", "")
    assert.equal(2, scripts)
    assert.is_nil(html:find("<b>bob", 1, true))
    assert.truthy(html:find("&lt;/title&gt;", 1, true))
    assert.is_nil(html:find("{{", 1, true))
  end)

  it(
    "carries its data so that the script reads the same",
    function() assert.same({ 3, "<b>bob & co" }, evaluate(html, "[data.rows.length, data.authors[2]]")) end
  )

  it("computes the share of workloads at a ratio", function()
    -- Ratios of ann: 0.5, 0.976, 2.
    local expression = "(() => { const c = data.curves.find(c => c.author === 'ann').points;"
      .. "return [0, 0.5, 0.6, 1, 2, 2.1].map(p => report.shareAt(c, p)); })()"
    local shares = evaluate(html, expression)
    for i, share in ipairs { 1, 1, 2 / 3, 1 / 3, 1 / 3, 0 } do
      assert.is_true(math.abs(share - shares[i]) < 1e-9)
    end
  end)

  it("filters and sorts workloads", function()
    local function uuids(query, key, descending)
      local expression = (
        "report.sorted(data, data.rows.map(r => report.summarise(data, r, a => true))"
        .. ".filter(i => report.matches(data, i, %s)), %s, %s).map(i => i.row[1])"
      ):format(json.encode(query), json.encode(key), descending)
      return evaluate(html, expression)
    end
    assert.same({ "c", "a", "b" }, uuids({ text = "gemm m=" }, "base", false))
    assert.same({ "a", "b", "c" }, uuids({ text = "" }, "ratio", true))
    assert.same({ "b" }, uuids({ which = "failed" }, "base", false))
    assert.same({ "c" }, uuids({ which = "slower" }, "base", false))
    assert.same({ "b" }, uuids({ text = "M=16" }, "base", false))
    assert.same({}, uuids({ op = "rmsnorm" }, "base", false))
  end)

  it("puts marks at operations a byte and a second", function()
    local points = evaluate(html, "report.rooflinePoints(data, 0, '', a => data.authors[a] === 'ann')")
    local work = assert(ops.work(DEFINITION, { M = 8 }))
    assert.equal(3, #points)
    assert.is_true(math.abs(points[1].x - work.flops / work.bytes) < 1e-9)
    assert.is_true(math.abs(points[1].y - work.flops / 1e-3) < 1)
  end)

  it("keeps to the authors and definitions that are asked for", function()
    local set = assert(traceset.open(dir.path))
    local only = assert(data_of.collect(set, { authors = { "ann" } }))
    assert.same({ "baseline", "ann" }, { table.unpack(only.authors) })
    assert.equal(6, only.counts.traces)
    local nothing, why = data_of.collect(set, { definitions = { "other" } })
    assert.is_nil(nothing)
    assert.matches("there is no definition 'other'", why)
  end)

  it("shows a dataset without traces", function()
    local empty <close> = fs.tempdir()
    write_dataset(empty.path, {})
    local made = assert(data_of.collect(assert(traceset.open(empty.path)), {}))
    assert.same({ 0, 0 }, { #made.rows, made.counts.traces })
    assert.is_string(page.render(made))
  end)
end)
