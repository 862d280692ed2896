--- One HTTP exchange as a policy: where redirects may lead and what they may carry, which failures
--- are tried again and when, and how a failure is told. Part of hone.http, which makes the requests.
local core = require "hone.core.http"

local exchange = {}

local function set(...)
  local members = {}
  for _, member in ipairs { ... } do
    members[member] = true
  end
  return members
end

local REDIRECTS = set(301, 302, 303, 307, 308)
local RETRY_STATUS = set(408, 429, 500, 502, 503, 504)
local RETRY_CODE = set("ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "ECLOSED")

-- What another host may see after a redirect; any other header of the caller's could be a secret.
local HARMLESS_HEADERS = set(
  "accept",
  "accept-encoding",
  "accept-language",
  "range",
  "if-range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "user-agent",
  "cache-control"
)

local STATUS_TEXT = {
  [400] = "bad request",
  [401] = "unauthorized",
  [403] = "forbidden",
  [404] = "not found",
  [408] = "request timeout",
  [409] = "conflict",
  [410] = "gone",
  [416] = "range not satisfiable",
  [429] = "too many requests",
  [500] = "internal server error",
  [502] = "bad gateway",
  [503] = "service unavailable",
  [504] = "gateway timeout",
}

--- A status in words: "HTTP 404 not found".
function exchange.status_reason(status)
  local text = STATUS_TEXT[status]
  return text and ("HTTP %d %s"):format(status, text) or ("HTTP %d"):format(status)
end

-- ---- addresses ------------------------------------------------------------------------------------

-- How an address is shown: no credentials, and no query, where signatures and keys are kept. One that
-- libcurl cannot read may hold a password anywhere before its last "@".
local function shown(url, parsed)
  if parsed then url = parsed.href end
  local scheme, rest = url:match("^(%a[%w+.-]*://)(.*)$")
  rest = (rest or url):gsub("^.*@", parsed and "%0" or "***@"):gsub("%?.*", "?...")
  return (scheme or "") .. rest
end

--- Reads the request's address. -> true | nil, message, code when it is none, or libcurl is missing
function exchange.locate(request)
  local parsed, why, code = core.parse_url(request.given_url)
  if parsed and parsed.scheme ~= "http" and parsed.scheme ~= "https" then
    parsed, why, code = nil, "only http and https addresses are fetched", "EURL"
  end
  request.url = parsed
  request.shown = shown(request.given_url, parsed)
  if not parsed then return exchange.failure(request, { why }, code) end
  return true
end

-- ---- one attempt ----------------------------------------------------------------------------------

local function same_origin(a, b)
  return a.scheme == b.scheme and a.host:lower() == b.host:lower() and a.port == b.port
end

local function header_lines(request, hop)
  local lines = { "Expect:" } -- libcurl would wait for "100 Continue" before a large body
  for name, value in pairs(request.headers) do
    local about_body = name == "content-type" and hop.body
    if hop.trusted or about_body or HARMLESS_HEADERS[name] then
      lines[#lines + 1] = value == "" and name .. ";" or name .. ": " .. value
    end
  end
  return lines
end

local function start(request, hop)
  return core.start {
    url = hop.url.href,
    method = hop.method,
    body = hop.body,
    headers = header_lines(request, hop),
    user = hop.trusted and request.url.user or nil,
    password = hop.trusted and request.url.password or nil,
    proxy = request.proxy,
    ca = request.ca,
    insecure = request.insecure,
    fresh = not request.may_retry,
    compressed = request.compressed,
    connect_timeout = request.connect_timeout,
    timeout = request.timeout,
    total_timeout = request.total_timeout,
    max_size = request.max_size,
  }
end

-- The hop after `hop`, or nil, reason, code. Secrets stay with the origin they were meant for: once
-- a redirect has left it, nothing later gets them, not even that origin again.
local function next_hop(request, hop, status, location)
  local url = core.parse_url(hop.url.href, location)
  if not url or (url.scheme ~= "http" and url.scheme ~= "https") then
    return nil, "it redirects to an address that is not http or https", "EREDIRECT"
  end
  local becomes_get = status == 303 and hop.method ~= "HEAD"
    or (status == 301 or status == 302) and hop.method == "POST"
  return {
    url = url,
    method = becomes_get and "GET" or hop.method,
    body = not becomes_get and hop.body or nil,
    trusted = hop.trusted and same_origin(url, request.url),
  }
end

-- One request of the chain: its transfer and its response | nil, reason, code.
local function send(request, hop, redirects)
  local transfer, why, code = start(request, hop)
  if not transfer then return nil, why, code end
  local head
  head, why, code = transfer:head()
  if not head then
    transfer:close()
    return nil, why, code
  end
  return transfer,
    {
      status = head.status,
      ok = head.status < 400,
      headers = head.headers,
      url = hop.url.href,
      redirects = redirects,
      retry_after = head.retry_after > 0 and head.retry_after or nil,
    }
end

-- Where a response sends us: the next hop, nothing when it is an answer, or nil, reason, code.
local function redirection(request, hop, response)
  local location = request.follow and REDIRECTS[response.status] and response.headers.location
  if not location then return nil end
  local following, why, code = next_hop(request, hop, response.status, location)
  if not following then return nil, why, code end
  if request.follow == "same-origin" and not same_origin(hop.url, following.url) then return nil end
  if #response.redirects < request.max_redirects then return following end
  return nil, ("it redirects more than %d times"):format(request.max_redirects), "EREDIRECT"
end

--- Begins an exchange and follows its redirects. -> the transfer whose body comes next, its response so
--- far | nil, reason, code
function exchange.open(request)
  local hop = { url = request.url, method = request.method, body = request.body, trusted = true }
  local redirects = {}
  while true do
    local transfer, response, code = send(request, hop, redirects)
    if not transfer then return nil, response, code end
    local following, why
    following, why, code = redirection(request, hop, response)
    if not following and not why then return transfer, response end
    transfer:close()
    if not following then return nil, why, code end
    redirects[#redirects + 1] = { status = response.status, headers = response.headers, url = response.url }
    hop = following
  end
end

-- Bytes of body that are to come, or nil. A compressed body is counted once unpacked: unknown.
local function expected_size(headers)
  if headers["content-encoding"] and headers["content-encoding"] ~= "identity" then return nil end
  return tonumber(headers["content-length"])
end

--- Hands each piece of the body to `take`, which may refuse it as nil, reason, code. `already` bytes came
--- earlier. -> true | nil, reason, code
function exchange.receive(transfer, response, request, already, take)
  local total = expected_size(response.headers)
  if total then total = total + already end
  local done = already
  while true do
    local piece, why, code = transfer:read()
    if not piece then
      if why then return nil, why, code end
      return true
    end
    local taken
    taken, why, code = take(piece)
    if not taken then return nil, why, code end
    done = done + #piece
    if request.on_progress then request.on_progress(done, total) end
  end
end

-- ---- several attempts -----------------------------------------------------------------------------

-- Seconds to wait before attempt n+1: what the server asked for, else a random share of a delay that
-- doubles, so that many clients of a server that came back do not all come at once.
local function delay(request, n, retry_after)
  if retry_after then return math.min(retry_after, request.max_retry_delay) end
  return math.random() * math.min(request.max_retry_delay, request.retry_delay * 2 ^ (n - 1))
end

--- Runs `attempt` until it succeeds, fails for good, or the retries are used up. -> its response or nil,
--- the reasons of all failures so far, the last one's code
function exchange.persist(request, attempt)
  local reasons = {}
  for n = 1, math.huge do
    local response, why, code = attempt()
    local failed = not response or RETRY_STATUS[response.status]
    if response then response.attempts = n end
    if not failed then return response, reasons end
    reasons[n] = response and exchange.status_reason(response.status) or why
    local worth_it = request.may_retry and (response or RETRY_CODE[code])
    if not worth_it or n > request.retries then return response, reasons, code end
    local seconds = delay(request, n, response and response.retry_after)
    if request.on_retry then request.on_retry(reasons[n], seconds, n) end
    core.sleep(seconds)
  end
end

-- "connection refused (4 attempts)", or each attempt's reason when they differ.
local function summary(reasons)
  local last = reasons[#reasons]
  if #reasons == 1 then return last end
  for _, reason in ipairs(reasons) do
    if reason ~= last then
      return ("%s (%d attempts: %s)"):format(last, #reasons, table.concat(reasons, "; "))
    end
  end
  return ("%s (%d attempts)"):format(last, #reasons)
end

--- What a caller gets when there is no response: nil, message, code.
function exchange.failure(request, reasons, code)
  return nil, ("cannot fetch %s: %s"):format(request.shown, summary(reasons)), code
end

return exchange
