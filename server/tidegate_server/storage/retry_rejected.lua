#!lua
-- Puts a batch that was set aside back at the end of its shard's stream.
-- KEYS: stream, progress, rejected. ARGV: its id there, bytes it takes beside its payload.
-- Returns 1; 0 if it is not there (any more).
local entry = redis.call('XRANGE', KEYS[3], ARGV[1], ARGV[1])[1]
if not entry then
  return 0
end
for at = 1, #entry[2], 2 do
  if entry[2][at] == 'b' then
    redis.call('XADD', KEYS[1], '*', 'b', entry[2][at + 1])
    redis.call('HINCRBY', KEYS[2], 'written', #entry[2][at + 1] + ARGV[2])
  end
end
redis.call('XDEL', KEYS[3], ARGV[1])
return 1
