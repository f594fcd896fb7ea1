#!lua
-- Returns where a reader of a stream is. A new one begins before the oldest entry that is held:
-- from then on nothing is released before it is done with it.
-- KEYS: progress. ARGV: reader.
local offset = redis.call('HGET', KEYS[1], 'offset/' .. ARGV[1])
if not offset then
  offset = '0-0'
  local bytes = tonumber(redis.call('HGET', KEYS[1], 'written') or '0') - held(KEYS[1])
  local read = string.format('%.0f', bytes)
  redis.call('HSET', KEYS[1], 'offset/' .. ARGV[1], offset, 'read/' .. ARGV[1], read)
end
return offset
