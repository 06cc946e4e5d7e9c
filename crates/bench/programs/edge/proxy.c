/* The same service as hello.c, as a component of the world wasi:http/proxy, for the peer. Its imports are written by
   hand as generated bindings write them; it needs neither stdio nor an allocator, and so does less than hello.c. */
#include <stdint.h>
#include <string.h>

#define TYPES "wasi:http/types@0.2.0"
#define STREAMS "wasi:io/streams@0.2.0"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern

IMPORT(TYPES, "[constructor]fields") int32_t fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(int32_t self, const char *name, size_t name_len, const char *value, size_t value_len, void *result);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(int32_t self, void *result);
IMPORT(TYPES, "[resource-drop]incoming-request") void request_drop(int32_t self);
IMPORT(TYPES, "[constructor]outgoing-response") int32_t response_new(int32_t headers);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(int32_t self, void *result);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(int32_t self, int32_t is_err, int32_t value, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(int32_t self, void *result);
IMPORT(TYPES, "[static]outgoing-body.finish")
void body_finish(int32_t self, int32_t has_trailers, int32_t trailers, void *result);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(int32_t self, const char *at, size_t len, void *result);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(int32_t self);

/* The one string that comes in, the path. */
static char path[1024];

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_len, size_t align, size_t len) {
    if (len > sizeof path) __builtin_trap();
    return path;
}

struct handle {
    uint8_t is_err;
    int32_t value;
};

__attribute__((export_name("wasi:http/incoming-handler@0.2.0#handle"))) void handle(int32_t request, int32_t out) {
    char answer[sizeof path + 16] = "hello from ";
    uint64_t ignored[8];
    struct {
        uint8_t some;
        const char *at;
        size_t len;
    } asked;
    request_path(request, &asked);
    request_drop(request);
    size_t len = 11, path_len = asked.some ? asked.len : 0;
    memcpy(answer + len, asked.at, path_len);
    len += path_len;
    answer[len++] = '\n';

    int32_t headers = fields_new();
    fields_append(headers, "content-type", 12, "text/plain", 10, ignored);
    char digits[2] = {'0' + len / 10 % 10, '0' + len % 10};
    fields_append(headers, "content-length", 14, digits, 2, ignored);
    int32_t response = response_new(headers);
    struct handle body, stream;
    response_body(response, &body);
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    body_write(body.value, &stream);
    stream_write(stream.value, answer, len, ignored);
    stream_drop(stream.value);
    body_finish(body.value, 0, 0, ignored);
}
