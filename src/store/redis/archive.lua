-- Takes entries that are archived out of the audit trail, with their notes, and what is as old out
-- of the trails of their customers: unless the store has another history by now.
local meta, audit = KEYS[1], KEYS[2]
local epoch, stays_from, archived_to, notes = unpack(ARGV)
if redis.call('HGET', meta, 'epoch') ~= epoch then return 0 end
for place = 1, tonumber(notes) do
  redis.call('HDEL', KEYS[2 + place], ARGV[4 + place])
end
for place = 3 + tonumber(notes), #KEYS do
  redis.call('XTRIM', KEYS[place], 'MINID', stays_from)
end
redis.call('XTRIM', audit, 'MINID', stays_from)
redis.call('HSET', meta, 'archived', archived_to)
return 1
