/* The smallest test frame that tells what failed and goes on. One test program per file; `run.sh` adds up their lines. */
#ifndef CHECK_H
#define CHECK_H

#include <bulkhead.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Threads of a test check as well. */
static int check_passed;
static int check_failed;

static inline void check_that(int good, const char *file, int line, const char *text) {
  if (good) {
    __atomic_fetch_add(&check_passed, 1, __ATOMIC_RELAXED);
  } else {
    __atomic_fetch_add(&check_failed, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
  }
}

static inline void check_status(bulkhead_status got, bulkhead_status want, const char *file, int line, const char *text) {
  if (got != want) {
    fprintf(stderr, "%s:%d: %s, not %s\n", file, line, bulkhead_status_name(got), bulkhead_status_name(want));
  }
  check_that(got == want, file, line, text);
}

/* The condition holds. */
#define CHECK(condition) check_that((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
/* The call returns this status. */
#define STATUS(want, call) check_status((call), (want), __FILE__, __LINE__, #call)
/* The call works; the program cannot go on otherwise. */
#define NEED(call)                                  \
  do {                                              \
    bulkhead_status need_status = (call);           \
    STATUS(BULKHEAD_OK, need_status);               \
    if (need_status != BULKHEAD_OK) check_finish(); \
  } while (0)
/* A struct that starts with its size, all else zero. */
#define SIZED(variable)                            \
  do {                                             \
    memset(&(variable), 0, sizeof(variable));      \
    (variable).struct_size = sizeof(variable);     \
  } while (0)

static inline void check_finish(void) {
  printf("%d passed, %d failed\n", check_passed, check_failed);
  exit(check_failed == 0 ? 0 : 1);
}

/* "<directory>/<name>", in a buffer that the next call uses again. */
static inline const char *check_path(const char *directory, const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

static inline bulkhead_partition_config check_config(const char *path, uint64_t id, uint32_t mode) {
  bulkhead_partition_config config;
  SIZED(config);
  config.path = (const uint8_t *)path;
  config.path_length = (uint32_t)strlen(path);
  config.partition_id = id;
  config.mode = mode;
  return config;
}

static inline bulkhead_entry check_entry(uint64_t index, uint64_t term, const char *text) {
  bulkhead_entry entry;
  entry.index = index;
  entry.term = term;
  entry.data = (const uint8_t *)text;
  entry.length = (uint32_t)strlen(text);
  entry.kind = 3;
  return entry;
}

#endif
