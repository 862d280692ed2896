---@meta hone.progress
--- Progress of long work, on stderr: live lines on a terminal, a few plain lines anywhere else.
---
---     local bar = progress.bar { label = "model.bin", total = size, unit = "B" }
---     for piece in pieces do bar:update(done) end
---     bar:done()
---
--- A terminal is redrawn at most ten times a second. Elsewhere a bar writes a line when it starts, at each
--- tenth or new note (at most one a second), after fifteen silent seconds, and when it is done.
local progress = {}

--- What a bar shows.
---@class hone.progress.Options
---@field label string
---@field total? number how much there is to do; nil when nobody knows
---@field unit? string "B" counts bytes, "%" shows the percentage only, anything else is shown as it is

--- One line of progress.
---@class hone.progress.Bar
local Bar = {}

--- Say how far the work has come.
---@param n number of `total`
---@param note? string what it is doing now
function Bar:update(n, note) end

--- The work is over; one lasting line says so. Later calls do nothing.
---@param outcome? string "done" when absent
function Bar:done(outcome) end

--- Lines that are redrawn together. It can be a to-be-closed variable.
---@class hone.progress.Group
local Group = {}

--- One more line.
---@param options hone.progress.Options
---@return hone.progress.Bar
function Group:bar(options) end

--- Let a function write lines that stay above the live ones.
---@param print_lines fun()
function Group:above(print_lines) end

--- Take the live lines away.
function Group:close() end

--- How a group behaves; what is absent is found out.
---@class hone.progress.GroupOptions
---@field plain? boolean false: nothing at all away from a terminal
---@field stream? file* io.stderr when absent
---@field live? boolean whether the stream is a terminal
---@field columns? fun(): integer the terminal's width
---@field now? fun(): number seconds on a clock that only goes forward

--- A group of lines.
---@param options? hone.progress.GroupOptions
---@return hone.progress.Group
function progress.group(options) end

--- A single line.
---@param options hone.progress.Options
---@return hone.progress.Bar
function progress.bar(options) end

return progress
