--- What a server is asked: prompts of a ShareGPT file, or random ones of a given length.
local fs, json = require "hone.fs", require "hone.json"

local prompts = {}

-- The first turn of a person in a ShareGPT conversation; or the prompt of a plainer line.
local function prompt_of(entry)
  if type(entry) ~= "table" then return nil end
  for _, turn in ipairs(type(entry.conversations) == "table" and entry.conversations or {}) do
    if
      type(turn) == "table"
      and (turn.from == "human" or turn.from == "user")
      and type(turn.value) == "string"
    then
      return turn.value
    end
  end
  for _, key in ipairs { "prompt", "text", "question", "instruction" } do
    if type(entry[key]) == "string" then return entry[key] end
  end
end

local function add(list, bad, entry, where)
  local prompt = prompt_of(entry)
  if prompt and prompt:find "%S" then
    list[#list + 1] = prompt
  else
    bad[#bad + 1] = where
  end
end

-- A file that begins as a JSON array is read as one; nil and why where it is none.
local function read_array(path, most)
  local entries, why = json.read(path)
  if not entries then return nil, nil, why end
  local list, bad = {}, {}
  for i, entry in ipairs(entries) do
    if #list >= most then break end
    add(list, bad, entry, ("entry %d"):format(i))
  end
  return list, bad
end

local function read_lines(file, most)
  local list, bad, number = {}, {}, 0
  for line in file:lines() do
    if #list >= most then break end
    number = number + 1
    if line:find "%S" then add(list, bad, json.decode(line), ("line %d"):format(number)) end
  end
  return list, bad
end

---Read prompts from a file: one JSON object a line, or one JSON array of them. No more is read than is needed.
---@param path string
---@param most integer
---@return string[]? prompts
---@return string|string[] bad # why there are none; or the lines that hold no prompt
function prompts.read(path, most)
  if fs.is_dir(path) then return nil, ("cannot read the prompts %s: it is a folder"):format(path) end
  local file <close>, why = io.open(path, "rb")
  if not file then return nil, ("cannot read the prompts %s"):format(why) end
  local list, bad, fault
  if (file:read(64) or ""):find "^%s*%[" then
    list, bad, fault = read_array(path, most)
  end
  if not list then
    file:seek("set", 0)
    list, bad = read_lines(file, most)
  end
  if #list > 0 then return list, bad end
  return nil, ("%s holds no prompts (%s)"):format(path, fault or "ShareGPT conversations, one a line")
end

local TEXT =
  [[time person year way day thing man world life hand part child eye woman place work week case point
  number group problem fact water money story result change morning reason research girl guy moment air teacher]]
local WORDS = {}
for word in TEXT:gmatch "%a+" do
  WORDS[#WORDS + 1] = word
end

---Random prompts: as many words as there are to be tokens, which is about as many. The same seed gives the same ones.
---@param count integer
---@param length integer # words
---@param seed integer
---@param prefix integer? # words that all of them begin with
---@return string[]
function prompts.random(count, length, seed, prefix)
  local state = seed
  local function draw() -- the minimal standard generator: enough for prompts
    state = (state * 48271 + 11) % 2147483647
    return WORDS[state % #WORDS + 1]
  end
  local function words(n)
    local list = {}
    for i = 1, n do
      list[i] = draw()
    end
    return table.concat(list, " ")
  end
  local shared = prefix and prefix > 0 and words(prefix) .. " " or ""
  local list = {}
  for i = 1, count do
    list[i] = shared .. words(math.max(1, length - (prefix or 0)))
  end
  return list
end

return prompts
