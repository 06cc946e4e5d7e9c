// Clocks and random bytes: that they behave, since what they show is never the same; with an argument, used
// wrongly.

#include "wasi.h"

static u64 resolution, first, second;
static unsigned char a[64], b[64];

static const char *yes(int condition) { return condition ? "yes" : "no"; }

static void wrong(void)
{
    SHOW(clock_res_get(4, &resolution));
    SHOW(clock_time_get(0xffffffff, 0, &first));
    SHOW(clock_res_get(__WASI_CLOCKID_REALTIME, NOWHERE));
    SHOW(clock_time_get(__WASI_CLOCKID_REALTIME, 0, NOWHERE));
    SHOW(clock_time_get(__WASI_CLOCKID_REALTIME, 0, last_bytes(7)));

    memset(last_bytes(64), 7, 64);
    SHOW(random_get(last_bytes(64), 65));
    SHOW(random_get(last_bytes(64), 0xffffffff));
    SHOW(random_get(NOWHERE, 1));
    printf("untouched: %s\n", yes(last_bytes(64)[0] == 7 && last_bytes(1)[0] == 7));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        wrong();
        return 0;
    }
    SHOW(clock_res_get(__WASI_CLOCKID_REALTIME, &resolution));
    printf("some nanoseconds: %s\n", yes(resolution > 0 && resolution <= 1000000000));
    SHOW(clock_res_get(__WASI_CLOCKID_MONOTONIC, &resolution));
    printf("some nanoseconds: %s\n", yes(resolution > 0 && resolution <= 1000000000));

    SHOW(clock_time_get(__WASI_CLOCKID_REALTIME, 1, &first));
    printf("after September 2020: %s\n", yes(first > 1600000000000000000));
    SHOW(clock_time_get(__WASI_CLOCKID_MONOTONIC, 1000000, &first));
    SHOW(clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &second));
    printf("not backwards: %s\n", yes(second >= first));

    SHOW(random_get(a, sizeof a));
    SHOW(random_get(b, sizeof b));
    printf("different: %s\n", yes(memcmp(a, b, sizeof a) != 0));
    memset(a, 7, sizeof a);
    SHOW(random_get(a, 0));
    printf("untouched: %s\n", yes(a[0] == 7));
    return 0;
}
