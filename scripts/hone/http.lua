--- HTTP over libcurl: requests, and downloads that survive interruptions.
--- libcurl is opened by the first request, not by `require`.
local core = require "hone.core.http"
local exchange = require "hone.http.exchange"

local http = {}

-- Seconds, counts and bytes; 0 is "no bound" for total_timeout and max_size.
local DEFAULTS = {
  connect_timeout = 15,
  timeout = 60,
  total_timeout = 0,
  max_redirects = 10,
  max_size = 0,
  retries = 3,
  retry_delay = 0.5,
  max_retry_delay = 60,
}
local LEAST = { connect_timeout = 0.001, timeout = 0.001 }

-- The options of every request, and their types; those of DEFAULTS are numbers.
local REQUEST_OPTIONS = {
  method = "string",
  headers = "table",
  body = "string",
  json = "any",
  follow = "any",
  idempotent = "boolean",
  proxy = "string",
  ca = "string",
  insecure = "boolean",
  token = "string",
  on_progress = "function",
  on_retry = "function",
}
local DOWNLOAD_OPTIONS = {
  sha256 = "string",
  size = "number",
  etag = "string",
  resume = "boolean",
  check = "function",
}

local IDEMPOTENT = { GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true }

-- ---- what a caller may get wrong: each returns a mistake in words, or nil -------------------------

local function type_mistake(name, value, extra)
  local expected = REQUEST_OPTIONS[name] or DEFAULTS[name] and "number" or extra and extra[name]
  if not expected then return ("unknown option '%s'"):format(name) end
  if expected ~= "any" and type(value) ~= expected then
    return ("option '%s' must be a %s, got a %s"):format(name, expected, type(value))
  end
  local least = DEFAULTS[name] and (LEAST[name] or 0)
  if least and not (value >= least and value <= 2 ^ 53) then
    return ("option '%s' must be at least %g"):format(name, least)
  end
end

local function header_mistake(headers)
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
      return "option 'headers' holds a name that is none"
    end
    if type(value) ~= "string" and type(value) ~= "number" then
      return ("header '%s' must be a string, got a %s"):format(name, type(value))
    end
    if tostring(value):find("[\0-\8\10-\31\127]") then
      return ("header '%s' holds a control character"):format(name)
    end
  end
end

