/* Parses quoted CSV a character at a time through callbacks, sums columns, groups by a field. */
#include "bench.h"

#define ROWS 40000

enum state { FIELD_START, PLAIN, QUOTED, QUOTE_IN_QUOTED };

struct parser {
  enum state state;
  char field[64];
  uint32_t length, column;
  void (*on_field)(struct parser *);
  void (*on_row)(struct parser *);
  uint64_t sums[4], groups[32], rows;
  uint32_t group;
};

static char document[4 << 20];

static void end_field(struct parser *p) {
  p->on_field(p);
  p->length = 0;
  p->column++;
  p->state = FIELD_START;
}

static void push(struct parser *p, char c) {
  if (p->length < sizeof p->field) p->field[p->length++] = c;
}

static void feed(struct parser *p, char c) {
  switch (p->state) {
    case FIELD_START:
      if (c == '"') { p->state = QUOTED; return; }
      p->state = PLAIN; /* fall through */
    case PLAIN:
      if (c == ',') end_field(p);
      else if (c == '\n') end_field(p), p->on_row(p);
      else push(p, c);
      return;
    case QUOTED:
      if (c == '"') p->state = QUOTE_IN_QUOTED;
      else push(p, c);
      return;
    case QUOTE_IN_QUOTED:
      if (c == '"') push(p, c), p->state = QUOTED;
      else p->state = PLAIN, feed(p, c);
  }
}

static void sum_field(struct parser *p) {
  uint64_t n = 0;
  uint32_t hash = 0;
  for (uint32_t i = 0; i < p->length; i++) {
    char c = p->field[i];
    if (c >= '0' && c <= '9') n = n * 10 + (uint64_t)(c - '0');
    hash = hash * 31 + (uint8_t)c;
  }
  if (p->column < 4) p->sums[p->column] += n;
  if (p->column == 1) p->group = hash % 32;
}

static void count_row(struct parser *p) {
  p->groups[p->group]++;
  p->rows++;
  p->column = 0;
}

static char *put_number(char *out, uint32_t n) {
  char digits[12];
  int count = 0;
  do digits[count++] = (char)('0' + n % 10), n /= 10; while (n);
  while (count) *out++ = digits[--count];
  return out;
}

static size_t write_document(void) {
  uint32_t seed = 21;
  char *out = document;
  for (int i = 0; i < ROWS; i++) {
    out = put_number(out, (uint32_t)i);
    *out++ = ',', *out++ = '"';
    for (uint32_t n = bench_random(&seed) % 12; n; n--) *out++ = (char)('a' + n % 7);
    *out++ = '"', *out++ = '"', *out++ = ',', *out++ = '"', *out++ = ',';
    out = put_number(out, bench_random(&seed) % 100000);
    *out++ = ',';
    out = put_number(out, bench_random(&seed));
    *out++ = '\n';
  }
  return (size_t)(out - document);
}

int64_t bench_run(void) {
  size_t length = write_document();
  uint64_t hash = BENCH_FOLD_START;
  for (int round = 0; round < 24; round++) {
    struct parser p = {.on_field = sum_field, .on_row = count_row};
    for (size_t i = 0; i < length; i++) feed(&p, document[i]);
    hash = bench_fold(hash, p.sums, sizeof p.sums);
    hash = bench_fold(hash, p.groups, sizeof p.groups) + p.rows;
  }
  return (int64_t)hash;
}
