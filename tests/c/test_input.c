/* Bad input from C: a status and a message for each kind, and the log as it was. The long table of cases is in the Rust tests;
   here is what only a C program can get wrong, and each function once. */
#include "check.h"

static bulkhead_error err;
static bulkhead_engine e;
static bulkhead_partition p;

/* The call is refused with this status, and the error struct says so in words. */
#define REFUSED(want, call)                               \
  do {                                                    \
    SIZED(err);                                           \
    STATUS(want, call);                                   \
    CHECK(err.status == (want));                          \
    CHECK(strlen(err.message) > 10);                      \
    CHECK(memchr(err.message, 0, sizeof err.message) != NULL); \
  } while (0)

static bulkhead_limit a_limit(uint32_t name, uint64_t value) {
  bulkhead_limit limit;
  memset(&limit, 0, sizeof limit);
  limit.limit = name;
  limit.value = value;
  return limit;
}

/* Each function that takes a partition gets this handle and refuses it with this status. */
static void try_partition(bulkhead_partition handle, bulkhead_status want) {
  bulkhead_entry entry = check_entry(1, 1, "x");
  bulkhead_entry_header header;
  bulkhead_read_result result;
  bulkhead_hard_state state = {1, 1, 0};
  bulkhead_verify_report report;
  bulkhead_partition_status status;
  bulkhead_limit limit = a_limit(BULKHEAD_LIMIT_PROBE_MS, 77);
  uint64_t a = 7, b = 7;
  size_t count = 7;
  uint8_t byte = 0;

  SIZED(result);
  SIZED(report);
  SIZED(status);
  REFUSED(want, bulkhead_append(handle, &entry, 1, &err));
  REFUSED(want, bulkhead_append_packed(handle, &entry, 1, &byte, 1, &err));
  REFUSED(want, bulkhead_submit_packed(handle, &entry, 1, &byte, 1, 1, &err));
  REFUSED(want, bulkhead_read(handle, 1, 2, 1, &header, 1, &byte, 1, &result, &err));
  REFUSED(want, bulkhead_term(handle, 1, &a, &err));
  REFUSED(want, bulkhead_bounds(handle, &a, &b, &err));
  REFUSED(want, bulkhead_compact(handle, 1, &err));
  REFUSED(want, bulkhead_reset(handle, 1, 1, &err));
  REFUSED(want, bulkhead_set_hard_state(handle, &state, &err));
  REFUSED(want, bulkhead_get_hard_state(handle, &state, &err));
  REFUSED(want, bulkhead_sync(handle, &err));
  REFUSED(want, bulkhead_recover(handle, &err));
  REFUSED(want, bulkhead_verify(handle, &report, &err));
  REFUSED(want, bulkhead_get_status(handle, &status, &err));
  REFUSED(want, bulkhead_last_fault(handle, &err));
  REFUSED(want, bulkhead_fence(handle, BULKHEAD_STATE_READ_ONLY, "x", 1, &err));
  REFUSED(want, bulkhead_release(handle, &err));
  REFUSED(want, bulkhead_set_limits(handle, &limit, 1, &err));
  REFUSED(want, bulkhead_get_limits(handle, &limit, 1, &count, &err));
  CHECK(count == 7 && limit.value == 77);
  CHECK(a == 7 && b == 7 && result.count == 0 && report.segments == 0 && status.state == 0);
}

