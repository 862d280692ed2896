--- Drawing tokens: whether a solution draws from the distribution that it should, told from what it draws.
--
-- Three questions, each with its own chance of refusing an honest solution:
--   1. Is a token drawn that may not be? That is certain: no chance is involved.
--   2. Do the counts fit? Chi-square over cells of even probability, once by rank and once by a secret partition, so
--      that neither a wrong tail nor a choice among equals goes unseen. ALARM is the chance of refusing an honest
--      solution in a whole evaluation, shared by its rows and tests; what is DISTANCE away over the cells, in total
--      variation, is refused with the chance POWER.
--   3. Is the total variation itself above the threshold of the settings? It is taken over the cells of question 2:
--      over single tokens it is mostly noise (with 128,256 even tokens and 500,000 draws an honest solution shows
--      0.2, flashinfer-bench's threshold).
-- Where a nucleus ends depends on rounding: tokens within EDGE of its border, or tied with its last one, may be drawn
-- or not. What may be drawn follows the definition's rules: top-k first, renormalised, then top-p, the token that
-- crosses p included.
local json = require "hone.json"
local tensor = require "hone.tensor"
local statistics = require "hone.bench.statistics"

local sampling = { name = "sampling", same_inputs = true }

local ALARM, POWER, DISTANCE = 1e-6, 0.999, 0.05
local EDGE = 5e-4
local CELLS = 64
local DEFAULT_DRAWS, DEFAULT_THRESHOLD = 100, 0.2
local MOST_CALLS = 20000
local MOST_ROWS, MOST_BYTES = 10000, 256 << 20 -- of one call
local TESTS = 3 -- of each row: two partitions and the border
local UPSTREAM_EDGE = 5e-2

-- ---- what may be drawn -----------------------------------------------------------------------------

local function method_of(definition)
  local name = definition.name:lower()
  return name:find("top_k", 1, true) ~= nil, name:find("top_p", 1, true) ~= nil
end

-- A parameter for each row, as a column.
local function column(value, rows, dtype, device)
  if not tensor.is_tensor(value) then
    return tensor.full({ rows, 1 }, value, { dtype = dtype, device = device })
  end
  return value:to(dtype):reshape(-1):expand(rows):reshape(rows, 1)
end

-- int64 [rows, 1]: how many of the most likely tokens top-k keeps.
local function kept_by_k(top_k, rows, vocab, device)
  local k = column(top_k, rows, "int64", device)
  return tensor.where(
    k:gt(0) & k:lt(vocab),
    k,
    tensor.full({ rows, 1 }, vocab, { dtype = "int64", device = device })
  )
end

-- How many tokens a nucleus keeps when its border is moved by `shift`.
local function kept_by_p(ordered, rank, k, top_p, shift)
  local p = column(top_p, ordered:size(1), "float64", ordered.device)
  local within = rank:lt(k)
  local mass = tensor.where(within, ordered, 0.0)
  mass = mass / mass:sum(2, true)
  local before = mass:cumsum(2) - mass
  local kept = (before:le(p + shift) & within):to("int64"):sum(2, true):clamp(1)
  kept = tensor.where(p:ge(1), k, kept)
  return tensor.where(p:le(0), tensor.ones_like(kept), kept)
end

local function at_rank(ordered, count) return ordered:gather(2, count - 1) end

---Which tokens must be able to come, which may come, and their probabilities: bool, bool, float64 [rows, vocab].
function sampling.expected(definition, probs, top_k, top_p)
  local by_k, by_p = method_of(definition)
  if probs:dim() == 1 then probs = probs:unsqueeze(1) end
  probs = probs:to "float64"
  local rows, vocab = probs:size(1), probs:size(2)
  local ordered = probs:sort(2, true)
  local rank = tensor.arange(vocab, { device = probs.device }):unsqueeze(1)
  local all = tensor.full({ rows, 1 }, vocab, { dtype = "int64", device = probs.device })
  local k = by_k and top_k ~= nil and kept_by_k(top_k, rows, vocab, probs.device) or all
  local least, middle, most = k, k, k
  if by_p and top_p ~= nil then
    least = kept_by_p(ordered, rank, k, top_p, -EDGE)
    middle = kept_by_p(ordered, rank, k, top_p, 0.0)
    most = kept_by_p(ordered, rank, k, top_p, EDGE)
  end
  local possible = probs:gt(0)
  local may = probs:ge(at_rank(ordered, most)) & possible
  -- among tokens tied with the last that is kept, which ones stay is open
  local last = at_rank(ordered, least)
  local tied = probs:ge(last):to("int64"):sum(2, true):gt(least)
  local must = tensor.where(tied, probs:gt(last), probs:ge(last)) & possible
  local kept = rank:lt(middle)
  local total = tensor.where(kept, ordered, 0.0):sum(2, true)
  local nominal = tensor.where(probs:ge(at_rank(ordered, middle)), probs, 0.0)
  return { must = must, may = may, probs = nominal / total, raw = probs }
end

-- ---- cells -----------------------------------------------------------------------------------------

-- Cells of even probability, by rank: int64 [rows, vocab].
local function cells_by_rank(probs)
  local ordered, order = probs:sort(2, true)
  local middle = ordered:cumsum(2) - ordered / 2
  local cell = (middle * CELLS):to("int64"):clamp(0, CELLS - 1)
  return tensor.zeros_like(cell):scatter_(2, order, cell)
end

local function cells_by_chance(probs, generator)
  return tensor.randint(0, CELLS, probs:shape(), { generator = generator, device = probs.device })
end

local function sum_by_cell(values, cells)
  local sums = tensor.zeros(cells:size(1), CELLS, { dtype = values.dtype, device = values.device })
  return sums:scatter_add_(2, cells, values)
end

-- What flashinfer-bench lets a row draw: top-p is asked of the probabilities as they are, the token that crosses p has
-- to lie within p + 0.05, and top-k keeps ties.
local function upstream_mask(definition, probs, top_k, top_p)
  local by_k, by_p = method_of(definition)
  local rows, vocab = probs:size(1), probs:size(2)
  local mask = tensor.ones_like(probs):to "bool"
  local ordered, order = probs:sort(2, true)
  if by_k and top_k ~= nil then
    mask = probs:ge(at_rank(ordered, kept_by_k(top_k, rows, vocab, probs.device)))
  end
  if by_p and top_p ~= nil then
    local p = column(top_p, rows, "float32", probs.device):to "float64"
    local inside = ordered:cumsum(2):le(p + UPSTREAM_EDGE)
    inside = inside | tensor.arange(vocab, { device = probs.device }):eq(0):unsqueeze(1)
    inside = inside | p:le(0) | p:ge(1)
    mask = mask & tensor.zeros_like(inside):scatter_(2, order, inside)
  end
  return mask
end

-- ---- calls -----------------------------------------------------------------------------------------

-- Draws that each row needs, and the alarm of one of its tests.
local function draws_of(rows)
  local alarm = ALARM / (TESTS * rows)
  return statistics.draws_needed(DISTANCE, CELLS, alarm, POWER), alarm
end

function sampling.begin(self)
  self.generator = tensor.generator(self.settings.secret or tensor.randint(0, 2 ^ 62 // 1, { 1 }):item())
end

-- The workload's rows and tokens, from the sizes of its axes.
local function sizes_of(self, axes)
  local probs = self.definition.inputs.probs
  if not probs then return 1, 1 end -- which is said when a call is judged
  local shape = probs.shape
  return #shape > 1 and axes[shape[1]] or 1, axes[shape[#shape]]
end

---How many calls it takes, and how many times over each of them is to hold the workload's rows.
function sampling.calls(self, axes)
  local rows, vocab = sizes_of(self, axes)
  self.rows = math.max(rows, 1)
  local times = math.max(1, math.min(MOST_ROWS // self.rows, MOST_BYTES // (4 * self.rows * vocab)))
  local asked = self.settings.extra.sampling_validation_trials or DEFAULT_DRAWS
  local draws = math.max(draws_of(self.rows), asked)
  return math.min(MOST_CALLS, (draws + times - 1) // times), times
end

-- What is expected, found once: inputs are the same in all calls.
local function prepare(self, inputs)
  local probs = self:input(inputs, "probs")
  if probs:dim() == 1 then probs = probs:unsqueeze(1) end
  self.rows = self.rows or probs:size(1)
  probs = probs:narrow(1, 1, self.rows)
  local function parameter(name)
    local value = self:input(inputs, name)
    if tensor.is_tensor(value) and value:numel() > 1 then value = value:narrow(1, 1, self.rows) end
    return value
  end
  local top_k, top_p = parameter "top_k", parameter "top_p"
  self.expected = sampling.expected(self.definition, probs, top_k, top_p)
  self.parameters = { top_k = top_k, top_p = top_p }
  self.upstream_may = upstream_mask(self.definition, self.expected.raw, top_k, top_p)
  self.vocab = probs:size(2)
  self.counts = tensor.zeros(self.rows * self.vocab, { dtype = "int64", device = probs.device })
  self.draws = 0
end

-- One sample for each row that the call holds.
local function check_samples(self, samples, inputs)
  if samples.dtype:find "float" or samples.dtype == "bool" then
    self:note("%s is %s, not an integer's dtype", self.outputs[1], samples.dtype)
    return self:verdict "INCORRECT_DTYPE"
  end
  local probs = self:input(inputs, "probs")
  local rows = probs:dim() == 1 and 1 or probs:size(1)
  if samples:numel() ~= rows then
    self:note("%s holds %d samples for %d rows", self.outputs[1], samples:numel(), rows)
    return self:verdict "INCORRECT_SHAPE"
  end
end

local function refuse_token(self, samples, outside, message)
  local at = outside:nonzero():select(2, 1):select(1, 1):item()
  return self:wrong(math.huge, message, samples:select(1, at + 1):item(), at % self.rows)
end

function sampling.check(self, outputs, _, inputs)
  local verdict = self:check_inputs "probs"
  if verdict then return verdict end
  local samples = outputs[1]
  verdict = check_samples(self, samples, inputs)
  if verdict then return verdict end
  if not self.counts then prepare(self, inputs) end
  samples = samples:to("int64"):reshape(-1)
  local n = samples:numel()
  local beyond = samples:lt(0) | samples:ge(self.vocab)
  if beyond:any():item() then
    local message = "sample %d of row %d is outside the vocabulary of " .. self.vocab .. " tokens"
    return refuse_token(self, samples, beyond, message)
  end
  local row = tensor.arange(n, { device = samples.device }):remainder(self.rows)
  local place = row * self.vocab + samples
  self.counts:index_add_(1, place, tensor.ones(n, { dtype = "int64", device = samples.device }))
  self.draws = self.draws + n // self.rows
  -- from here on flashinfer-bench's verdict is known, as far as it does not depend on chance
  if self.upstream_failed == nil then self.upstream_failed = false end
  if not self.upstream_may:reshape(-1):index_select(1, place):all():item() then
    self.upstream_failed, self.upstream_ended = true, true
  end
  local outside = ~self.expected.may:reshape(-1):index_select(1, place)
  if outside:any():item() then
    return refuse_token(
      self,
      samples,
      outside,
      "token %d of row %d may not be drawn: top-k and top-p leave it out"
    )
  end
end

-- ---- the verdict -----------------------------------------------------------------------------------

-- Counts and expectations of the tokens that must be able to come, by cell, as Lua lists a row.
local function tables_of(self, cells)
  local must = self.expected.must
  local counts = tensor.where(must, self.counts:reshape(self.rows, self.vocab), 0)
  local weights = tensor.where(must, self.expected.raw, 0.0)
  local total = counts:sum(2, true)
  local expected = weights / weights:sum(2, true):clamp(1e-300) * total:to "float64"
  return sum_by_cell(counts, cells):tolist(), sum_by_cell(expected, cells):tolist(), total:flatten():tolist()
end

local function refuse(self, format, ...)
  if not self.failed then self:note(format, ...) end
  self.failed = true
end

-- Half the sum of the cells' differences, of each row.
local function distances_of(counts, expected, totals)
  local distances = {}
  for row, total in ipairs(totals) do
    local distance = 0.0
    for i = 1, CELLS do
      distance = distance + math.abs(counts[row][i] - expected[row][i])
    end
    distances[row] = total > 0 and distance / total / 2 or 0.0
  end
  return distances
end

-- The total variation that flashinfer-bench would see, at least: over cells, where noise does not count.
local function upstream_distance(self, cells)
  local counts = self.counts:reshape(self.rows, self.vocab)
  local weights = tensor.where(self.upstream_may, self.expected.raw, 0.0)
  local total = counts:sum(2, true)
  local expected = weights / weights:sum(2, true):clamp(1e-300) * total:to "float64"
  local seen = sum_by_cell(counts, cells):tolist()
  local distances = distances_of(seen, sum_by_cell(expected, cells):tolist(), total:flatten():tolist())
  return math.max(table.unpack(distances))
end

-- Question 2, and the total variation of question 3.
local function test_cells(self, cells, alarm, how)
  local counts, expected, totals = tables_of(self, cells)
  for row = 1, self.rows do
    local value, freedom, chance = statistics.chi_square(counts[row], expected[row])
    if value and chance < alarm then
      refuse(
        self,
        "row %d does not draw from its distribution: chi-square %.1f with %d degrees of freedom over cells %s "
          .. "(chance %.1e, %d draws)",
        row - 1,
        value,
        freedom,
        how,
        chance,
        self.draws
      )
    end
  end
  return distances_of(counts, expected, totals)
end

-- Tokens at the border may take what is theirs, not more.
local function test_border(self, alarm)
  local weights = self.expected
  local must = tensor.where(weights.must, weights.raw, 0.0):sum(2):tolist()
  local may = tensor.where(weights.may, weights.raw, 0.0):sum(2):tolist()
  local counts = self.counts:reshape(self.rows, self.vocab)
  local inside = tensor.where(weights.must, counts, 0):sum(2):tolist()
  for row = 1, self.rows do
    local share = may[row] > 0 and must[row] / may[row] or 0
    if share > 0 and inside[row] < statistics.least_hits(self.draws, share, alarm) then
      refuse(
        self,
        "row %d draws tokens at the border too often: %d of %d draws are of the others, %.4f of them should be",
        row - 1,
        inside[row],
        self.draws,
        share
      )
    end
  end
end

-- The total variation over cells that honest draws show, about.
local function noise_of(draws) return math.sqrt(CELLS / (2 * math.pi * math.max(draws, 1))) end

function sampling.finish(self)
  if not self.counts then return self:verdict "PASSED" end
  local _, alarm = draws_of(self.rows)
  local frequencies = self.counts:reshape(self.rows, self.vocab):to "float64" / math.max(self.draws, 1)
  local found = tensor.compare(frequencies, self.expected.probs)
  self.max_absolute, self.max_relative = found.max_absolute_error, found.max_relative_error
  local ranks = cells_by_rank(self.expected.probs)
  local by_rank = test_cells(self, ranks, alarm, "by rank")
  local by_chance = test_cells(self, cells_by_chance(self.expected.probs, self.generator), alarm, "by chance")
  test_border(self, alarm)
  local threshold = self.settings.extra.sampling_tvd_threshold or DEFAULT_THRESHOLD
  local worst, distances = 0.0, json.array {}
  for row = 1, self.rows do
    distances[row] = math.max(by_rank[row], by_chance[row])
    worst = math.max(worst, distances[row])
  end
  self.extra = json.object { { "tvd", worst }, { "tvds_per_batch", distances } }
  if worst - noise_of(self.draws) > threshold then
    refuse(self, "total variation distance %.4f is above %.4f", worst, threshold)
  end
  if upstream_distance(self, ranks) > threshold then self.upstream_failed = true end
  self:note(
    "sampling: %d draws a row; an honest solution is refused once in %.0e evaluations, one %.2f away over %d cells "
      .. "is refused with a chance of %.3f",
    self.draws,
    1 / ALARM,
    DISTANCE,
    CELLS,
    POWER
  )
  return self:verdict(self.failed and "INCORRECT_NUMERICAL" or "PASSED")
end

return sampling
