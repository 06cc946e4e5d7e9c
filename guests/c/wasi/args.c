// Arguments and environment: what they are; with the argument `wrong`, what happens when there is no room.

#include "wasi.h"

static char *strings[32];
static char bytes[1024];
static u32 count, size;

static void list(const char *what)
{
    printf("%u %s, %u bytes:\n", count, what, size);
    for (u32 i = 0; i < count; i++)
        printf("  [%s] at %d\n", strings[i], (int)(strings[i] - bytes));
}

static void wrong(void)
{
    SHOW(args_sizes_get(NOWHERE, &size));
    SHOW(args_sizes_get(&count, last_bytes(3)));
    SHOW(environ_sizes_get(&count, NOWHERE));
    SHOW(environ_sizes_get(last_bytes(2), &size));
    SHOW(args_get(NOWHERE, bytes));
    SHOW(args_get(strings, NOWHERE));
    SHOW(args_get(last_bytes(4), bytes));
    SHOW(environ_get(strings, last_bytes(4)));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "wrong") == 0) {
        wrong();
        return 0;
    }
    SHOW(args_sizes_get(&count, &size));
    SHOW(args_get(strings, bytes));
    list("arguments");
    SHOW(environ_sizes_get(&count, &size));
    SHOW(environ_get(strings, bytes));
    list("variables");
    return 0;
}
