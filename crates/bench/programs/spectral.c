/* Largest singular value of an infinite matrix's corner by power iteration; divisions dominate. */
#include <math.h>

#include "bench.h"

#define N 500

static double u[N], v[N], w[N];

static double entry(int i, int j) { return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1); }

static void times(const double *in, double *out) {
  for (int i = 0; i < N; i++) {
    double sum = 0;
    for (int j = 0; j < N; j++) sum += entry(i, j) * in[j];
    out[i] = sum;
  }
}

static void times_transposed(const double *in, double *out) {
  for (int i = 0; i < N; i++) {
    double sum = 0;
    for (int j = 0; j < N; j++) sum += entry(j, i) * in[j];
    out[i] = sum;
  }
}

int64_t bench_run(void) {
  double vbv = 0, vv = 0;
  for (int i = 0; i < N; i++) u[i] = 1;
  for (int round = 0; round < 60; round++) {
    times(u, w), times_transposed(w, v);
    times(v, w), times_transposed(w, u);
  }
  for (int i = 0; i < N; i++) vbv += u[i] * v[i], vv += v[i] * v[i];
  return (int64_t)(sqrt(vbv / vv) * 1e12);
}
