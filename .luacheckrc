std = "lua54"
max_line_length = 120
max_comment_line_length = false
files["spec"] = { std = "+busted" }
files["scripts/meta"] = { ignore = { "212", "211", "111", "112", "113", "241" } }
