/* Every function of the header does what its comment says, in each mode. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <poll.h>
#include <unistd.h>

static bulkhead_error err;

static void test_library(void) {
  CHECK(bulkhead_abi_version() == BULKHEAD_ABI_VERSION);
  CHECK(strlen(bulkhead_version()) >= strlen("0.1.0"));
  CHECK(strcmp(bulkhead_status_name(BULKHEAD_STALLED), "BULKHEAD_STALLED") == 0);
  CHECK(strcmp(bulkhead_status_name(-5), "BULKHEAD_UNKNOWN_STATUS") == 0);
}

static void test_append_and_read(bulkhead_partition p) {
  bulkhead_entry batch[3];
  bulkhead_entry_header headers[8];
  bulkhead_read_result result;
  uint8_t data[64];
  uint64_t first = 9, last = 9, term = 0;

  STATUS(BULKHEAD_OK, bulkhead_bounds(p, &first, &last, &err));
  CHECK(first == 1 && last == 0);

  batch[0] = check_entry(1, 1, "one");
  batch[1] = check_entry(2, 1, "");
  batch[1].data = NULL;
  batch[2] = check_entry(3, 2, "three");
  STATUS(BULKHEAD_OK, bulkhead_append(p, batch, 3, &err));
  STATUS(BULKHEAD_OK, bulkhead_bounds(p, &first, &last, &err));
  CHECK(first == 1 && last == 3);

  SIZED(result);
  STATUS(BULKHEAD_OK, bulkhead_read(p, 1, 4, UINT64_MAX, headers, 8, data, sizeof data, &result, &err));
  CHECK(result.count == 3 && result.data_bytes == 8 && result.needed_bytes == 0);
  CHECK(memcmp(data, "onethree", 8) == 0);
  CHECK(headers[0].index == 1 && headers[0].length == 3 && headers[0].kind == 3 && headers[0].term == 1);
  CHECK(headers[1].index == 2 && headers[1].length == 0);
  CHECK(headers[2].index == 3 && headers[2].length == 5 && headers[2].term == 2);

  /* The entry that goes over max_bytes is the last one given. */
  STATUS(BULKHEAD_OK, bulkhead_read(p, 1, 4, 0, headers, 8, data, sizeof data, &result, &err));
  CHECK(result.count == 1);
  STATUS(BULKHEAD_OK, bulkhead_read(p, 1, 4, 4, headers, 8, data, sizeof data, &result, &err));
  CHECK(result.count == 3);

  /* An index that is there replaces the suffix. */
  batch[0] = check_entry(2, 3, "two");
  STATUS(BULKHEAD_OK, bulkhead_append(p, batch, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_term(p, 2, &term, &err));
  CHECK(term == 3);
  STATUS(BULKHEAD_OUT_OF_RANGE, bulkhead_term(p, 3, &term, &err));
}

static void test_packed(bulkhead_partition p) {
  bulkhead_entry batch[100];
  bulkhead_entry_header headers[100];
  bulkhead_read_result result;
  uint8_t data[400], back[400];
  size_t i;

  /* More than are described on the stack. */
  for (i = 0; i < 100; i++) {
    batch[i] = check_entry(3 + i, 3, "");
    batch[i].data = NULL;
    batch[i].length = (uint32_t)(i % 8);
  }
  for (i = 0; i < sizeof data; i++) data[i] = (uint8_t)i;
  STATUS(BULKHEAD_OK, bulkhead_append_packed(p, batch, 100, data, 342, &err));
  SIZED(result);
  STATUS(BULKHEAD_OK, bulkhead_read(p, 3, 103, UINT64_MAX, headers, 100, back, sizeof back, &result, &err));
  CHECK(result.count == 100 && result.data_bytes == 342);
  CHECK(memcmp(data, back, 342) == 0);
  CHECK(headers[99].index == 102 && headers[99].length == 3);
}

