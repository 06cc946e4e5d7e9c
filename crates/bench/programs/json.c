/* Writes a JSON document, parses it into a tree, walks the tree; several rounds. */
#include "bench.h"

enum kind { NUL, BOOL, NUMBER, STRING, ARRAY, OBJECT };

struct value {
  enum kind kind;
  double number;
  const char *text, *name;
  uint32_t text_length, name_length;
  struct value *child, *next;
};

static char document[2 << 20];
static struct value pool[1 << 18];
static size_t pooled;
static const char *at;

static struct value *parse_value(void);

static void blank(void) {
  while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
}

static struct value *fresh(enum kind kind) {
  struct value *v = &pool[pooled++];
  memset(v, 0, sizeof *v);
  v->kind = kind;
  return v;
}

static void scan_string(const char **text, uint32_t *length) {
  const char *start = ++at;
  while (*at != '"') at += *at == '\\' ? 2 : 1;
  *text = start;
  *length = (uint32_t)(at++ - start);
}

static struct value *parse_number(void) {
  struct value *v = fresh(NUMBER);
  int negative = *at == '-';
  double x = 0, scale = 1;
  for (at += negative; *at >= '0' && *at <= '9'; at++) x = x * 10 + (*at - '0');
  if (*at == '.')
    for (at++; *at >= '0' && *at <= '9'; at++) scale /= 10, x += (*at - '0') * scale;
  if (*at == 'e' || *at == 'E') {
    int down = *++at == '-', exponent = 0;
    if (*at == '-' || *at == '+') at++;
    while (*at >= '0' && *at <= '9') exponent = exponent * 10 + (*at++ - '0');
    while (exponent--) x = down ? x / 10 : x * 10;
  }
  v->number = negative ? -x : x;
  return v;
}

static struct value *parse_members(enum kind kind, char end) {
  struct value *v = fresh(kind), **tail = &v->child;
  at++;
  for (blank(); *at != end; blank()) {
    const char *name = 0;
    uint32_t length = 0;
    if (kind == OBJECT) scan_string(&name, &length), blank(), at++;
    struct value *member = parse_value();
    member->name = name;
    member->name_length = length;
    *tail = member, tail = &member->next;
    blank();
    if (*at == ',') at++;
  }
  at++;
  return v;
}

static struct value *parse_value(void) {
  struct value *v;
  blank();
  switch (*at) {
    case '{': return parse_members(OBJECT, '}');
    case '[': return parse_members(ARRAY, ']');
    case '"': v = fresh(STRING), scan_string(&v->text, &v->text_length); return v;
    case 't': at += 4, v = fresh(BOOL), v->number = 1; return v;
    case 'f': at += 5; return fresh(BOOL);
    case 'n': at += 4; return fresh(NUL);
    default: return parse_number();
  }
}

static char *put(char *out, const char *text) {
  while (*text) *out++ = *text++;
  return out;
}

static char *put_number(char *out, uint32_t n) {
  char digits[12];
  int count = 0;
  do digits[count++] = (char)('0' + n % 10), n /= 10; while (n);
  while (count) *out++ = digits[--count];
  return out;
}

static size_t write_document(uint32_t seed) {
  char *out = put(document, "{\"users\": [");
  for (int i = 0; i < 6000; i++) {
    out = put(put_number(put(out, i ? ",\n  {\"id\": " : "\n  {\"id\": "), (uint32_t)i), ", \"name\": \"user \\\"");
    out = put(put_number(out, bench_random(&seed) % 1000), "\\\"\", \"active\": ");
    out = put(put(out, bench_random(&seed) & 1 ? "true" : "false"), ", \"score\": -");
    out = put_number(put(put_number(out, bench_random(&seed) % 100), "."), bench_random(&seed) % 1000);
    out = put(put_number(put(out, "e"), bench_random(&seed) % 3), ", \"tags\": [");
    for (uint32_t t = 0, n = bench_random(&seed) % 6; t < n; t++)
      out = put(put_number(put(out, t ? ", \"tag" : "\"tag"), bench_random(&seed) % 50), "\"");
    out = put(out, "], \"parent\": null}");
  }
  out = put(out, "\n]}\n");
  *out = 0;
  return (size_t)(out - document);
}

static uint64_t walk(const struct value *v, uint64_t hash) {
  for (; v; v = v->next) {
    int64_t scaled = (int64_t)(v->number * 64);
    hash = bench_fold(hash, &scaled, sizeof scaled);
    hash = bench_fold(bench_fold(hash, v->text, v->text_length), v->name, v->name_length);
    hash = walk(v->child, hash * 31 + v->kind);
  }
  return hash;
}

int64_t bench_run(void) {
  uint64_t hash = BENCH_FOLD_START;
  for (uint32_t round = 1; round <= 30; round++) {
    write_document(round);
    at = document;
    pooled = 0;
    hash = walk(parse_value(), hash);
  }
  return (int64_t)hash;
}
