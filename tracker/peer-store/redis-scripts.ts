/**
 * What must happen in Redis as one step, in its Lua. `ARGV[1]` is always the prefix of our keys:
 *
 * - `trackers`: hash, incarnation of a tracker -> `<ms of Redis> <what it tells of itself>`
 * - `settings`: the newest settings of the cluster, as a control message
 * - `blob:<digest>`: hash, `<incarnation>/<peer id>` -> how to reach that node, and what it has
 * - `token`: the last token given to a lease
 * - `lease:<digest>:<stripe>`: hash of who reads the stripe, or has read it; gone when the lease has run out
 * - `aside:<upstream>`: sorted set of tokens of those who have stepped aside, by when that runs out
 * - `lease-token:<token>`: hash, the lease of that token
 * - `holder:<peer id>`: set of tokens of its leases
 *
 * The clock is that of Redis alone, so that trackers' clocks need not agree.
 */
const NOW = `
local p = ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/** Ends the lease of a token, if it is still that token's. */
const END_LEASE = `
local function endLease(token)
  local k = p .. 'lease-token:' .. token
  local l = redis.call('HMGET', k, 'key', 'holder', 'aside')
  if not l[1] then return end
  if l[3] == '1' then redis.call('ZREM', l[1], token)
  elseif redis.call('HGET', l[1], 'token') == token then redis.call('DEL', l[1]) end
  redis.call('DEL', k)
  redis.call('SREM', p .. 'holder:' .. l[2], token)
