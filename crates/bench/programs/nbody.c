/* Five bodies under gravity, symplectic integration. */
#include <math.h>

#include "bench.h"

#define BODIES 5
#define STEPS 1000000

struct body { double x, y, z, vx, vy, vz, mass; };

static struct body bodies[BODIES];

static void place(void) {
  uint32_t seed = 7;
  for (int i = 0; i < BODIES; i++) {
    double r = 1.0 + 7.0 * i;
    double wobble = (double)(bench_random(&seed) % 1000) / 4000.0;
    bodies[i] = (struct body){r, wobble, wobble * 0.5, 0, i ? sqrt(39.5 / r) : 0, wobble * 0.1, i ? 0.03 / i : 39.5};
  }
}

static void pull(struct body *p, struct body *q, double dt) {
  double dx = p->x - q->x, dy = p->y - q->y, dz = p->z - q->z;
  double d2 = dx * dx + dy * dy + dz * dz;
  double magnitude = dt / (d2 * sqrt(d2));
  p->vx -= dx * q->mass * magnitude;
  p->vy -= dy * q->mass * magnitude;
  p->vz -= dz * q->mass * magnitude;
  q->vx += dx * p->mass * magnitude;
  q->vy += dy * p->mass * magnitude;
  q->vz += dz * p->mass * magnitude;
}

int64_t bench_run(void) {
  const double dt = 0.001;
  place();
  for (int step = 0; step < STEPS; step++) {
    for (int i = 0; i < BODIES; i++)
      for (int j = i + 1; j < BODIES; j++) pull(&bodies[i], &bodies[j], dt);
    for (int i = 0; i < BODIES; i++) {
      bodies[i].x += dt * bodies[i].vx;
      bodies[i].y += dt * bodies[i].vy;
      bodies[i].z += dt * bodies[i].vz;
    }
  }
  return (int64_t)bench_fold(BENCH_FOLD_START, bodies, sizeof bodies);
}