static void test_submit(bulkhead_engine e, bulkhead_partition p) {
  bulkhead_completion completions[4];
  bulkhead_entry entry = check_entry(103, 3, "");
  struct pollfd ready;
  size_t count = 9, seen = 0;
  int32_t fd = -1;

  STATUS(BULKHEAD_OK, bulkhead_engine_completion_fd(e, &fd, &err));
  ready.fd = fd;
  ready.events = POLLIN;
  CHECK(poll(&ready, 1, 0) == 0);
  entry.length = 4;
  STATUS(BULKHEAD_OK, bulkhead_submit_packed(p, &entry, 1, (const uint8_t *)"sub1", 4, 71, &err));
  entry.index = 104;
  STATUS(BULKHEAD_OK, bulkhead_submit_packed(p, &entry, 1, (const uint8_t *)"sub2", 4, 72, &err));
  while (seen < 2 && poll(&ready, 1, 10000) == 1) {
    STATUS(BULKHEAD_OK, bulkhead_engine_completions(e, completions + seen, 4 - seen, &count, &err));
    seen += count;
  }
  CHECK(seen == 2);
  CHECK(completions[0].token == 71 && completions[1].token == 72);
  CHECK(completions[0].partition == p && completions[0].status == BULKHEAD_OK && completions[0].os_errno == 0);
  CHECK(poll(&ready, 1, 0) == 0);
  STATUS(BULKHEAD_OK, bulkhead_engine_completions(e, completions, 4, &count, &err));
  CHECK(count == 0);
}

