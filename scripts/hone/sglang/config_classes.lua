--- Which class makes a model's config, where its source lies, and the config that it makes.
--
-- SGLang brings config classes of its own (srt/configs), which its registry names; for the other model types the
-- classes are transformers', where its sources are at hand. Both are evaluated as they are. Where there is
-- neither, the config is what config.json says, with the fields that every config has.
local fs = require "hone.fs"
local python = require "hone.python"

local M = {}

-- ---- classes in files --------------------------------------------------------------------------------

-- The class of a file that declares a model type, nil when none does.
local function declaring(source, model_type)
  local from = 1
  while true do
    local first, last, value = source:find("\n[ \t]+model_type[^=\n]*=%s*[\"']([^\"'\n]*)[\"']", from)
    if not first then return nil end
    if value == model_type then
      local name
      for class in source:sub(1, first):gmatch("\nclass%s+([%w_]+)") do
        name = class
      end
      return name
    end
    from = last
  end
end

-- ---- SGLang's ----------------------------------------------------------------------------------------

local CONFIGS = "srt/configs"

-- Where SGLang lists the classes that it uses: it has moved between versions.
local REGISTRIES = {
  "srt/utils/hf_transformers/common.py",
  "srt/utils/hf_transformers_utils.py",
  "srt/hf_transformers_utils.py",
}

local function registry(package)
  for _, path in ipairs(REGISTRIES) do
    local source = fs.read(fs.join(package, path))
    if source then return source, path end
  end
end

local function module_name(path) return (path:gsub("%.py$", ""):gsub("/", ".")) end

-- The module and the class of SGLang's own config class for a model type.
local function sglang_class(package, model_type)
  local listed, listing_file = registry(package)
  if not listed then return nil end
  local alias = declaring(listed, model_type)
  if alias then return "sglang." .. module_name(listing_file), alias end
  for _, file in ipairs(fs.list(fs.join(package, CONFIGS)) or {}) do
    local source = file:find("%.py$") and fs.read(fs.join(package, CONFIGS, file))
    local name = source and source:find(model_type, 1, true) and declaring(source, model_type)
    if name and listed:find("%f[%w_]" .. name .. "%f[^%w_]") then
      return "sglang." .. module_name(CONFIGS .. "/" .. file), name
    end
  end
end

-- ---- transformers' -----------------------------------------------------------------------------------

-- Under this name its sources are evaluated, so that what SGLang imports from transformers stays unknown.
local TRANSFORMERS = "transformers_sources"

local LAYOUTS = { "src/transformers", "transformers", "." }

---The package folder of transformers: below `path`, else where the environment variable HONE_TRANSFORMERS says, else
---where the clone is that repos_config.json names. Nil where there is none.
---@param path string? # a clone, an unpacked wheel, a site-packages folder or the package folder
---@return string? folder # the one that holds models/
---@return string? message # for a path that holds no transformers
function M.transformers(path)
  local given = path or os.getenv "HONE_TRANSFORMERS"
  if given == "" then given = nil end
  local root = given or require("hone.repos").path "transformers"
  if not root then return nil end
  for _, layout in ipairs(LAYOUTS) do
    local folder = layout == "." and root or fs.join(root, layout)
    if fs.is_dir(fs.join(folder, "models/auto")) then return folder end
  end
  if given then
    return nil, ("cannot read transformers' sources in %s: it has no models/auto folder"):format(given)
  end
end

