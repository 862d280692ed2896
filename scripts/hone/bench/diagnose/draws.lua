--- What a wrong sampler draws from: distributions that known mistakes lead to, held against what was drawn.
local tensor = require "hone.tensor"
local statistics = require "hone.bench.statistics"

local M = {}

local CELLS, ALARM = 64, 1e-6
local FEW = 1e-3 -- of the draws may lie outside: rounding at the border of a nucleus

-- ---- distributions ------------------------------------------------------------------------------------

-- How a row is filtered: top-k, the mass of top-p and in what it is measured.
local function filtered(raw, options)
  local rows, vocab = raw:size(1), raw:size(2)
  local ordered, order = raw:sort(2, true)
  local rank = tensor.arange(vocab, { device = raw.device }):unsqueeze(1)
  local kept = rank:ge(0):expand(rows, vocab)
  if options.k then
    local k = tensor.where(options.k:gt(0) & options.k:lt(vocab), options.k, vocab)
    kept = kept & rank:lt(k)
  end
  if options.p then
    local mass = options.unnormalised and ordered or tensor.where(kept, ordered, 0.0)
    local total = options.unnormalised and 1.0 or mass:sum(2, true)
    local before = (mass:cumsum(2) - mass) / total
    local inside = options.without_crossing and (before + mass / total):le(options.p) or before:le(options.p)
    kept = kept & (inside | rank:eq(0)) & (options.p:gt(0) | rank:eq(0))
  end
  local q = tensor.where(kept, ordered, 0.0)
  if options.even then q = kept:to "float64" end
  return tensor.zeros_like(raw):scatter_(2, order, q)
end

local function column(value, raw)
  if value == nil then return nil end
  local rows = raw:size(1)
  if not tensor.is_tensor(value) then
    return tensor.full({ rows, 1 }, value, { dtype = "float64", device = raw.device })
  end
  return value:to("float64"):reshape(-1):expand(rows):reshape(rows, 1)
end

-- The first row's value for all.
local function first_row(value) return value and value:narrow(1, 1, 1):expand_as(value) end

-- { what, hint, distribution } of the mistakes that this kind of sampling can hold.
local function suspects(raw, k, p)
  local list = {}
  local function add(what, hint, q) list[#list + 1] = { what = what, hint = hint, q = q } end
  local function like(options)
    options.k = options.k or k
    options.p = options.p or p
    return filtered(raw, options)
  end
  local right = like {}
  add(
    "the most likely token is always drawn",
    "draw with a random number",
    filtered(raw, { k = column(1, raw) })
  )
  if k then
    add("top-k is not applied", "keep the k most likely tokens", filtered(raw, { p = p }))
    add("top-k keeps one token too few", "the k-th token is kept", like { k = (k - 1):clamp(1) })
    add("top-k keeps one token too many", "tokens of rank below k are kept", like { k = k + 1 })
    add("all rows use the first row's top_k", "top_k has one entry a row", like { k = first_row(k) })
  end
  if p then
    add("top-p is not applied", "keep the nucleus of mass p", filtered(raw, { k = k }))
    add(
      "the token that crosses p is left out",
      "a token stays while the mass before it is within p",
      like {
        without_crossing = true,
      }
    )
    add("all rows use the first row's top_p", "top_p has one entry a row", like { p = first_row(p) })
  end
  if k and p then
    add("neither top-k nor top-p is applied", "filter before drawing", raw)
    add(
      "top-p is asked of probabilities that were not renormalised after top-k",
      "divide by the sum of the k kept",
      like {
        unnormalised = true,
      }
    )
  end
  add("all tokens that may be drawn are drawn alike", "draw by probability", like { even = true })
  add("probabilities are squared: the temperature is 0.5", "they are given as they are to be", right:square())
  add(
    "a softmax is taken of the probabilities",
    "they are no logits",
    filtered(raw:softmax(2), { k = k, p = p })
  )
  if raw:size(1) > 1 then
    add(
      "all rows draw from the first row",
      "the row does not enter the address",
      right:narrow(1, 1, 1):expand_as(right)
    )
  end
  return list
end

-- ---- held against the draws ----------------------------------------------------------------------------

local function cells_by_rank(q)
  local ordered, order = q:sort(2, true)
  local cell = ((ordered:cumsum(2) - ordered / 2) * CELLS):to("int64"):clamp(0, CELLS - 1)
  return tensor.zeros_like(cell):scatter_(2, order, cell)
end

local function by_cell(values, cells)
  local sums = tensor.zeros(cells:size(1), CELLS, { dtype = "float64", device = values.device })
  return sums:scatter_add_(2, cells, values:to "float64"):tolist()
end

-- How far the draws are from a distribution: the greatest total variation of a row over cells, the share of draws
-- that it allows, and whether they may come from it.
local function weigh(counts, q)
  q = q / q:sum(2, true):clamp(1e-300)
  local inside = tensor.where(q:gt(0), counts, 0)
  local total, within = counts:sum(2), inside:sum(2)
  local share = (within:to "float64" / total:to("float64"):clamp(1)):amin():item()
  local cells = cells_by_rank(q)
  local seen = by_cell(inside, cells)
  local wanted = by_cell(q * within:to("float64"):unsqueeze(2), cells)
  local distance, fits, draws = 1 - share, share >= 1 - FEW, within:tolist()
  for row, expected in ipairs(wanted) do
    local _, _, chance = statistics.chi_square(seen[row], expected)
    if chance and chance < ALARM then fits = false end
    local off = 0.0
    for i, want in ipairs(expected) do
      off = off + math.abs(seen[row][i] - want)
    end
    if draws[row] > 0 then distance = math.max(distance, off / draws[row] / 2) end
  end
  return { error = distance, share = share, fits = fits }
end

---What explains the draws that an evaluator of sampling has counted, the best first.
function M.explain(evaluator)
  if not evaluator.counts or evaluator.draws == 0 then return {} end
  local raw = evaluator.expected.raw
  local counts = evaluator.counts:reshape(evaluator.rows, evaluator.vocab)
  if weigh(counts, evaluator.expected.probs).fits then return {} end
  local k, p = column(evaluator.parameters.top_k, raw), column(evaluator.parameters.top_p, raw)
  local found = {}
  for i, suspect in ipairs(suspects(raw, k, p)) do
    local left = weigh(counts, suspect.q)
    if left.fits then
      found[#found + 1] = {
        what = suspect.what,
        hint = suspect.hint,
        outputs = { evaluator.outputs[1] },
        error_if_so = left.error,
        matched_if_so = left.share,
        number = i,
      }
    end
  end
  table.sort(found, function(a, b)
    if a.error_if_so ~= b.error_if_so then return a.error_if_so < b.error_if_so end
    return a.number < b.number
  end)
  for _, one in ipairs(found) do
    one.number = nil
  end
  return found
end

return M
