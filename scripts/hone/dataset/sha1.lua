--- SHA-1 of a string, in hex: what flashinfer-bench names solutions by. Not for secrets.
local function rotate(x, by) return ((x << by) | (x >> (32 - by))) & 0xffffffff end

local function padded(data) return data .. "\128" .. ("\0"):rep((55 - #data) % 64) .. (">I8"):pack(#data * 8) end

local BLOCK = ">" .. ("I4"):rep(16)

local function schedule(data, position)
  local w = { BLOCK:unpack(data, position) }
  for i = 17, 80 do
    w[i] = rotate(w[i - 3] ~ w[i - 8] ~ w[i - 14] ~ w[i - 16], 1)
  end
  return w
end

local function mix(i, b, c, d)
  if i <= 20 then return (b & c) | (~b & d), 0x5a827999 end
  if i <= 40 then return b ~ c ~ d, 0x6ed9eba1 end
  if i <= 60 then return (b & c) | (b & d) | (c & d), 0x8f1bbcdc end
  return b ~ c ~ d, 0xca62c1d6
end

return function(data)
  local h0, h1, h2, h3, h4 = 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0
  local text = padded(data)
  for position = 1, #text, 64 do
    local w = schedule(text, position)
    local a, b, c, d, e = h0, h1, h2, h3, h4
    for i = 1, 80 do
      local f, k = mix(i, b, c, d)
      a, b, c, d, e = (rotate(a, 5) + (f & 0xffffffff) + e + k + w[i]) & 0xffffffff, a, rotate(b, 30), c, d
    end
    h0, h1, h2 = (h0 + a) & 0xffffffff, (h1 + b) & 0xffffffff, (h2 + c) & 0xffffffff
    h3, h4 = (h3 + d) & 0xffffffff, (h4 + e) & 0xffffffff
  end
  return ("%08x%08x%08x%08x%08x"):format(h0, h1, h2, h3, h4)
end
