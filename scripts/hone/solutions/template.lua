--- Beginnings of solutions: a definition's signature, dtypes and sizes filled into sources that lie beside this file.
--
-- templates/<template>/<kernel>/ holds the files for a kernel that the template knows, `any` those for all others;
-- files of templates/<template>/ itself are common to all.
local fs, json = require "hone.fs", require "hone.json"
local ops = require "hone.ops"
local axis_value = require("hone.dataset.definition").axis_value

local template = {}

local FOLDER = fs.join(debug.getinfo(1, "S").source:match "^@(.*)[/\\]" or ".", "templates")

-- What each template makes: the parts of `spec`, and what it says of itself.
local SPECS = {
  dense = {
    language = "python",
    entry_point = "main.py::run",
    destination_passing_style = false,
    dependencies = { "torch" },
    says = "dense operations of PyTorch",
  },
  library = {
    language = "python",
    entry_point = "main.py::run",
    destination_passing_style = false,
    dependencies = { "flashinfer" },
    says = "FlashInfer's own kernel",
  },
  vendored = {
    language = "triton",
    entry_point = "main.py::run",
    destination_passing_style = false,
    dependencies = { "triton" },
    says = "a kernel from elsewhere",
  },
  cuda = {
    language = "cuda",
    entry_point = "kernel.cu::run",
    destination_passing_style = true,
    says = "CUDA",
  },
  cpp = {
    language = "cpp",
    entry_point = "kernel.cpp::run",
    destination_passing_style = true,
    target = "cpu",
    says = "C++ on the CPU",
  },
  triton = {
    language = "triton",
    entry_point = "main.py::run",
    destination_passing_style = true,
    dependencies = { "triton" },
    says = "Triton",
  },
}

---Names of the templates, sorted.
function template.list()
  local names = {}
  for name in pairs(SPECS) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- ---- which kernel a template may know ------------------------------------------------------------------

local KERNELS = {
  { name = "gemm", op_type = "gemm", inputs = "A B", outputs = "C" },
  { name = "rmsnorm", op_type = "rmsnorm", inputs = "hidden_states weight", outputs = "output" },
  {
    name = "fused_add_rmsnorm",
    op_type = "rmsnorm",
    inputs = "hidden_states residual weight",
    outputs = "output",
  },
  {
    name = "gqa_paged_decode",
    op_type = "gqa_paged",
    inputs = "q k_cache v_cache kv_indptr kv_indices sm_scale",
    outputs = "output lse",
  },
  {
    name = "gqa_paged_decode",
    op_type = "gqa_paged",
    inputs = "q k_cache v_cache kv_indptr kv_indices kv_last_page_len sm_scale",
    outputs = "output lse",
  },
}

local function names_of(tensors, separator) return table.concat(json.keys(tensors), separator) end

-- "any" where a constant that only the reference shows is not what the templates have.
local function kernel_of(definition)
  local _, details = ops.signature(definition)
  local hidden = details.hidden
  if hidden.weight_offset or hidden.eps == "unknown" then return "any" end
  if definition.axes.window_size or definition.axes.logits_soft_cap then return "any" end
  for _, kernel in ipairs(KERNELS) do
    if
      kernel.op_type == definition.op_type
      and kernel.inputs == names_of(definition.inputs, " ")
      and kernel.outputs == names_of(definition.outputs, " ")
    then
      return kernel.name
    end
  end
  return "any"
end

-- ---- what is filled in -----------------------------------------------------------------------------------

local CUDA_TYPES = { float16 = "__half", bfloat16 = "__nv_bfloat16", float32 = "float" }
local CPP_TYPES = { float16 = "float16", bfloat16 = "bfloat16", float32 = "float" }

local function is_scalar(spec) return spec.shape == nil or spec.shape == json.null end

