--- Drawing the next token from probabilities, among the most likely ones.

local keep_top_k = [=[


def keep_top_k(row, k):
    """Keep the k most likely tokens and renormalize; any k outside 1 .. vocab_size - 1 keeps all."""
    if not 0 < k < len(row):
        return row
    tokens = torch.argsort(row, descending=True)[:k]
    kept = torch.zeros_like(row)
    kept[tokens] = row[tokens]
    return kept / kept.sum()
]=]

local keep_top_p = [=[


def keep_top_p(row, p):
    """Keep the fewest most likely tokens with a mass above p and renormalize; p >= 1 keeps all."""
    if p >= 1.0:
        return row
    probabilities, tokens = torch.sort(row, descending=True)
    mass = torch.cumsum(probabilities, dim=0)
    # A token stays while the mass before it is within p: the one that crosses p is kept.
    mass_before = torch.cat([torch.zeros_like(mass[:1]), mass[:-1]])
    tokens = tokens[mass_before <= p]
    kept = torch.zeros_like(row)
    kept[tokens] = row[tokens]
    return kept / kept.sum()
]=]

-- What a variant does to one row before it draws.
local top_k_step = [=[
        row = keep_top_k(row, int(top_k[i]))
]=]
local top_p_step = [=[
        p = float(top_p[i])
        if p <= 0.0:
            samples[i] = torch.argmax(row)  # nothing but the most likely token
            continue
        row = keep_top_p(row, p)
]=]

-- The reference of one variant: the functions it needs, and its steps.
local function reference(arguments, functions, steps)
  return "import torch\n"
    .. functions
    .. [=[


@torch.no_grad()
def run(]=]
    .. arguments
    .. [=[):
    batch_size, vocab_size = probs.shape
    assert vocab_size == ${vocab_size}

    samples = torch.empty(batch_size, dtype=torch.int64, device=probs.device)
    for i in range(batch_size):
        row = probs[i].to(torch.float32)
]=]
    .. steps
    .. [=[
        samples[i] = torch.multinomial(row, 1, replacement=True)[0]

    return samples
]=]
end

local axes = {
  { "batch_size", "var", "Number of sequences to sample for." },
  { "vocab_size", "const", "Number of tokens in the vocabulary" },
}
local probs = { "probs", { "batch_size", "vocab_size" }, "float32", "Probability of each token." }
local top_k = { "top_k", { "batch_size" }, "int32", "Number of most likely tokens to keep, per sequence." }
local top_p = { "top_p", { "batch_size" }, "float32", "Probability mass to keep, per sequence." }
local outputs = { { "samples", { "batch_size" }, "int64", "Token drawn for each sequence." } }

-- What follows the logits: the three filters that a request's sampling parameters choose from.
local function kernels(layer)
  local vocab_size = layer:integer("config.vocab_size")
  if not vocab_size then return nil, "the size of the vocabulary is not known" end
  local found = {}
  for i, variant in ipairs { "top_k", "top_p", "top_k_top_p" } do
    found[i] = {
      variant = variant,
      params = { vocab_size = vocab_size },
      origins = { vocab_size = layer:origin("config.vocab_size") },
      calls = layer:calls(),
    }
  end
  return found
end

local function make_inputs(_, sizes, make)
  return {
    probs = make:normal(sizes.batch_size, sizes.vocab_size):softmax(-1), -- as benchmarks draw them
    top_k = require("hone.tensor").new(
      make:integers(1, math.min(100, sizes.vocab_size), sizes.batch_size),
      "int64"
    ),
    top_p = make:uniform(0.1, 0.95, sizes.batch_size),
  }
end

-- Which tokens are kept is only known when all probabilities of a row have been seen. Where all are kept, a draw can
-- stop early: after one, at the least. The operations are one sum for each that is read.
local function rows_read_whole(sizes, structure)
  local count = require "hone.ops.parts.work"
  local k, p = count.list(structure, "top_k"), count.list(structure, "top_p")
  local rows = 0
  for i = 1, sizes.batch_size do
    local keeps_k = k and k[i] and 0 < k[i] and k[i] < sizes.vocab_size
    local keeps_p = p and p[i] and p[i] < 1
    if keeps_k or keeps_p then rows = rows + 1 end
  end
  return rows
end

local function work(sizes, definition, structure)
  local count = require "hone.ops.parts.work"
  local written = count.outputs(definition, sizes)
  local function with(rows)
    local read = rows * sizes.vocab_size + (sizes.batch_size - rows) * math.min(1, sizes.vocab_size)
    return {
      read = 4 * read + count.inputs(definition, sizes, { "top_k", "top_p" }),
      written = written,
      flops = read,
      dtype = "float32",
    }
  end
  local rows = rows_read_whole(sizes, structure)
  local result = with(rows)
  if rows < sizes.batch_size then result.usual = with(sizes.batch_size) end
  return result
end

return {
  op_type = "sampling",
  work = work,
  usual_axes = { batch_size = 4 },
  make_inputs = make_inputs,
  layers = { ["sglang.srt.layers.logits_processor.LogitsProcessor"] = kernels },
  variants = {
    top_k = {
      names = { { "top_k_sampling_from_probs_v${vocab_size}" } },
      description = "Top-k sampling from probabilities, vocab_size=${vocab_size}: "
        .. "keep the k most likely tokens, renormalize, draw one.",
      fi_api = "flashinfer.sampling.top_k_sampling_from_probs",
      logged = { values = { top_p = true } },
      axes = axes,
      inputs = { probs, top_k },
      outputs = outputs,
      reference = reference("probs, top_k", keep_top_k, top_k_step),
    },
    top_p = {
      names = { { "top_p_sampling_from_probs_v${vocab_size}" } },
      description = "Top-p (nucleus) sampling from probabilities, vocab_size=${vocab_size}: "
        .. "keep the most likely tokens up to mass p, renormalize, draw one.",
      fi_api = "flashinfer.sampling.top_p_sampling_from_probs",
      logged = { values = { top_p = true } },
      axes = axes,
      inputs = { probs, top_p },
      outputs = outputs,
      reference = reference("probs, top_p", keep_top_p, top_p_step),
    },
    top_k_top_p = {
      names = { { "top_k_top_p_sampling_from_probs_v${vocab_size}" } },
      description = "Top-k top-p sampling from probabilities, vocab_size=${vocab_size}: "
        .. "keep the k most likely tokens, renormalize, keep mass p of those, renormalize, draw one.",
      fi_api = "flashinfer.sampling.top_k_top_p_sampling_from_probs",
      logged = { values = { top_p = true } },
      axes = axes,
      inputs = { probs, top_k, top_p },
      outputs = outputs,
      reference = reference("probs, top_k, top_p", keep_top_k .. keep_top_p, top_k_step .. top_p_step),
    },
  },
}
