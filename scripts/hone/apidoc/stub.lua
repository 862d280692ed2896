--- Read an annotated stub, scripts/meta/**/*.lua, line by line into plain data (see scripts/meta/apidoc.lua).
local stub = {}

-- ---- annotations ------------------------------------------------------------------------------

local CLOSING = { ["("] = ")", ["["] = "]", ["{"] = "}", ["<"] = ">" }

-- A type goes on over a space when one of these is on either side of it: `a | b`, `fun(): a, b`.
local function goes_on(text, at)
  return text:sub(1, at - 1):find("[|:,]%s*$") ~= nil or text:find("^%s*|", at) ~= nil
end

-- Splits "table<string, integer>? name what it is" behind its type.
local function split_type(text)
  local open, quote, at = {}, nil, 1
  while at <= #text do
    local c = text:sub(at, at)
    if quote then
      if c == quote then quote = nil end
    elseif c == '"' or c == "'" or c == "`" then
      quote = c
    elseif CLOSING[c] then
      table.insert(open, CLOSING[c])
    elseif c == open[#open] then
      table.remove(open)
    elseif c:find("%s") and #open == 0 and not goes_on(text, at) then
      break
    end
    at = at + 1
  end
  return text:sub(1, at - 1), (text:sub(at):gsub("^%s+", ""))
end

local function read_param(rest)
  local name, mark, tail = rest:match("^([%w_.]+)(%??)%s*(.*)$")
  if not name then return nil, "@param without a name" end
  local kind, text = split_type(tail)
  if kind == "" then return nil, ("@param %s without a type"):format(name) end
  return { name = name, type = kind, optional = mark == "?" or kind:sub(-1) == "?", text = text }
end

local function read_return(rest)
  local kind, tail = split_type(rest)
  if kind == "" then return nil, "@return without a type" end
  if tail:sub(1, 1) == "#" then return { type = kind, text = (tail:gsub("^#%s*", "")) } end
  local name, text = tail:match("^([%a_][%w_]*)%s*#?%s*(.*)$")
  return { type = kind, name = name, text = text or tail }
end

local function read_field(rest)
  rest = rest:gsub("^public%s+", "")
  local name, mark, tail = rest:match("^(%[[^%]]+%])(%??)%s+(.*)$")
  if not name then
    name, mark, tail = rest:match("^([%w_]+)(%??)%s+(.*)$")
  end
  if not name then return nil, "@field without a name" end
  local kind, text = split_type(tail)
  return { name = name, type = kind, optional = mark == "?", text = text }
end

-- ---- blocks: consecutive comment lines, up to the declaration that they are about -----------------

local function new_block() return { prose = {}, params = {}, returns = {}, fields = {} } end

local function is_empty(block)
  return #block.prose == 0 and not block.class and not block.alias and not block.type
end

local tags = {}

-- Each adds one annotation to the block and returns what the text lines below it belong to; or nil, message.
function tags.param(block, rest)
  local param, why = read_param(rest)
  table.insert(block.params, param)
  return param, why
end

tags["return"] = function(block, rest)
  local item, why = read_return(rest)
  table.insert(block.returns, item)
  return item, why
end

function tags.field(block, rest)
  local field, why = read_field(rest)
  table.insert(block.fields, field)
  return field, why
end

function tags.class(block, rest)
  block.class = rest:gsub("^%(.-%)%s*", ""):match("^[%w_.]+")
  return block.class and {} or nil, "@class without a name"
end

function tags.alias(block, rest)
  local name, tail = rest:match("^([%w_.]+)%s*(.*)$")
  block.alias = name and { name = name, type = tail, text = "" }
  return block.alias, "@alias without a name"
end

function tags.type(block, rest)
  block.type = rest
  return {}
end

-- Adds one comment line, without its dashes. Returns true | nil, message.
local function add_comment(block, line)
  local tag, rest = line:match("^@(%a+)%s*(.*)$")
  if tag then
    local read = tags[tag]
    if not read then return true end -- @overload, @nodiscard and the like are for editors
    local item, why = read(block, rest)
    block.last = item
    return item and true, why
  end
  local choice = line:match("^|%s*(.-)%s*$")
  if choice and block.alias then
    local known = block.alias.type
    block.alias.type = (known == "" and "" or known .. " | ") .. choice:gsub("%s*#.*$", "")
  elseif block.last and block.last.text then
    block.last.text = (block.last.text .. " " .. line:gsub("^%s+", "")):gsub("^%s+", "")
  else
    table.insert(block.prose, line)
  end
  return true
end

-- The prose as one text: no empty lines at its ends.
local function prose_of(block)
  local text = table.concat(block.prose, "\n"):gsub("^%s*\n", ""):gsub("%s+$", "")
  return text
end

-- ---- declarations -----------------------------------------------------------------------------

local function add_class(library, block)
  local class = {
    kind = "class",
    name = block.class,
    library = library.name,
    text = prose_of(block),
    fields = block.fields,
    methods = {},
  }
  table.insert(library.classes, class)
  return class
end

local function add_alias(library, block)
  block.alias.text = prose_of(block)
  table.insert(library.aliases, block.alias)
end

-- A block that nothing follows: an alias, a class of fields only, or the library's own prose.
local function close_block(library, block)
  if block.class and block.class ~= library.name then
    add_class(library, block)
  elseif block.alias then
    add_alias(library, block)
  elseif library.text == "" then
    library.text = prose_of(block)
  end
end

local function declare_table(state, name, block)
  local library = state.library
  if block.class and block.class ~= library.name then
    state.owners[name] = add_class(library, block)
  elseif not state.variable then
    state.variable = name
    if library.text == "" then library.text = prose_of(block) end
    for _, field in ipairs(block.fields) do
      table.insert(library.values, {
        kind = "value",
        name = name .. "." .. field.name,
        key = field.name,
        library = library.name,
        type = field.type,
        text = field.text,
      })
    end
  end
end

local function parameter_names(list)
  local names = {}
  for name in list:gmatch("[%w_.]+") do
    table.insert(names, name)
  end
  return names
end

-- The annotated parameters in the order of the declaration; true | nil, message when they are not the same.
local function match_params(entry, declared)
  local annotated = {}
  for _, param in ipairs(entry.params) do
    annotated[param.name] = param
  end
  local ordered = {}
  for i, name in ipairs(declared) do
    if not annotated[name] then return nil, ("%s has no @param %s"):format(entry.name, name) end
    ordered[i] = annotated[name]
    annotated[name] = nil
  end
  local extra = next(annotated)
  if extra then return nil, ("%s has no parameter %s"):format(entry.name, extra) end
  entry.params = ordered
  return true
end

local function declare_function(state, owner, mark, key, list, block)
  local class = state.owners[owner]
  if not class and owner:match("^[^.]+") ~= state.variable then
    return nil, ("function of unknown table '%s'"):format(owner)
  end
  local entry = {
    kind = class and "method" or "function",
    name = owner .. mark .. key,
    key = key,
    library = state.library.name,
    class = class and class.name,
    text = prose_of(block),
    params = block.params,
    returns = block.returns,
  }
  if not class then entry.key = (owner .. "." .. key):match("^[^.]+%.(.*)$") end
  table.insert(class and class.methods or state.library.functions, entry)
  return match_params(entry, parameter_names(list))
end

local function declare_value(state, owner, key, line, block)
  if owner:match("^[^.]+") ~= state.variable then
    return nil, ("value of unknown table '%s'"):format(owner)
  end
  local kind = line:match("%-%-%-@type%s+(.-)%s*$") or block.type
  if not kind then return nil, ("%s.%s has no @type"):format(owner, key) end
  table.insert(state.library.values, {
    kind = "value",
    name = owner .. "." .. key,
    key = (owner .. "." .. key):match("^[^.]+%.(.*)$"),
    library = state.library.name,
    type = kind,
    text = prose_of(block),
  })
  return true
end

-- Takes in a line that is not a comment, with the block above it. Returns true | nil, message.
local function declare(state, line, block)
  local name = line:match("^local%s+([%w_]+)%s*=")
  if name then
    declare_table(state, name, block)
    return true
  end
  local owner, mark, key, list = line:match("^function%s+([%w_.]-)([.:])([%w_]+)%s*(%b())")
  if owner then return declare_function(state, owner, mark, key, list, block) end
  owner, key = line:match("^([%w_.]+)%.([%w_]+)%s*=")
  if owner then return declare_value(state, owner, key, line, block) end
  if not is_empty(block) then close_block(state.library, block) end
  return true
end

-- ---- the reader -------------------------------------------------------------------------------

local function new_library(name, path)
  return {
    kind = "library",
    name = name,
    path = path,
    text = "",
    functions = {},
    values = {},
    classes = {},
    aliases = {},
  }
end

-- Takes in one line. Returns true | nil, message.
local function take(state, line)
  local comment = line:match("^%-%-%-(.*)$")
  if not comment then
    local block = state.block
    state.block = new_block()
    return declare(state, line, block)
  end
  if comment:sub(1, 1) == " " then comment = comment:sub(2) end
  local meta = comment:match("^@meta%s+([%w_.]+)")
  if meta then
    state.library.name = meta
    return true
  end
  return add_comment(state.block, comment)
end

---@param text string
---@param path string for messages
---@return table? library, string? message
function stub.read(text, path)
  local state = { library = new_library(nil, path), owners = {}, block = new_block() }
  local number = 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local ok, why = take(state, line)
    if not ok then return nil, ("cannot read %s: line %d: %s"):format(path, number, why) end
  end
  local library = state.library
  if not library.name then
    return nil, ("cannot read %s: it does not start with ---@meta NAME"):format(path)
  end
  if not state.variable then return nil, ("cannot read %s: it declares no library table"):format(path) end
  library.variable = state.variable
  return library
end

return stub
