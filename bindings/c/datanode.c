/*
 * A datanode in small: four partitions in one process, each with its own log.
 *
 *   datanode [--limit] [directory]
 *
 * It opens and replays them, appends to all, and then the disk of one of them fails for real: an ext4 of its own is shut down under it
 * (EIO; needs root), or, without root or with --limit, its file meets a size limit (EFBIG). The others carry on. Bulkhead tries to heal it for
 * a while; the owner hears of the error by poll(), removes its cause, brings the partition back, and checks that nothing that was acknowledged is
 * missing.
 */
#define _GNU_SOURCE
#include <bulkhead.h>

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"

enum { PARTITIONS = 4, BROKEN = 2, BATCH = 16, SMALL = 256, LARGE = 2 * 1024 * 1024 };

typedef struct {
  uint64_t id;
  char path[512];
  bulkhead_partition handle;
  uint64_t acknowledged; /* the last index that an append returned OK for */
  uint64_t replayed;     /* entries that were read back at the last open */
  uint64_t refused;
} partition;

static bulkhead_engine engine;
static partition partitions[PARTITIONS];
static uint8_t payload[LARGE];

static const char *state_name(uint32_t state) {
  static const char *const names[] = {"?", "ReadWrite", "ReadOnly", "Unavailable", "Recovering", "Closed"};
  return state < sizeof names / sizeof *names ? names[state] : names[0];
}

static const char *cause_name(uint32_t cause) {
  static const char *const names[] = {"", "no space", "I/O error", "read-only filesystem", "stalled", "panic", "damage", "out of resources", "lost entries"};
  return cause < sizeof names / sizeof *names ? names[cause] : "?";
}

static void say(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(stdout);
}

static void print_error(const bulkhead_error *err) {
  say("    %s, errno %d (%s), partition %llu", bulkhead_status_name(err->status), err->os_errno,
      err->os_errno != 0 ? strerror(err->os_errno) : "no system call failed", (unsigned long long)err->partition_id);
  if (err->path[0] != 0) say("    %s", err->path);
  say("    \"%s\"", err->message);
}

/* For what must not fail: here any other reaction would only hide the point of the example. */
static void must(bulkhead_status status, const bulkhead_error *err, const char *what) {
  if (status == BULKHEAD_OK) return;
  say("  %s:", what);
  print_error(err);
  fault_clean_up();
  exit(1);
}

/* Reads the whole log once, in portions, as a state machine that is being rebuilt would. */
static void replay(partition *p, bulkhead_error *err) {
  static bulkhead_entry_header headers[64];
  static uint8_t data[LARGE];
  bulkhead_read_result result;
  uint64_t next = 0, last = 0;
  bulkhead_status status;

  p->replayed = 0;
  must(bulkhead_bounds(p->handle, &next, &last, err), err, "bounds");
  while (next <= last) {
    memset(&result, 0, sizeof result);
    result.struct_size = sizeof result;
    status = bulkhead_read(p->handle, next, last + 1, sizeof data, headers, 64, data, sizeof data, &result, err);
    must(status, err, "replay");
    p->replayed += result.count;
    next += result.count;
  }
}

static void open_partition(partition *p) {
  bulkhead_partition_config config;
  bulkhead_error err;

  memset(&err, 0, sizeof err);
  err.struct_size = sizeof err;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.mode = BULKHEAD_MODE_SYNC;
  config.path = (const uint8_t *)p->path;
  config.path_length = (uint32_t)strlen(p->path);
  config.partition_id = p->id;
  config.known_index = p->acknowledged; /* a log that ends before this would be damage, and Bulkhead would say so */
  must(bulkhead_partition_open(engine, &config, &p->handle, &err), &err, "open");
  replay(p, &err);
  if (p->acknowledged == 0) p->acknowledged = p->replayed;
}

