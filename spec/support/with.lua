--- The fields of all tables in one; of equal names the last counts.
return function(...)
  local all = {}
  for _, fields in ipairs { ... } do
    for name, value in pairs(fields) do
      all[name] = value
    end
  end
  return all
end
