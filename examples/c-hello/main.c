// A service in C: a CGI program. The request comes as environment and standard input, the answer goes to standard
// output as header lines, an empty line and the body; what is written to standard error is the site's log.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// The value of a parameter of the query, decoded into `out`; `otherwise` if it is not there.
static void parameter(const char *name, const char *otherwise, char *out, size_t size) {
    size_t length = strlen(name), at = 0;
    snprintf(out, size, "%s", otherwise);
    for (const char *part = variable("QUERY_STRING"); *part; part += strcspn(part, "&"), part += *part == '&') {
        if (strncmp(part, name, length) != 0 || part[length] != '=') continue;
        for (const char *c = part + length + 1; *c && *c != '&' && at + 1 < size; c++) {
            if (*c == '%' && digit(c[1]) >= 0 && digit(c[2]) >= 0) {
                out[at++] = (char)(digit(c[1]) * 16 + digit(c[2]));
                c += 2;
            } else {
                out[at++] = *c == '+' ? ' ' : *c;
            }
        }
        out[at] = 0;
        return;
    }
}

static void begin(const char *status) {
    printf("Status: %s\nContent-Type: text/plain; charset=utf-8\n\n", status);
}

static void refuse(const char *allowed) {
    printf("Status: 405 Method Not Allowed\nAllow: %s\nContent-Type: text/plain; charset=utf-8\n\n", allowed);
    printf("allowed here: %s\n", allowed);
}

static void greet(void) {
    char name[200];
    parameter("name", "world", name, sizeof name);
    begin("200 OK");
    printf("hello, %s, from C\n", name);
}

// Reads the body as it comes: it need not fit into memory.
static void count(void) {
    static char buffer[16384];
    unsigned long bytes = 0, lines = 0;
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, stdin)) > 0; bytes += got) {
        for (size_t i = 0; i < got; i++) lines += buffer[i] == '\n';
    }
    begin("200 OK");
    printf("%lu bytes, %lu lines\n", bytes, lines);
}

// Writes more than the server buffers: the client gets it while it is written.
static void numbers(void) {
    begin("200 OK");
    for (int number = 1; number <= 100000; number++) printf("%d\n", number);
}

int main(void) {
    const char *method = variable("REQUEST_METHOD"), *path = variable("PATH_INFO");
    // The server leaves the body out.
    if (!strcmp(method, "HEAD")) method = "GET";
    if (!strcmp(method, "GET") && !strcmp(path, "/")) {
        greet();
    } else if (!strcmp(method, "POST") && !strcmp(path, "/count")) {
        count();
    } else if (!strcmp(method, "GET") && !strcmp(path, "/numbers")) {
        numbers();
    } else if (!strcmp(path, "/") || !strcmp(path, "/numbers")) {
        refuse("GET, HEAD");
    } else if (!strcmp(path, "/count")) {
        refuse("POST");
    } else {
        fprintf(stderr, "nothing for %s %s\n", method, path);
        begin("404 Not Found");
        printf("there is nothing at %s\n", path);
    }
    return 0;
}
