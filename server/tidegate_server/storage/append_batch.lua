#!lua
-- Appends a batch and remembers its id.
-- KEYS: stream, progress, ids of the batches of its minute. ARGV: payload, batch id, time to
-- remember it (ms), bytes it takes, most bytes that the stream may hold.
-- Returns 1; 0 if the batch was there already; the slowest reader and the bytes that the stream
-- holds for it if the stream is at its limit.
local stored = redis.call('SISMEMBER', KEYS[3], ARGV[2]) == 1
if not stored then
  local bytes, slowest = held(KEYS[2])
  if bytes > 0 and bytes + tonumber(ARGV[4]) > tonumber(ARGV[5]) then
    return {slowest, bytes}
  end
  redis.call('XADD', KEYS[1], '*', 'b', ARGV[1])
  redis.call('HINCRBY', KEYS[2], 'written', ARGV[4])
  redis.call('SADD', KEYS[3], ARGV[2])
end
-- Also where it was stored before: a call that waits for replicas must write something to wait for.
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return stored and 0 or 1
