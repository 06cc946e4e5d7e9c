/* Quick sort of integers, merge sort of records, the library's qsort through a function pointer. */
#include "bench.h"

#define COUNT 400000

struct record { uint32_t key, payload; };

static uint32_t numbers[COUNT];
static struct record records[COUNT], spare[COUNT];

static void quick(uint32_t *v, int lo, int hi) {
  while (lo < hi) {
    uint32_t pivot = v[lo + (hi - lo) / 2];
    int i = lo - 1, j = hi + 1;
    for (;;) {
      do i++; while (v[i] < pivot);
      do j--; while (v[j] > pivot);
      if (i >= j) break;
      uint32_t t = v[i];
      v[i] = v[j];
      v[j] = t;
    }
    if (j - lo < hi - j) quick(v, lo, j), lo = j + 1;
    else quick(v, j + 1, hi), hi = j;
  }
}

static void merge_sort(struct record *v, struct record *tmp, int count) {
  if (count < 2) return;
  int half = count / 2;
  merge_sort(v, tmp, half);
  merge_sort(v + half, tmp + half, count - half);
  memcpy(tmp, v, (size_t)count * sizeof *v);
  int i = 0, j = half;
  for (int k = 0; k < count; k++)
    v[k] = j >= count || (i < half && tmp[i].key <= tmp[j].key) ? tmp[i++] : tmp[j++];
}

static int by_key(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

int64_t bench_run(void) {
  uint64_t hash = BENCH_FOLD_START;
  uint32_t seed = 11;
  for (int i = 0; i < COUNT; i++) numbers[i] = bench_random(&seed);
  for (int i = 0; i < COUNT; i++) records[i] = (struct record){bench_random(&seed) % 10000, (uint32_t)i};
  quick(numbers, 0, COUNT - 1);
  merge_sort(records, spare, COUNT);
  hash = bench_fold(hash, numbers, sizeof numbers);
  hash = bench_fold(hash, records, sizeof records);
  for (int i = 0; i < COUNT; i++) numbers[i] = bench_random(&seed);
  qsort(numbers, COUNT / 2, sizeof *numbers, by_key);
  return (int64_t)bench_fold(hash, numbers, sizeof numbers);
}
