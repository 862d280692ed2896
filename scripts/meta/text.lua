---@meta hone.text

--- Text for people: trimming, splitting, wrapping, aligning, counting, guessing what was meant.
--- Widths count characters of UTF-8, one column each; text that is not UTF-8 counts bytes.
local text = {}

--- The text without white space at its ends.
---@param s string
---@return string
function text.trim(s) end

--- Cut a text at every occurrence of a separator, which is plain text and not a pattern.
--- Empty pieces are kept: joining the pieces with the separator gives the text back.
---@param s string
---@param separator string # not empty
---@param limit? integer # at most this many pieces, the last with the rest
---@return string[]
function text.split(s, separator, limit) end

--- The lines of a text, without their ends (LF or CR LF). A newline at the end starts no further line.
---@param s string
---@return string[]
function text.lines(s) end

--- Break lines between words so that none is wider than `width`; a longer word gets a line of its own.
--- Line breaks that are there stay.
---@param s string
---@param width? integer # columns, the indentation included; 80 by default
---@param indent? string # put before every line that is not empty
---@return string
function text.wrap(s, width, indent) end

--- Fill a text with spaces up to a width. A wider text comes back as it is.
---@param s string
---@param width integer # columns
---@param side? "left"|"right"|"center" # where the spaces go; "right" by default
---@return string
function text.pad(s, width, side) end

--- A count with its noun: "1 file", "2 files", "0 entries".
---@param count integer
---@param one string # the noun for one
---@param many? string # the noun for any other count; `one` and an "s" by default
---@return string
function text.plural(count, one, many) end

--- A number of bytes for people, in powers of 1000: "312 B", "1.2 MB".
---@param count number
---@return string
function text.bytes(count) end

--- The candidate that a mistyped word was probably meant to be: the one that the fewest letters
--- inserted, deleted, replaced or swapped make of it. Case does not count, nor does "_" for "-". Of equally
--- near ones, the first.
---@param word string
---@param candidates string[]
---@param most integer? # edits at most; a third of the word's length unless given
---@return string? # nil when none is near
function text.nearest(word, candidates, most) end

--- What stands between blanks, as a list.
---@param s string
---@return string[]
function text.words(s) end

--- The text with every byte that is no UTF-8 replaced by U+FFFD.
---@param s string
---@return string
function text.to_utf8(s) end

return text
