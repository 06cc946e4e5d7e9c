// Listing a directory: as a whole, in pieces, from a cookie on, while it changes; with an argument, wrongly.

#include <stdlib.h>

#include "wasi.h"

#define FILES 100
#define NAMES 200

static char buffer[8192], names[NAMES][32];
static u32 used, listed;

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

// Takes the whole entries of the buffer; returns the cookie after the last.
static u64 take(u64 cookie)
{
    for (u32 at = 0; at + sizeof(__wasi_dirent_t) <= used;) {
        __wasi_dirent_t entry;
        memcpy(&entry, buffer + at, sizeof entry);
        at += sizeof entry + entry.d_namlen;
        if (at > used)
            break;
        snprintf(names[listed++ % NAMES], 32, "%.*s %s", (int)entry.d_namlen, buffer + at - entry.d_namlen,
                 type_names[entry.d_type]);
        cookie = entry.d_next;
    }
    return cookie;
}

// Lists through a buffer of so many bytes; returns how many names there are.
static u32 list(u32 bytes)
{
    u64 cookie = 0;
    listed = 0;
    do {
        if (fd_readdir(DIR, buffer, bytes, cookie, &used) != 0)
            return 0;
        cookie = take(cookie);
    } while (used == bytes);
    qsort(names, listed, sizeof names[0], by_name);
    return listed;
}

static void show_names(void)
{
    for (u32 i = 0; i < listed; i++)
        printf("  %s\n", names[i]);
}

static int32_t make(int number)
{
    char name[32];
    u32 fd = 0;
    snprintf(name, sizeof name, "file-%03d", number);
    int32_t errno = path_open(DIR, 0, name, strlen(name), __WASI_OFLAGS_CREAT, 0, 0, 0, &fd);
    return errno ? errno : fd_close(fd);
}

// Every name that was there all the time is listed exactly once, whatever comes and goes meanwhile.
static void while_it_changes(void)
{
    char name[32];
    u64 cookie = 0;
    u32 round = 0, kept = 0;
    listed = 0;
    do {
        if (fd_readdir(DIR, buffer, 512, cookie, &used) != 0)
            return;
        cookie = take(cookie);
        snprintf(name, sizeof name, "file-%03d", 99 - (int)round);
        path_unlink_file(DIR, name, strlen(name));
        make(200 + round++);
    } while (used == 512);
    u32 all = listed;
    qsort(names, all, sizeof names[0], by_name);
    for (u32 i = 0; i < all; i++)
        kept += strncmp(names[i], "file-0", 6) == 0 && names[i][6] < '5' && (i == 0 || strcmp(names[i], names[i - 1]));
    printf("while files came and went: %u of 50\n", kept);
}

static void wrong(void)
{
    SHOW(fd_readdir(DIR, NOWHERE, 64, 0, &used));
    SHOW(fd_readdir(DIR, last_bytes(64), 65, 0, &used));
    SHOW(fd_readdir(DIR, buffer, sizeof buffer, 0, NOWHERE));
    SHOW(fd_readdir(DIR, buffer, sizeof buffer, 0xffffffffffffffff, &used));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        wrong();
        return 0;
    }
    printf("empty: %u\n", list(sizeof buffer));
    show_names();
    SHOW(path_create_directory(DIR, P("dir")));
    SHOW(path_symlink(P("dir"), DIR, P("link")));
    SHOW(make(0));
    printf("with three: %u\n", list(sizeof buffer));
    show_names();

    for (int i = 1; i < FILES; i++)
        make(i);
    printf("in one piece: %u\n", list(sizeof buffer));
    printf("in small pieces: %u\n", list(64));
    printf("first %s, last %s\n", names[0], names[listed - 1]);

    SHOW(fd_readdir(DIR, buffer, 30, 0, &used));
    printf("  %u bytes, a whole entry or a part\n", used);
    SHOW(fd_readdir(DIR, buffer, 0, 0, &used));
    printf("  %u bytes\n", used);
    while_it_changes();

    SHOW(fd_readdir(1, buffer, sizeof buffer, 0, &used));
    SHOW(fd_readdir(99, buffer, sizeof buffer, 0, &used));
    return 0;
}
