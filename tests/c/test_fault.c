/* A real error from the kernel: a file size limit below what a partition needs (EFBIG). The partition says so, its neighbour goes on,
   the owner hears of it by poll(), and the partition comes back when the limit is gone: by call, by itself, or before anybody noticed.
   Needs no rights. */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

/* The last is below the smallest segment: nothing is healed under it. */
enum { BIG = 3 * 1024 * 1024, LIMIT = 1024 * 1024, TOO_LITTLE = 64 * 1024 };

static bulkhead_error err;
static char big[BIG];

static void limit_files(rlim_t bytes) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  limit.rlim_cur = bytes;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* Waits for the event that says that this partition is in this state; not for one that says that its disk is slow, or what is on it. */
static int hears(bulkhead_engine e, bulkhead_partition p, uint32_t state, bulkhead_event *event) {
  struct pollfd ready;
  int32_t fd = -1;
  STATUS(BULKHEAD_OK, bulkhead_engine_event_fd(e, &fd, &err));
  ready.fd = fd;
  ready.events = POLLIN;
  while (poll(&ready, 1, 5000) == 1) {
    size_t count = 0;
    STATUS(BULKHEAD_OK, bulkhead_engine_events(e, event, 1, &count, &err));
    if (count == 1 && event->cause == BULKHEAD_CAUSE_STALLED && event->from_state == event->to_state) continue;
    if (count == 1 && event->operation == BULKHEAD_OP_OPEN && event->from_state == event->to_state) continue;
    if (count == 1 && event->partition == p && event->to_state == state) return 1;
  }
  return 0;
}

