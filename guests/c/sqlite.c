// SQLite, from the sources that the Rust package libsqlite3-sys carries, on a database file.
//
//   sqlite FILE < STATEMENTS
//
// Runs each line of standard input as SQL and prints the rows; a line `.reopen` closes the file and opens it
// again. Ends with 1 at the first statement that fails.

#include "sqlite3.c"
#include "wasm32-wasi-vfs.c"

#include <stdio.h>

static sqlite3 *db;

static int print_row(void *unused, int count, char **values, char **names)
{
    (void)unused, (void)names;
    for (int i = 0; i < count; i++)
        printf("%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
    printf("\n");
    return 0;
}

static int failed(const char *line)
{
    fprintf(stderr, "%s: %s\n", sqlite3_errmsg(db), line);
    return 1;
}

static int reopen(const char *file)
{
    sqlite3_close(db);
    return sqlite3_open(file, &db);
}

int main(int argc, char **argv)
{
    static char line[1 << 16];
    if (argc != 2 || reopen(argv[1]) != SQLITE_OK)
        return failed("open");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        int result = strcmp(line, ".reopen") ? sqlite3_exec(db, line, print_row, 0, 0) : reopen(argv[1]);
        if (result != SQLITE_OK)
            return failed(line);
    }
    return sqlite3_close(db) != SQLITE_OK;
}
