/* A long computation that survives being killed: it checkpoints itself.
 *
 * Usage: solver IMAGE STORE OUTPUT [MILLION_SAMPLES [CHECKPOINTS [THREADS]]]
 *
 * Estimates pi by throwing darts at a square, with threads that have a random
 * generator each, and writes the result to the file OUTPUT.  For given numbers
 * the result is always the same, bit by bit: an interrupted and restarted run
 * has to end with what an undisturbed one ends with.
 *
 * After each of CHECKPOINTS equal parts it checkpoints itself as IMAGE.1,
 * IMAGE.2, ... of STORE, and keeps the newest two.  Killed at any moment, it is
 * continued with `ckpt restore --store STORE IMAGE.N`, or from the beginning if
 * there is no image yet.
 */
#include <ckpt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kMostThreads = 64 };

struct worker {
  pthread_t thread;
  uint64_t state[4]; /* of the generator */
  uint64_t hits;
  uint64_t sum; /* of all numbers drawn: a lost or repeated one shows */
};

static struct worker workers[kMostThreads];
static int worker_count = 2;
static uint64_t samples_per_part; /* of one worker */
static pthread_barrier_t part_begins, part_ends;
static int finished;

/* --- xoshiro256** of Blackman and Vigna, public domain --- */

static uint64_t RotateLeft(uint64_t x, int k) {
  return (x << k) | (x >> (64 - k));
}

static uint64_t NextRandom(uint64_t *s) {
  const uint64_t result = RotateLeft(s[1] * 5, 7) * 9;
  const uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = RotateLeft(s[3], 45);
  return result;
}

static void Seed(uint64_t *s, uint64_t seed) {
  for (int i = 0; i < 4; ++i) { /* splitmix64 */
    seed += 0x9e3779b97f4a7c15;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    s[i] = z ^ (z >> 31);
  }
}

static double InUnitInterval(uint64_t random) {
  return (double)(random >> 11) * 0x1p-53;
}

/* --- The computation --- */

static void ThrowDarts(struct worker *worker) {
  for (uint64_t i = 0; i < samples_per_part; ++i) {
    const uint64_t a = NextRandom(worker->state);
    const uint64_t b = NextRandom(worker->state);
    const double x = InUnitInterval(a);
    const double y = InUnitInterval(b);
    worker->sum += a ^ b;
    if (x * x + y * y < 1.0) ++worker->hits;
  }
}

static void *Work(void *argument) {
  struct worker *worker = argument;
  for (;;) {
    pthread_barrier_wait(&part_begins);
    if (finished) return NULL;
    ThrowDarts(worker);
    pthread_barrier_wait(&part_ends);
  }
}

static void StartWorkers(void) {
  pthread_barrier_init(&part_begins, NULL, (unsigned)worker_count + 1);
  pthread_barrier_init(&part_ends, NULL, (unsigned)worker_count + 1);
  for (int i = 0; i < worker_count; ++i) {
    Seed(workers[i].state, (uint64_t)i + 1);
    if (pthread_create(&workers[i].thread, NULL, Work, &workers[i]) != 0) {
      perror("solver: pthread_create");
      exit(1);
    }
  }
}

static void StopWorkers(void) {
  finished = 1;
  pthread_barrier_wait(&part_begins);
  for (int i = 0; i < worker_count; ++i) pthread_join(workers[i].thread, NULL);
}

/* --- Checkpoints --- */

static void Checkpoint(const char *image, const char *store) {
  struct ckpt_options options = CKPT_OPTIONS_INIT;
  options.image = image;
  options.store = store;
  options.keep = 2;
  const long number = ckpt_self(0, &options);
  if (number > 0) {
    printf("solver: %s is on the disk\n", ckpt_last_image());
  } else if (number == 0) {
    printf("solver: restarted from %s\n", ckpt_last_image());
  } else {
    /* No reason to stop: the next one may work. */
    printf("solver: no checkpoint: %s\n", ckpt_last_error());
  }
  fflush(stdout);
}

/* --- Output --- */

static int WriteResult(const char *path, uint64_t samples) {
  uint64_t hits = 0;
  uint64_t sum = 0;
  for (int i = 0; i < worker_count; ++i) {
    hits += workers[i].hits;
    sum += workers[i].sum;
  }
  /* Opened only now: a file that is open and has grown by the time of a
   * restart is in its way. */
  FILE *file = fopen(path, "we");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  fprintf(file,
          "samples %" PRIu64 " hits %" PRIu64 " sum %016" PRIx64 " pi %.9f\n",
          samples, hits, sum, 4.0 * (double)hits / (double)samples);
  return fclose(file) == 0 ? 0 : 1;
}

static long Number(int argc, char **argv, int index, long otherwise) {
  if (index >= argc) return otherwise;
  char *end;
  const long value = strtol(argv[index], &end, 10);
  if (*end != '\0' || value <= 0) {
    fprintf(stderr, "solver: %s is no number above zero\n", argv[index]);
    exit(2);
  }
  return value;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr,
            "usage: solver IMAGE STORE OUTPUT [MILLION_SAMPLES [CHECKPOINTS "
            "[THREADS]]]\n");
    return 2;
  }
  const uint64_t million_samples = (uint64_t)Number(argc, argv, 4, 200);
  const long checkpoints = Number(argc, argv, 5, 10);
  worker_count = (int)Number(argc, argv, 6, 2);
  if (worker_count > kMostThreads) worker_count = kMostThreads;
  const uint64_t parts = (uint64_t)checkpoints + 1;
  samples_per_part = million_samples * 1000000 / parts / (uint64_t)worker_count;
  StartWorkers();
  for (uint64_t part = 1; part <= parts; ++part) {
    pthread_barrier_wait(&part_begins);
    pthread_barrier_wait(&part_ends);
    if (part < parts) Checkpoint(argv[1], argv[2]);
  }
  StopWorkers();
  return WriteResult(argv[3],
                     samples_per_part * parts * (uint64_t)worker_count);
}
