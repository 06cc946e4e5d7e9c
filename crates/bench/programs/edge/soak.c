/* A service of `bench edge --only soak`: answers, or fails in the way that its path names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each version has another number here. */
static volatile const char version[] = "version 00000";

static void head(void) {
    fputs("Content-Type: text/plain\n\n", stdout);
}

static int echo(void) {
    static char piece[4096];
    head();
    for (size_t count; (count = fread(piece, 1, sizeof piece, stdin)) > 0;) fwrite(piece, 1, count, stdout);
    return 0;
}

static int much(void) {
    head();
    for (int line = 0; line < 10000; line++) printf("%031d\n", line);
    return 0;
}

static int fine(void) {
    const char *query = getenv("QUERY_STRING");
    head();
    printf("%s %s\n", (const char *)version, query ? query : "");
    return 0;
}

int main(void) {
    const char *path = getenv("PATH_INFO");
    if (!path) return 1;
    if (!strcmp(path, "/echo")) return echo();
    if (!strcmp(path, "/much")) return much();
    if (!strcmp(path, "/trap")) __builtin_trap();
    if (!strcmp(path, "/spin")) for (volatile unsigned turns = 0;; turns++) {}
    if (!strcmp(path, "/wait")) sleep(3600);
    if (!strcmp(path, "/nonsense")) return puts("no head at all") < 0;
    /* Kept, or the compiler needs no memory for it. */
    static void *volatile block;
    if (!strcmp(path, "/grow")) while ((block = malloc(1 << 20))) {}
    if (!strcmp(path, "/grow")) return 1;
    if (!strcmp(path, "/log")) for (int line = 0; line < 100; line++) fprintf(stderr, "line %d\n", line);
    return fine();
}