static void test_hard_state_and_compaction(bulkhead_partition p) {
  bulkhead_hard_state state, back;
  uint64_t first, last, term;

  state.term = 5;
  state.vote = 2;
  state.commit = 50;
  STATUS(BULKHEAD_OK, bulkhead_set_hard_state(p, &state, &err));
  STATUS(BULKHEAD_OK, bulkhead_get_hard_state(p, &back, &err));
  CHECK(memcmp(&state, &back, sizeof state) == 0);

  STATUS(BULKHEAD_OK, bulkhead_compact(p, 40, &err));
  STATUS(BULKHEAD_OK, bulkhead_compact(p, 40, &err));
  STATUS(BULKHEAD_OK, bulkhead_compact(p, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_bounds(p, &first, &last, &err));
  CHECK(first == 41 && last == 104);
  STATUS(BULKHEAD_OK, bulkhead_term(p, 40, &term, &err));
  CHECK(term == 3);
  STATUS(BULKHEAD_COMPACTED, bulkhead_term(p, 39, &term, &err));

  STATUS(BULKHEAD_OK, bulkhead_sync(p, &err));
  STATUS(BULKHEAD_OK, bulkhead_reset(p, 500, 6, &err));
  STATUS(BULKHEAD_OK, bulkhead_bounds(p, &first, &last, &err));
  CHECK(first == 501 && last == 500);
  STATUS(BULKHEAD_OK, bulkhead_get_hard_state(p, &back, &err));
  CHECK(back.term == 5 && back.vote == 2 && back.commit == 500);
}

static void test_status(bulkhead_partition p, uint32_t mode) {
  bulkhead_entry entry = check_entry(501, 6, "after the snapshot");
  bulkhead_partition_status status;
  bulkhead_verify_report report;
  bulkhead_error fault;

  STATUS(BULKHEAD_OK, bulkhead_append(p, &entry, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_sync(p, &err));
  SIZED(status);
  STATUS(BULKHEAD_OK, bulkhead_get_status(p, &status, &err));
  CHECK(status.state == BULKHEAD_STATE_READ_WRITE && status.cause == BULKHEAD_CAUSE_NONE && status.mode == mode);
  CHECK(status.partition_id == 70 + mode && status.first_index == 501 && status.last_index == 501 && status.last_term == 6);
  CHECK(status.compaction_index == 500 && status.compaction_term == 6 && status.durable_index == 501);
  CHECK(status.damaged_entries == 0 && status.lost_first == 0 && status.segments > 0 && status.appends > 0);

  SIZED(report);
  STATUS(BULKHEAD_OK, bulkhead_verify(p, &report, &err));
  CHECK(report.entries >= 1 && report.bad_records == 0);

  SIZED(fault);
  fault.status = 99;
  STATUS(BULKHEAD_OK, bulkhead_last_fault(p, &fault));
  CHECK(fault.status == BULKHEAD_OK && fault.message[0] == 0);
  STATUS(BULKHEAD_OK, bulkhead_recover(p, &err)); /* nothing to do */
}

static void test_reopen(bulkhead_engine e, const bulkhead_partition_config *config) {
  bulkhead_partition_config again = *config;
  bulkhead_entry_header header;
  bulkhead_read_result result;
  bulkhead_hard_state state;
  bulkhead_partition p = 0;
  uint8_t data[64];

  again.disposition = BULKHEAD_OPEN_EXISTING;
  again.known_index = 501;
  NEED(bulkhead_partition_open(e, &again, &p, &err));
  SIZED(result);
  STATUS(BULKHEAD_OK, bulkhead_read(p, 501, 502, 0, &header, 1, data, sizeof data, &result, &err));
  CHECK(result.count == 1 && memcmp(data, "after the snapshot", 18) == 0);
  STATUS(BULKHEAD_OK, bulkhead_get_hard_state(p, &state, &err));
  CHECK(state.term == 5 && state.vote == 2 && state.commit == 500);
  STATUS(BULKHEAD_OK, bulkhead_partition_close(p, &err));
}

static void test_metrics(bulkhead_engine e) {
  static char text[1 << 17];
  size_t needed = 0, again = 0;

  STATUS(BULKHEAD_BUFFER_TOO_SMALL, bulkhead_metrics_text(e, NULL, 0, &needed, &err));
  CHECK(needed > 1000);
  STATUS(BULKHEAD_OK, bulkhead_metrics_text(e, text, sizeof text, &again, &err));
  CHECK(again == strlen(text) + 1);
  CHECK(strncmp(text, "# HELP bulkhead_build_info ", 27) == 0);
  /* What the partitions counted that are closed by now. */
  CHECK(strstr(text, "\nbulkhead_appends_total{disk=") != NULL);
  STATUS(BULKHEAD_INVALID_ARGUMENT, bulkhead_metrics_text(e, text, sizeof text, NULL, &err));
}

/* The next event that set limits; its sequence, or 0. */
static uint64_t limits_event(bulkhead_engine e, uint64_t partition_id) {
  bulkhead_event event;
  size_t count = 1;
  while (bulkhead_engine_events(e, &event, 1, &count, &err) == BULKHEAD_OK && count == 1)
    if (event.operation == BULKHEAD_OP_SET_LIMITS && event.partition_id == partition_id) return event.sequence;
  return 0;
}

/* The event says which limits were set, where, from what to what. */
static void test_event_limits(bulkhead_engine e, bulkhead_partition p, uint64_t id, uint64_t device) {
  bulkhead_limit set[2];
  bulkhead_limit_changed changed[4];
  uint64_t of_engine, of_disk, of_partition;
  size_t count = 0;

  memset(set, 0, sizeof set);
  set[0].limit = BULKHEAD_LIMIT_PROBE_MS;
  set[0].value = 900;
  set[1].limit = BULKHEAD_LIMIT_HEAL_LIMIT_MS;
  set[1].value = BULKHEAD_NEVER;
  STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, set, 2, &err));
  CHECK((of_engine = limits_event(e, 0)) != 0);
  STATUS(BULKHEAD_OK, bulkhead_event_limits(e, of_engine, changed, 4, &count, &err));
  CHECK(count == 2 && changed[0].limit == BULKHEAD_LIMIT_PROBE_MS && changed[0].before == 250 && changed[0].after == 900);
  CHECK(changed[1].limit == BULKHEAD_LIMIT_HEAL_LIMIT_MS && changed[1].before == 300 && changed[1].after == BULKHEAD_NEVER);
  CHECK(changed[0].changed_for == BULKHEAD_SCOPE_ENGINE && changed[0].set_for == BULKHEAD_SCOPE_ENGINE && changed[0].device == 0);
  set[0].value = 800;
  STATUS(BULKHEAD_OK, bulkhead_disk_set_limits(e, device, set, 1, &err));
  CHECK((of_disk = limits_event(e, 0)) > of_engine);
  STATUS(BULKHEAD_OK, bulkhead_event_limits(e, of_disk, changed, 4, &count, &err));
  CHECK(count == 1 && changed[0].changed_for == BULKHEAD_SCOPE_DISK && changed[0].device == device);
  CHECK(changed[0].before == 900 && changed[0].after == 800);
  set[0].value = 700;
  STATUS(BULKHEAD_OK, bulkhead_set_limits(p, set, 1, &err));
  set[0].value = BULKHEAD_INHERIT;
  STATUS(BULKHEAD_OK, bulkhead_set_limits(p, set, 1, &err));
  CHECK(limits_event(e, id) > of_disk && (of_partition = limits_event(e, id)) != 0);
  STATUS(BULKHEAD_OK, bulkhead_event_limits(e, of_partition, changed, 4, &count, &err));
  CHECK(count == 1 && changed[0].changed_for == BULKHEAD_SCOPE_PARTITION && changed[0].set_for == BULKHEAD_SCOPE_DISK);
  CHECK(changed[0].before == 700 && changed[0].after == 800);
  STATUS(BULKHEAD_OK, bulkhead_event_limits(e, of_engine, NULL, 0, &count, &err)); /* an earlier one is not forgotten */
  CHECK(count == 0);
  STATUS(BULKHEAD_NOT_FOUND, bulkhead_event_limits(e, of_partition + 1, changed, 4, &count, &err));
  CHECK(strstr(err.message, "set limits") != NULL);
  set[1].value = BULKHEAD_INHERIT;
  STATUS(BULKHEAD_OK, bulkhead_disk_set_limits(e, device, set, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, set, 2, &err));
}

