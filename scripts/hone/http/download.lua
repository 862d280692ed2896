--- Downloads that survive interruptions: a partial file that later runs go on with, checked before it
--- becomes the target. Part of hone.http.
local core = require "hone.core.http"
local exchange = require "hone.http.exchange"
local fs = require "hone.fs"

local download = {}

-- The partial file `path`, locked while it is open, and beside it `note`: the validator (strong ETag or
-- date) of the content that the partial file is the beginning of.
local Partial = {}
Partial.__index = Partial

-- Closes the partial file, and removes it unless a later run can go on with it.
function Partial:__close()
  local useless = not self.finished and self:progress() == 0
  self.file:close()
  if useless then
    os.remove(self.path)
    os.remove(self.note)
  end
end

local function read_all(path)
  local file <close> = io.open(path, "rb")
  return file and file:read("a")
end

local function write_all(path, data)
  local file <close> = io.open(path, "wb")
  return file and file:write(data) and true
end

local function open_partial(target, opts)
  if fs.is_dir(target) then return nil, ("cannot write %s: it is a directory"):format(target), "EISDIR" end
  local folder, reason, kind = fs.mkdir(fs.dirname(target))
  if not folder then return nil, reason, kind end
  local resume = opts.resume ~= false
  local path = target .. ".part"
  local file, why, code = core.open_part(path)
  if code == "EBUSY" then -- somebody else is fetching it: do the same beside, and leave theirs alone
    resume, path = false, ("%s.%08x.part"):format(target, math.random(0, 0xffffffff))
    file, why, code = core.open_part(path)
  end
  if not file then return nil, ("cannot write %s: %s"):format(path, why), code end
  local partial = { file = file, path = path, note = path .. ".etag", resume = resume, sha256 = opts.sha256 }
  return setmetatable(partial, Partial)
end

-- What says that two responses have the same bytes: a strong ETag, else the date.
local function validator(headers)
  local etag = headers.etag
  if etag and not etag:find("^W/") then return etag end
  return headers["last-modified"]
end

-- Back to an empty partial file, of the content that `headers` describe.
function Partial:restart(headers)
  os.remove(self.note)
  local done, why, code = self.file:truncate()
  if not done then return nil, why, code end
  local mark = headers and validator(headers)
  if mark and self.resume then write_all(self.note, mark) end
  return true
end

-- Where to go on: the size of the partial file and its validator; 0 when it cannot be continued,
-- for want of something that shows whether the rest belongs to it.
function Partial:progress()
  local size = self.resume and self.file:size() or 0
  local mark = size > 0 and read_all(self.note) or nil
  if not mark and not self.sha256 then size = 0 end
  return size, mark
end

-- Does this response go on at byte `from` of the same content?
local function continues(response, from, mark)
  local start_at = response.headers["content-range"]
  start_at = start_at and tonumber(start_at:match("^bytes (%d+)%-"))
  return start_at == from and (not mark or not response.headers.etag or validator(response.headers) == mark)
end

-- Sends the request, asking for the rest where there is a beginning. A server that does not take the
-- beginning up is asked again, for the whole. Returns as open(), and the number of bytes kept.
local function open_rest(request, partial)
  local from, mark = partial:progress()
  request.headers["range"] = from > 0 and ("bytes=%d-"):format(from) or nil
  request.headers["if-range"] = from > 0 and mark or nil
  local transfer, response, code = exchange.open(request)
  if not transfer then return nil, response, code end
  if response.status == 206 and continues(response, from, mark) then return transfer, response, from end
  if from > 0 and (response.status == 206 or response.status == 416) then
    transfer:close()
    local emptied, why
    emptied, why, code = partial:restart()
    if not emptied then return nil, why, code end
    return open_rest(request, partial)
  end
  return transfer, response, 0
end

-- One attempt: the response, its body in the partial file when the status says that there is one.
local function fetch_part(request, partial)
  local opened, response, kept = open_rest(request, partial)
  if not opened then return nil, response, kept end
  local transfer <close> = opened
  if response.status >= 300 then return response end
  local ready, why, code = true, nil, nil
  if kept == 0 then
    ready, why, code = partial:restart(response.headers)
  end
  if not ready then return nil, why, code end
  response.resumed_from = kept
  local complete
  complete, why, code = exchange.receive(transfer, response, request, kept, function(piece)
    local written, reason, kind = partial.file:write(piece)
    if not written then return nil, ("cannot write %s: %s"):format(partial.path, reason), kind end
    return true
  end)
  if not complete then return nil, why, code end
  return response
end

-- Why the finished file is not what was asked for; nil when it is.
local function find_fault(partial, opts)
  local size = partial.file:size()
  if opts.size and size ~= opts.size then
    return ("its size is %d bytes, expected %d"):format(size, opts.size), "ECHECKSUM"
  end
  if opts.sha256 then
    local sum, why, code = fs.sha256_file(partial.path)
    if not sum then return why, code end
    if sum ~= opts.sha256:lower() then
      return ("its sha256 is %s, expected %s"):format(sum, opts.sha256:lower()), "ECHECKSUM"
    end
  end
  if opts.check then
    local fine, why = opts.check(partial.path)
    if not fine then return why, "ECONTENT" end
  end
end

-- Fetches into the partial file and checks it. A file that was put together from several responses
-- and turns out wrong is fetched `again`, once, as a whole.
local function fill(request, partial, opts, again)
  local attempt = function() return fetch_part(request, partial) end
  local response, reasons, code = exchange.persist(request, attempt)
  if not response then return exchange.failure(request, reasons, code) end
  if response.status == 304 and opts.etag then return response end
  if response.status >= 300 then
    if response.ok then reasons = { exchange.status_reason(response.status) .. " instead of a file" } end
    if #reasons == 0 then reasons[1] = exchange.status_reason(response.status) end
    return exchange.failure(request, reasons, "HTTP" .. response.status)
  end
  local why
  why, code = find_fault(partial, opts)
  if not why then return response end
  partial:restart()
  if response.resumed_from > 0 and not again then return fill(request, partial, opts, true) end
  return exchange.failure(request, { why }, code)
end

-- The partial file becomes the target.
local function finish(partial, target)
  local done, why, code = partial.file:sync()
  if not done then return nil, ("cannot write %s: %s"):format(partial.path, why), code end
  done, why, code = fs.rename(partial.path, target)
  if not done then return nil, why, code end
  os.remove(partial.note)
  partial.finished = true
  return true
end

--- Fetches `request` into the file `target`; opts are http.download's. -> result | nil, message, code
function download.run(request, target, opts)
  local opened, why, code = open_partial(target, opts)
  if not opened then return nil, why, code end
  local partial <close> = opened
  request.headers["accept-encoding"] = "identity" -- ranges and lengths are those of the file itself
  if opts.etag and fs.is_file(target) then request.headers["if-none-match"] = opts.etag end
  local response
  response, why, code = fill(request, partial, opts)
  if not response then return nil, why, code end
  if response.status == 304 then return { not_modified = true, status = 304, headers = response.headers } end
  local done
  done, why, code = finish(partial, target)
  if not done then return nil, why, code end
  return {
    path = target,
    status = response.status,
    headers = response.headers,
    url = response.url,
    redirects = response.redirects,
    resumed_from = response.resumed_from,
  }
end

return download
