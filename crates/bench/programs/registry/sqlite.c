/* SQLite on a database in memory: inserts, an index, joins, aggregates, updates, text search. */
#include "bench.h"
#include "sqlite3.h"

static int no_open(sqlite3_vfs *v, const char *n, sqlite3_file *f, int flags, int *out) {
  (void)v, (void)n, (void)flags, (void)out;
  f->pMethods = 0;
  return SQLITE_CANTOPEN;
}
static int no_delete(sqlite3_vfs *v, const char *n, int s) { return (void)v, (void)n, (void)s, SQLITE_OK; }
static int no_access(sqlite3_vfs *v, const char *n, int f, int *out) {
  return (void)v, (void)n, (void)f, *out = 0, SQLITE_OK;
}
static int same_path(sqlite3_vfs *v, const char *n, int size, char *out) {
  return (void)v, sqlite3_snprintf(size, out, "%s", n), SQLITE_OK;
}
static int fixed_random(sqlite3_vfs *v, int size, char *out) { return (void)v, memset(out, 7, (size_t)size), size; }
static int no_sleep(sqlite3_vfs *v, int us) { return (void)v, us; }
static int fixed_time(sqlite3_vfs *v, double *out) { return (void)v, *out = 2460000.5, SQLITE_OK; }

static sqlite3_vfs memory_only = {.iVersion = 1, .szOsFile = sizeof(sqlite3_file), .mxPathname = 64, .zName = "none",
                                  .xOpen = no_open, .xDelete = no_delete, .xAccess = no_access,
                                  .xFullPathname = same_path, .xRandomness = fixed_random, .xSleep = no_sleep,
                                  .xCurrentTime = fixed_time};

int sqlite3_os_init(void) { return sqlite3_vfs_register(&memory_only, 1); }
int sqlite3_os_end(void) { return SQLITE_OK; }

static uint64_t hash;

static int fold_row(void *unused, int count, char **values, char **names) {
  (void)unused, (void)names;
  for (int i = 0; i < count; i++)
    if (values[i]) hash = bench_fold(hash, values[i], strlen(values[i]));
  return 0;
}

static void execute(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, fold_row, 0, 0) != SQLITE_OK) abort();
}

static void insert_rows(sqlite3 *db) {
  sqlite3_stmt *insert;
  uint32_t seed = 13;
  if (sqlite3_prepare_v2(db, "INSERT INTO orders VALUES (?, ?, ?, ?)", -1, &insert, 0) != SQLITE_OK) abort();
  execute(db, "BEGIN");
  for (int i = 0; i < 20000; i++) {
    char note[40];
    bench_text(note, sizeof note, bench_random(&seed));
    sqlite3_bind_int(insert, 1, i);
    sqlite3_bind_int(insert, 2, (int)(bench_random(&seed) % 500));
    sqlite3_bind_double(insert, 3, (double)(bench_random(&seed) % 100000) / 100.0);
    sqlite3_bind_text(insert, 4, note, sizeof note, SQLITE_TRANSIENT);
    if (sqlite3_step(insert) != SQLITE_DONE) abort();
    sqlite3_reset(insert);
  }
  execute(db, "COMMIT");
  sqlite3_finalize(insert);
}

int64_t bench_run(void) {
  sqlite3 *db;
  hash = BENCH_FOLD_START;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) abort();
  execute(db, "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, price REAL, note TEXT);"
              "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)");
  insert_rows(db);
  execute(db, "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499)"
              "INSERT INTO customers SELECT i, 'customer ' || i FROM n");
  execute(db, "CREATE INDEX by_customer ON orders (customer)");
  execute(db, "SELECT name, count(*), sum(price), max(note) FROM orders JOIN customers ON customer = customers.id"
              " GROUP BY name ORDER BY 3 DESC");
  execute(db, "SELECT count(*) FROM orders WHERE note LIKE '%loom%' AND price > 250");
  execute(db, "UPDATE orders SET price = price * 1.1, note = upper(note) WHERE customer % 3 = 0");
  execute(db, "SELECT substr(note, 1, 8) AS k, avg(price), count(DISTINCT customer) FROM orders GROUP BY k ORDER BY k");
  execute(db, "DELETE FROM orders WHERE customer < 100; SELECT total(price), min(id) FROM orders");
  sqlite3_close(db);
  return (int64_t)hash;
}
