package = "hone"
version = "0.1.0-1"
source = { url = "git+file://." }
description = {
  summary = "A Lua-scriptable engine for GPU kernels",
  detailed = [[
    Onboards language models to FlashInfer-Bench, benchmarks GPU kernels, and gives scripts JSON,
    files, HTTP, processes and syntax trees. This package holds the libraries and the skills for
    stock lua5.4; the hone command is installed by `make install`.
  ]],
  license = "Apache-2.0",
}
dependencies = { "lua >= 5.4, < 5.5", "luafilesystem >= 1.8", "lua-cjson >= 2.1", "lyaml >= 6.2" }
build = {
  type = "make",
  build_target = "build",
  install_target = "rock",
  install_variables = { LUADIR = "$(LUADIR)", LIBDIR = "$(LIBDIR)" },
}
