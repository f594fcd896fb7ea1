#!lua flags=allow-oom
-- Writes what a run of entries changed, moves the offset, and releases the entries, if the offset
-- still is where the run began. It may run when memory is used up, because it frees the entries.
-- KEYS: progress, stream, rejected; then for each arm its flag's set of arms, its hash and its
-- bitmap; then the hash of each chunk of windows.
-- ARGV: offset before, offset after, bytes between them, number of rejected entries to keep, number
-- of rejected entries here, number of arms here, time to keep an arm (ms);
-- then id, reason and payload of each rejected entry; then for each arm its member of the set, the bytes of
-- its bitmap that changed (<I4B each), the whole bitmap instead or '', and fields; then for each
-- chunk of windows when it expires (ms since 1970) and fields.
-- Fields are the number of arguments that follow, and as many fields and values.
-- Returns 1; 0 if the offset is elsewhere.
if (redis.call('HGET', KEYS[1], 'offset/fold') or '0-0') ~= ARGV[1] then
  return 0
end
advance(KEYS[2], KEYS[1], 'fold', ARGV[2], ARGV[3])
local arms, keep_ms, at = tonumber(ARGV[6]), ARGV[7], 8

local function write_fields(hash)
  local last = at + tonumber(ARGV[at])
  for first = at + 1, last, 1000 do  -- Lua's stack holds a few thousand values
    redis.call('HSET', hash, unpack(ARGV, first, math.min(first + 999, last)))
  end
  at = last + 1
end

local function write_bytes(bitmap, changes)
  for first = 1, #changes, 1250 do
    local operations = {}
    for place = first, math.min(first + 1249, #changes), 5 do
      local byte, value = struct.unpack('<I4B', changes, place)
      local count = #operations
      operations[count + 1], operations[count + 2] = 'SET', 'u8'
      operations[count + 3], operations[count + 4] = '#' .. byte, value
    end
    redis.call('BITFIELD', bitmap, unpack(operations))
  end
end

for _ = 1, tonumber(ARGV[5]) do
  redis.call('XADD', KEYS[3], 'MAXLEN', '=', ARGV[4], '*',
    'o', ARGV[at], 'e', ARGV[at + 1], 'b', ARGV[at + 2])
  at = at + 3
end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
for key = 4, 1 + 3 * arms, 3 do
  local members, hash, bitmap = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  redis.call('ZADD', members, now_ms + keep_ms, ARGV[at])
  redis.call('ZREMRANGEBYSCORE', members, '-inf', now_ms)
  redis.call('PEXPIRE', members, keep_ms)
  write_bytes(bitmap, ARGV[at + 1])
  if ARGV[at + 2] ~= '' then
    redis.call('SET', bitmap, ARGV[at + 2])
  end
  at = at + 3
  write_fields(hash)
  redis.call('PEXPIRE', hash, keep_ms)
  redis.call('PEXPIRE', bitmap, keep_ms)
end
for key = 4 + 3 * arms, #KEYS do
  local expires_ms = ARGV[at]
  at = at + 1
  write_fields(KEYS[key])
  redis.call('PEXPIREAT', KEYS[key], expires_ms)
end
return 1
