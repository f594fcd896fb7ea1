#!lua flags=allow-oom
-- Writes what a run of entries changed, moves the offset, and releases the entries, if the offset
-- still is where the run began. It may run when memory is used up, because it frees the entries.
-- KEYS: offset, stream, rejected; then for each arm its flag's set of arms and its hash.
-- ARGV: offset before, offset after, first id to keep, number of rejected entries to keep, number
-- of rejected entries here; then id and payload of each; then for each arm its member of the set,
-- the number of arguments that follow, and as many fields and values.
-- Returns 1; 0 if the offset is elsewhere.
if (redis.call('GET', KEYS[1]) or '0-0') ~= ARGV[1] then
  return 0
end
redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[3])
local at = 6
for _ = 1, tonumber(ARGV[5]) do
  redis.call('XADD', KEYS[3], 'MAXLEN', '=', ARGV[4], '*', 'o', ARGV[at], 'b', ARGV[at + 1])
  at = at + 2
end
for key = 4, #KEYS, 2 do
  redis.call('SADD', KEYS[key], ARGV[at])
  local last = at + 1 + tonumber(ARGV[at + 1])
  for first = at + 2, last, 1000 do  -- Lua's stack holds a few thousand values
    redis.call('HSET', KEYS[key + 1], unpack(ARGV, first, math.min(first + 999, last)))
  end
  at = last + 1
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
