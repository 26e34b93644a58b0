-- ffi_sqlite.lua: a real library: opaque structs with methods, out-parameters, callbacks with text,
-- a query that is interrupted, many at once.

local support = require "ffi_support"
local check, ffi, case = support.check, support.ffi, support.case
local gosched = support.gosched

ffi.cdef [[
  typedef struct sqlite3 sqlite3;
  typedef struct sqlite3_stmt sqlite3_stmt;
  typedef struct sqlite3_context sqlite3_context;
  typedef struct sqlite3_value sqlite3_value;
  int sqlite3_open(const char *name, sqlite3 **db);
  int sqlite3_close_v2(sqlite3 *db);
  const char *sqlite3_errmsg(sqlite3 *db);
  int sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg,
                   char **message);
  void sqlite3_free(void *p);
  int sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **stmt, const char **tail);
  int sqlite3_bind_int64(sqlite3_stmt *stmt, int i, int64_t v);
  int sqlite3_bind_text(sqlite3_stmt *stmt, int i, const char *text, int n, void (*destroy)(void *));
  int sqlite3_step(sqlite3_stmt *stmt);
  int sqlite3_reset(sqlite3_stmt *stmt);
  int64_t sqlite3_column_int64(sqlite3_stmt *stmt, int i);
  double sqlite3_column_double(sqlite3_stmt *stmt, int i);
  const unsigned char *sqlite3_column_text(sqlite3_stmt *stmt, int i);
  int sqlite3_finalize(sqlite3_stmt *stmt);
  void sqlite3_interrupt(sqlite3 *db);
  int sqlite3_create_function(sqlite3 *db, const char *name, int nargs, int encoding, void *app,
                              void (*call)(sqlite3_context *, int, sqlite3_value **),
                              void (*step)(sqlite3_context *, int, sqlite3_value **),
                              void (*final)(sqlite3_context *));
  int64_t sqlite3_value_int64(sqlite3_value *v);
  void sqlite3_result_int64(sqlite3_context *c, int64_t v);
]]

local S = ffi.load "libsqlite3.so.0"
local ROW, DONE, INTERRUPT = 100, 101, 9
local step = S.sqlite3_step

local DB, Stmt = {}, {}
ffi.metatype("sqlite3", {__index = DB})
ffi.metatype("sqlite3_stmt", {__index = Stmt})

local function open()
  local out = ffi.new "sqlite3 *[1]"
  assert(S.sqlite3_open(":memory:", out) == 0)
  return ffi.gc(out[0], S.sqlite3_close_v2)
end

function DB:exec(sql, each)
  local message = ffi.new "char *[1]"
  local code = S.sqlite3_exec(self, sql, each, nil, message)
  if code == 0 then return end
  local text = ffi.string(message[0])
  S.sqlite3_free(message[0])
  error(text, 2)
end

function DB:prepare(sql)
  local out = ffi.new "sqlite3_stmt *[1]"
  if S.sqlite3_prepare_v2(self, sql, #sql, out, nil) ~= 0 then
    error(ffi.string(S.sqlite3_errmsg(self)), 2)
  end
  return ffi.gc(out[0], S.sqlite3_finalize)
end

function Stmt:rows()
  return function()
    if step(self) ~= ROW then return nil end
    return S.sqlite3_column_int64(self, 0), ffi.string(S.sqlite3_column_text(self, 1)),
      S.sqlite3_column_double(self, 2)
  end
end

local function filled()
  local db = open()
  db:exec "create table t (n integer, name text, x real)"
  local insert = db:prepare "insert into t values (?, ?, ? / 2.0)"
  for i = 1, 50 do
    S.sqlite3_bind_int64(insert, 1, i)
    S.sqlite3_bind_text(insert, 2, "name" .. i, -1, ffi.cast("void (*)(void *)", -1)) -- copied
    S.sqlite3_bind_int64(insert, 3, i)
    check.equal(step(insert), DONE)
    S.sqlite3_reset(insert)
  end
  return db
end

case("statements", function()
  local n = 0
  for i, name, x in filled():prepare("select n, name, x from t order by n desc"):rows() do
    check.equal(i, 50 - n)
    check.equal(name, "name" .. i)
    check.equal(x, i / 2)
    n = n + 1
  end
  check.equal(n, 50)
end)

case("rows come to a callback", function()
  local db, found = filled(), {}
  local each = ffi.cast("int (*)(void *, int, char **, char **)", function(_, n, values, names)
    gosched.sleep(0)
    local row = {}
    for i = 0, n - 1 do row[ffi.string(names[i])] = ffi.string(values[i]) end
    found[#found + 1] = row
    return 0
  end)
  if gosched.go and pcall(gosched.yield) then
    db:exec("select n, name from t where n <= 3", each)
    check.equal(found[3].name .. found[3].n, "name33")
  end
  each:free()
end)

case("SQL calls Lua", function()
  local db = filled()
  local twice = ffi.cast("void (*)(sqlite3_context *, int, sqlite3_value **)", function(c, _, values)
    S.sqlite3_result_int64(c, 2 * S.sqlite3_value_int64(values[0]))
  end)
  check.equal(S.sqlite3_create_function(db, "twice", 1, 1, nil, twice, nil, nil), 0)
  local sum = db:prepare "select sum(twice(n)), '', 0 from t"
  check.equal(sum:rows()(), 2550)
  sum = nil -- luacheck: ignore
  support.collect()
  twice:free()
end)

case("errors", function()
  local db = filled()
  check.raises(function() db:exec "select from" end, "syntax error")
  check.raises(function() db:prepare "select * from nowhere" end, "no such table: nowhere")
  check.raises(function()
    db:exec("select n from t", function() error "enough" end)
  end, "enough")
end)

check.case("a query is interrupted, others go on", function()
  gosched.run(function()
    local db = open()
    local ticks = 0
    local tick = ffi.cast("void (*)(sqlite3_context *, int, sqlite3_value **)", function(c, _, values)
      ticks = ticks + 1
      S.sqlite3_result_int64(c, S.sqlite3_value_int64(values[0]))
    end)
    S.sqlite3_create_function(db, "tick", 1, 1, nil, tick, nil, nil)
    local endless = db:prepare [[with recursive c(x) as (select 1 union all select x + 1 from c)
      select sum(tick(x)), '', 0 from c]]
    local bound = ffi.bind(S.sqlite3_step, {unblock = function() S.sqlite3_interrupt(db) end})
    local code
    local g = gosched.go(function()
      local ok, err = pcall(bound, endless)
      code = ok
      error(err, 0)
    end)
    while ticks < 10 do gosched.sleep(0.001) end -- it runs, and so does this
    g:cancel()
    check.truth(not pcall(g.join, g), "cancelled")
    check.equal(code, false)
    check.equal(S.sqlite3_reset(endless), INTERRUPT)
    endless = nil -- luacheck: ignore
    support.collect()
    tick:free()
  end)
end)

check.case("many at once", function()
  gosched.run(function()
    local all = {}
    for i = 1, 20 do
      all[i] = gosched.go(function()
        local n = 0
        for v in filled():prepare("select n, name, x from t"):rows() do n = n + v end
        return n
      end)
    end
    for i = 1, 20 do check.equal(all[i]:join(), 1275) end
  end)
end)

check.done()
