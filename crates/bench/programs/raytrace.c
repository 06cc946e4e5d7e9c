/* A small ray tracer in single precision: spheres over a checkered floor, shadows and mirrors. */
#include <math.h>

#include "bench.h"

#define WIDTH 800
#define HEIGHT 600
#define SPHERES 9

typedef struct { float x, y, z; } vec;
struct sphere { vec centre, colour; float radius, mirror; };
struct hit { float t; vec point, normal, colour; float mirror; };

static struct sphere spheres[SPHERES];

static vec v(float x, float y, float z) { return (vec){x, y, z}; }
static vec plus(vec a, vec b) { return v(a.x + b.x, a.y + b.y, a.z + b.z); }
static vec minus(vec a, vec b) { return v(a.x - b.x, a.y - b.y, a.z - b.z); }
static vec times(vec a, float s) { return v(a.x * s, a.y * s, a.z * s); }
static float dot(vec a, vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static vec unit(vec a) { return times(a, 1.0f / sqrtf(dot(a, a))); }

static float sphere_distance(const struct sphere *s, vec from, vec to) {
  vec oc = minus(from, s->centre);
  float b = dot(oc, to), d = b * b - dot(oc, oc) + s->radius * s->radius;
  if (d < 0) return 0;
  float root = sqrtf(d);
  return -b - root > 1e-3f ? -b - root : -b + root > 1e-3f ? -b + root : 0;
}

static int nearest(vec from, vec to, struct hit *hit) {
  hit->t = 1e30f;
  if (to.y < -1e-4f) {
    hit->t = -(from.y + 1) / to.y;
    hit->point = plus(from, times(to, hit->t));
    hit->normal = v(0, 1, 0);
    int dark = ((int)floorf(hit->point.x) + (int)floorf(hit->point.z)) & 1;
    hit->colour = dark ? v(0.2f, 0.2f, 0.25f) : v(0.9f, 0.9f, 0.8f);
    hit->mirror = 0.1f;
  }
  for (int i = 0; i < SPHERES; i++) {
    float t = sphere_distance(&spheres[i], from, to);
    if (t <= 0 || t >= hit->t) continue;
    hit->t = t;
    hit->point = plus(from, times(to, t));
    hit->normal = times(minus(hit->point, spheres[i].centre), 1 / spheres[i].radius);
    hit->colour = spheres[i].colour;
    hit->mirror = spheres[i].mirror;
  }
  return hit->t < 1e29f;
}

static vec trace(vec from, vec to, int depth) {
  struct hit hit, shade;
  if (!nearest(from, to, &hit)) return times(v(0.5f, 0.7f, 1.0f), 0.4f + 0.4f * to.y);
  vec light = unit(v(0.6f, 1.0f, -0.4f));
  float bright = dot(hit.normal, light);
  if (bright < 0 || nearest(hit.point, light, &shade)) bright = 0;
  vec colour = times(hit.colour, 0.2f + 0.8f * bright);
  if (depth == 0 || hit.mirror <= 0) return colour;
  vec mirrored = minus(to, times(hit.normal, 2 * dot(to, hit.normal)));
  return plus(times(colour, 1 - hit.mirror), times(trace(hit.point, unit(mirrored), depth - 1), hit.mirror));
}

int64_t bench_run(void) {
  uint64_t hash = BENCH_FOLD_START;
  for (int i = 0; i < SPHERES; i++)
    spheres[i] = (struct sphere){v((float)(i % 3) * 2.2f - 2.2f, (float)(i / 3) * 0.9f - 0.4f, 5.0f + (float)(i % 4)),
                                 v(0.3f + 0.07f * (float)i, 0.9f - 0.08f * (float)i, 0.5f), 0.6f + 0.05f * (float)i,
                                 0.1f * (float)i};
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) {
      vec to = unit(v(((float)x - WIDTH / 2.0f) / WIDTH, (HEIGHT / 2.0f - (float)y) / WIDTH, 0.8f));
      vec colour = trace(v(0, 0.3f, -1), to, 4);
      uint32_t rgb = (uint32_t)(colour.x * 255) << 16 | (uint32_t)(colour.y * 255) << 8 | (uint32_t)(colour.z * 255);
      hash = (hash ^ rgb) * 0x100000001b3u;
    }
  return (int64_t)hash;
}
