--- Starts the loopback server of the HTTP specs (http_server.py) and talks to it.
local cjson = require "cjson"
local http = require "hone.http"
local process = require "hone.process"

local http_server = {}

local Server = {}
Server.__index = Server

---@param ... string # arguments for http_server.py
function http_server.start(...)
  local child = assert(process.start { "python3", "spec/support/http_server.py", stderr = "inherit", ... })
  local port = assert(tonumber((child:lines()())), "the loopback server did not start")
  return setmetatable({
    child = child,
    port = port,
    url = "http://127.0.0.1:" .. port,
    other_url = "http://localhost:" .. port, -- the same server under a second name: another host
  }, Server)
end

--- What was asked since the last call: a list of { method=, path=, host=, headers=, body= }.
function Server:log() return cjson.decode(assert(http.get(self.url .. "/log", { proxy = "" })).body) end

function Server:stop() self.child:stop(0) end

--- A port of 127.0.0.1 on which nothing listens.
function http_server.free_port()
  local code = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"
  return assert(tonumber(assert(process.run { "python3", "-c", code }).stdout))
end

return http_server
