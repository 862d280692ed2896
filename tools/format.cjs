// Format Lua files with StyLua: node tools/format.cjs [--check] FILE...
// With --check nothing is written; the files that would change are listed and the status is 1.
const fs = require("fs");
const path = require("path");
const stylua = require(path.resolve(__dirname, "../build/deps/stylua/stylua_lib_node.cjs"));

function config() {
  const settings = stylua.Config.new();
  settings.column_width = 110;
  settings.indent_type = stylua.IndentType.Spaces;
  settings.indent_width = 2;
  settings.quote_style = stylua.QuoteStyle.AutoPreferDouble;
  settings.call_parentheses = stylua.CallParenType.Input;
  settings.collapse_simple_statement = stylua.CollapseSimpleStatement.Always;
  settings.syntax = stylua.LuaVersion.Lua54;
  return settings;
}

const check = process.argv[2] === "--check";
const files = process.argv.slice(check ? 3 : 2);
let changed = 0;
for (const file of files) {
  const before = fs.readFileSync(file, "utf8");
  const after = stylua.formatCode(before, config(), undefined, stylua.OutputVerification.None);
  if (after === before) continue;
  changed += 1;
  if (check) console.log(`${file}: not formatted (make format)`);
  else fs.writeFileSync(file, after);
}
process.exit(check && changed ? 1 : 0);