/* One batch; the error of the first one that is refused is printed. */
static void append_batch(partition *p, uint32_t length) {
  bulkhead_entry entries[BATCH];
  size_t count = length == LARGE ? 1 : BATCH, i;
  bulkhead_error err;

  for (i = 0; i < count; i++) {
    entries[i].index = p->acknowledged + 1 + i;
    entries[i].term = 1;
    entries[i].kind = 0;
    entries[i].data = payload;
    entries[i].length = length;
  }
  memset(&err, 0, sizeof err);
  err.struct_size = sizeof err;
  if (bulkhead_append(p->handle, entries, count, &err) == BULKHEAD_OK) {
    p->acknowledged += count;
  } else if (p->refused++ == 0) {
    say("  partition %llu refuses entry %llu:", (unsigned long long)p->id, (unsigned long long)entries[0].index);
    print_error(&err);
  }
}

static void print_table(void) {
  bulkhead_partition_status status;
  size_t i;

  say("  %-10s %-12s %-14s %10s %10s %8s", "partition", "state", "cause", "last", "durable", "refused");
  for (i = 0; i < PARTITIONS; i++) {
    memset(&status, 0, sizeof status);
    status.struct_size = sizeof status;
    if (bulkhead_get_status(partitions[i].handle, &status, NULL) != BULKHEAD_OK) {
      say("  %-10llu closed", (unsigned long long)partitions[i].id);
      continue;
    }
    say("  %-10llu %-12s %-14s %10llu %10llu %8llu", (unsigned long long)partitions[i].id, state_name(status.state), cause_name(status.cause),
        (unsigned long long)status.last_index, (unsigned long long)status.durable_index, (unsigned long long)partitions[i].refused);
  }
}

/* Prints the events that are there, or come within the time; returns how many. A real owner has this descriptor in its event loop. */
static size_t drain_events(int timeout_ms) {
  bulkhead_event events[16];
  struct pollfd ready;
  size_t count = 0, total = 0, i;
  int32_t fd = -1;

  if (bulkhead_engine_event_fd(engine, &fd, NULL) != BULKHEAD_OK) return 0;
  ready.fd = fd;
  ready.events = POLLIN;
  while (poll(&ready, 1, total == 0 ? timeout_ms : 0) == 1) {
    if (bulkhead_engine_events(engine, events, 16, &count, NULL) != BULKHEAD_OK || count == 0) break;
    for (i = 0; i < count; i++) {
      if (events[i].from_state == events[i].to_state) { /* the partition goes on: this is for the one who looks after the disks */
        say("  event %llu: partition %llu %s%s", (unsigned long long)events[i].sequence, (unsigned long long)events[i].partition_id,
            events[i].cause != 0 ? "met something and is at work on it: " : "has healed it", cause_name(events[i].cause));
        continue;
      }
      say("  event %llu: partition %llu is %s, was %s%s%s%s", (unsigned long long)events[i].sequence, (unsigned long long)events[i].partition_id,
          state_name(events[i].to_state), state_name(events[i].from_state), events[i].cause != 0 ? ": " : "", cause_name(events[i].cause),
          events[i].merged != 0 ? " (with others before it)" : "");
    }
    total += count;
  }
  return total;
}

/* Brings the broken partition back after its cause is gone. With the limit it would come back by itself (probe_ms); the call saves the wait. A
   filesystem that died does not come back: what is mounted in its place is another one. */
static void bring_back(fault_kind kind) {
  partition *p = &partitions[BROKEN];
  bulkhead_error err;

  memset(&err, 0, sizeof err);
  err.struct_size = sizeof err;
  if (kind == FAULT_LIMIT) {
    if (fault_end() != 0) perror("  lifting the limit");
    say("  the limit is lifted; bulkhead_recover");
    must(bulkhead_recover(p->handle, &err), &err, "recover");
    replay(p, &err);
  } else {
    /* Its descriptors hold the dead filesystem: close (immediate for a partition with a fault), mount again, open. */
    (void)bulkhead_partition_close(p->handle, NULL);
    if (fault_end() != 0) perror("  mounting again");
    say("  its filesystem is mounted again; opening the partition");
    open_partition(p);
  }
  say("  partition %llu: %llu entries acknowledged, %llu read back", (unsigned long long)p->id, (unsigned long long)p->acknowledged,
      (unsigned long long)p->replayed);
}

static void append_rounds(int rounds, int large) {
  int round;
  size_t i;
  for (round = 0; round < rounds; round++) {
    for (i = 0; i < PARTITIONS; i++) append_batch(&partitions[i], large && i == BROKEN ? LARGE : SMALL);
  }
}