local function value_mistake(opts)
  if opts.method and not opts.method:find("^%u+$") then
    return "option 'method' must be in capital letters"
  end
  if opts.body and opts.json ~= nil then return "options 'body' and 'json' exclude each other" end
  if opts.token and opts.token:find("[^\33-\126]") or opts.token == "" then
    return "option 'token' must be printable characters without spaces"
  end
  if opts.sha256 and not (opts.sha256:find("^%x+$") and #opts.sha256 == 64) then
    return "option 'sha256' must be 64 hexadecimal digits"
  end
  local follow = opts.follow
  if follow ~= nil and type(follow) ~= "boolean" and follow ~= "same-origin" then
    return "option 'follow' must be true, false or \"same-origin\""
  end
  return header_mistake(opts.headers)
end

local function find_mistake(opts, extra)
  if type(opts) ~= "table" then return "a table of options expected, got a " .. type(opts) end
  for name, value in pairs(opts) do
    local mistake = type_mistake(name, value, extra)
    if mistake then return mistake end
  end
  return value_mistake(opts)
end

-- ---- the request ----------------------------------------------------------------------------------

-- The caller's headers and what the options imply, as { [lower-case name] = value }.
local function make_headers(opts)
  local headers = { ["user-agent"] = "hone" }
  if opts.json ~= nil then headers["content-type"] = "application/json" end
  for name, value in pairs(opts.headers or {}) do
    headers[name:lower()] = tostring(value)
  end
  if opts.token then headers.authorization = "Bearer " .. opts.token end
  return headers
end

-- The certificates to trust: as asked, or as the environment says, read as the curl command reads it.
local function certificates(opts)
  if opts.ca then return opts.ca end
  for _, name in ipairs { "CURL_CA_BUNDLE", "SSL_CERT_FILE" } do
    local file = os.getenv(name)
    if file and file ~= "" then return file end
  end
end

-- What hone.http.exchange works with, made from options without mistakes.
local function make_request(url, method, opts)
  local headers = make_headers(opts)
  local request = {
    given_url = url,
    method = method,
    headers = headers,
    body = opts.body or method == "POST" and "" or nil,
    follow = opts.follow,
    proxy = opts.proxy,
    ca = certificates(opts),
    insecure = opts.insecure,
    compressed = not headers["accept-encoding"],
    may_retry = IDEMPOTENT[method] or opts.idempotent or false,
    on_progress = opts.on_progress,
    on_retry = opts.on_retry,
  }
  if opts.follow == nil then request.follow = true end
  if opts.json ~= nil then request.body = require("hone.json").encode(opts.json) end
  for name, default in pairs(DEFAULTS) do
    request[name] = opts[name] or default
  end
  return request
end

-- One attempt: the whole response.
local function fetch(request)
  local opened, response, code = exchange.open(request)
  if not opened then return nil, response, code end
  local transfer <close> = opened
  local pieces = {}
  local complete, why
  complete, why, code = exchange.receive(transfer, response, request, 0, function(piece)
    pieces[#pieces + 1] = piece
    return true
  end)
  if not complete then return nil, why, code end
  response.body = table.concat(pieces)
  return response
end

local function run(request)
  local began = core.now()
  local located, why, code = exchange.locate(request)
  if not located then return nil, why, code end
  local response, reasons
  response, reasons, code = exchange.persist(request, function() return fetch(request) end)
  if not response then return exchange.failure(request, reasons, code) end
  response.seconds = core.now() - began
  return response
end

-- ---- the library ----------------------------------------------------------------------------------

local function check_url(url, position, name)
  if type(url) ~= "string" then
    error(("bad argument #%d to '%s' (an address expected, got a %s)"):format(position, name, type(url)), 3)
  end
end

local function check_options(opts, position, name, extra)
  local mistake = find_mistake(opts, extra)
  if mistake then error(("bad argument #%d to '%s' (%s)"):format(position, name, mistake), 3) end
end

function http.get(url, opts)
  opts = opts or {}
  check_url(url, 1, "get")
  check_options(opts, 2, "get")
  return run(make_request(url, opts.method or "GET", opts))
end

function http.post(url, body, opts)
  opts = opts or {}
  check_url(url, 1, "post")
  check_options(opts, 3, "post")
  if type(body) ~= "string" and (body ~= nil or opts.json == nil) then
    error("bad argument #2 to 'post' (a string expected, or nil with option 'json')", 2)
  end
  local request = make_request(url, opts.method or "POST", opts)
  request.body = body or request.body
  return run(request)
end

function http.request(opts)
  if type(opts) ~= "table" then error("bad argument #1 to 'request' (a table of options expected)", 2) end
  check_options(opts, 1, "request", { url = "string" })
  if not opts.url then error("bad argument #1 to 'request' (option 'url' is missing)", 2) end
  local has_body = opts.body or opts.json ~= nil
  return run(make_request(opts.url, opts.method or has_body and "POST" or "GET", opts))
end

function http.download(url, path, opts)
  opts = opts or {}
  check_url(url, 1, "download")
  if type(path) ~= "string" or path == "" then error("bad argument #2 to 'download' (a path expected)", 2) end
  check_options(opts, 3, "download", DOWNLOAD_OPTIONS)
  local request = make_request(url, opts.method or "GET", opts)
  local began = core.now()
  local located, why, code = exchange.locate(request)
  if not located then return nil, why, code end
  request.compressed = false
  local result
  result, why, code = require("hone.http.download").run(request, path, opts)
  if not result then return nil, why, code end
  result.seconds = core.now() - began
  return result
end

function http.version() return core.version() end

return http
