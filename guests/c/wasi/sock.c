// An echo server for two connections on a listener that was handed in as descriptor 3; and the ways in
// which sockets are used wrongly.

#include "wasi.h"

#define LISTENER 3

static u32 connection, done;
static uint16_t out_flags;
static char text[64];

static void echo(void)
{
    __wasi_iovec_t in[] = {{(uint8_t *)text, 3}, {(uint8_t *)text + 3, 32}};
    SHOW(sock_accept(LISTENER, 0, &connection));
    SHOW(sock_recv(connection, in, 1, __WASI_RIFLAGS_RECV_PEEK, &done, &out_flags));
    printf("  [%.*s], flags %u\n", (int)done, text, out_flags);
    SHOW(sock_recv(connection, in, 2, 0, &done, &out_flags));
    printf("  [%.*s], flags %u\n", (int)done, text, out_flags);
    __wasi_ciovec_t out[] = {{(const uint8_t *)"echo: ", 6}, {(const uint8_t *)text, done}};
    SHOW(sock_send(connection, out, 2, 0, &done));
    printf("  %u bytes\n", done);
}

static void ending(void)
{
    __wasi_iovec_t in = {(uint8_t *)text, sizeof text};
    SHOW(sock_shutdown(connection, __WASI_SDFLAGS_WR));
    SHOW(sock_recv(connection, &in, 1, 0, &done, &out_flags));
    printf("  %u bytes\n", done);
    __wasi_ciovec_t out = {(const uint8_t *)"late", 4};
    SHOW(sock_send(connection, &out, 1, 0, &done));
    SHOW(sock_shutdown(connection, __WASI_SDFLAGS_RD | __WASI_SDFLAGS_WR));
    SHOW(fd_close(connection));
}

static void as_a_file(void)
{
    __wasi_iovec_t in = {(uint8_t *)text, sizeof text};
    SHOW(sock_accept(LISTENER, __WASI_FDFLAGS_NONBLOCK, &connection));
    __wasi_fdstat_t stat;
    SHOW(fd_fdstat_get(connection, &stat));
    printf("  %s, flags %u\n", type_names[stat.fs_filetype], stat.fs_flags);
    SHOW(sock_recv(connection, &in, 1, 0, &done, &out_flags));
    SHOW(fd_fdstat_set_flags(connection, 0));
    __wasi_ciovec_t out = {(const uint8_t *)"welcome", 7};
    SHOW(fd_write(connection, &out, 1, &done));
    SHOW(fd_read(connection, &in, 1, &done));
    printf("  [%.*s]\n", (int)done, text);
    u64 position;
    SHOW(fd_seek(connection, 0, __WASI_WHENCE_SET, &position));
}

static void wrongly(void)
{
    __wasi_iovec_t in = {(uint8_t *)text, sizeof text};
    SHOW(sock_recv(connection, &in, 1, 4, &done, &out_flags));
    SHOW(sock_recv(connection, NOWHERE, 1, 0, &done, &out_flags));
    SHOW(sock_recv(connection, &in, 1, 0, NOWHERE, &out_flags));
    SHOW(sock_recv(connection, &in, 1, 0, &done, NOWHERE));
    SHOW(sock_send(connection, &in, 1, 1, &done));
    SHOW(sock_send(connection, NOWHERE, 1, 0, &done));
    SHOW(sock_send(connection, &in, 1, 0, NOWHERE));
    SHOW(sock_shutdown(connection, 0));
    SHOW(sock_shutdown(connection, 4));
    SHOW(fd_close(connection));
    SHOW(sock_recv(connection, &in, 1, 0, &done, &out_flags));
    SHOW(sock_accept(1, 0, &connection));
    SHOW(sock_recv(1, &in, 1, 0, &done, &out_flags));
    SHOW(sock_send(1, &in, 1, 0, &done));
    SHOW(sock_shutdown(1, __WASI_SDFLAGS_WR));
    SHOW(sock_accept(LISTENER, 0, NOWHERE));
    SHOW(sock_accept(LISTENER, __WASI_FDFLAGS_APPEND, &connection));
    SHOW(sock_send(LISTENER, &in, 1, 0, &done));
    SHOW(fd_fdstat_set_flags(LISTENER, __WASI_FDFLAGS_NONBLOCK));
    SHOW(sock_accept(LISTENER, 0, &connection));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 14); // what is printed goes out at the end
    echo();
    ending();
    as_a_file();
    wrongly();
    return 0;
}
