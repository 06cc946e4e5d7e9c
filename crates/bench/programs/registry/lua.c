/* Lua 5.4: tables, strings, closures and method calls in its interpreter. */
#include "bench.h"
#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

static const char script[] =
    "local sum = 0\n"
    "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end\n"
    "sum = sum + fib(25)\n"
    "local primes, sieve = {}, {}\n"
    "for i = 2, 100000 do\n"
    "  if not sieve[i] then primes[#primes + 1] = i; for j = i * i, 100000, i do sieve[j] = true end end\n"
    "end\n"
    "sum = sum + #primes * 7\n"
    "local Point = {}; Point.__index = Point\n"
    "function Point.new(x, y) return setmetatable({x = x, y = y}, Point) end\n"
    "function Point:add(o) return Point.new(self.x + o.x, self.y - o.y) end\n"
    "local p = Point.new(0, 0)\n"
    "for i = 1, 100000 do p = p:add(Point.new(i, i % 3)) end\n"
    "sum = sum + p.x + p.y\n"
    "local words, count = {}, {}\n"
    "for i = 1, 20000 do words[i] = 'w' .. (i * 7919 % 1009) end\n"
    "for _, w in ipairs(words) do count[w] = (count[w] or 0) + 1 end\n"
    "table.sort(words)\n"
    "local text = table.concat(words, ' ')\n"
    "for w in text:gmatch('w%d+') do sum = sum + #w end\n"
    "local reversed = text:gsub('(w)(%d)', '%2%1'):sub(1, 100)\n"
    "for i = 1, #reversed do sum = (sum * 31 + reversed:byte(i)) % 1000000007 end\n"
    "local f = 0.0\n"
    "for i = 1, 300000 do f = f + (i % 7) * 0.5 / i end\n"
    "return sum * 1000 + math.floor(f * 100)\n";

int64_t bench_run(void) {
  static const luaL_Reg libraries[] = {
      {"_G", luaopen_base}, {"table", luaopen_table}, {"string", luaopen_string}, {"math", luaopen_math}};
  lua_State *l = luaL_newstate();
  if (!l) abort();
  for (int i = 0; i < 4; i++) luaL_requiref(l, libraries[i].name, libraries[i].func, 1), lua_pop(l, 1);
  if (luaL_loadstring(l, script) != LUA_OK) abort();
  lua_call(l, 0, 1);
  int64_t result = (int64_t)lua_tointeger(l, -1);
  lua_close(l);
  return result;
}