-- The folders of transformers/models, those that a name suggests first.
local function model_folders(folder, suggested)
  local likely, others = {}, {}
  for _, name in ipairs(fs.list(fs.join(folder, "models")) or {}) do
    table.insert(suggested(name) and likely or others, name)
  end
  table.sort(likely, function(a, b) return #a > #b end)
  return table.move(others, 1, #others, #likely + 1, likely)
end

-- The module and the class for which `wanted(source)` gives a class name.
local function transformers_class(folder, suggested, wanted)
  for _, name in ipairs(model_folders(folder, suggested)) do
    local models = fs.join(folder, "models", name)
    for _, file in ipairs(fs.list(models) or {}) do
      local source = file:find("^configuration_[%w_]+%.py$") and fs.read(fs.join(models, file))
      local class = source and wanted(source)
      if class then return ("%s.models.%s.%s"):format(TRANSFORMERS, name, module_name(file)), class end
    end
  end
end

local function normalised(name) return (name:lower():gsub("[%-%.]", "_")) end

local function begins(long, short) return long:sub(1, #short) == short end

local function transformers_by_type(folder, model_type)
  local name = normalised(model_type)
  local function suggested(model) return begins(name, model) end
  return transformers_class(
    folder,
    suggested,
    function(source) return source:find(model_type, 1, true) and declaring(source, model_type) end
  )
end

local function transformers_by_class(folder, class)
  local name = class:gsub("Config$", ""):lower()
  local function suggested(model) return begins(name, (model:gsub("_", ""))) end
  return transformers_class(
    folder,
    suggested,
    function(source) return source:find("\nclass " .. class .. "%f[^%w_]") and class end
  )
end

-- ---- one world's classes -----------------------------------------------------------------------------

local Classes = {}
Classes.__index = Classes

-- A decorator that leaves its class as it is, with arguments or without.
local function leaves_as_is(args)
  if args[1] ~= nil and type(args[1]) == "table" and args[1].mro then return args[1] end
  return python.fn("decorator", leaves_as_is)
end

-- A validator of a field: what matters is the field's default.
local function validated()
  return python.fn("validated_field", function(_, kwargs)
    if kwargs.default ~= nil then return kwargs.default end
    return python.none()
  end)
end

local function externals(base)
  local decorator = python.fn("decorator", leaves_as_is)
  local known = {
    ["huggingface_hub.dataclasses.strict"] = decorator,
    [TRANSFORMERS .. ".utils.auto_docstring"] = decorator,
    [TRANSFORMERS .. ".utils.type_validators.interval"] = python.fn("interval", validated),
  }
  for _, root in ipairs { "transformers", TRANSFORMERS } do
    for _, name in ipairs { "PretrainedConfig", "PreTrainedConfig" } do
      known[root .. "." .. name] = base
      known[root .. ".configuration_utils." .. name] = base
    end
  end
  return known
end

-- A mapping from model types to classes, as transformers has one.
function Classes:mapping()
  local function find(args) return self:of(python.value(args[2])) end
  local class = python.class("ConfigMapping", nil, {
    __getitem__ = function(args)
      return find(args) or self.world:raise("KeyError", tostring(python.value(args[2])))
    end,
    __contains__ = function(args) return find(args) ~= nil end,
  })
  return python.instance(class)
end

-- transformers' AutoConfig, as far as it works without files.
function Classes:auto_config()
  local function for_model(args, kwargs)
    local name = python.value(args[1] or kwargs.model_type)
    kwargs.model_type = nil
    local class = type(name) == "string" and self:of(name) or self.base
    return assert(self.world:call(class, {}, kwargs))
  end
  return python.object {
    name = "AutoConfig",
    open = true,
    methods = { for_model = for_model, register = function() return python.none() end },
  }
end

function Classes:load(module, name)
  if not module then return nil end
  local loaded = self.world:import(module, true)
  local class = loaded and self.world:get(loaded, name)
  return class and self.world:is_class(class) and class or nil
end

-- SGLang's own class for a model type.
function Classes:own(model_type)
  local class = self:load(sglang_class(self.package, model_type))
  if class then self.is_own[class] = true end
  return class
end

---The class that makes the configs of a model type, nil when none is known.
---@param model_type string
---@return hone.python.Value?
function Classes:of(model_type)
  local found = self.found[model_type]
  if found == nil then
    found = self:own(model_type)
      or self.folder and self:load(transformers_by_type(self.folder, model_type))
      or false
    self.found[model_type] = found
  end
  return found or nil
end

-- What SGLang's sources import from transformers by name: a config class to inherit from.
function Classes:imported(name)
  local class = name:match("^transformers%.([%w_]+Config)$")
    or name:match("^transformers%..*%.([%w_]+Config)$")
  if class == "AutoConfig" then return self.auto end
  if not class or not self.folder then return nil end
  return self:load(transformers_by_class(self.folder, class))
end

---The config classes of a world: what the sources in it import from transformers is set up.
---@param world hone.python.World
---@param options { package: string, transformers: string?, on_missing: fun(name: string): string }
---@return table? classes
---@return string? message
function M.new(world, options)
  local self = setmetatable({
    world = world,
    package = options.package,
    folder = options.transformers,
    found = {},
    is_own = {},
  }, Classes)
  self.base, self.complete = require("hone.sglang.pretrained_config").class(
    world,
    function(model_type) return self:of(model_type) end,
    options.on_missing
  )
  if not self.base then return nil, self.complete end
  self.auto = self:auto_config()
  for name, value in pairs(externals(self.base)) do
    world.externals[name] = value
  end
  local mapping = self:mapping()
  for _, place in ipairs { ".models.auto", ".models.auto.configuration_auto" } do
    for _, root in ipairs { "transformers", TRANSFORMERS } do
      world.externals[root .. place .. ".CONFIG_MAPPING"] = mapping
      world.externals[root .. place .. ".AutoConfig"] = self.auto
    end
  end
  setmetatable(world.externals, { __index = function(_, name) return self:imported(name) end })
  return self
end

---What a world must be made with for transformers' sources to be evaluated in it.
---@param folder string? # as M.transformers gives it
---@return table<string, string> packages
---@return string[] opaque # all of transformers but the models' config classes
function M.packages(folder)
  if not folder then return {}, {} end
  local opaque = { TRANSFORMERS .. ".models.auto" }
  for _, entry in ipairs(fs.list(folder) or {}) do
    local name = entry:gsub("%.py$", "")
    if name ~= "models" then opaque[#opaque + 1] = TRANSFORMERS .. "." .. name end
  end
  return { [TRANSFORMERS] = folder }, opaque
end

-- ---- a model's config --------------------------------------------------------------------------------

-- Numbers that the class has put in remember their fields' names, as those of config.json do. What the class works
-- out again and again, such as a layer's type from its position, is worked out once.
local function finish(world, config)
  for _, attribute in ipairs(world:attributes(config)) do
    local value = attribute.value
    if math.type(value) then
      world:set(config, attribute.name, python.traced(value, attribute.name))
    elseif type(value) == "table" and world:is_instance(value, "PretrainedConfig") then
      finish(world, value)
    end
  end
  python.remember_properties(config)
end

---A model's config as SGLang's sources see it.
---@param data table # config.json
---@return hone.python.Value? config
---@return string? message
function Classes:config(data)
  local class = type(data.model_type) == "string" and self:of(data.model_type) or self.base
  local fields = {}
  for name, value in pairs(data) do
    fields[name] = python.from_lua(value, name)
  end
  local config, message = self.world:call(class, {}, fields)
  if not config then return nil, message end
  self.world:call(self.complete, { config, self.is_own[class] or false })
  finish(self.world, config)
  return config
end

return M
