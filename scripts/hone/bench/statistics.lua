--- What measured numbers say: middles, how sure they are, whether counts fit what was expected.
--- See scripts/meta/bench/statistics.lua.
local statistics = {}

local function sorted(list)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return copy
end

-- ---- middles ---------------------------------------------------------------------------------------

function statistics.sum(list)
  local sum = 0.0
  for _, x in ipairs(list) do
    sum = sum + x
  end
  return sum
end

function statistics.mean(list)
  if #list == 0 then return nil end
  return statistics.sum(list) / #list
end

-- Between two neighbours as numpy does it by default.
local function quantile_of(in_order, q)
  local at = 1 + q * (#in_order - 1)
  local below = math.floor(at)
  local low, high = in_order[below], in_order[math.min(below + 1, #in_order)]
  return low + (at - below) * (high - low)
end

function statistics.quantile(list, q)
  if #list == 0 then return nil end
  return quantile_of(sorted(list), q)
end

function statistics.median(list) return statistics.quantile(list, 0.5) end

---The median distance from the median.
function statistics.deviation(list)
  if #list == 0 then return nil end
  local middle, distances = statistics.median(list), {}
  for i, x in ipairs(list) do
    distances[i] = math.abs(x - middle)
  end
  return statistics.median(distances)
end

-- The chance that a fair coin shows at most k heads in n throws.
local function at_most_heads(k, n)
  local term, sum = -n * math.log(2), 0.0
  for i = 0, k do
    if i > 0 then term = term + math.log((n - i + 1) / i) end
    sum = sum + math.exp(term)
  end
  return sum
end

---An interval that holds the true median with at least this confidence, whatever the numbers' distribution; nil for
---too few numbers.
function statistics.median_interval(list, confidence)
  local n, miss = #list, (1 - (confidence or 0.95)) / 2
  local in_order, rank = sorted(list), nil
  for k = 0, (n - 1) // 2 do
    if at_most_heads(k, n) > miss then break end
    rank = k + 1
  end
  if not rank then return nil end
  return in_order[rank], in_order[n + 1 - rank]
end

-- ---- the chi-square distribution -------------------------------------------------------------------

local LANCZOS = {
  676.5203681218851,
  -1259.1392167224028,
  771.32342877765313,
  -176.61502916214059,
  12.507343278686905,
  -0.13857109526572012,
  9.9843695780195716e-6,
  1.5056327351493116e-7,
}

local function log_gamma(x)
  if x < 0.5 then return math.log(math.pi / math.sin(math.pi * x)) - log_gamma(1 - x) end
  x = x - 1
  local sum = 0.99999999999980993
  for i, c in ipairs(LANCZOS) do
    sum = sum + c / (x + i)
  end
  local t = x + #LANCZOS - 0.5
  return 0.5 * math.log(2 * math.pi) + (x + 0.5) * math.log(t) - t + math.log(sum)
end

local MOST_TERMS, ENOUGH = 10000, 1e-15

-- The regularised lower incomplete gamma function by its series, the upper one by a continued fraction: each
-- where it converges fast.
local function lower_by_series(a, x)
  local term, sum = 1 / a, 1 / a
  for n = 1, MOST_TERMS do
    term = term * x / (a + n)
    sum = sum + term
    if term < sum * ENOUGH then break end
  end
  return sum * math.exp(-x + a * math.log(x) - log_gamma(a))
end

local function upper_by_fraction(a, x)
  local tiny = 1e-300
  local b = x + 1 - a
  local c, d = 1 / tiny, 1 / b
  local result = d
  for i = 1, MOST_TERMS do
    local an = -i * (i - a)
    b = b + 2
    d = an * d + b
    if math.abs(d) < tiny then d = tiny end
    c = b + an / c
    if math.abs(c) < tiny then c = tiny end
    d = 1 / d
    local step = d * c
    result = result * step
    if math.abs(step - 1) < ENOUGH then break end
  end
  return result * math.exp(-x + a * math.log(x) - log_gamma(a))
end

---The chance that a chi-square value with so many degrees of freedom is above x.
function statistics.chi_square_tail(x, freedom)
  if x <= 0 then return 1.0 end
  if x == math.huge then return 0.0 end
  local a, half = freedom / 2, x / 2
  if half < a + 1 then return 1 - lower_by_series(a, half) end
  return upper_by_fraction(a, half)
end

---The value that is exceeded with this chance.
function statistics.chi_square_limit(chance, freedom)
  local low, high = 0.0, freedom + 10.0
  while statistics.chi_square_tail(high, freedom) > chance do
    high = high * 2
  end
  for _ = 1, 200 do
    local middle = (low + high) / 2
    if statistics.chi_square_tail(middle, freedom) > chance then
      low = middle
    else
      high = middle
    end
  end
  return high
end

local FEWEST = 5 -- expected in a cell: below that the distribution does not hold

-- Cells with little expected in them as one: two lists.
local function pooled(counts, expected)
  local seen, wanted, small = {}, {}, {}
  for i, want in ipairs(expected) do
    if want < FEWEST then
      small[#small + 1] = i
    else
      seen[#seen + 1], wanted[#wanted + 1] = counts[i], want
    end
  end
  local count, want = 0, 0.0
  for _, i in ipairs(small) do
    count, want = count + counts[i], want + expected[i]
    if want >= FEWEST then
      seen[#seen + 1], wanted[#wanted + 1] = count, want
      count, want = 0, 0.0
    end
  end
  if #wanted > 0 then
    seen[#seen], wanted[#wanted] = seen[#seen] + count, wanted[#wanted] + want
  end
  return seen, wanted
end

---Whether counts fit what was expected (the two sums are the same): the chi-square value, the degrees of freedom and
---the chance of such a value or a greater one. Nil where there is nothing to compare.
function statistics.chi_square(counts, expected)
  local seen, wanted = pooled(counts, expected)
  if #wanted < 2 then return nil end
  local value = 0.0
  for i, want in ipairs(wanted) do
    value = value + (seen[i] - want) ^ 2 / want
  end
  return value, #wanted - 1, statistics.chi_square_tail(value, #wanted - 1)
end

---How many draws it takes to refuse, with this power, what is at least `distance` (total variation) away over so many
---cells, when an honest one is refused with the chance `alarm`.
function statistics.draws_needed(distance, cells, alarm, power)
  local freedom = cells - 1
  local limit = statistics.chi_square_limit(alarm, freedom)
  local z = statistics.normal_limit(1 - power)
  -- The non-centrality l of n draws is at least n (2 distance)^2; its value is about normal, of mean
  -- freedom + l and variance 2 (freedom + 2 l).
  local low, high = 0.0, 1.0
  local function enough(l) return freedom + l - z * math.sqrt(2 * (freedom + 2 * l)) >= limit end
  while not enough(high) do
    high = high * 2
  end
  for _ = 1, 100 do
    local middle = (low + high) / 2
    if enough(middle) then
      high = middle
    else
      low = middle
    end
  end
  return math.ceil(high / (2 * distance) ^ 2)
end

---The value that a normal number exceeds with this chance.
function statistics.normal_limit(chance)
  if chance > 0.5 then return -statistics.normal_limit(1 - chance) end
  return math.sqrt(statistics.chi_square_limit(2 * chance, 1))
end

---A bound that a count of n draws, each a hit with chance p, falls below with a chance of at most `alarm`.
function statistics.least_hits(n, p, alarm)
  -- Chernoff: P(X <= n q) <= exp(-n KL(q, p)); the greatest q with a bound within `alarm`.
  if p >= 1 then return n end
  local function divergence(q)
    local first = q > 0 and q * math.log(q / p) or 0.0
    return first + (q < 1 and (1 - q) * math.log((1 - q) / (1 - p)) or 0.0)
  end
  local wanted = -math.log(alarm) / n
  local low, high = 0.0, p
  if divergence(0) < wanted then return 0 end
  for _ = 1, 100 do
    local middle = (low + high) / 2
    if divergence(middle) >= wanted then
      low = middle
    else
      high = middle
    end
  end
  return math.floor(n * low)
end

-- ---- two runs --------------------------------------------------------------------------------------

---Which of two lists is smaller: "first", "second", "same" (their medians' intervals lie within a band of each other)
---or "undecided".
function statistics.faster(first, second, options)
  local band = options and options.band or 0.02
  local low_a, high_a = statistics.median_interval(first, options and options.confidence)
  local low_b, high_b = statistics.median_interval(second, options and options.confidence)
  if not low_a or not low_b then return "undecided" end
  if high_a * (1 + band) < low_b then return "first" end
  if high_b * (1 + band) < low_a then return "second" end
  if high_a <= low_b * (1 + band) and high_b <= low_a * (1 + band) then return "same" end
  return "undecided"
end

return statistics