-- "A [M, K=4096] float16: activations", a line each.
local function signature_lines(definition)
  local lines = {}
  for _, part in ipairs { "inputs", "outputs" } do
    for name, spec in pairs(definition[part]) do
      local sizes = {}
      for i, axis in ipairs(is_scalar(spec) and {} or spec.shape) do
        local value = axis_value(definition.axes[axis])
        sizes[i] = value and ("%s=%d"):format(axis, value) or axis
      end
      local shape = is_scalar(spec) and "number" or "[" .. table.concat(sizes, ", ") .. "]"
      local arrow = part == "outputs" and "-> " or ""
      lines[#lines + 1] = ("%s%s %s %s"):format(arrow, name, shape, spec.dtype)
    end
  end
  return lines
end

local function cpp_parameters(definition)
  local parameters = {}
  for _, part in ipairs { "inputs", "outputs" } do
    for name, spec in pairs(definition[part]) do
      local type = not is_scalar(spec) and "TensorView" or spec.dtype:find "^int" and "int64_t" or "double"
      parameters[#parameters + 1] = type .. " " .. name
    end
  end
  return table.concat(parameters, ", ")
end

-- One line, that ends no comment and no string.
local function plain(text)
  text = type(text) == "string" and text or ""
  return (text:gsub("%s+", " "):gsub('"""', "'''"):gsub("%*/", "* /"):gsub("\\", "/"))
end

local function values_of(definition)
  local _, details = ops.signature(definition)
  local names, outputs = names_of(definition.inputs, ", "), names_of(definition.outputs, ", ")
  local first_output = definition.outputs[json.keys(definition.outputs)[1]] or {}
  local lines, clear = signature_lines(definition), {}
  for name, spec in pairs(definition.outputs) do
    if not is_scalar(spec) then clear[#clear + 1] = ("  clear(%s);"):format(name) end
  end
  local values = {
    definition = definition.name,
    summary = plain(definition.description),
    names = names,
    output_names = outputs,
    all_names = names .. (names ~= "" and outputs ~= "" and ", " or "") .. outputs,
    signature = table.concat(lines, "\n"),
    cpp_signature = "//   " .. table.concat(lines, "\n//   "),
    cpp_parameters = cpp_parameters(definition),
    cpp_clear = table.concat(clear, "\n"),
    cuda_type = CUDA_TYPES[first_output.dtype],
    cpp_type = CPP_TYPES[first_output.dtype],
    eps = details.hidden.eps,
    last_page_len = definition.inputs.kv_last_page_len and "kv_last_page_len" or "None",
    reference = (definition.reference:gsub("%s+$", "")),
  }
  for name, axis in pairs(definition.axes) do
    values[name] = values[name] or axis_value(axis)
  end
  return values
end

local function fill(text, values)
  local missing
  local filled = text:gsub("{{([%w_]+)}}", function(name)
    if values[name] == nil then missing = missing or name end
    return tostring(values[name])
  end)
  if missing then return nil, missing end
  return filled
end

-- ---- files ------------------------------------------------------------------------------------------------

local function files_in(folder)
  local files = {}
  for _, name in ipairs(fs.is_dir(folder) and fs.list(folder) or {}) do
    if fs.is_file(fs.join(folder, name)) then files[#files + 1] = name end
  end
  table.sort(files)
  return files
end

-- Where the sources of a template for a definition are.
local function home_of(name, definition)
  local kernel = kernel_of(definition)
  local knows = fs.is_dir(fs.join(FOLDER, name, kernel)) and kernel or "any"
  local type_known = CUDA_TYPES[(definition.outputs.output or definition.outputs.C or {}).dtype]
  local typed = name == "cuda" or name == "cpp"
  if typed and not type_known then knows = "any" end
  return knows
end

-- A kernel that is brought along: FILE::FUNCTION. Its file goes into vendored/.
local function vendored(sources, values, kernel)
  local path, symbol = (kernel or ""):match "^(.+)::([%a_][%w_]*)$"
  if not path then return nil, "the template vendored needs --kernel FILE::FUNCTION", "usage" end
  local text, why, code = fs.read(path)
  if not text then return nil, why, code end
  local module = fs.stem(path)
  if fs.extension(path) ~= ".py" or not module:find "^[%a_][%w_]*$" then
    return nil, ("%s is no Python module: it is named NAME.py"):format(path), "usage"
  end
  values.module, values["function"] = module, symbol
  table.insert(sources, { path = "vendored/" .. module .. ".py", content = text })
  return true
end

---The beginning of a solution of a definition. options: author, name, target ("cuda", "cpu"), kernel (of the template
---vendored: FILE::FUNCTION). Returns a solution, and whether it is only a skeleton, whose results are wrong; nil, a
---message and a code where there is no such beginning.
function template.make(name, definition, options)
  local about = SPECS[name]
  if not about then
    return nil, ("no template '%s' (there are %s)"):format(name, table.concat(template.list(), ", ")), "usage"
  end
  local values, sources = values_of(definition), json.array {}
  local kernel = home_of(name, definition)
  if name == "vendored" then
    local ok, why, code = vendored(sources, values, options.kernel)
    if not ok then return nil, why, code end
  elseif name == "library" and kernel == "any" then
    local why, code
    kernel, why, code = require("hone.solutions.flashinfer").fill(values, definition)
    if not kernel then return nil, why, code end
  end
  for _, folder in ipairs { fs.join(FOLDER, name), fs.join(FOLDER, name, kernel) } do
    for _, file in ipairs(files_in(folder)) do
      local text, missing = fill(assert(fs.read(fs.join(folder, file))), values)
      if not text then
        return nil, ("%s has no constant %s, which the template needs"):format(definition.name, missing)
      end
      table.insert(sources, json.object { { "path", file }, { "content", text } })
    end
  end
  local spec = json.object {
    { "language", about.language },
    { "target_hardware", { options.target or about.target or "cuda" } },
    { "entry_point", about.entry_point },
    {
      "dependencies",
      json.array(table.move(about.dependencies or {}, 1, #(about.dependencies or {}), 1, {})),
    },
    { "destination_passing_style", about.destination_passing_style },
  }
  local solution = json.object {
    { "name", options.name },
    { "definition", definition.name },
    { "author", options.author },
    { "spec", spec },
    { "sources", sources },
    { "description", ("%s, begun from hone's template '%s'."):format(about.says, name) },
  }
  local is_skeleton = kernel == "any" and about.destination_passing_style
  return solution, is_skeleton
end

return template
