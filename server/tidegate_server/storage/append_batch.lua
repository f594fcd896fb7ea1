#!lua
-- Appends a batch and remembers its id.
-- KEYS: stream, memory of the batch. ARGV: payload, time to remember it (ms), limit of the stream.
-- Returns 1; 0 if the batch was there already; -1 if the stream is at its limit.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return -1
end
redis.call('XADD', KEYS[1], '*', 'b', ARGV[1])
redis.call('SET', KEYS[2], '', 'PX', ARGV[2])
return 1
