-- SPDX-License-Identifier: Apache-2.0
-- The load for wrk: wrk ... -s bench/load.lua URL -- PATH KIND RUN. The requests are those of `till bench`, and the same
-- bytes go to whatever stands beside it. KIND: idem (an Idempotency-Key each), plain (none), numbered (a key and a
-- merchant_order_no). RUN makes the keys of this run its own. The last line on stdout is one JSON object.
local SKUS = 1000
local path, kind, run, n, seed

function init(args)
    path, kind, run, n, seed = args[1], args[2], args[3], 0, 12345
end

-- Drawn, not counted through: neighbours in time are no neighbours in the table.
local function draw(below)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return math.floor(seed / 65536) % below
end

function request()
    n = n + 1
    local first = draw(SKUS)
    local second = (first + 1 + draw(SKUS - 1)) % SKUS
    local number = kind == "numbered" and string.format(',"merchant_order_no":"%s-%08x"', run, n) or ""
    local key = kind ~= "plain" and string.format("Idempotency-Key: %s-%08x-0123456789\r\n", run, n) or ""
    local body = string.format('{"items":[{"sku":"bench-%04d","quantity":1},{"sku":"bench-%04d","quantity":2}],' ..
        '"channel":"any","pay_within":86400%s}', first, second, number)
    return string.format("POST %s HTTP/1.1\r\nHost: till\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
        path, key, #body, body)
end

function done(summary, latency)
    local e = summary.errors
    print(string.format('{"requests":%d,"seconds":%.6f,"errors":%d,"p50_ms":%.3f,"p99_ms":%.3f}', summary.requests,
        summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1e3,
        latency:percentile(99) / 1e3))
end
