/* zlib: DEFLATE at two levels and back, with CRC-32. */
#include "bench.h"
#include "zlib.h"

#define SIZE (1 << 20)

static unsigned char text[SIZE], packed[SIZE], back[SIZE];

int64_t bench_run(void) {
  static const int levels[] = {1, 6};
  uint64_t hash = BENCH_FOLD_START;
  bench_text((char *)text, SIZE, 81);
  for (int i = 0; i < 2; i++) {
    uLongf size = sizeof packed, back_size = SIZE;
    if (compress2(packed, &size, text, SIZE, levels[i]) != Z_OK) abort();
    for (int round = 0; round < 4; round++)
      if (uncompress(back, &back_size, packed, size) != Z_OK || back_size != SIZE) abort();
    uint32_t crc = (uint32_t)crc32(0, back, SIZE);
    hash = bench_fold(bench_fold(hash, packed, size), &crc, sizeof crc);
  }
  return (int64_t)hash;
}
