#!lua flags=no-writes
-- Returns the changes of one resource among a stretch of the stream, latest first.
-- KEYS: changes. ARGV: field of the resource, revision to begin at ('+': the latest), number of
-- entries to look through.
-- Returns the revision to go on at (0: the stream's end was reached), and for each change its
-- revision, the serialized value before, and the serialized change.
local entries = redis.call('XREVRANGE', KEYS[1], ARGV[2], '-', 'COUNT', ARGV[3])
local found = {}
for _, entry in ipairs(entries) do
  if entry[2][4] == ARGV[1] then
    found[#found + 1] = {tonumber(entry[1]:match('^%d+')), entry[2][6], entry[2][8]}
  end
end
local last = #entries == tonumber(ARGV[3]) and tonumber(entries[#entries][1]:match('^%d+')) - 1
return {last or 0, found}
