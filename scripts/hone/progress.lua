--- Progress of long work: live lines on a terminal, a few plain lines elsewhere. Always on stderr.
local text = require "hone.text"

local progress = {}

local REDRAW_SECONDS = 0.1 -- on a terminal
local PLAIN_SECONDS = 1 -- between two plain lines of one bar ...
local SILENCE_SECONDS = 15 -- ... and one after that long, however slow the work
local BAR_CELLS = 20
local DEFAULT_COLUMNS = 80
local STDERR = 2

local Bar, Group = { __name = "hone.progress.Bar" }, { __name = "hone.progress.Group" }
Bar.__index, Group.__index = Bar, Group

-- Where the terminal library was not built nothing is a terminal, and the clock counts whole seconds.
local function terminal()
  local ok, library = pcall(require, "hone.core.terminal")
  if ok then return library end
  return { isatty = function() return false end, columns = function() return nil end, clock = os.time }
end

-- ---- what a bar says ---------------------------------------------------------------------------------

local function duration(seconds)
  seconds = math.floor(seconds + 0.5)
  if seconds < 3600 then return ("%d:%02d"):format(seconds // 60, seconds % 60) end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

local function fraction(bar)
  if not bar.total or bar.total <= 0 then return nil end
  return math.min(bar.n / bar.total, 1)
end

local function percent(bar)
  local done = fraction(bar)
  return done and ("%d %%"):format(math.floor(done * 100)) or ""
end

local function amount(bar)
  local function shown(n)
    if bar.unit == "B" then return text.bytes(n) end
    return ("%d"):format(n) .. (bar.unit and " " .. bar.unit or "")
  end
  if bar.unit == "%" then return "" end
  if bar.total then return shown(bar.n) .. " of " .. shown(bar.total) end
  return bar.n > 0 and shown(bar.n) or ""
end

-- Not in the first seconds, when it would jump about.
local function remaining(bar)
  local done, elapsed = fraction(bar) or 0, bar.group.now() - bar.started
  if done <= 0 or done >= 1 or elapsed < 2 then return "" end
  return duration(elapsed / done - elapsed) .. " left"
end

local function drawing(bar)
  local done = fraction(bar)
  if not done then return "" end
  local full = math.floor(done * BAR_CELLS)
  return "[" .. ("#"):rep(full) .. ("."):rep(BAR_CELLS - full) .. "]"
end

local function joined(...)
  local kept = {}
  for _, piece in ipairs { ... } do
    if piece ~= "" then kept[#kept + 1] = piece end
  end
  return table.concat(kept, "  ")
end

local function live_line(bar)
  local label, done = text.pad(bar.label, bar.group.label_columns), percent(bar)
  if done ~= "" then done = text.pad(done, #"100 %", "left") end
  return joined(label, drawing(bar), done, amount(bar), bar.note, remaining(bar))
end

local function plain_line(bar) return bar.label .. ": " .. joined(bar.note, percent(bar), amount(bar)) end

-- ---- writing -----------------------------------------------------------------------------------------

local function cut(line, columns)
  local n = utf8.len(line)
  if not n or n <= columns then return line end
  return line:sub(1, utf8.offset(line, columns) - 1) .. "…"
end

local function clear(group)
  if group.drawn == 0 then return end
  group.stream:write(("\27[%dA\r\27[J"):format(group.drawn))
  group.drawn = 0
end

local function draw(group)
  local lines = {}
  for i, bar in ipairs(group.bars) do
    lines[i] = cut(live_line(bar), group.columns() - 1) .. "\n"
  end
  clear(group)
  group.stream:write(table.concat(lines))
  group.stream:flush()
  group.drawn, group.drawn_at = #lines, group.now()
end

-- A line when the work moves on to something else or by another tenth, but not in a flood.
local function plain_update(bar)
  local now = bar.group.now()
  local tenth = math.floor((fraction(bar) or 0) * 10)
  local moved = bar.note ~= bar.said_note or tenth > bar.said_tenth
  local since = now - bar.said_at
  if moved and since >= PLAIN_SECONDS or since >= SILENCE_SECONDS then
    bar.said_at, bar.said_tenth, bar.said_note = now, tenth, bar.note
    bar.group.stream:write(plain_line(bar), "\n")
  end
end

-- ---- for everybody -----------------------------------------------------------------------------------

function Bar:update(n, note)
  if self.finished then return end
  if note and note ~= self.note then
    self.note, self.said_tenth = note, 0
  end
  self.n = n
  local group = self.group
  if not group.live then
    plain_update(self)
  elseif group.now() - group.drawn_at >= REDRAW_SECONDS then
    draw(group)
  end
end

function Bar:done(outcome)
  if self.finished then return end
  self.finished = true
  local group = self.group
  for i, bar in ipairs(group.bars) do
    if bar == self then
      table.remove(group.bars, i)
      break
    end
  end
  local line = ("%s: %s (%s)\n"):format(self.label, outcome or "done", duration(group.now() - self.started))
  group:above(function() group.stream:write(line) end)
end

function Group:bar(options)
  local now = self.now()
  local bar = setmetatable({
    group = self,
    label = options.label,
    total = options.total,
    unit = options.unit,
    note = "",
    n = 0,
    started = now,
    said_at = now,
    said_tenth = 0,
    said_note = "",
  }, Bar)
  self.bars[#self.bars + 1] = bar
  self.label_columns = math.max(self.label_columns, utf8.len(bar.label) or #bar.label)
  if self.live then
    draw(self)
  else
    self.stream:write(bar.label, ": started\n")
  end
  return bar
end

function Group:above(print_lines)
  local was_drawn = self.drawn > 0
  clear(self)
  print_lines()
  io.stdout:flush() -- before the bars' own lines, which go to another stream
  if was_drawn then draw(self) end
end

function Group:close()
  clear(self)
  self.bars = {}
end

Group.__close = Group.close

local NOWHERE = { write = function() end }

function progress.group(options)
  options = options or {}
  local library, live = terminal(), options.live
  if live == nil then live = library.isatty(STDERR) and os.getenv("TERM") ~= "dumb" end
  local silent = not live and options.plain == false
  return setmetatable({
    stream = silent and NOWHERE or options.stream or io.stderr,
    live = live,
    columns = options.columns or function() return library.columns() or DEFAULT_COLUMNS end,
    now = options.now or library.clock,
    bars = {},
    drawn = 0,
    drawn_at = -math.huge,
    label_columns = 0,
  }, Group)
end

function progress.bar(options) return progress.group():bar(options) end

return progress
