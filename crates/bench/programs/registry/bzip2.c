/* bzip2: compresses text and decompresses it again. */
#include "bench.h"
#include "bzlib.h"

#define SIZE (1 << 20)

static char text[SIZE], packed[SIZE], back[SIZE];

void bz_internal_error(int code) { (void)code, abort(); }

int64_t bench_run(void) {
  unsigned packed_size = SIZE, back_size = SIZE;
  bench_text(text, SIZE, 17);
  if (BZ2_bzBuffToBuffCompress(packed, &packed_size, text, SIZE, 9, 0, 0) != BZ_OK) abort();
  if (BZ2_bzBuffToBuffDecompress(back, &back_size, packed, packed_size, 0, 0) != BZ_OK) abort();
  if (back_size != SIZE || memcmp(text, back, SIZE)) abort();
  return (int64_t)bench_fold(BENCH_FOLD_START, packed, packed_size);
}
