-- Returns whether a fencing token counts no more: another controller has led since.
local function is_fenced_off(leader, fence)
  return fence ~= (redis.call('HGET', leader, 'fence') or '0')
end