static fault_kind set_up(const char *directory, fault_kind wanted) {
  char disk[400];
  int kind;
  size_t i;

  snprintf(disk, sizeof disk, "%s/bad-disk", directory);
  if ((mkdir(directory, 0700) != 0 && access(directory, W_OK) != 0) || (mkdir(disk, 0700) != 0 && access(disk, W_OK) != 0)) {
    perror(directory);
    exit(2);
  }
  kind = fault_prepare(disk, wanted);
  for (i = 0; i < PARTITIONS; i++) {
    partitions[i].id = i + 1;
    snprintf(partitions[i].path, sizeof partitions[i].path, "%s/partition-%d", i == BROKEN ? disk : directory, (int)i + 1);
    open_partition(&partitions[i]);
    if (partitions[i].replayed != 0) say("  partition %d: %llu entries replayed", (int)i + 1, (unsigned long long)partitions[i].replayed);
  }
  return (fault_kind)kind;
}

/* Closes and opens everything once more: what was acknowledged must be there. Returns how many entries are not. */
static uint64_t check_everything(void) {
  uint64_t missing = 0;
  size_t i;

  for (i = 0; i < PARTITIONS; i++) {
    bulkhead_error err;
    memset(&err, 0, sizeof err);
    err.struct_size = sizeof err;
    must(bulkhead_partition_close(partitions[i].handle, &err), &err, "close");
    open_partition(&partitions[i]);
    say("  partition %llu: %llu acknowledged, %llu replayed", (unsigned long long)partitions[i].id, (unsigned long long)partitions[i].acknowledged,
        (unsigned long long)partitions[i].replayed);
    if (partitions[i].replayed < partitions[i].acknowledged) missing += partitions[i].acknowledged - partitions[i].replayed;
  }
  return missing;
}

int main(int argc, char **argv) {
  char directory[] = "/tmp/datanode.XXXXXX";
  fault_kind wanted = FAULT_SHUTDOWN, kind;
  uint64_t before, missing;
  bulkhead_error err;
  int told, carried_on;
  size_t i;

  memset(&err, 0, sizeof err);
  err.struct_size = sizeof err;
  if (argc > 1 && strcmp(argv[1], "--limit") == 0) {
    wanted = FAULT_LIMIT;
    argc--;
    argv++;
  }
  if (argc < 2 && mkdtemp(directory) == NULL) return 2;
  must(bulkhead_engine_open(NULL, &engine, &err), &err, "engine");

  say("1. Bulkhead %s: opening and replaying %d partitions in %s", bulkhead_version(), PARTITIONS, argc > 1 ? argv[1] : directory);
  kind = set_up(argc > 1 ? argv[1] : directory, wanted);

  say("\n2. Appending to all, mode sync");
  append_rounds(20, 0);
  print_table();

  say("\n3. The disk of partition %d fails: %s", BROKEN + 1,
      kind == FAULT_SHUTDOWN ? "its ext4 is shut down, every call gives EIO" : "a file size limit, its next write gives EFBIG");
  if (fault_begin() != 0) perror("  making the fault");
  before = partitions[0].acknowledged;
  append_rounds(20, kind == FAULT_LIMIT);
  told = drain_events(1000) > 0;
  print_table();
  carried_on = partitions[0].acknowledged == before + 20 * BATCH && partitions[0].refused == 0;

  say("\n4. Removing the cause, bringing the partition back");
  bring_back(kind);
  (void)drain_events(100);
  append_rounds(5, 0);
  print_table();

  say("\n5. Closing and replaying everything");
  missing = check_everything();
  for (i = 0; i < PARTITIONS; i++) (void)bulkhead_partition_close(partitions[i].handle, NULL);
  must(bulkhead_engine_close(engine, &err), &err, "close");
  fault_clean_up();
  say("\nThe owner was %s; the other partitions %s; %llu acknowledged entries are missing.", told ? "told" : "NOT told",
      carried_on ? "carried on" : "DID NOT carry on", (unsigned long long)missing);
  return told && carried_on && missing == 0 && partitions[BROKEN].refused > 0 ? 0 : 1;
}
