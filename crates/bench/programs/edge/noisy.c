/* A tenant that means no good, for `bench edge`: spins, allocates, logs, traps, wants sockets or asks
 * a server that does not answer, as its path says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

static void allocate(void) {
    for (;;) {
        char *block = malloc(1 << 20);
        if (!block) exit(1);
        for (int at = 0; at < 1 << 20; at += 4096) ((volatile char *)block)[at] = 1;
    }
}

static void log_without_end(void) {
    for (int line = 0; line < 20000; line++) fprintf(stderr, "line %d of a log that nobody wants to read\n", line);
}

/* Programs are given none, and cannot make any: each attempt is refused. */
static void open_sockets(void) {
    __wasi_fd_t opened;
    for (unsigned attempt = 0;; attempt++) (void)__wasi_sock_accept(attempt % 64, 0, &opened);
}

__attribute__((import_module("wasi_experimental_http"), import_name("req"))) unsigned
http_req(const char *url, unsigned url_length, const char *method, unsigned method_length, const char *headers,
         unsigned headers_length, const char *body, unsigned body_length, unsigned short *status, unsigned *answer);

/* Its list has a server that nobody is: each attempt is a connection that is refused. */
static void connect_without_end(const char *url) {
    unsigned short status;
    unsigned answer;
    for (;;) (void)http_req(url, strlen(url), "GET", 3, "", 0, "", 0, &status, &answer);
}

int main(void) {
    const char *path = getenv("PATH_INFO");
    if (!path) return 1;
    if (!strcmp(path, "/spin")) for (volatile unsigned turns = 0;; turns++) {}
    if (!strcmp(path, "/allocate")) allocate();
    if (!strcmp(path, "/log")) log_without_end();
    if (!strcmp(path, "/trap")) __builtin_trap();
    if (!strcmp(path, "/sockets")) open_sockets();
    if (!strcmp(path, "/connect")) connect_without_end(getenv("QUERY_STRING"));
    puts("Content-Type: text/plain\n\nquiet");
    return 0;
}
