--- A hone that builds one solution: the request comes on stdin, the answer goes to stdout, both as JSON.
local build = require "hone.bench.build"
local json = require "hone.json"

local request = assert(json.decode(io.read "a"))
require("hone.bench.build.toolchain").import(request.known)
local reply = json.object()
reply.artefact, reply.message, reply.log, reply.code =
  build.solution(request.definition, request.solution, request.options)
io.write(json.encode(reply))
