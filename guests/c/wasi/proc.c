// Yielding and ending.
//
//   proc exit CODE | raise SIGNAL | return

#include <stdlib.h>

#include "wasi.h"

static void signals(void)
{
    SHOW(proc_raise(0));
    SHOW(proc_raise(16)); // SIGCHLD
    SHOW(proc_raise(18)); // SIGSTOP
    SHOW(proc_raise(31));
}

int main(int argc, char **argv)
{
    SHOW(sched_yield());
    if (argc == 1)
        return 0;
    if (strcmp(argv[1], "raise") == 0)
        signals();
    fflush(stdout);
    u32 number = strtoul(argv[2], NULL, 10);
    if (strcmp(argv[1], "exit") == 0)
        proc_exit(number);
    SHOW(proc_raise(number));
    return 0;
}
