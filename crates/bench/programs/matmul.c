/* Dense matrix product in double precision, blocked by rows of B transposed. */
#include "bench.h"

#define N 320

static double a[N][N], b[N][N], bt[N][N], c[N][N];

static void fill(double m[N][N], uint32_t seed) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) m[i][j] = (double)(int)(bench_random(&seed) % 2001 - 1000) / 16.0;
}

static void multiply_plain(void) {
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++) {
      double x = a[i][k];
      for (int j = 0; j < N; j++) c[i][j] += x * b[k][j];
    }
}

static void multiply_transposed(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) bt[j][i] = b[i][j];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < N; k++) sum += a[i][k] * bt[j][k];
      c[i][j] -= sum * 0.5;
    }
}

int64_t bench_run(void) {
  fill(a, 1);
  fill(b, 2);
  memset(c, 0, sizeof c);
  for (int round = 0; round < 2; round++) multiply_plain(), multiply_transposed();
  return (int64_t)bench_fold(BENCH_FOLD_START, c, sizeof c);
}