static void try_engine(bulkhead_engine handle, bulkhead_status want) {
  bulkhead_partition_config config = check_config("/nonexistent/partition", 1, 0);
  bulkhead_limit limit = a_limit(BULKHEAD_LIMIT_PROBE_MS, 77);
  bulkhead_limit_changed changed;
  bulkhead_cubefs_report report;
  bulkhead_completion completion;
  bulkhead_event event;
  bulkhead_disk disk;
  bulkhead_partition out = 7;
  char text[8] = {7};
  size_t count = 7;
  int32_t fd = 7;

  SIZED(report);

  REFUSED(want, bulkhead_engine_event_fd(handle, &fd, &err));
  REFUSED(want, bulkhead_engine_completion_fd(handle, &fd, &err));
  REFUSED(want, bulkhead_engine_events(handle, &event, 1, &count, &err));
  REFUSED(want, bulkhead_engine_completions(handle, &completion, 1, &count, &err));
  REFUSED(want, bulkhead_partition_open(handle, &config, &out, &err));
  REFUSED(want, bulkhead_engine_set_log_hook(handle, NULL, NULL, &err));
  REFUSED(want, bulkhead_metrics_text(handle, text, sizeof text, &count, &err));
  REFUSED(want, bulkhead_engine_set_limits(handle, &limit, 1, &err));
  REFUSED(want, bulkhead_engine_get_limits(handle, &limit, 1, &count, &err));
  REFUSED(want, bulkhead_disk_set_limits(handle, 1, &limit, 1, &err));
  REFUSED(want, bulkhead_disk_get_limits(handle, 1, &limit, 1, &count, &err));
  REFUSED(want, bulkhead_engine_disks(handle, &disk, 1, &count, &err));
  REFUSED(want, bulkhead_event_limits(handle, 1, &changed, 1, &count, &err));
  REFUSED(want, bulkhead_cubefs_inspect(handle, &config, &report, NULL, 0, &err));
  REFUSED(want, bulkhead_cubefs_import(handle, &config, NULL, NULL, &err));
  REFUSED(want, bulkhead_cubefs_undo_import(handle, &config, &err));
  REFUSED(want, bulkhead_cubefs_discard_original(handle, &config, &err));
  REFUSED(want, bulkhead_cubefs_export(handle, &config, NULL, 0, NULL, NULL, &err));
  CHECK(fd == 7 && count == 7 && out == 7 && limit.value == 77 && text[0] == 7);
}

static void test_handles(void) {
  try_partition(0, BULKHEAD_INVALID_HANDLE);
  try_partition(e, BULKHEAD_INVALID_HANDLE);
  try_partition(~p, BULKHEAD_INVALID_HANDLE);
  try_partition(p + 1, BULKHEAD_INVALID_HANDLE);
  try_engine(0, BULKHEAD_INVALID_HANDLE);
  try_engine(p, BULKHEAD_INVALID_HANDLE);
  try_engine(UINT64_MAX, BULKHEAD_INVALID_HANDLE);
  REFUSED(BULKHEAD_INVALID_HANDLE, bulkhead_partition_close(0, &err));
  REFUSED(BULKHEAD_INVALID_HANDLE, bulkhead_partition_close(e, &err));
  REFUSED(BULKHEAD_INVALID_HANDLE, bulkhead_engine_close(0, &err));
  REFUSED(BULKHEAD_INVALID_HANDLE, bulkhead_engine_close(p, &err));
}

