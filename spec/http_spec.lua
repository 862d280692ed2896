local fs = require "hone.fs"
local http = require "hone.http"
local http_server = require "support.http_server"
local process = require "hone.process"

local TOKEN = "hf_a_secret_that_must_not_leak"
local BLOB_SHA256 = "8acfcabd38b512d5605abb0d51d67f99f2f8538f2fe6b0c28732280c320c4ba8"
local BLOB_SIZE = 512000

-- Loopback is never asked for through a proxy, and retries do not wait.
local function fast(opts)
  local all = { proxy = "", retry_delay = 0.001 }
  for name, value in pairs(opts or {}) do
    all[name] = value
  end
  return all
end

-- Runs Lua code in an interpreter of its own, as this one runs: { status=, stdout=, stderr=, signal= }.
local function run_lua(code, env)
  local interpreter = fs.realpath("/proc/self/exe")
  local prologue = ("package.path, package.cpath = %q, %q "):format(package.path, package.cpath)
  return assert(process.run { interpreter, "-e", prologue .. code, env = env, timeout = 20 })
end

describe("hone.http", function()
  local server
  local keys = 0

  setup(function() server = http_server.start() end)
  teardown(function() server:stop() end)
  before_each(function() server:log() end)

  -- A path of the server that nobody has used: what it does depends on how often it was asked.
  local function flaky(times, code, query)
    keys = keys + 1
    return ("%s/flaky/key%d/%d/%s%s"):format(server.url, keys, times, code, query or "")
  end

  describe("requests", function()
    it("get a body, the status and the headers in lower case", function()
      local response = assert(http.get(server.url .. "/status/200", fast()))
      assert.equal(200, response.status)
      assert.is_true(response.ok)
      assert.equal("status 200", response.body)
      assert.equal("10", response.headers["content-length"])
    end)

    it("join repeated headers with a comma", function()
      local response = assert(http.get(server.url .. "/echo", fast()))
      assert.equal("one, two", response.headers["x-repeated"])
    end)

    it("say the final address and how long it took", function()
      local response = assert(http.get(server.url .. "/redirect?to=/echo", fast()))
      assert.equal(server.url .. "/echo", response.url)
      assert.is_true(response.seconds > 0 and response.seconds < 10)
    end)

    it("send headers as asked", function()
      assert(http.get(server.url .. "/echo", fast { headers = { ["X-Mine"] = "yes", ["X-Empty"] = "" } }))
      local headers = server:log()[1].headers
      assert.equal("yes", headers["x-mine"])
      assert.equal("", headers["x-empty"])
    end)

    it("post bytes, zeros and all", function()
      local body = "a\0b\255\n"
      local response = assert(http.post(server.url .. "/echo", body, fast()))
      assert.equal(body, response.body)
      assert.equal("POST", response.headers["x-method"])
    end)

    it("post several megabytes", function()
      local body = ("0123456789"):rep(300000)
      local response = assert(http.post(server.url .. "/echo", body, fast()))
      assert.is_true(body == response.body)
    end)

    it("encode option json and label it", function()
      assert(http.post(server.url .. "/echo", nil, fast { json = { a = 1 } }))
      local request = server:log()[1]
      assert.equal('{"a":1}', (request.body:gsub("%s", "")))
      assert.equal("application/json", request.headers["content-type"])
    end)

    it("use other methods", function()
      local response = assert(http.request(fast { url = server.url .. "/echo", method = "PUT", body = "x" }))
      assert.equal("PUT", response.headers["x-method"])
    end)

    it("have no body in the answer to HEAD", function()
      local response = assert(http.request(fast { url = server.url .. "/status/200", method = "HEAD" }))
      assert.equal("", response.body)
      assert.equal("10", response.headers["content-length"])
    end)

    it("unpack what the server compressed", function()
      local response = assert(http.get(server.url .. "/gzipped", fast()))
      assert.equal(("z"):rep(100000), response.body)
    end)

    it("take a status of 400 and more as a response that is not ok", function()
      local response = assert(http.get(server.url .. "/status/404", fast()))
      assert.equal(404, response.status)
      assert.is_false(response.ok)
      assert.equal("status 404", response.body)
    end)

    it("report progress up to the total", function()
      local done, total
      assert(http.get(
        server.url .. "/blob",
        fast {
          on_progress = function(d, t)
            done, total = d, t
          end,
        }
      ))
      assert.equal(BLOB_SIZE, done)
      assert.equal(BLOB_SIZE, total)
    end)

    it("let an error of on_progress through", function()
      local failing = fast { on_progress = function() error("enough", 0) end }
      assert.has_error(function() http.get(server.url .. "/blob", failing) end, "enough")
    end)

    it("authenticate with the credentials of the address", function()
      local url = ("http://user:pa%%20ss@127.0.0.1:%d/auth"):format(server.port)
      local response = assert(http.get(url, fast()))
      assert.equal(200, response.status)
      assert.equal(server.url .. "/auth", response.url)
    end)
  end)

  describe("bounds", function()
    it("refuse a body larger than max_size, once unpacked", function()
      local response, why, code = http.get(server.url .. "/gzipped", fast { max_size = 99999 })
      assert.is_nil(response)
      assert.matches("^cannot fetch .*/gzipped: the body is larger than the 99999 bytes allowed$", why)
      assert.equal("EFBIG", code)
    end)

    it(
      "accept a body of exactly max_size",
      function()
        assert.equal(100000, #assert(http.get(server.url .. "/gzipped", fast { max_size = 100000 })).body)
      end
    )

    it("refuse endless header lines", function()
      local _, why, code = http.get(server.url .. "/bigheader", fast())
      assert.matches("the header lines are too long$", why)
      assert.equal("EPROTO", code)
    end)

    it("end the wait for a silent server", function()
      local _, why, code = http.get(server.url .. "/slow/1", fast { timeout = 0.05, retries = 0 })
      assert.matches("timed out: nothing came for 0.05 s$", why)
      assert.equal("ETIMEDOUT", code)
    end)

    it("let a slow answer come as long as something comes", function()
      local response = assert(http.get(server.url .. "/drip/4/0.1", fast { timeout = 0.25, retries = 0 }))
      assert.equal("....", response.body)
    end)

    it("end a slow answer at total_timeout", function()
      local opts = fast { total_timeout = 0.15, retries = 0 }
      local _, _, code = http.get(server.url .. "/drip/20/0.05", opts)
      assert.equal("ETIMEDOUT", code)
    end)

    it("follow redirects only so far", function()
      local _, why, code = http.get(server.url .. "/loop", fast { max_redirects = 3 })
      assert.matches("/loop: it redirects more than 3 times$", why)
      assert.equal("EREDIRECT", code)
      assert.equal(4, #server:log())
    end)
  end)

  describe("redirects", function()
    it("are listed in the response with their headers", function()
      local response = assert(http.get(server.url .. "/redirect/307?to=/echo", fast()))
      assert.equal(1, #response.redirects)
      assert.equal(307, response.redirects[1].status)
      assert.equal("/echo", response.redirects[1].headers.location)
    end)

    it("are responses themselves with follow = false", function()
      local response = assert(http.get(server.url .. "/redirect?to=/echo", fast { follow = false }))
      assert.equal(302, response.status)
      assert.equal("elsewhere", response.body)
    end)

    it('stop before another origin with follow = "same-origin"', function()
      local away = server.url .. "/redirect?to=" .. server.other_url .. "/echo"
      local from = server.url .. "/redirect?to=" .. away
      local response = assert(http.get(from, fast { follow = "same-origin" }))
      assert.equal(302, response.status)
      assert.equal(away, response.url)
    end)

    it("turn a POST into a GET after 302 and 303", function()
      for _, code in ipairs { 302, 303 } do
        local response = assert(http.post(server.url .. "/redirect/" .. code .. "?to=/echo", "body", fast()))
        assert.equal("GET", response.headers["x-method"])
        assert.equal("", response.body)
      end
    end)

    it("keep a POST a POST after 307 and 308", function()
      for _, code in ipairs { 307, 308 } do
        local response = assert(http.post(server.url .. "/redirect/" .. code .. "?to=/echo", "body", fast()))
        assert.equal("POST", response.headers["x-method"])
        assert.equal("body", response.body)
      end
    end)

    it("never lead out of http and https", function()
      for _, to in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x" } do
        local response, why, code = http.get(server.url .. "/redirect?to=" .. to, fast())
        assert.is_nil(response)
        assert.matches("it redirects to an address that is not http or https$", why)
        assert.equal("EREDIRECT", code)
      end
    end)
  end)

  describe("secrets", function()
    local function headers_at_the_end(path, opts)
      assert(http.get(server.url .. path, fast(opts)))
      local log = server:log()
      return log[#log].headers, log
    end

    it(
      "send the token as a bearer",
      function()
        assert.equal("Bearer " .. TOKEN, headers_at_the_end("/echo", { token = TOKEN }).authorization)
      end
    )

    it("keep the token within redirects of the same origin", function()
      local headers = headers_at_the_end("/redirect?to=/echo", { token = TOKEN })
      assert.equal("Bearer " .. TOKEN, headers.authorization)
    end)

    it("do not send the token to another host", function()
      local path = "/redirect?to=" .. server.other_url .. "/echo"
      local headers, log = headers_at_the_end(path, { token = TOKEN })
      assert.equal("localhost:" .. server.port, headers.host)
      assert.equal("Bearer " .. TOKEN, log[1].headers.authorization)
      assert.is_nil(headers.authorization)
    end)

    it("do not send the token to another port of the host", function()
      local other = http_server.start()
      finally(function() other:stop() end)
      assert(http.get(server.url .. "/redirect?to=" .. other.url .. "/echo", fast { token = TOKEN }))
      assert.is_nil(other:log()[1].headers.authorization)
    end)

    it("do not send the token again when another host redirects back", function()
      local back = server.other_url .. "/redirect?to=" .. server.url .. "/echo"
      local headers, log = headers_at_the_end("/redirect?to=" .. back, { token = TOKEN })
      assert.equal(3, #log)
      assert.equal("127.0.0.1:" .. server.port, headers.host)
      assert.is_nil(headers.authorization)
    end)

    it("do not send the caller's own headers to another host", function()
      local opts = { headers = { ["X-Api-Key"] = TOKEN, Cookie = TOKEN, Accept = "text/plain" } }
      local headers = headers_at_the_end("/redirect?to=" .. server.other_url .. "/echo", opts)
      assert.is_nil(headers["x-api-key"])
      assert.is_nil(headers.cookie)
      assert.equal("text/plain", headers.accept)
    end)

    it("do not send an address's credentials to another host", function()
      local url = "http://user:%s@127.0.0.1:%d/redirect?to=%s/echo"
      assert(http.get(url:format(TOKEN, server.port, server.other_url), fast()))
      local log = server:log()
      assert.is_string(log[1].headers.authorization)
      assert.is_nil(log[2].headers.authorization)
    end)

    it("are in no message", function()
      local port = http_server.free_port()
      local urls = {
        ("http://user:%s@127.0.0.1:%d/x"):format(TOKEN, port),
        ("http://127.0.0.1:%d/x?key=%s"):format(port, TOKEN),
        ("http://user:%s@bad host/x"):format(TOKEN),
        ("http://user:pa/%s@host/x"):format(TOKEN),
        ("user:%s@host/x"):format(TOKEN),
        ("ftp://user:%s@host/x"):format(TOKEN),
      }
      for _, url in ipairs(urls) do
        local response, why = http.get(url, fast { token = TOKEN, retries = 0 })
        assert.is_nil(response)
        assert.is_nil(why:find(TOKEN, 1, true), why)
      end
    end)

    it("are not in the complaint about a token that cannot be sent", function()
      local _, why = pcall(http.get, server.url, { token = TOKEN .. "\r\nX: y" })
      assert.matches("option 'token' must be printable characters without spaces", why)
      assert.is_nil(why:find(TOKEN, 1, true))
    end)
  end)

  describe("retries", function()
    it("come after the statuses that deserve them", function()
      for _, code in ipairs { 408, 429, 500, 502, 503, 504 } do
        local response = assert(http.get(flaky(2, code), fast()))
        assert.equal(200, response.status)
        assert.equal(3, response.attempts)
      end
    end)

    it("do not come after others", function()
      for _, code in ipairs { 400, 401, 403, 404, 501 } do
        local response = assert(http.get(flaky(1, code), fast()))
        assert.equal(code, response.status)
        assert.equal(1, response.attempts)
      end
    end)

    it("come after a connection that was closed or reset", function()
      for _, how in ipairs { "close", "reset" } do
        local response = assert(http.get(flaky(2, how), fast()))
        assert.equal("recovered", response.body)
      end
    end)

    it("give the last response when they are used up", function()
      local response = assert(http.get(server.url .. "/status/503", fast { retries = 2 }))
      assert.equal(503, response.status)
      assert.equal(3, response.attempts)
      assert.equal(3, #server:log())
    end)

    it("are never made for POST", function()
      local response = assert(http.post(flaky(1, 503), "x", fast()))
      assert.equal(503, response.status)
      assert.equal(1, #server:log())
    end)

    it("are not made for a POST by libcurl itself, on a connection that died", function()
      assert(http.get(server.url .. "/echo", fast())) -- leaves a connection to use again
      server:log()
      local response, _, code = http.post(flaky(1, "close"), "x", fast())
      assert.is_nil(response)
      assert.equal("ECLOSED", code)
      assert.equal(1, #server:log())
    end)

    it("are made for POST when it is said to be idempotent", function()
      local response = assert(http.post(flaky(1, 503), "x", fast { idempotent = true }))
      assert.equal(200, response.status)
    end)

    it("wait as long as Retry-After says, in seconds", function()
      local response = assert(http.get(flaky(1, 429, "?retry_after=1"), fast()))
      assert.is_true(response.seconds >= 1)
    end)

    it("understand a Retry-After that is a date", function()
      local waits = {}
      local on_retry = function(_, seconds) waits[#waits + 1] = seconds end
      local opts = fast { on_retry = on_retry, max_retry_delay = 0.01 }
      assert(http.get(flaky(1, 503, "?retry_date=100"), opts))
      assert.same({ 0.01 }, waits)
    end)

    it("do not wait longer than max_retry_delay", function()
      local url = flaky(1, 429, "?retry_after=3600")
      local response = assert(http.get(url, fast { max_retry_delay = 0.01 }))
      assert.equal(200, response.status)
      assert.is_true(response.seconds < 5)
    end)

    it("wait a random share of a delay that doubles", function()
      local waits = {}
      local on_retry = function(_, seconds) waits[#waits + 1] = seconds end
      local opts = fast { retries = 4, retry_delay = 0.01, on_retry = on_retry }
      assert(http.get(server.url .. "/status/500", opts))
      assert.equal(4, #waits)
      for n, seconds in ipairs(waits) do
        assert.is_true(seconds >= 0 and seconds <= 0.01 * 2 ^ (n - 1))
      end
    end)

    it("tell on_retry why and for the how manieth time", function()
      local told = {}
      local opts = fast { on_retry = function(why, _, n) told[#told + 1] = n .. " " .. why end }
      assert(http.get(flaky(2, 503), opts))
      assert.same({ "1 HTTP 503 service unavailable", "2 HTTP 503 service unavailable" }, told)
    end)
  end)

  describe("failures", function()
    it("say what was tried, how often and why", function()
      local url = ("http://127.0.0.1:%d/x"):format(http_server.free_port())
      local response, why, code = http.get(url, fast { retries = 2 })
      assert.is_nil(response)
      assert.equal(("cannot fetch %s: connection refused (3 attempts)"):format(url), why)
      assert.equal("ECONNREFUSED", code)
    end)

    it("name a host that does not resolve, at once", function()
      local began = os.time()
      local _, why, code = http.get("http://no-such-host.invalid/x", fast())
      assert.matches("^cannot fetch .*: could not resolve host: no%-such%-host.invalid$", why)
      assert.equal("ENOTFOUND", code)
      assert.is_true(os.time() - began < 10)
    end)

    it("tell a body that ended early from a whole one", function()
      local _, why, code = http.get(server.url .. "/early", fast { retries = 0 })
      assert.matches("/early: the connection was closed early %(10 of 1000 bytes came%)$", why)
      assert.equal("ECLOSED", code)
    end)

    it("tell a server that says nothing", function()
      local _, why, code = http.get(server.url .. "/silent", fast { retries = 0 })
      assert.matches("/silent: the connection was closed before an answer$", why)
      assert.equal("ECLOSED", code)
    end)

    it("tell an answer that is not HTTP", function()
      local _, why, code = http.get(server.url .. "/garbage", fast())
      assert.matches("/garbage: the answer is not HTTP$", why)
      assert.equal("EPROTO", code)
    end)

    it("refuse addresses that are not http or https", function()
      for _, url in ipairs { "ftp://host/x", "file:///etc/passwd", "nonsense", "" } do
        local response, why, code = http.get(url, fast())
        assert.is_nil(response)
        assert.matches("^cannot fetch ", why)
        assert.equal("EURL", code)
      end
    end)

    it("blame the caller for what only the caller can mend", function()
      local function complaint(...) return select(2, pcall(...)) end
      assert.matches(
        "http_spec.lua:%d+: bad argument #2 to 'get' %(unknown option 'retrys'%)",
        complaint(function()
          local r = http.get("http://x", { retrys = 1 })
          return r
        end)
      )
      assert.matches("bad argument #1 to 'get'", complaint(http.get, nil))
      assert.matches("option 'timeout' must be at least", complaint(http.get, "http://x", { timeout = 0 }))
      assert.matches(
        "option 'retries' must be a number, got a string",
        complaint(http.get, "http://x", { retries = "3" })
      )
      assert.matches(
        "header 'X' holds a control character",
        complaint(http.get, "http://x", { headers = { X = "a\r\nY: b" } })
      )
      assert.matches(
        "exclude each other",
        complaint(http.request, { url = "http://x", body = "x", json = 1 })
      )
      assert.matches("option 'url' is missing", complaint(http.request, {}))
      assert.matches("bad argument #2 to 'download'", complaint(http.download, "http://x", ""))
      assert.matches(
        "option 'sha256' must be 64",
        complaint(http.download, "http://x", "f", { sha256 = "abc" })
      )
    end)
  end)

  describe("downloads", function()
    local folder, target

    before_each(function()
      folder = fs.tempdir()
      target = fs.join(folder.path, "blob.bin")
    end)
    after_each(function() folder:remove() end)

    local function url(mode, is_cut)
      keys = keys + 1
      return ("%s/blob/%s%s"):format(server.url, mode, is_cut and "/key" .. keys or "")
    end

    -- Runs a download that fails half way, and returns the address that works from then on.
    local function leave_half(mode)
      local address = url(mode, true)
      local result, _, code = http.download(address, target, fast { retries = 0 })
      assert.is_nil(result)
      assert.equal("ECLOSED", code)
      server:log()
      return address
    end

    local function names()
      local list = {}
      for _, name in ipairs(assert(fs.list(folder.path))) do
        list[#list + 1] = name
      end
      return list
    end

    it("write the file and nothing else", function()
      local result = assert(http.download(url("plain"), target, fast()))
      assert.equal(target, result.path)
      assert.equal(200, result.status)
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
      assert.same({ "blob.bin" }, names())
    end)

    it("make the folders above the file", function()
      local deep = fs.join(folder.path, "a/b/blob.bin")
      assert(http.download(url("plain"), deep, fast()))
      assert.equal(BLOB_SHA256, fs.sha256_file(deep))
    end)

    it("report progress up to the total", function()
      local done, total
      local opts = fast {
        on_progress = function(d, t)
          done, total = d, t
        end,
      }
      assert(http.download(url("plain"), target, opts))
      assert.equal(BLOB_SIZE, done)
      assert.equal(BLOB_SIZE, total)
    end)

    it("go on where a broken connection left off, within one call", function()
      local result = assert(http.download(url("plain", true), target, fast { sha256 = BLOB_SHA256 }))
      assert.equal(BLOB_SIZE // 2, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
      local log = server:log()
      assert.equal(("bytes=%d-"):format(BLOB_SIZE // 2), log[2].headers.range)
      assert.equal(('"%s"'):format(BLOB_SHA256), log[2].headers["if-range"])
    end)

    it("go on where an earlier call left off", function()
      local address = leave_half("plain")
      assert.is_nil(fs.size(target))
      assert.equal(BLOB_SIZE // 2, fs.size(target .. ".part"))
      local first
      local opts = fast { on_progress = function(done) first = first or done end }
      local result = assert(http.download(address, target, opts))
      assert.equal(BLOB_SIZE // 2, result.resumed_from)
      assert.is_true(first > BLOB_SIZE // 2)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
      assert.same({ "blob.bin" }, names())
    end)

    it("start again when the server ignores ranges", function()
      local result = assert(http.download(leave_half("noranges"), target, fast()))
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
    end)

    it("start again when the range is refused", function()
      local result = assert(http.download(leave_half("416"), target, fast()))
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
      assert.equal(2, #server:log())
    end)

    it("start again when another range comes than was asked for", function()
      local result = assert(http.download(leave_half("wrongrange"), target, fast()))
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
    end)

    it("start again when the content has changed", function()
      local result = assert(http.download(leave_half("changed"), target, fast()))
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
    end)

    it("start again when nothing shows what the beginning belongs to", function()
      local result = assert(http.download(leave_half("noetag"), target, fast()))
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
    end)

    it("fetch the whole once more when the parts do not make up the checksum", function()
      assert(fs.write(target .. ".part", ("?"):rep(1000)))
      local result = assert(http.download(url("plain"), target, fast { sha256 = BLOB_SHA256 }))
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
      assert.equal("bytes=1000-", server:log()[1].headers.range)
    end)

    it("leave a beginning alone with resume = false, and none behind", function()
      local address = leave_half("plain")
      local result = assert(http.download(address, target, fast { resume = false }))
      assert.equal(0, result.resumed_from)
      local other = fs.join(folder.path, "other.bin")
      assert.is_nil((http.download(url("plain", true), other, fast { resume = false, retries = 0 })))
      assert.same({ "blob.bin" }, names())
    end)

    it("refuse content with another checksum, and keep the old file", function()
      assert(fs.write(target, "old"))
      local wrong = ("0"):rep(64)
      local result, why, code = http.download(url("plain"), target, fast { sha256 = wrong })
      assert.is_nil(result)
      assert.matches(("/blob/plain: its sha256 is %s, expected %s$"):format(BLOB_SHA256, wrong), why)
      assert.equal("ECHECKSUM", code)
      assert.equal("old", fs.read(target))
      assert.same({ "blob.bin" }, names())
    end)

    it("refuse content of another size", function()
      local result, why, code = http.download(url("plain"), target, fast { size = 7 })
      assert.is_nil(result)
      assert.matches("its size is 512000 bytes, expected 7$", why)
      assert.equal("ECHECKSUM", code)
      assert.same({}, names())
    end)

    it("refuse content that the caller's check refuses", function()
      local refuse = function(path) return nil, ("%d bytes are too many"):format(fs.size(path)) end
      local opts = fast { check = refuse }
      local result, why, code = http.download(url("plain"), target, opts)
      assert.is_nil(result)
      assert.matches("512000 bytes are too many$", why)
      assert.equal("ECONTENT", code)
      assert.same({}, names())
    end)

    it("fail on a status of 400 and more, and keep the old file", function()
      assert(fs.write(target, "old"))
      local result, why, code = http.download(server.url .. "/status/404", target, fast())
      assert.is_nil(result)
      assert.equal(("cannot fetch %s/status/404: HTTP 404 not found"):format(server.url), why)
      assert.equal("HTTP404", code)
      assert.equal("old", fs.read(target))
      assert.same({ "blob.bin" }, names())
    end)

    it("say how often a failing server was asked", function()
      local _, why, code = http.download(server.url .. "/status/503", target, fast { retries = 1 })
      assert.matches("HTTP 503 service unavailable %(2 attempts%)$", why)
      assert.equal("HTTP503", code)
    end)

    it("fetch nothing when the etag is still the same", function()
      assert(fs.write(target, "old"))
      local result = assert(http.download(url("plain"), target, fast { etag = ('"%s"'):format(BLOB_SHA256) }))
      assert.is_true(result.not_modified)
      assert.equal("old", fs.read(target))
      assert.same({ "blob.bin" }, names())
    end)

    it("fetch when the etag is another one", function()
      assert(fs.write(target, "old"))
      local result = assert(http.download(url("plain"), target, fast { etag = '"stale"' }))
      assert.is_nil(result.not_modified)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
    end)

    it("fetch a file that is missing, whatever etag is given", function()
      assert(http.download(url("plain"), target, fast { etag = ('"%s"'):format(BLOB_SHA256) }))
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
    end)

    it("send no token to the host that a redirect leads to", function()
      local from = server.url .. "/redirect?to=" .. server.other_url .. "/blob/plain"
      assert(http.download(from, target, fast { token = TOKEN }))
      local log = server:log()
      assert.equal("Bearer " .. TOKEN, log[1].headers.authorization)
      assert.is_nil(log[2].headers.authorization)
    end)

    it("do not disturb another download of the same file", function()
      local result
      local opts = fast {
        on_progress = function() result = result or assert(http.download(url("plain"), target, fast())) end,
      }
      assert(http.download(url("plain"), target, opts))
      assert.equal(0, result.resumed_from)
      assert.equal(BLOB_SHA256, fs.sha256_file(target))
      assert.same({ "blob.bin" }, names())
    end)

    it("say why a file cannot be written", function()
      local _, why, code = http.download(url("plain"), folder.path, fast())
      assert.equal(("cannot write %s: it is a directory"):format(folder.path), why)
      assert.equal("EISDIR", code)
    end)
  end)

  describe("certificates", function()
    local folder, tls, cert

    setup(function()
      if not process.which("openssl") then return end
      folder = fs.tempdir()
      cert = fs.join(folder.path, "cert.pem")
      local key = fs.join(folder.path, "key.pem")
      local made = assert(process.run {
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "2",
        "-subj",
        "/CN=loopback",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
      })
      assert(made.status == 0, made.stderr)
      tls = http_server.start("--tls", cert, key)
    end)
    teardown(function()
      if tls then tls:stop() end
      if folder then folder:remove() end
    end)

    local function get(opts, host)
      if not tls then pending("openssl is not installed") end
      return http.get(("https://%s:%d/echo"):format(host or "127.0.0.1", tls.port), fast(opts))
    end

    it("that nobody vouches for are refused", function()
      local response, why, code = get()
      assert.is_nil(response)
      assert.matches("certificate", why)
      assert.equal("ECERT", code)
    end)

    it(
      "are accepted when option ca vouches for them",
      function() assert.equal(200, assert(get { ca = cert }).status) end
    )

    it("of another host are refused", function()
      local response, _, code = get({ ca = cert }, "localhost")
      assert.is_nil(response)
      assert.equal("ECERT", code)
    end)

    it(
      "are not looked at with insecure = true",
      function() assert.equal(200, assert(get { insecure = true }).status) end
    )

    it("may be vouched for by the environment", function()
      if not tls then pending("openssl is not installed") end
      local code = [[
        local response, why = require("hone.http").get("https://127.0.0.1:%d/echo", { proxy = "" })
        print(response and response.status or why)
      ]]
      assert.equal("200\n", run_lua(code:format(tls.port), { CURL_CA_BUNDLE = cert }).stdout)
    end)
  end)

  describe("proxies", function()
    local function fetch_with(env, opts)
      local code = [[
        local response, why = require("hone.http").get("http://elsewhere.invalid/x", %s)
        print(response and response.body or why)
      ]]
      return (run_lua(code:format(opts or "{}"), env).stdout:gsub("\n$", ""))
    end

    it("come from the environment", function()
      assert.equal("through the proxy", fetch_with { http_proxy = server.url, no_proxy = "" })
      assert.equal("http://elsewhere.invalid/x", server:log()[1].path)
    end)

    it("are left out for the hosts of no_proxy", function()
      local env = { http_proxy = server.url, no_proxy = "elsewhere.invalid" }
      assert.matches("could not resolve host", fetch_with(env))
    end)

    it("come from the option", function()
      local response = assert(http.get("http://elsewhere.invalid/x", { proxy = server.url }))
      assert.equal("through the proxy", response.body)
    end)

    it("are left out with an empty option", function()
      local env = { http_proxy = server.url, no_proxy = "" }
      assert.matches("could not resolve host", fetch_with(env, "{ proxy = '' }"))
    end)
  end)

  describe("libcurl", function()
    it("is not opened by require", function()
      local result = run_lua [[
        require "hone.http"
        for line in io.lines("/proc/self/maps") do assert(not line:find("libcurl"), line) end
        print "not mapped"
      ]]
      assert.equal("not mapped\n", result.stdout)
    end)

    it("that is missing is one line that says what to install", function()
      local code = "print(require('hone.http').get('http://user:pw@127.0.0.1/x'))"
      local result = run_lua(code, { HONE_LIBCURL = "/nonexistent/libcurl.so.4" })
      local message = "cannot fetch http://***@127.0.0.1/x: libcurl is not installed (install libcurl4)"
      assert.equal(("nil\t%s\tENOLIB\n"):format(message), result.stdout)
    end)

    it("tells its version", function() assert.matches("^libcurl/%d", http.version()) end)
  end)

  describe("an interrupt", function()
    -- Starts a child that does `code`, sends SIGINT once the server has been asked, and waits.
    local function interrupt(code)
      if not fs.realpath("/proc/self/exe"):find("hone$") then pending("stock Lua dies of SIGINT") end
      local prologue = ("package.path, package.cpath = %q, %q "):format(package.path, package.cpath)
      local child <close> = assert(process.start { fs.realpath("/proc/self/exe"), "-e", prologue .. code })
      local began = os.time()
      repeat
      until #server:log() > 0 or os.time() - began > 10
      assert(child:kill("INT"))
      return assert(child:wait(5))
    end

    it("ends a request that waits for the server", function()
      local result = interrupt(([[
        local ok, why = pcall(require("hone.http").get, "%s/slow/3", { proxy = "" })
        print(ok, why)
      ]]):format(server.url))
      assert.equal("false\tinterrupted\n", result.stdout)
    end)

    it("ends the wait before a retry", function()
      local result = interrupt(([[
        local ok, why = pcall(require("hone.http").get, "%s/status/503",
          { proxy = "", retry_delay = 1000, max_retry_delay = 1000 })
        print(ok, why)
      ]]):format(server.url))
      assert.equal("false\tinterrupted\n", result.stdout)
    end)
  end)
end)
