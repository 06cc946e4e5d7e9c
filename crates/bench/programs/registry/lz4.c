/* LZ4: the fast compressor, the thorough one, and the decompressor. What the compressors choose depends
 * on the width of a pointer; only what comes back enters the checksum. */
#include "bench.h"
#include "lz4.h"
#include "lz4hc.h"

#define SIZE (1 << 20)

static char text[SIZE], packed[SIZE + (SIZE >> 4)], back[SIZE];

static uint64_t check(int size, uint64_t hash) {
  if (size <= 0) abort();
  for (int round = 0; round < 20; round++)
    if (LZ4_decompress_safe(packed, back, size, SIZE) != SIZE) abort();
  if (memcmp(text, back, SIZE)) abort();
  return bench_fold(hash, back, SIZE);
}

int64_t bench_run(void) {
  uint64_t hash = BENCH_FOLD_START;
  bench_text(text, SIZE, 61);
  for (int round = 0; round < 4; round++) hash = check(LZ4_compress_default(text, packed, SIZE, sizeof packed), hash);
  return (int64_t)check(LZ4_compress_HC(text, packed, SIZE, sizeof packed, 6), hash);
}
