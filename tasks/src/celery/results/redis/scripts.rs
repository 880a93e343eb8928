//! What must happen at once in Redis. The keys are Celery 5.7's: its workers count the same chords with scripts of their own.

use redis::Cmd;

/// A script, sent whole: it is short, and a server that has restarted knows none.
pub(super) struct Script(&'static str);

impl Script {
    /// A call with keys; its arguments follow.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.0).arg(keys.len()).arg(keys);
        command
    }
}

/// Stores and announces a result, unless there is a SUCCESS. Keys: the task. Arguments: document, seconds.
pub(super) const STORE: Script = Script(
    r"
local before = redis.call('GET', KEYS[1])
if before then
    local read, meta = pcall(cjson.decode, before)
    if read and type(meta) == 'table' and meta['status'] == 'SUCCESS' then
        return redis.status_reply('OK')
    end
end
if tonumber(ARGV[2]) > 0 then
    redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])
else
    redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return redis.status_reply('OK')
",
);

/// Writes a chord's size. Keys: size, claim, shape. Arguments: size, seconds, `new` or `once`, shape or nothing.
/// Answers 0 if this run is over.
pub(super) const BEGIN: Script = Script(
    r"
local function write(key, value)
    if tonumber(ARGV[2]) > 0 then
        redis.call('SET', key, value, 'EX', ARGV[2])
    else
        redis.call('SET', key, value)
    end
end
if ARGV[3] == 'new' then
    redis.call('DEL', KEYS[2])
elseif redis.call('GET', KEYS[2]) == 'done' then
    return 0
end
if ARGV[4] ~= '' then
    write(KEYS[3], ARGV[4])
end
write(KEYS[1], ARGV[1])
return 1
",
);

/// Counts a part, once, and claims the body if it was the last.
/// Keys: parts, difference, size, seen, claim, shape. Arguments: task id, part, score, seconds, seconds of a claim, token.
/// Answers `done`, `waiting`, `claimed` (by another) or `complete`.
pub(super) const PART: Script = Script(
    r"
local claim = redis.call('GET', KEYS[5])
if claim == 'done' then
    return 'done'
end
if redis.call('SADD', KEYS[4], ARGV[1] .. ':' .. ARGV[3]) == 1 then
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
end
if tonumber(ARGV[4]) > 0 then
    for at = 1, 4 do
        redis.call('EXPIRE', KEYS[at], ARGV[4])
    end
    redis.call('EXPIRE', KEYS[6], ARGV[4])
end
local size = tonumber(redis.call('GET', KEYS[3]) or nil)
if not size or redis.call('ZCARD', KEYS[1]) < size + tonumber(redis.call('GET', KEYS[2]) or 0) then
    return 'waiting'
end
if claim == ARGV[6] or redis.call('SET', KEYS[5], ARGV[6], 'NX', 'EX', ARGV[5]) then
    return 'complete'
end
return 'claimed'
",
);

/// Prolongs a claim, or takes up one that has lapsed. Keys: claim, size. Arguments: token, seconds.
pub(super) const KEEP: Script = Script(
    r"
local claim = redis.call('GET', KEYS[1])
if claim == ARGV[1] or (not claim and redis.call('EXISTS', KEYS[2]) == 1) then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
    return 1
end
return 0
",
);

/// Forgets the parts and leaves a mark. Keys: claim, parts, difference, size, seen. Arguments: token, seconds of the mark.
pub(super) const FINISH: Script = Script(
    r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('SET', KEYS[1], 'done', 'EX', ARGV[2])
return 1
",
);
