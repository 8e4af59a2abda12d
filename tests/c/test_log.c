/* The log hook: a real error from the kernel (a file size limit below what an entry needs: EFBIG), its end and what is done by hand are lines
   in the owner's log. Needs no rights. */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

enum { BIG = 3 * 1024 * 1024, LIMIT = 1024 * 1024, LINES = 64, TEXT = 1024 };

/* An owner's log. */
typedef struct {
  bulkhead_engine engine;
  pthread_mutex_t lock;
  pthread_cond_t more;
  int count;
  bulkhead_log_line line[LINES];
  char path[LINES][TEXT];
  char message[LINES][TEXT];
  bulkhead_status set_by_itself, closed_by_itself;
  pthread_t thread;
} owner;

static bulkhead_error err;
static char big[BIG];

static void limit_files(rlim_t bytes) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  limit.rlim_cur = bytes;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void write_line(void *user, const bulkhead_log_line *line) {
  owner *log = (owner *)user;
  size_t needed = 0;
  bulkhead_status set = bulkhead_engine_set_log_hook(log->engine, NULL, NULL, NULL);
  bulkhead_status closed = bulkhead_engine_close(log->engine, NULL);
  (void)bulkhead_metrics_text(log->engine, NULL, 0, &needed, NULL); /* the rest may be called */
  pthread_mutex_lock(&log->lock);
  log->set_by_itself = set;
  log->closed_by_itself = closed;
  log->thread = pthread_self();
  if (log->count < LINES && line->path_length < TEXT && line->message_length < TEXT) {
    log->line[log->count] = *line;
    memcpy(log->path[log->count], line->path, line->path_length + 1);
    memcpy(log->message[log->count], line->message, line->message_length + 1);
    log->count++;
  }
  pthread_cond_broadcast(&log->more);
  pthread_mutex_unlock(&log->lock);
}

/* Waits for a line from number `from` on that has this text in it; its number, or -1. A slow disk may have lines of its own. */
static int waits_for(owner *log, int from, const char *text) {
  struct timespec end;
  int found = -1, waited = 0;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 10;
  pthread_mutex_lock(&log->lock);
  while (found < 0 && waited == 0) {
    int i;
    for (i = from; i < log->count && found < 0; i++)
      if (strstr(log->message[i], text) != NULL) found = i;
    if (found < 0) waited = pthread_cond_timedwait(&log->more, &log->lock, &end);
  }
  pthread_mutex_unlock(&log->lock);
  if (found < 0) fprintf(stderr, "no line with '%s'\n", text);
  return found;
}

static int lines(owner *log) {
  int count;
  pthread_mutex_lock(&log->lock);
  count = log->count;
  pthread_mutex_unlock(&log->lock);
  return count;
}

static void test_fault_is_a_line(owner *log, bulkhead_partition p, const char *path) {
  bulkhead_entry large = check_entry(2, 1, "");
  int at, healed;
  large.data = (const uint8_t *)big;
  large.length = BIG;
  limit_files(LIMIT);
  STATUS(BULKHEAD_NO_SPACE, bulkhead_append(p, &large, 1, &err));
  at = waits_for(log, 0, ": no space");
  limit_files(RLIM_INFINITY);
  STATUS(BULKHEAD_OK, bulkhead_recover(p, &err));
  healed = waits_for(log, at, "partition 7 is ReadWrite again");
  CHECK(at >= 0 && healed > at);
  if (at < 0 || healed < 0) return;
  CHECK(log->line[at].struct_size == sizeof(bulkhead_log_line) && log->line[at].level == BULKHEAD_LOG_ERROR);
  CHECK(log->line[at].partition_id == 7 && log->line[at].time_unix_ns > 0 && log->line[at].left_out == 0);
  CHECK(strcmp(log->path[at], path) == 0 && log->line[at].path_length == strlen(path));
  CHECK(log->line[at].message_length == strlen(log->message[at]));
  CHECK(strstr(log->message[at], "no space") != NULL && strstr(log->message[at], "EFBIG") != NULL && strstr(log->message[at], path) != NULL);
  CHECK(log->line[healed].level == BULKHEAD_LOG_INFO);
  CHECK(log->set_by_itself == BULKHEAD_BUSY && log->closed_by_itself == BULKHEAD_BUSY);
  CHECK(!pthread_equal(log->thread, pthread_self()));
}

