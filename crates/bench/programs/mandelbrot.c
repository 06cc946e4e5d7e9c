/* Escape times of the Mandelbrot set in double precision. */
#include "bench.h"

#define SIZE 600
#define LIMIT 500

static uint32_t escape(double cx, double cy) {
  double x = 0, y = 0, xx = 0, yy = 0;
  uint32_t n = 0;
  for (; n < LIMIT && xx + yy <= 4; n++) {
    y = 2 * x * y + cy;
    x = xx - yy + cx;
    xx = x * x;
    yy = y * y;
  }
  return n;
}

int64_t bench_run(void) {
  uint64_t hash = BENCH_FOLD_START;
  for (int row = 0; row < SIZE; row++)
    for (int column = 0; column < SIZE; column++) {
      uint32_t n = escape(column * 3.0 / SIZE - 2.2, row * 3.0 / SIZE - 1.5);
      hash = (hash ^ n) * 0x100000001b3u;
    }
  return (int64_t)hash;
}
