// Waiting: for clocks, relative and absolute, for files, for standard input, each with a clock that is too
// late. Standard input has the five bytes `input`. With an argument: for several at once, and wrongly.

#include "wasi.h"

static __wasi_subscription_t wanted[4];
static __wasi_event_t happened[4];
static u32 count;
static u64 before, after;

static __wasi_subscription_t clock(u64 userdata, u32 id, u64 timeout, u32 flags)
{
    __wasi_subscription_t s = {.userdata = userdata};
    s.u.tag = __WASI_EVENTTYPE_CLOCK;
    s.u.u.clock = (__wasi_subscription_clock_t){.id = id, .timeout = timeout, .flags = flags};
    return s;
}

static __wasi_subscription_t file(u64 userdata, u32 tag, u32 fd)
{
    __wasi_subscription_t s = {.userdata = userdata};
    s.u.tag = tag;
    s.u.u.fd_read.file_descriptor = fd;
    return s;
}

static void show_events(void)
{
    for (u32 i = 0; i < count; i++)
        printf("  %llu: type %u, %s\n", happened[i].userdata, happened[i].type, errno_name(happened[i].error));
}

static void clocks(void)
{
    wanted[0] = clock(1, __WASI_CLOCKID_MONOTONIC, 20000000, 0);
    clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &before);
    SHOW(poll_oneoff(wanted, happened, 1, &count));
    clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &after);
    show_events();
    printf("  20 ms later: %s\n", after - before >= 20000000 ? "yes" : "no");

    wanted[0] = clock(2, __WASI_CLOCKID_MONOTONIC, after + 20000000, __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME);
    SHOW(poll_oneoff(wanted, happened, 1, &count));
    clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &before);
    show_events();
    printf("  20 ms later: %s\n", before - after >= 20000000 ? "yes" : "no");

    wanted[0] = clock(3, __WASI_CLOCKID_REALTIME, 1000, __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME);
    wanted[1] = clock(4, __WASI_CLOCKID_REALTIME, 3600000000000, 0);
    SHOW(poll_oneoff(wanted, happened, 2, &count));
    show_events();
}

static void files(void)
{
    u32 fd = 0, done = 0;
    SHOW(path_open(DIR, 0, P("file"), __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, 0, &fd));
    __wasi_ciovec_t out = {(const uint8_t *)"0123456789", 10};
    fd_write(fd, &out, 1, &done);
    u64 position;
    fd_seek(fd, 3, __WASI_WHENCE_SET, &position);
    wanted[0] = clock(5, __WASI_CLOCKID_MONOTONIC, 3600000000000, 0);
    wanted[1] = file(6, __WASI_EVENTTYPE_FD_READ, fd);
    SHOW(poll_oneoff(wanted, happened, 2, &count));
    show_events();
    printf("  %llu bytes can be read\n", happened[0].fd_readwrite.nbytes);
    wanted[1] = file(7, __WASI_EVENTTYPE_FD_WRITE, fd);
    SHOW(poll_oneoff(wanted, happened, 2, &count));
    show_events();
    SHOW(fd_close(fd));
}

static void standard_input(void)
{
    char text[8];
    u32 done = 0;
    wanted[0] = file(8, __WASI_EVENTTYPE_FD_READ, 0);
    wanted[1] = clock(9, __WASI_CLOCKID_MONOTONIC, 3600000000000, 0);
    SHOW(poll_oneoff(wanted, happened, 2, &count));
    show_events();
    __wasi_iovec_t in = {(uint8_t *)text, sizeof text};
    SHOW(fd_read(0, &in, 1, &done));
    printf("  [%.*s]\n", (int)done, text);
}

static void wrong(void)
{
    wanted[0] = file(10, __WASI_EVENTTYPE_FD_READ, 99);
    wanted[1] = clock(11, __WASI_CLOCKID_MONOTONIC, 3600000000000, 0);
    SHOW(poll_oneoff(wanted, happened, 2, &count));
    show_events();
    wanted[0] = file(15, __WASI_EVENTTYPE_FD_WRITE, 1);
    wanted[1] = file(16, __WASI_EVENTTYPE_FD_WRITE, 2);
    SHOW(poll_oneoff(wanted, happened, 2, &count));
    show_events();
    wanted[0] = clock(12, 77, 1, 0);
    wanted[1] = file(13, 9, 0);
    SHOW(poll_oneoff(wanted, happened, 2, &count));
    show_events();
    wanted[0] = clock(14, __WASI_CLOCKID_MONOTONIC, 1, 0);
    SHOW(poll_oneoff(NOWHERE, happened, 1, &count));
    SHOW(poll_oneoff(wanted, NOWHERE, 1, &count));
    SHOW(poll_oneoff(wanted, happened, 1, NOWHERE));
    SHOW(poll_oneoff(wanted, happened, 0x10000000, &count));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        wrong();
        return 0;
    }
    clocks();
    files();
    standard_input();
    SHOW(poll_oneoff(wanted, happened, 0, &count));
    return 0;
}