/* A metric without labels. */
static double metric(bulkhead_engine e, const char *name) {
  static char text[1 << 20];
  size_t needed = 0, length = strlen(name);
  const char *at = text;
  STATUS(BULKHEAD_OK, bulkhead_metrics_text(e, text, sizeof text, &needed, &err));
  while ((at = strstr(at, name)) != NULL) {
    if ((at == text || at[-1] == '\n') && at[length] == ' ') return strtod(at + length, NULL);
    at++;
  }
  return -1;
}

/* A partition that flaps does not fill the log: what is left out is counted. */
static void test_repeated_lines(owner *log, bulkhead_engine e, bulkhead_partition p) {
  int i, given = 0, before = lines(log);
  double left_out = metric(e, "bulkhead_log_lines_left_out_total");
  for (i = 0; i < 20; i++) {
    STATUS(BULKHEAD_OK, bulkhead_fence(p, BULKHEAD_STATE_READ_ONLY, "why\nnot", 7, &err));
    STATUS(BULKHEAD_OK, bulkhead_release(p, &err));
  }
  STATUS(BULKHEAD_OK, bulkhead_engine_set_log_hook(e, NULL, NULL, &err)); /* the lines that wait come first */
  for (i = before; i < log->count; i++)
    if (strstr(log->message[i], "fenced by hand: why\\nnot") != NULL) given++;
  CHECK(given >= 3 && given < 20); /* more than 3 if it took more than 10 s */
  CHECK(strstr(log->message[log->count - 1], "ReadWrite again") != NULL); /* and what it came to last is not left out */
  CHECK(metric(e, "bulkhead_log_lines_left_out_total") >= left_out + 20 - given);
}

/* Taken away it is not called again, and what it was given may go. */
static void test_taken_away(owner *log, bulkhead_engine e, bulkhead_partition p) {
  int before = lines(log);
  bulkhead_limit limit;
  memset(&limit, 0, sizeof limit);
  limit.limit = BULKHEAD_LIMIT_PROBE_MS;
  limit.value = 10;
  STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, &limit, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_fence(p, BULKHEAD_STATE_UNAVAILABLE, "", 0, &err));
  STATUS(BULKHEAD_OK, bulkhead_release(p, &err));
  CHECK(lines(log) == before);
  /* Set again; a close hands over what waits. */
  STATUS(BULKHEAD_OK, bulkhead_engine_set_log_hook(e, write_line, log, &err));
  limit.value = BULKHEAD_INHERIT;
  STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, &limit, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_engine_close(e, &err));
  before = waits_for(log, before, "limits set for the engine: probe_ms");
  CHECK(before >= 0 && log->path[before][0] == 0 && log->line[before].level == BULKHEAD_LOG_INFO);
  STATUS(BULKHEAD_CLOSED, bulkhead_engine_set_log_hook(e, write_line, log, &err));
}

int main(int argc, char **argv) {
  static owner log;
  bulkhead_partition p = 0;
  bulkhead_engine_config engine_config;
  bulkhead_partition_config config;
  bulkhead_entry entry = check_entry(1, 1, "small");
  const char *path;

  SIZED(err);
  CHECK(argc > 1);
  if (argc < 2) check_finish();
  signal(SIGXFSZ, SIG_IGN);
  pthread_mutex_init(&log.lock, NULL);
  pthread_cond_init(&log.more, NULL);
  STATUS(BULKHEAD_INVALID_HANDLE, bulkhead_engine_set_log_hook(0, write_line, &log, &err));
  SIZED(engine_config);
  engine_config.heal_limit_ms = engine_config.space_wait_ms = engine_config.probe_ms = engine_config.idle_check_ms = BULKHEAD_NEVER;
  NEED(bulkhead_engine_open(&engine_config, &log.engine, &err));
  NEED(bulkhead_engine_set_log_hook(log.engine, write_line, &log, &err));
  path = check_path(argv[1], "p");
  config = check_config(path, 7, BULKHEAD_MODE_SYNC);
  NEED(bulkhead_partition_open(log.engine, &config, &p, &err));
  STATUS(BULKHEAD_OK, bulkhead_append(p, &entry, 1, &err));
  test_fault_is_a_line(&log, p, path);
  test_repeated_lines(&log, log.engine, p);
  test_taken_away(&log, log.engine, p);
  check_finish();
}
