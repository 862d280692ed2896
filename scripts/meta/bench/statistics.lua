---@meta hone.bench.statistics

--- What measured numbers say: middles, how sure they are, whether counts fit what was expected.
local statistics = {}

--- The sum; 0 of an empty list.
---@param list number[]
---@return number
function statistics.sum(list) end

--- The mean; nil of an empty list, as for all middles.
---@param list number[]
---@return number?
function statistics.mean(list) end

--- The value below which a share q of the numbers lies, between two neighbours as numpy has it.
---@param list number[]
---@param q number # 0 to 1
---@return number?
function statistics.quantile(list, q) end

--- The number in the middle, or the mean of the two there.
---@param list number[]
---@return number?
function statistics.median(list) end

--- The median distance from the median.
---@param list number[]
---@return number?
function statistics.deviation(list) end

--- An interval that holds the true median with at least this confidence, whatever the numbers' distribution; nil for
--- too few numbers.
---@param list number[]
---@param confidence? number # 0.95 unless given
---@return number? low
---@return number? high
function statistics.median_interval(list, confidence) end

--- The chance that a chi-square value with so many degrees of freedom is above x.
---@param x number
---@param freedom integer
---@return number
function statistics.chi_square_tail(x, freedom) end

--- The chi-square value that is exceeded with this chance.
---@param chance number
---@param freedom integer
---@return number
function statistics.chi_square_limit(chance, freedom) end

--- Whether counts fit what was expected (the two sums are the same). Cells in which fewer than 5 are expected are
--- taken together. Nil where there is nothing to compare.
---@param counts integer[]
---@param expected number[]
---@return number? value
---@return integer? freedom
---@return number? chance # of such a value or a greater one
function statistics.chi_square(counts, expected) end

--- How many draws it takes to refuse, with this power, what is at least `distance` (total variation) away over so
--- many cells, when an honest one is refused with the chance `alarm`.
---@param distance number
---@param cells integer
---@param alarm number
---@param power number
---@return integer
function statistics.draws_needed(distance, cells, alarm, power) end

--- The value that a standard normal number exceeds with this chance.
---@param chance number
---@return number
function statistics.normal_limit(chance) end

--- A bound that a count of n draws, each a hit with chance p, falls below with a chance of at most `alarm`.
---@param n integer
---@param p number
---@param alarm number
---@return integer
function statistics.least_hits(n, p, alarm) end

--- Which of two lists is smaller: "first", "second", "same" (their medians' intervals lie within a band of each
--- other, 2 % unless given) or "undecided".
---@param first number[]
---@param second number[]
---@param options? { band: number?, confidence: number? }
---@return "first"|"second"|"same"|"undecided"
function statistics.faster(first, second, options) end

return statistics
