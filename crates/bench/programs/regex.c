/* A Thompson regular-expression machine: compiles patterns, simulates sets of states over text. */
#include "bench.h"

enum { SPLIT = 256, ANY, CLASS, MATCH };

struct node { int op, out, other; uint8_t set[32]; };

static struct node nodes[256];
static int used;
static const char *pattern;

struct fragment { int start, end; }; /* `end` is a node whose `out` is open */

static struct fragment alternatives(void);

static int add_node(int op) {
  nodes[used] = (struct node){.op = op, .out = -1, .other = -1};
  return used++;
}

static struct fragment parse_class(void) {
  int n = add_node(CLASS), negated = *pattern == '^';
  for (pattern += negated; *pattern != ']'; pattern++) {
    int from = (uint8_t)*pattern, to = from;
    if (pattern[1] == '-' && pattern[2] != ']') to = (uint8_t)pattern[2], pattern += 2;
    for (; from <= to; from++) nodes[n].set[from / 8] |= (uint8_t)(1 << from % 8);
  }
  pattern++;
  for (int i = 0; negated && i < 32; i++) nodes[n].set[i] ^= 255;
  return (struct fragment){n, n};
}

static struct fragment atom(void) {
  if (*pattern == '(') {
    pattern++;
    struct fragment inner = alternatives();
    pattern++;
    return inner;
  }
  if (*pattern == '[') return pattern++, parse_class();
  int n = add_node(*pattern == '.' ? ANY : (uint8_t)*pattern);
  pattern++;
  return (struct fragment){n, n};
}

static struct fragment repeated(void) {
  struct fragment f = atom();
  while (*pattern == '*' || *pattern == '+' || *pattern == '?') {
    int split = add_node(SPLIT), join = add_node(SPLIT);
    nodes[split].out = f.start, nodes[split].other = join;
    nodes[f.end].out = *pattern == '?' ? join : split;
    f.start = *pattern == '+' ? f.start : split;
    f.end = join;
    pattern++;
  }
  return f;
}

static struct fragment sequence(void) {
  struct fragment f = repeated();
  while (*pattern && *pattern != '|' && *pattern != ')') {
    struct fragment next = repeated();
    nodes[f.end].out = next.start;
    f.end = next.end;
  }
  return f;
}

static struct fragment alternatives(void) {
  struct fragment f = sequence();
  while (*pattern == '|') {
    pattern++;
    struct fragment other = sequence();
    int split = add_node(SPLIT), join = add_node(SPLIT);
    nodes[split].out = f.start, nodes[split].other = other.start;
    nodes[f.end].out = nodes[other.end].out = join;
    f = (struct fragment){split, join};
  }
  return f;
}

static int marks[256], list[2][256], mark;

static int follow(int n, int *states, int count) {
  if (n < 0 || marks[n] == mark) return count;
  marks[n] = mark;
  if (nodes[n].op == SPLIT) return follow(nodes[n].other, states, follow(nodes[n].out, states, count));
  states[count++] = n;
  return count;
}

static int accepts(const struct node *n, uint8_t c) {
  if (n->op < 256) return n->op == c;
  if (n->op == ANY) return c != '\n';
  return n->op == CLASS && n->set[c / 8] >> c % 8 & 1;
}

static uint64_t count_matches(const char *text, size_t length, int start) {
  uint64_t found = 0;
  int now = 0, counts[2] = {0, 0};
  for (size_t i = 0; i < length; i++) {
    int next = 1 - now;
    /* A match may begin anywhere: the start state joins every set. */
    if (!counts[now]) mark++;
    counts[now] = follow(start, list[now], counts[now]);
    mark++;
    counts[next] = 0;
    for (int s = 0; s < counts[now]; s++) {
      const struct node *n = &nodes[list[now][s]];
      if (n->op == MATCH) found += i;
      else if (accepts(n, (uint8_t)text[i])) counts[next] = follow(n->out, list[next], counts[next]);
    }
    now = next;
  }
  return found;
}

static char text[150000];

int64_t bench_run(void) {
  static const char *const patterns[] = {"th(e|read|at)", "[a-f]+ (loom|edge|cloth)", "([a-z]+ )*again",
                                         "m.d?ule [^ ]*s", "(w(ea|ar)(ve|p))|(f(un|ro)[a-z]*)"};
  uint64_t sum = 0;
  bench_text(text, sizeof text, 9);
  for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
    used = 0;
    pattern = patterns[p];
    struct fragment f = alternatives();
    nodes[f.end].out = add_node(MATCH);
    memset(marks, 0, sizeof marks);
    mark = 0;
    for (int round = 0; round < 9; round++) sum = sum * 31 + count_matches(text, sizeof text, f.start);
  }
  return (int64_t)sum;
}
