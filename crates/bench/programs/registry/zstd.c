/* Zstandard: compresses text at three levels and decompresses it again. */
#include "bench.h"
#include "zstd.h"

#define SIZE (1 << 20)

static char text[SIZE], packed[SIZE + (SIZE >> 4)], back[SIZE];

int64_t bench_run(void) {
  static const int levels[] = {1, 3, 9};
  uint64_t hash = BENCH_FOLD_START;
  bench_text(text, SIZE, 31);
  for (int i = 0; i < 3; i++) {
    size_t size = ZSTD_compress(packed, sizeof packed, text, SIZE, levels[i]);
    if (ZSTD_isError(size)) abort();
    hash = bench_fold(hash, packed, size);
    for (int round = 0; round < 5; round++)
      if (ZSTD_decompress(back, SIZE, packed, size) != SIZE) abort();
    if (memcmp(text, back, SIZE)) abort();
  }
  return (int64_t)hash;
}
