--- Shell completion made from the tables of the skills.
local completion = {}

local params = require "hone.params"

local function quoted(words) return "'" .. table.concat(words, " "):gsub("'", "'\\''") .. "'" end

local function flags_of(loaded)
  local flags = { "--json", "--help" }
  for _, param in ipairs(loaded.params) do
    flags[#flags + 1] = params.flag(param)
    if param.type == "boolean" then flags[#flags + 1] = "--no-" .. params.flag(param):sub(3) end
  end
  table.sort(flags)
  return flags
end

-- What may follow a flag: a list of words, or files.
local function value_cases(loaded)
  local cases = {}
  for _, param in ipairs(loaded.params) do
    local element = param.type == "list" and params.element(param) or param
    if element.type == "choice" then
      cases[#cases + 1] = ("      %s) words=%s ;;"):format(params.flag(param), quoted(element.choices))
    elseif element.type == "path" then
      cases[#cases + 1] = ("      %s) files=1 ;;"):format(params.flag(param))
    end
  end
  return cases
end

local function positional_words(loaded, names)
  local words, files = {}, false
  for _, param in ipairs(loaded.params) do
    local element = param.type == "list" and params.element(param) or param
    if param.positional and element.type == "choice" then
      table.move(element.choices, 1, #element.choices, #words + 1, words)
    elseif param.positional and (param.name == "name" or param.name == "names") then
      table.move(names, 1, #names, #words + 1, words)
    end
    files = files or param.positional and element.type == "path"
  end
  return words, files
end

local function skill_case(name, loaded, names)
  local lines = { ("    %s)"):format(name), ("      flags=%s"):format(quoted(flags_of(loaded))) }
  local loose, files = positional_words(loaded, names)
  lines[#lines + 1] = ("      words=%s%s"):format(quoted(loose), files and " files=1" or "")
  local cases = value_cases(loaded)
  if #cases > 0 then
    lines[#lines + 1] = "      case $prev in"
    for _, case in ipairs(cases) do
      lines[#lines + 1] = "  " .. case
    end
    lines[#lines + 1] = "      esac"
  end
  lines[#lines + 1] = "      ;;"
  return table.concat(lines, "\n")
end

local HEAD = [[
# bash completion for hone; load it with: source <(hone skills completion bash)
_hone() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags='' words='' files=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W %s -- "${cur#/}") $(compgen -f -- "$cur"))
    return
  fi
  case ${COMP_WORDS[1]#/} in
]]

local TAIL = [[
    *) files=1 ;;
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$cur") ${files:+$(compgen -f -- "$cur")}) ;;
  esac
}
complete -o filenames -F _hone hone
]]

function completion.bash(skills)
  local names, cases = {}, {}
  for _, entry in ipairs(skills) do
    names[#names + 1] = entry.name
  end
  for _, entry in ipairs(skills) do
    cases[#cases + 1] = skill_case(entry.name, entry.loaded, names)
  end
  return HEAD:format(quoted(names)) .. table.concat(cases, "\n") .. "\n" .. TAIL
end

return completion
