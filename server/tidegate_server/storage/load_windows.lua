#!lua flags=no-writes
-- Returns some windows of a chunk, as field, value, field, value …
-- KEYS: the chunk's hash. ARGV: index in the chunk of the first and of the last window.
local first, last, fields = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local index = tonumber(field:match('^%d+'))
  if first <= index and index <= last then
    fields[#fields + 1] = field
  end
end
local reply = {}
for from = 1, #fields, 1000 do  -- Lua's stack holds a few thousand values
  local to = math.min(from + 999, #fields)
  local values = redis.call('HMGET', KEYS[1], unpack(fields, from, to))
  for at = from, to do
    reply[2 * at - 1], reply[2 * at] = fields[at], values[at - from + 1]
  end
end
return reply
