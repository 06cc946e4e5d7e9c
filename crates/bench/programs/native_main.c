/* The native side: runs the program once, prints the nanoseconds of CPU time it took and its checksum. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "bench.h"

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(void) {
  int64_t start = now_ns();
  int64_t checksum = bench_run();
  int64_t end = now_ns();
  printf("%" PRId64 " %" PRId64 "\n", end - start, checksum);
  return 0;
}