static void test_pointers(void) {
  bulkhead_entry entry = check_entry(1, 1, "x");
  bulkhead_read_result result;
  uint8_t byte = 0;

  SIZED(result);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_engine_open(NULL, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_partition_open(e, NULL, &p, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_append(p, NULL, 1, &err));
  REFUSED(BULKHEAD_NO_ENTRIES, bulkhead_append(p, &entry, 0, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_append(p, &entry, SIZE_MAX, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_append_packed(p, &entry, 1, NULL, 1, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_append_packed(p, &entry, 1, &byte, SIZE_MAX, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_submit_packed(p, &entry, 1, &byte, 0, 1, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_read(p, 1, 2, 1, NULL, 1, &byte, 1, &result, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_term(p, 1, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_bounds(p, NULL, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_hard_state(p, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_get_hard_state(p, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_verify(p, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_get_status(p, NULL, &err));
  STATUS(BULKHEAD_INVALID_ARGUMENT, bulkhead_last_fault(p, NULL));
  /* A null error struct is always fine. */
  STATUS(BULKHEAD_INVALID_ARGUMENT, bulkhead_append(p, NULL, 1, NULL));
  STATUS(BULKHEAD_INVALID_HANDLE, bulkhead_sync(0, NULL));
}

/* What an operator's program can get wrong: nothing of it is done in part. */
static void test_control(void) {
  const uint64_t wrong[] = {0, 60001, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 1, (uint64_t)-250};
  bulkhead_limit good = a_limit(BULKHEAD_LIMIT_INTERVAL_MS, 33), set[2], got[64];
  bulkhead_limit_changed changed;
  bulkhead_partition_status status;
  bulkhead_disk disk;
  size_t count = 7, i;
  char byte = 0;

  set[0] = good;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    set[1] = a_limit(BULKHEAD_LIMIT_PROBE_MS, wrong[i]);
    REFUSED(BULKHEAD_INVALID_CONFIG, bulkhead_engine_set_limits(e, set, 2, &err));
    CHECK(strstr(err.message, "probe_ms") != NULL);
    CHECK(wrong[i] == 0 || strstr(err.message, "between 1 and 60000, or never") != NULL); /* 0 is told what never is */
    REFUSED(BULKHEAD_INVALID_CONFIG, bulkhead_disk_set_limits(e, 1, set, 2, &err));
    REFUSED(BULKHEAD_INVALID_CONFIG, bulkhead_set_limits(p, set, 2, &err));
  }
  set[1] = a_limit(0, 5);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, set, 2, &err));
  set[1] = a_limit(UINT32_MAX, 5);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_engine_set_limits(e, set, 2, &err));
  set[1] = good;
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, set, 2, &err));
  set[1] = a_limit(BULKHEAD_LIMIT_READ_CACHE_BYTES, 5);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, set, 2, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, set, 0, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, NULL, 1, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, set, SIZE_MAX, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_engine_set_limits(e, NULL, 1, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_get_limits(p, NULL, 1, &count, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_get_limits(p, got, 64, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_engine_disks(e, NULL, 1, &count, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_engine_disks(e, &disk, 1, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_event_limits(e, 1, NULL, 1, &count, &err));
  REFUSED(BULKHEAD_NOT_FOUND, bulkhead_event_limits(e, UINT64_MAX, &changed, 1, &count, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_fence(p, BULKHEAD_STATE_READ_WRITE, "x", 1, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_fence(p, UINT32_MAX, "x", 1, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_fence(p, BULKHEAD_STATE_READ_ONLY, NULL, 1, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_metrics_text(e, &byte, 1, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_metrics_text(e, NULL, 1, &count, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_engine_events(e, NULL, 0, &count, &err));
  CHECK(count == 7);
  STATUS(BULKHEAD_OK, bulkhead_get_limits(p, got, 64, &count, &err));
  for (i = 0; i < count; i++) CHECK(got[i].set_for == BULKHEAD_SCOPE_OPEN);
  SIZED(status);
  STATUS(BULKHEAD_OK, bulkhead_get_status(p, &status, &err));
  CHECK(status.state == BULKHEAD_STATE_READ_WRITE);
}

/* Conversions of what is not there, or not named. */
static void test_conversions(const char *directory) {
  bulkhead_partition_config config = check_config(check_path(directory, "nowhere"), 1, 0), unset = config;
  bulkhead_cubefs_report report;
  static uint8_t long_path[4096]; /* PATH_MAX, which counts a NUL at its end */

  SIZED(report);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_import(e, NULL, NULL, NULL, &err));
  REFUSED(BULKHEAD_NOT_FOUND, bulkhead_cubefs_import(e, &config, NULL, NULL, &err));
  REFUSED(BULKHEAD_NOT_FOUND, bulkhead_cubefs_inspect(e, &config, &report, NULL, 0, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_inspect(e, &config, NULL, NULL, 0, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_inspect(e, &config, &report, NULL, 1, &err));
  REFUSED(BULKHEAD_NOT_FOUND, bulkhead_cubefs_undo_import(e, &config, &err));
  REFUSED(BULKHEAD_NOT_FOUND, bulkhead_cubefs_discard_original(e, &config, &err));
  REFUSED(BULKHEAD_NOT_FOUND, bulkhead_cubefs_export(e, &config, NULL, 0, NULL, NULL, &err));
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_export(e, &config, NULL, 1, NULL, NULL, &err));
  /* A target that happens to be empty does not mean the directory itself. */
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_export(e, &config, (const uint8_t *)"", 0, NULL, NULL, &err));
  CHECK(strstr(err.message, "in place") != NULL);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_export(e, &config, (const uint8_t *)"a\0b", 3, NULL, NULL, &err));
  memset(long_path, 'x', sizeof long_path);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_export(e, &config, long_path, sizeof long_path, NULL, NULL, &err));
  unset.struct_size = 0;
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_import(e, &unset, NULL, NULL, &err));
  unset = config;
  unset.path_length = 0;
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_cubefs_import(e, &unset, NULL, NULL, &err));
}

/* A program that forgot to set struct_size. */
static void test_forgotten_sizes(void) {
  bulkhead_partition_config config = check_config("/nonexistent/partition", 1, 0);
  bulkhead_engine_config engine_config;
  bulkhead_partition_status status;
  bulkhead_partition handle = 0;
  bulkhead_engine engine = 0;
  bulkhead_error unset;

  memset(&engine_config, 0, sizeof engine_config);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_engine_open(&engine_config, &engine, &err));
  config.struct_size = 0;
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_partition_open(e, &config, &handle, &err));
  memset(&status, 0, sizeof status);
  REFUSED(BULKHEAD_INVALID_ARGUMENT, bulkhead_get_status(p, &status, &err));
  CHECK(strstr(err.message, "sizeof(bulkhead_partition_status)") != NULL);
  memset(&unset, 0, sizeof unset);
  STATUS(BULKHEAD_INVALID_ARGUMENT, bulkhead_sync(p, &unset));
  CHECK(unset.status == 0 && unset.message[0] == 0);
}

static void test_closed_handles(void) {
  uint64_t first = 0, last = 0;
  STATUS(BULKHEAD_OK, bulkhead_bounds(p, &first, &last, NULL));
  CHECK(first == 1 && last == 0); /* nothing above was appended */
  STATUS(BULKHEAD_OK, bulkhead_partition_close(p, &err));
  try_partition(p, BULKHEAD_CLOSED);
  REFUSED(BULKHEAD_CLOSED, bulkhead_partition_close(p, &err));
}

static void test_engine_closes_partitions(const char *directory) {
  bulkhead_partition_config config = check_config(check_path(directory, "input"), 1, BULKHEAD_MODE_NONE);
  bulkhead_partition before = p;
  NEED(bulkhead_partition_open(e, &config, &p, &err));
  CHECK(p != before);
  STATUS(BULKHEAD_OK, bulkhead_engine_close(e, &err));
  try_partition(p, BULKHEAD_CLOSED);
  try_engine(e, BULKHEAD_CLOSED);
  REFUSED(BULKHEAD_CLOSED, bulkhead_engine_close(e, &err));
  REFUSED(BULKHEAD_CLOSED, bulkhead_partition_close(p, &err));
}

int main(int argc, char **argv) {
  bulkhead_partition_config config;
  SIZED(err);
  CHECK(argc > 1);
  if (argc < 2) check_finish();
  NEED(bulkhead_engine_open(NULL, &e, &err));
  config = check_config(check_path(argv[1], "input"), 1, BULKHEAD_MODE_NONE);
  NEED(bulkhead_partition_open(e, &config, &p, &err));
  test_handles();
  test_pointers();
  test_control();
  test_conversions(argv[1]);
  test_forgotten_sizes();
  test_closed_handles();
  test_engine_closes_partitions(argv[1]);
  check_finish();
}