end
`;

/**
 * incarnation, its JSON, ms it lives without a word, ms until it is removed ->
 * [[incarnation, JSON, …], settings, 1 when this incarnation was not there]
 */
const BEAT = `${NOW}
local key = p .. 'trackers'
local isNew = redis.call('HSET', key, ARGV[2], string.format('%.0f', now) .. ' ' .. ARGV[3])
local live = {}
local all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
  local at, told = string.match(all[i + 1], '^(%d+) (.*)$')
  local age = now - tonumber(at or 0)
  if age > tonumber(ARGV[5]) then redis.call('HDEL', key, all[i])
  elseif age <= tonumber(ARGV[4]) and all[i] ~= ARGV[2] then
    live[#live + 1] = all[i]
    live[#live + 1] = told
  end
end
return { live, redis.call('GET', p .. 'settings'), isNew }
`;

/**
 * digest, most to find, fields known -> [fields that are gone, [field, value, …] of some that are there]; what trackers
 * that are long gone left behind is removed
 */
const LOOK = `
local key = ARGV[1] .. 'blob:' .. ARGV[2]
local gone, found = {}, {}
for i = 4, #ARGV do
  if redis.call('HEXISTS', key, ARGV[i]) == 0 then gone[#gone + 1] = ARGV[i] end
end
local sample = redis.call('HRANDFIELD', key, ARGV[3], 'WITHVALUES')
for i = 1, #sample, 2 do
  local incarnation = string.match(sample[i], '^[^/]*')
  if redis.call('HEXISTS', ARGV[1] .. 'trackers', incarnation) == 0 then redis.call('HDEL', key, sample[i])
  else
    found[#found + 1] = sample[i]
    found[#found + 1] = sample[i + 1]
  end
end
return { gone, found }
`;

/** cursor, keys to look at -> [cursor, keys of blobs] */
const BLOBS = `return redis.call('SCAN', ARGV[2], 'MATCH', ARGV[1] .. 'blob:*', 'COUNT', ARGV[3])`;

/** key of a blob, cursor, fields to look at -> cursor; what trackers that are long gone left there is removed */
const SWEEP = `
local found = redis.call('HSCAN', ARGV[2], ARGV[3], 'COUNT', ARGV[4])
for i = 1, #found[2], 2 do
  local incarnation = string.match(found[2][i], '^[^/]*')
  if redis.call('HEXISTS', ARGV[1] .. 'trackers', incarnation) == 0 then
    redis.call('HDEL', ARGV[2], found[2][i])
  end
end
return found[1]
`;

/**
 * holder, how others reach it, digest, upstream, aside 0/1, most that may be aside, least token, lease ms, most leases
 * of one holder, most holders named, stripes -> ['granted', stripe, token] or [reason, ms until asking again makes
 * sense, holders…]
 */
const ASK = `${NOW}${END_LEASE}
local holder, peer, digest, upstream = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local aside, ttl = ARGV[6] == '1', tonumber(ARGV[9])
local mine = p .. 'holder:' .. holder
if redis.call('SCARD', mine) >= tonumber(ARGV[10]) then
  for _, token in ipairs(redis.call('SMEMBERS', mine)) do
    if redis.call('EXISTS', p .. 'lease-token:' .. token) == 0 then redis.call('SREM', mine, token) end
  end
  if redis.call('SCARD', mine) >= tonumber(ARGV[10]) then return { 'crowded', 0 } end
end
local function grant(stripe, key)
  local last = tonumber(redis.call('GET', p .. 'token') or '0')
  local token = string.format('%.0f', math.max(last + 1, tonumber(ARGV[8])))
  redis.call('SET', p .. 'token', token)
  if aside then redis.call('ZADD', key, now + ttl, token)
  else redis.call('HSET', key, 'holder', holder, 'peer', peer, 'token', token, 'read', '0') end
  redis.call('PEXPIRE', key, ttl)
  local k = p .. 'lease-token:' .. token
  redis.call('HSET', k, 'key', key, 'holder', holder, 'aside', ARGV[6], 'stripe', stripe, 'digest', digest, 'upstream', upstream)
  redis.call('PEXPIRE', k, ttl)
  redis.call('SADD', mine, token)
  redis.call('PEXPIRE', mine, 120000)
  return { 'granted', stripe, token }
end
if aside then
  local key = p .. 'aside:' .. upstream
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for _, token in ipairs(redis.call('SMEMBERS', mine)) do
    local l = redis.call('HMGET', p .. 'lease-token:' .. token, 'key', 'digest')
    if l[1] == key and l[2] == digest then endLease(token) end
  end
  if #ARGV < 12 or redis.call('ZCARD', key) >= tonumber(ARGV[7]) then return { 'crowded', 0 } end
  return grant(ARGV[12], key)
end
local reason, retry, named, seen = 'read', ttl, {}, {}
for i = 12, #ARGV do
  local key = p .. 'lease:' .. digest .. ':' .. ARGV[i]
  local l = redis.call('HMGET', key, 'holder', 'token', 'read', 'peer')
  if not l[1] then return grant(ARGV[i], key) end
  if l[1] == holder then
    endLease(l[2])
    return grant(ARGV[i], key)
  end
  if not seen[l[1]] and #named < tonumber(ARGV[11]) then
    seen[l[1]] = true
    named[#named + 1] = l[4]
  end
  if l[3] ~= '1' then
    reason = 'held'
    retry = math.min(retry, redis.call('PTTL', key))
  end
end
return { reason, math.max(retry, 0), unpack(named) }
`;

/** holder, token, lease ms -> [stripe, digest, upstream, aside 0/1], or false when the lease is lost */
const RENEW = `${NOW}
local k = p .. 'lease-token:' .. ARGV[3]
local l = redis.call('HMGET', k, 'key', 'holder', 'aside', 'stripe', 'digest', 'upstream')
if not l[1] or l[2] ~= ARGV[2] then return false end
if l[3] == '1' then
  local score = redis.call('ZSCORE', l[1], ARGV[3])
  if not score or tonumber(score) <= now then return false end
  redis.call('ZADD', l[1], now + ARGV[4], ARGV[3])
else
  local held = redis.call('HMGET', l[1], 'token', 'read')
  if held[1] ~= ARGV[3] or held[2] == '1' then return false end
end
redis.call('PEXPIRE', l[1], ARGV[4])
redis.call('PEXPIRE', k, ARGV[4])
return { l[4], l[5], l[6], l[3] }
`;

/** holder, token, read 0/1, ms that what was read is not read again */
const RELEASE = `${NOW}${END_LEASE}
local k = p .. 'lease-token:' .. ARGV[3]
local l = redis.call('HMGET', k, 'key', 'holder', 'aside')
if not l[1] or l[2] ~= ARGV[2] then return end
if ARGV[4] == '0' or l[3] == '1' then return endLease(ARGV[3]) end
if redis.call('HGET', l[1], 'token') ~= ARGV[3] then return end
redis.call('HSET', l[1], 'read', '1')
redis.call('PEXPIRE', l[1], ARGV[5])
redis.call('PEXPIRE', k, ARGV[5])
`;

/** holder, how others reach it, digest, upstream, aside 0/1, token, ms left, stripe, read 0/1: unless somebody else has it */
const RESTORE = `${NOW}
local holder, digest, token, ttl = ARGV[2], ARGV[4], ARGV[7], tonumber(ARGV[8])
local key = ARGV[6] == '1' and p .. 'aside:' .. ARGV[5] or p .. 'lease:' .. digest .. ':' .. ARGV[9]
if tonumber(redis.call('GET', p .. 'token') or '0') < tonumber(token) then
  redis.call('SET', p .. 'token', token)
end
if ARGV[6] == '1' then redis.call('ZADD', key, now + ttl, token)
elseif redis.call('EXISTS', key) == 1 then return
else redis.call('HSET', key, 'holder', holder, 'peer', ARGV[3], 'token', token, 'read', ARGV[10]) end
redis.call('PEXPIRE', key, ttl)
local k = p .. 'lease-token:' .. token
redis.call('HSET', k, 'key', key, 'holder', holder, 'aside', ARGV[6], 'stripe', ARGV[9], 'digest', digest,
  'upstream', ARGV[5])
redis.call('PEXPIRE', k, ttl)
redis.call('SADD', p .. 'holder:' .. holder, token)
redis.call('PEXPIRE', p .. 'holder:' .. holder, 120000)
`;

export const SCRIPTS = {
  beat: BEAT,
  look: LOOK,
  blobs: BLOBS,
  sweep: SWEEP,
  ask: ASK,
  renew: RENEW,
  release: RELEASE,
  restore: RESTORE,
} as const;

export type ScriptName = keyof typeof SCRIPTS;