static void test_fault(bulkhead_engine e, bulkhead_partition hit, bulkhead_partition other) {
  bulkhead_entry large = check_entry(2, 1, "");
  bulkhead_entry entry = check_entry(1, 1, "small");
  bulkhead_partition_status status;
  bulkhead_read_result result;
  bulkhead_entry_header header;
  bulkhead_event event;
  bulkhead_error first, again;
  uint8_t data[16];

  STATUS(BULKHEAD_OK, bulkhead_append(hit, &entry, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_append(other, &entry, 1, &err));
  large.data = (const uint8_t *)big;
  large.length = BIG;

  limit_files(LIMIT);
  SIZED(first);
  STATUS(BULKHEAD_NO_SPACE, bulkhead_append(hit, &large, 1, &first));
  CHECK(first.os_errno == EFBIG && first.partition_id == 1 && first.message[0] != 0);
  CHECK(hears(e, hit, BULKHEAD_STATE_READ_ONLY, &event) || event.to_state == BULKHEAD_STATE_UNAVAILABLE);
  CHECK(event.partition_id == 1 && event.cause == BULKHEAD_CAUSE_NO_SPACE && event.os_errno == EFBIG);

  /* The same answer every time, in full. */
  SIZED(again);
  STATUS(BULKHEAD_NO_SPACE, bulkhead_append(hit, &large, 1, &again));
  CHECK(again.os_errno == first.os_errno && strcmp(again.message, first.message) == 0);
  SIZED(again);
  STATUS(BULKHEAD_OK, bulkhead_last_fault(hit, &again));
  CHECK(again.status == BULKHEAD_NO_SPACE && again.os_errno == EFBIG);
  SIZED(status);
  STATUS(BULKHEAD_OK, bulkhead_get_status(hit, &status, &err));
  CHECK(status.state != BULKHEAD_STATE_READ_WRITE && status.cause == BULKHEAD_CAUSE_NO_SPACE && status.os_errno == EFBIG);
  CHECK(status.last_index == 1);

  /* What is there can be read, and the neighbour does not notice. */
  SIZED(result);
  STATUS(BULKHEAD_OK, bulkhead_read(hit, 1, 2, 0, &header, 1, data, sizeof data, &result, &err));
  CHECK(result.count == 1 && memcmp(data, "small", 5) == 0);
  for (entry.index = 2; entry.index <= 50; entry.index++) STATUS(BULKHEAD_OK, bulkhead_append(other, &entry, 1, &err));

  limit_files(RLIM_INFINITY);
  STATUS(BULKHEAD_OK, bulkhead_recover(hit, &err));
  CHECK(hears(e, hit, BULKHEAD_STATE_READ_WRITE, &event));
  STATUS(BULKHEAD_OK, bulkhead_append(hit, &large, 1, &err));
}

static void *lift_soon(void *unused) {
  const struct timespec soon = {0, 200 * 1000 * 1000};
  nanosleep(&soon, NULL);
  limit_files(RLIM_INFINITY);
  return unused;
}

/* Space that comes back within space_wait_ms costs the append time and nothing else; the owner is told of it, and told that it is over. */
static void test_waits_for_space(const char *path) {
  bulkhead_engine e = 0;
  bulkhead_partition p = 0;
  bulkhead_engine_config engine_config;
  bulkhead_partition_config config = check_config(path, 3, BULKHEAD_MODE_SYNC);
  bulkhead_entry entry = check_entry(1, 1, "small");
  bulkhead_partition_status status;
  bulkhead_event event;
  pthread_t thread;

  SIZED(engine_config);
  engine_config.space_wait_ms = 20000;
  NEED(bulkhead_engine_open(&engine_config, &e, &err));
  NEED(bulkhead_partition_open(e, &config, &p, &err));
  STATUS(BULKHEAD_OK, bulkhead_append(p, &entry, 1, &err));
  entry.index = 2;
  entry.data = (const uint8_t *)big;
  entry.length = BIG;
  limit_files(LIMIT);
  CHECK(pthread_create(&thread, NULL, lift_soon, NULL) == 0);
  STATUS(BULKHEAD_OK, bulkhead_append(p, &entry, 1, &err));
  CHECK(pthread_join(thread, NULL) == 0);
  SIZED(status);
  STATUS(BULKHEAD_OK, bulkhead_get_status(p, &status, &err));
  CHECK(status.state == BULKHEAD_STATE_READ_WRITE && status.cause == 0 && status.last_index == 2 && status.heals >= 1);
  CHECK(hears(e, p, BULKHEAD_STATE_READ_WRITE, &event));
  CHECK(event.from_state == BULKHEAD_STATE_READ_WRITE && event.cause == BULKHEAD_CAUSE_NO_SPACE && event.os_errno == EFBIG);
  /* A spare that was just being made may have failed, too. */
  for (int events = 0; events < 3 && event.cause != 0; events++) CHECK(hears(e, p, BULKHEAD_STATE_READ_WRITE, &event));
  CHECK(event.from_state == BULKHEAD_STATE_READ_WRITE && event.cause == 0 && event.operation == BULKHEAD_OP_RECOVER);
  STATUS(BULKHEAD_OK, bulkhead_engine_close(e, &err));
}

/* A ReadOnly partition is ReadWrite again when there is space, without a call. */
static void test_resumes(const char *path) {
  bulkhead_engine e = 0;
  bulkhead_partition p = 0;
  bulkhead_engine_config engine_config;
  bulkhead_partition_config config = check_config(path, 4, BULKHEAD_MODE_SYNC);
  bulkhead_entry entry = check_entry(1, 1, "small");
  bulkhead_hard_state vote = {2, 1, 0};
  bulkhead_partition_status status;
  bulkhead_event event;

  SIZED(engine_config);
  engine_config.space_wait_ms = BULKHEAD_NEVER;
  NEED(bulkhead_engine_open(&engine_config, &e, &err));
  NEED(bulkhead_partition_open(e, &config, &p, &err));
  STATUS(BULKHEAD_OK, bulkhead_append(p, &entry, 1, &err));
  entry.index = 2;
  entry.data = (const uint8_t *)big;
  entry.length = BIG;
  limit_files(TOO_LITTLE);
  STATUS(BULKHEAD_NO_SPACE, bulkhead_append(p, &entry, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_set_hard_state(p, &vote, &err));
  CHECK(hears(e, p, BULKHEAD_STATE_READ_ONLY, &event));
  limit_files(RLIM_INFINITY);
  CHECK(hears(e, p, BULKHEAD_STATE_READ_WRITE, &event));
  CHECK(event.from_state == BULKHEAD_STATE_READ_ONLY && event.operation == BULKHEAD_OP_RECOVER);
  SIZED(status);
  STATUS(BULKHEAD_OK, bulkhead_get_status(p, &status, &err));
  CHECK(status.state == BULKHEAD_STATE_READ_WRITE && status.cause == 0 && status.heals == 1);
  STATUS(BULKHEAD_OK, bulkhead_append(p, &entry, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_engine_close(e, &err));
}

/* What cannot be made durable at the end must not be closed with OK: entries that are in memory only (mode interval), and the end of the log in
   the root (mode none). */
static void test_close_tells(const char *path, uint32_t mode) {
  bulkhead_engine e = 0;
  bulkhead_partition p = 0;
  bulkhead_engine_config engine_config;
  bulkhead_partition_config config = check_config(path, mode, mode);
  bulkhead_entry entry = check_entry(1, 1, "");
  bulkhead_status appended, closed;

  SIZED(engine_config);
  engine_config.interval_ms = 60000;
  NEED(bulkhead_engine_open(&engine_config, &e, &err));
  NEED(bulkhead_partition_open(e, &config, &p, &err));
  entry.data = (const uint8_t *)big;
  entry.length = 5;
  appended = bulkhead_append(p, &entry, 1, &err);
  limit_files(0); /* also for what this program writes: no check until it is lifted */
  closed = bulkhead_engine_close(e, &err);
  limit_files(RLIM_INFINITY);
  STATUS(BULKHEAD_OK, appended);
  STATUS(BULKHEAD_NO_SPACE, closed);
  CHECK(err.os_errno == EFBIG && err.partition_id == mode);
  STATUS(BULKHEAD_CLOSED, bulkhead_partition_close(p, NULL));
}

int main(int argc, char **argv) {
  bulkhead_engine e = 0;
  bulkhead_partition hit = 0, other = 0;
  bulkhead_engine_config engine_config;
  bulkhead_partition_config config;

  SIZED(err);
  CHECK(argc > 1);
  if (argc < 2) check_finish();
  signal(SIGXFSZ, SIG_IGN);
  memset(big, 'b', sizeof big);
  /* What a fault does as long as nobody heals it. */
  SIZED(engine_config);
  engine_config.heal_limit_ms = engine_config.space_wait_ms = engine_config.probe_ms = engine_config.idle_check_ms = BULKHEAD_NEVER;
  NEED(bulkhead_engine_open(&engine_config, &e, &err));
  config = check_config(check_path(argv[1], "hit"), 1, BULKHEAD_MODE_SYNC);
  NEED(bulkhead_partition_open(e, &config, &hit, &err));
  config = check_config(check_path(argv[1], "other"), 2, BULKHEAD_MODE_SYNC);
  NEED(bulkhead_partition_open(e, &config, &other, &err));
  test_fault(e, hit, other);
  STATUS(BULKHEAD_OK, bulkhead_engine_close(e, &err));
  test_waits_for_space(check_path(argv[1], "waits"));
  test_resumes(check_path(argv[1], "resumes"));
  test_close_tells(check_path(argv[1], "interval"), BULKHEAD_MODE_INTERVAL);
  test_close_tells(check_path(argv[1], "none"), BULKHEAD_MODE_NONE);
  check_finish();
}
