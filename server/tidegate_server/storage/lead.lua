#!lua flags=allow-oom
-- Takes the lease, or keeps it: all times are the store's own. It may run when memory is used up.
-- KEYS: leader. ARGV: controller, how long the lease lasts (ms).
-- Returns the fencing token, which rises unless the lease was still the controller's own; false
-- while another holds it.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local holder, ends, fence = unpack(redis.call('HMGET', KEYS[1], 'holder', 'ends', 'fence'))
local holds = holder and tonumber(ends) > now
if holds and holder ~= ARGV[1] then
  return false
end
fence = tonumber(fence or '0') + (holds and 0 or 1)
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'fence', string.format('%d', fence),
  'ends', string.format('%.0f', now + tonumber(ARGV[2])))
return fence
