--- Small models of the standard library's modules: what sources do with them while objects are built.
--- The result maps module names to functions that make a module's names.
for _, name in ipairs {
  "numbers",
  "functions",
  "typing",
  "system",
  "dataclasses",
  "enum",
  "collections",
  "re",
} do
  require("hone.python.stdlib." .. name)
end

return require("hone.python.stdlib.base").models
