/* PCRE2's interpreter: patterns with groups, back references and look-ahead over text. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "bench.h"
#include "pcre2.h"

static char text[1 << 19];

static uint64_t count(const char *pattern, uint64_t hash) {
  int error;
  PCRE2_SIZE at = 0;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_MULTILINE, &error, &at, 0);
  if (!code) abort();
  pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, 0);
  PCRE2_SIZE *found = pcre2_get_ovector_pointer(data);
  for (at = 0; pcre2_match(code, (PCRE2_SPTR)text, sizeof text, at, 0, data, 0) > 0; at = found[1] + 1) {
    uint32_t span[2] = {(uint32_t)found[0], (uint32_t)found[1]};
    hash = bench_fold(hash, span, sizeof span);
  }
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  return hash;
}

int64_t bench_run(void) {
  static const char *const patterns[] = {"\\b(\\w+) \\1\\b", "thread(?= of| and)", "[a-z]+(?:er|ed|ing)\\b",
                                         "^the .*? (loom|edge)$", "(m\\w*) (?:\\w+ ){0,3}(t\\w*)", "[^aeiou\\s]{4,}"};
  uint64_t hash = BENCH_FOLD_START;
  bench_text(text, sizeof text, 23);
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) hash = count(patterns[i], hash);
  return (int64_t)hash;
}