/* A script sets limits one after the other: each event, fetched in one batch, still tells what it changed. */
static void test_many_event_limits(bulkhead_engine e) {
  enum { MANY = 200 };
  static bulkhead_event events[MANY + 1];
  bulkhead_limit set;
  bulkhead_limit_changed changed;
  size_t count = 0, one = 0, i;
  memset(&set, 0, sizeof set);
  set.limit = BULKHEAD_LIMIT_PROBE_MS;
  for (i = 0; i < MANY; i++) {
    set.value = 1000 + i;
    STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, &set, 1, &err));
  }
  STATUS(BULKHEAD_OK, bulkhead_engine_events(e, events, MANY + 1, &count, &err));
  CHECK(count == MANY);
  for (i = 0; i < count; i++) {
    STATUS(BULKHEAD_OK, bulkhead_event_limits(e, events[i].sequence, &changed, 1, &one, &err));
    CHECK(one == 1 && changed.after == 1000 + i && (i == 0 || changed.before == 999 + i));
  }
  set.value = BULKHEAD_INHERIT;
  STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, &set, 1, &err));
}

/* A partition's own limit comes before its disk's and the engine's; a bad one changes nothing. */
static void test_limits(bulkhead_engine e, bulkhead_partition p) {
  bulkhead_limit set[2], limits[64];
  bulkhead_disk disks[4];
  bulkhead_partition_status status;
  bulkhead_event event;
  size_t count = 0, i;

  memset(set, 0, sizeof set);
  CHECK(strcmp(bulkhead_limit_name(BULKHEAD_LIMIT_HEAL_LIMIT_MS), "heal_limit_ms") == 0);
  CHECK(bulkhead_limit_name(0) == NULL && bulkhead_limit_name(99) == NULL);
  STATUS(BULKHEAD_OK, bulkhead_engine_disks(e, disks, 4, &count, &err));
  CHECK(count == 1 && disks[0].partitions == 1 && disks[0].mount[0] == '/');
  set[0].limit = BULKHEAD_LIMIT_HEAL_LIMIT_MS;
  set[0].value = 200;
  STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, set, 1, &err));
  set[0].value = BULKHEAD_NEVER;
  STATUS(BULKHEAD_OK, bulkhead_set_limits(p, set, 1, &err));
  set[0].value = 400;
  STATUS(BULKHEAD_OK, bulkhead_disk_set_limits(e, disks[0].device, set, 1, &err));
  set[1].limit = BULKHEAD_LIMIT_PROBE_MS;
  set[1].value = 60001;
  set[0].value = 500;
  STATUS(BULKHEAD_INVALID_CONFIG, bulkhead_set_limits(p, set, 2, &err));
  CHECK(strstr(err.message, "between 1 and 60000, or never") != NULL && err.operation == BULKHEAD_OP_SET_LIMITS);
  set[0].value = 0;
  STATUS(BULKHEAD_INVALID_CONFIG, bulkhead_set_limits(p, set, 1, &err));
  STATUS(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, NULL, 1, &err));
  STATUS(BULKHEAD_INVALID_ARGUMENT, bulkhead_set_limits(p, set, SIZE_MAX, &err));
  STATUS(BULKHEAD_OK, bulkhead_get_limits(p, limits, 64, &count, &err));
  for (i = 0; i < count && limits[i].limit != BULKHEAD_LIMIT_HEAL_LIMIT_MS; i++) continue;
  CHECK(i < count && limits[i].value == BULKHEAD_NEVER && limits[i].set_for == BULKHEAD_SCOPE_PARTITION);
  STATUS(BULKHEAD_OK, bulkhead_disk_get_limits(e, disks[0].device, limits, 64, &count, &err));
  for (i = 0; i < count && limits[i].limit != BULKHEAD_LIMIT_HEAL_LIMIT_MS; i++) continue;
  CHECK(i < count && limits[i].value == 400 && limits[i].set_for == BULKHEAD_SCOPE_DISK);
  STATUS(BULKHEAD_OK, bulkhead_engine_get_limits(e, limits, 1, &count, &err));
  CHECK(count == 1 && limits[0].limit == BULKHEAD_LIMIT_MAX_ENTRY_BYTES && limits[0].set_for == BULKHEAD_SCOPE_OPEN);
  set[0].value = BULKHEAD_INHERIT;
  STATUS(BULKHEAD_OK, bulkhead_set_limits(p, set, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_disk_set_limits(e, disks[0].device, set, 1, &err));
  STATUS(BULKHEAD_OK, bulkhead_engine_set_limits(e, set, 1, &err));
  while (bulkhead_engine_events(e, &event, 1, &count, &err) == BULKHEAD_OK && count == 1) continue;
  SIZED(status);
  STATUS(BULKHEAD_OK, bulkhead_get_status(p, &status, &err));
  test_event_limits(e, p, status.partition_id, disks[0].device);
  while (bulkhead_engine_events(e, &event, 1, &count, &err) == BULKHEAD_OK && count == 1) continue;
  test_many_event_limits(e);
}

int main(int argc, char **argv) {
  static const uint32_t modes[] = {BULKHEAD_MODE_NONE, BULKHEAD_MODE_SYNC, BULKHEAD_MODE_INTERVAL};
  bulkhead_engine e = 0;
  size_t i;

  SIZED(err);
  test_library();
  NEED(bulkhead_engine_open(NULL, &e, &err));
  for (i = 0; i < 3 && argc > 1; i++) {
    char name[16];
    bulkhead_partition_config config;
    bulkhead_partition p = 0;
    snprintf(name, sizeof name, "mode%u", (unsigned)modes[i]);
    config = check_config(check_path(argv[1], name), 70 + modes[i], modes[i]);
    NEED(bulkhead_partition_open(e, &config, &p, &err));
    test_append_and_read(p);
    test_packed(p);
    test_submit(e, p);
    test_hard_state_and_compaction(p);
    test_status(p, modes[i]);
    test_limits(e, p);
    STATUS(BULKHEAD_OK, bulkhead_partition_close(p, &err));
    test_reopen(e, &config);
  }
  CHECK(i == 3);
  test_metrics(e);
  STATUS(BULKHEAD_OK, bulkhead_engine_close(e, &err));
  check_finish();
}
