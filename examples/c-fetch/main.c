// A service in C that asks another server: GET /?http://api.example.com/path answers with what is there. The functions are
// those of WAGI's hosts (module `wasi_experimental_http`); which servers may be asked is in the configuration (`outbound`),
// or said to `selvedge dev --outbound URL`.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP(name) __attribute__((import_module("wasi_experimental_http"), import_name(#name))) uint32_t http_##name

// Makes a request, and waits until its answer begins. Headers are lines `name:value`. 0, or what went wrong: 7 if the
// server is not on the list, 11 if it does not answer.
HTTP(req)(const char *url, uint32_t url_length, const char *method, uint32_t method_length, const char *headers,
          uint32_t headers_length, const char *body, uint32_t body_length, uint16_t *status, uint32_t *answer);
// Reads on in the answer's body; no bytes are its end.
HTTP(body_read)(uint32_t answer, char *buffer, uint32_t size, uint32_t *read);
HTTP(header_get)(uint32_t answer, const char *name, uint32_t name_length, char *buffer, uint32_t size, uint32_t *length);
HTTP(close)(uint32_t answer);

static const char *explained(uint32_t error) {
    switch (error) {
    case 7: return "the server is not on the list of those that may be asked";
    case 10: return "that is no URL";
    case 11: return "the server does not answer";
    default: return "it cannot be asked";
    }
}

static int refuse(const char *status, const char *why) {
    printf("Status: %s\nContent-Type: text/plain; charset=utf-8\n\n%s\n", status, why);
    return 0;
}

int main(void) {
    const char *url = getenv("QUERY_STRING"), *headers = "accept:text/plain\n";
    if (!url || !*url) return refuse("200 OK", "ask for /?http://SERVER/PATH");
    uint16_t status = 0;
    uint32_t answer = 0;
    uint32_t error = http_req(url, strlen(url), "GET", 3, headers, strlen(headers), NULL, 0, &status, &answer);
    if (error) return refuse("502 Bad Gateway", explained(error));

    char type[128];
    uint32_t length = 0;
    if (http_header_get(answer, "content-type", strlen("content-type"), type, sizeof type - 1, &length)) length = 0;
    type[length] = 0;
    printf("Status: %d\nContent-Type: %s\n\n", status, length ? type : "application/octet-stream");
    char buffer[4096];
    uint32_t count = 0;
    while (!(error = http_body_read(answer, buffer, sizeof buffer, &count)) && count) fwrite(buffer, 1, count, stdout);
    http_close(answer);
    // Whoever reads this must see that the rest is missing.
    if (error) abort();
    return 0;
}
