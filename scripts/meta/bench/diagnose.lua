---@meta hone.bench.diagnose

--- What a wrong result looks like: mistakes that kernels are known to make are tried on it, and those that explain it
--- are told, with the error that would be left.
---
---     local found = diagnose.explain(definition, inputs, outputs, expected, { settings = resolved })
---     for _, line in ipairs(diagnose.lines(found)) do print(line) end
---     --> it looks like: output, lse: sm_scale is missing (remaining error 0, 100% match; multiply the logits by sm_scale)
---
--- Some mistakes any kernel can make: an output that was never written, that is another's, in another order or layout,
--- off by a factor, or of too few bits. The others are those of the op type (see ops/mistakes); most of these run the
--- reference with other inputs. An explanation is given only where what is left is within tolerance, or a tenth of
--- what it was: noise has none. Nothing that is given is changed.
local diagnose = {}

--- An explanation.
---@class hone.bench.Explanation
---@field what string # "sm_scale is missing"
---@field hint string # what to look at
---@field outputs string[] # the names of the outputs that it explains
---@field error_if_so number # what is left of the relative error (root of the squared differences over that of the squares) if it is so; of draws, the total variation
---@field matched_if_so number # the share of elements within tolerance if it is so

--- What explains a wrong result, the best first; an empty list where nothing does. All lists are in the definition's
--- order, their tensors on one device.
---@param definition table
---@param inputs any[]
---@param outputs hone.Tensor[] # the solution's
---@param expected hone.Tensor[] # the reference's
---@param options? { settings: hone.bench.Resolved?, run: function?, budget: number?, poison: integer[]?, evaluator: hone.bench.Evaluator? } # `run` is called as the reference is, which it is by default; `budget` in seconds, 5 unless given: no mistake is begun after it; `poison`, the bytes that outputs were filled with, 0xFF and 0x5A by default; the `evaluator` that counted what was drawn, for sampling
---@return hone.bench.Explanation[]
function diagnose.explain(definition, inputs, outputs, expected, options) end

--- The best three as lines for a trace's log.
---@param found hone.bench.Explanation[]
---@return string[]
function diagnose.lines(found) end

return diagnose
