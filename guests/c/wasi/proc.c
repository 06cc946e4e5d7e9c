// Yielding and ending.
//
//   proc exit CODE | raise SIGNAL | return

#include <stdlib.h>

#include "wasi.h"

int main(int argc, char **argv)
{
    SHOW(sched_yield());
    SHOW(proc_raise(0));  // none
    SHOW(proc_raise(16)); // SIGCHLD
    SHOW(proc_raise(18)); // SIGSTOP
    SHOW(proc_raise(31));
    fflush(stdout);
    if (argc > 2 && strcmp(argv[1], "exit") == 0)
        proc_exit(strtoul(argv[2], NULL, 10));
    if (argc > 2 && strcmp(argv[1], "raise") == 0)
        SHOW(proc_raise(strtoul(argv[2], NULL, 10)));
    return 0;
}
