/* What lies between Go and bulkhead.h.
 *
 * cgo makes every pointer argument escape to the Go heap, so output parameters
 * would cost an allocation per call. The functions below take scalars, return
 * small structs by value, and keep the 800 byte error struct on the C stack:
 * it is copied to the C heap only when a call failed.
 */
#ifndef BULKHEAD_GO_SHIM_H
#define BULKHEAD_GO_SHIM_H

#include <bulkhead.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if BULKHEAD_ABI_VERSION != 1
#error "bulkhead.h has another ABI version than this Go package"
#endif

/* One in each unit that cgo makes of a Go file: known by its size and not by its address. */
static bulkhead_error bh_no_memory_for_error = {
    0, BULKHEAD_RESOURCE_EXHAUSTED, ENOMEM, BULKHEAD_OP_NONE, 0, 0, 0, {0},
    "the operation failed, and there was no memory to keep what it said"};

/* A struct the library fills on failure; only what Go reads is set up. */
static inline void bh_prepare(bulkhead_error *err) {
  err->struct_size = sizeof(*err);
  err->status = BULKHEAD_OK;
  err->os_errno = 0;
  err->operation = BULKHEAD_OP_NONE;
  err->partition_id = err->first_index = err->last_index = 0;
  err->path[0] = err->message[0] = 0;
}

/* NULL on success, otherwise a copy that the Go side frees with bh_free_error. */
static inline bulkhead_error *bh_result(bulkhead_status status, bulkhead_error *err) {
  if (status == BULKHEAD_OK) return NULL;
  err->status = status;
  bulkhead_error *copy = (bulkhead_error *)malloc(sizeof(*copy));
  if (copy == NULL) return &bh_no_memory_for_error;
  memcpy(copy, err, sizeof(*copy));
  return copy;
}

static inline void bh_free_error(bulkhead_error *err) {
  if (err != NULL && err->struct_size != 0) free(err);
}

typedef struct { bulkhead_error *err; uint64_t value; } bh_value;
typedef struct { bulkhead_error *err; uint64_t first, last; } bh_range;
typedef struct { bulkhead_error *err; bulkhead_hard_state state; } bh_hard_state;
typedef struct { bulkhead_error *err; bulkhead_partition_status status; } bh_partition_status;
typedef struct { bulkhead_error *err; bulkhead_verify_report report; } bh_verify_report;
typedef struct { bulkhead_error *err; bulkhead_status status; bulkhead_read_result result; } bh_read_result;
typedef struct { bulkhead_error *err; bulkhead_cubefs_report report; } bh_cubefs_report;

#define BH_CALL(expression)                       \
  bulkhead_error failure;                         \
  bh_prepare(&failure);                           \
  bulkhead_status status = (expression)

static inline bulkhead_error *bh_fence(bulkhead_partition partition, uint32_t state, const char *reason, size_t length) {
  BH_CALL(bulkhead_fence(partition, state, reason, length, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_release(bulkhead_partition partition) {
  BH_CALL(bulkhead_release(partition, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_engine_set_limits(bulkhead_engine engine, const bulkhead_limit *limits, size_t count) {
  BH_CALL(bulkhead_engine_set_limits(engine, limits, count, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_disk_set_limits(bulkhead_engine engine, uint64_t device, const bulkhead_limit *limits,
                                                 size_t count) {
  BH_CALL(bulkhead_disk_set_limits(engine, device, limits, count, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_set_limits(bulkhead_partition partition, const bulkhead_limit *limits, size_t count) {
  BH_CALL(bulkhead_set_limits(partition, limits, count, &failure));
  return bh_result(status, &failure);
}

/* value is how many there are */
static inline bh_value bh_engine_get_limits(bulkhead_engine engine, bulkhead_limit *out, size_t capacity) {
  bh_value result = {NULL, 0};
  size_t count = 0;
  BH_CALL(bulkhead_engine_get_limits(engine, out, capacity, &count, &failure));
  result.err = bh_result(status, &failure);
  result.value = count;
  return result;
}

static inline bh_value bh_disk_get_limits(bulkhead_engine engine, uint64_t device, bulkhead_limit *out, size_t capacity) {
  bh_value result = {NULL, 0};
  size_t count = 0;
  BH_CALL(bulkhead_disk_get_limits(engine, device, out, capacity, &count, &failure));
  result.err = bh_result(status, &failure);
  result.value = count;
  return result;
}

static inline bh_value bh_get_limits(bulkhead_partition partition, bulkhead_limit *out, size_t capacity) {
  bh_value result = {NULL, 0};
  size_t count = 0;
  BH_CALL(bulkhead_get_limits(partition, out, capacity, &count, &failure));
  result.err = bh_result(status, &failure);
  result.value = count;
  return result;
}

/* How many there are; 0 also if nothing is known of the event. */
static inline size_t bh_event_limits(bulkhead_engine engine, uint64_t sequence, bulkhead_limit_changed *out, size_t capacity) {
  size_t count = 0;
  if (bulkhead_event_limits(engine, sequence, out, capacity, &count, NULL) != BULKHEAD_OK) return 0;
  return count;
}

static inline bh_value bh_engine_disks(bulkhead_engine engine, bulkhead_disk *out, size_t capacity) {
  bh_value result = {NULL, 0};
  size_t count = 0;
  BH_CALL(bulkhead_engine_disks(engine, out, capacity, &count, &failure));
  result.err = bh_result(status, &failure);
  result.value = count;
  return result;
}

/* value is the bytes of the text and its NUL, also with BULKHEAD_BUFFER_TOO_SMALL. */
static inline bh_value bh_metrics_text(bulkhead_engine engine, char *buffer, size_t capacity) {
  bh_value out = {NULL, 0};
  size_t needed = 0;
  BH_CALL(bulkhead_metrics_text(engine, buffer, capacity, &needed, &failure));
  out.err = bh_result(status, &failure);
  out.value = needed;
  return out;
}

static inline bh_value bh_engine_open(bulkhead_engine_config config) {
  bh_value out = {NULL, 0};
  config.struct_size = sizeof(config);
  BH_CALL(bulkhead_engine_open(&config, &out.value, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bulkhead_error *bh_engine_close(bulkhead_engine engine) {
  BH_CALL(bulkhead_engine_close(engine, &failure));
  return bh_result(status, &failure);
}

/* In Go; called by the thread of the library's log hook. */
extern void bhLogLine(uintptr_t user, bulkhead_log_line *line);

static inline void bh_log_line(void *user, const bulkhead_log_line *line) {
  bhLogLine((uintptr_t)user, (bulkhead_log_line *)line);
}

/* user 0 takes the hook away. */
static inline bulkhead_error *bh_engine_set_log_hook(bulkhead_engine engine, uintptr_t user) {
  BH_CALL(bulkhead_engine_set_log_hook(engine, user == 0 ? NULL : bh_log_line, (void *)user, &failure));
  return bh_result(status, &failure);
}

static inline bh_value bh_engine_event_fd(bulkhead_engine engine) {
  bh_value out = {NULL, 0};
  int32_t fd = -1;
  BH_CALL(bulkhead_engine_event_fd(engine, &fd, &failure));
  out.value = (uint64_t)fd;
  out.err = bh_result(status, &failure);
  return out;
}

static inline bh_value bh_engine_completion_fd(bulkhead_engine engine) {
  bh_value out = {NULL, 0};
  int32_t fd = -1;
  BH_CALL(bulkhead_engine_completion_fd(engine, &fd, &failure));
  out.value = (uint64_t)fd;
  out.err = bh_result(status, &failure);
  return out;
}

/* -1 when the engine is closed */
static inline int64_t bh_engine_events(bulkhead_engine engine, bulkhead_event *out, size_t capacity) {
  size_t count = 0;
  return bulkhead_engine_events(engine, out, capacity, &count, NULL) == BULKHEAD_OK ? (int64_t)count : -1;
}

static inline int64_t bh_engine_completions(bulkhead_engine engine, bulkhead_completion *out, size_t capacity) {
  size_t count = 0;
  return bulkhead_engine_completions(engine, out, capacity, &count, NULL) == BULKHEAD_OK ? (int64_t)count : -1;
}

static inline bh_value bh_partition_open(bulkhead_engine engine, uint32_t mode, uint32_t disposition,
                                         const uint8_t *path, uint32_t path_length, uint64_t id, uint64_t known_index) {
  bh_value out = {NULL, 0};
  bulkhead_partition_config config = {sizeof(config), mode, disposition, path_length, path, id, known_index};
  BH_CALL(bulkhead_partition_open(engine, &config, &out.value, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bulkhead_error *bh_partition_close(bulkhead_partition partition) {
  BH_CALL(bulkhead_partition_close(partition, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_append_one(bulkhead_partition partition, uint64_t index, uint64_t term, uint32_t kind,
                                            const uint8_t *data, uint32_t length) {
  bulkhead_entry entry = {index, term, data, length, kind};
  BH_CALL(bulkhead_append(partition, &entry, 1, &failure));
  return bh_result(status, &failure);
}

/* entries is a bulkhead_entry array; its type here has no pointers, so that cgo does not walk it */
static inline bulkhead_error *bh_append(bulkhead_partition partition, const uint64_t *entries, size_t count) {
  BH_CALL(bulkhead_append(partition, (const bulkhead_entry *)(const void *)entries, count, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_append_packed(bulkhead_partition partition, const uint64_t *entries, size_t count,
                                               const uint8_t *data, size_t length) {
  BH_CALL(bulkhead_append_packed(partition, (const bulkhead_entry *)(const void *)entries, count, data, length, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_submit_one(bulkhead_partition partition, uint64_t index, uint64_t term, uint32_t kind,
                                            const uint8_t *data, uint32_t length, uint64_t token) {
  bulkhead_entry entry = {index, term, NULL, length, kind};
  BH_CALL(bulkhead_submit_packed(partition, &entry, 1, data, length, token, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_submit_packed(bulkhead_partition partition, const uint64_t *entries, size_t count,
                                               const uint8_t *data, size_t length, uint64_t token) {
  BH_CALL(bulkhead_submit_packed(partition, (const bulkhead_entry *)(const void *)entries, count, data, length, token, &failure));
  return bh_result(status, &failure);
}

/* A buffer that is too small is an ordinary answer: no error is built for it. */
static inline bh_read_result bh_read(bulkhead_partition partition, uint64_t lo, uint64_t hi, uint64_t max_bytes,
                                     uint64_t *headers, size_t capacity, uint8_t *data, size_t data_capacity) {
  bh_read_result out = {NULL, BULKHEAD_OK, {sizeof(bulkhead_read_result), 0, 0, 0}};
  BH_CALL(bulkhead_read(partition, lo, hi, max_bytes, (bulkhead_entry_header *)(void *)headers, capacity,
                        data, data_capacity, &out.result, &failure));
  out.status = status;
  if (status != BULKHEAD_BUFFER_TOO_SMALL) out.err = bh_result(status, &failure);
  return out;
}

static inline bh_value bh_term(bulkhead_partition partition, uint64_t index) {
  bh_value out = {NULL, 0};
  BH_CALL(bulkhead_term(partition, index, &out.value, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bh_range bh_bounds(bulkhead_partition partition) {
  bh_range out = {NULL, 0, 0};
  BH_CALL(bulkhead_bounds(partition, &out.first, &out.last, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bulkhead_error *bh_compact(bulkhead_partition partition, uint64_t index) {
  BH_CALL(bulkhead_compact(partition, index, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_reset(bulkhead_partition partition, uint64_t index, uint64_t term) {
  BH_CALL(bulkhead_reset(partition, index, term, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_set_hard_state(bulkhead_partition partition, uint64_t term, uint64_t vote, uint64_t commit) {
  bulkhead_hard_state state = {term, vote, commit};
  BH_CALL(bulkhead_set_hard_state(partition, &state, &failure));
  return bh_result(status, &failure);
}

static inline bh_hard_state bh_get_hard_state(bulkhead_partition partition) {
  bh_hard_state out = {NULL, {0, 0, 0}};
  BH_CALL(bulkhead_get_hard_state(partition, &out.state, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bulkhead_error *bh_sync(bulkhead_partition partition) {
  BH_CALL(bulkhead_sync(partition, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_recover(bulkhead_partition partition) {
  BH_CALL(bulkhead_recover(partition, &failure));
  return bh_result(status, &failure);
}

static inline bh_verify_report bh_verify(bulkhead_partition partition) {
  bh_verify_report out;
  memset(&out, 0, sizeof(out));
  out.report.struct_size = sizeof(out.report);
  BH_CALL(bulkhead_verify(partition, &out.report, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bh_partition_status bh_get_status(bulkhead_partition partition) {
  bh_partition_status out;
  memset(&out, 0, sizeof(out));
  out.status.struct_size = sizeof(out.status);
  BH_CALL(bulkhead_get_status(partition, &out.status, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

/* The latched error; NULL if there is none or the handle is closed. */
static inline bulkhead_error *bh_last_fault(bulkhead_partition partition) {
  bulkhead_error fault;
  bh_prepare(&fault);
  if (bulkhead_last_fault(partition, &fault) != BULKHEAD_OK) return NULL;
  return bh_result(fault.status, &fault);
}

static inline bulkhead_partition_config bh_directory(const uint8_t *path, uint32_t path_length, uint64_t id,
                                                     uint64_t known_index) {
  bulkhead_partition_config config = {sizeof(config), 0, 0, path_length, path, id, known_index};
  return config;
}

static inline bh_cubefs_report bh_cubefs_inspect(bulkhead_engine engine, const uint8_t *path, uint32_t path_length, uint64_t id,
                                                 uint64_t known_index, bulkhead_cubefs_finding *findings, size_t capacity) {
  bh_cubefs_report out = {NULL, {sizeof(out.report)}};
  bulkhead_partition_config config = bh_directory(path, path_length, id, known_index);
  BH_CALL(bulkhead_cubefs_inspect(engine, &config, &out.report, findings, capacity, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bh_cubefs_report bh_cubefs_import(bulkhead_engine engine, const uint8_t *path, uint32_t path_length, uint64_t id,
                                                uint64_t known_index, bulkhead_progress *progress) {
  bh_cubefs_report out = {NULL, {sizeof(out.report)}};
  bulkhead_partition_config config = bh_directory(path, path_length, id, known_index);
  BH_CALL(bulkhead_cubefs_import(engine, &config, progress, &out.report, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

static inline bulkhead_error *bh_cubefs_undo_import(bulkhead_engine engine, const uint8_t *path, uint32_t path_length,
                                                    uint64_t id) {
  bulkhead_partition_config config = bh_directory(path, path_length, id, 0);
  BH_CALL(bulkhead_cubefs_undo_import(engine, &config, &failure));
  return bh_result(status, &failure);
}

static inline bulkhead_error *bh_cubefs_discard_original(bulkhead_engine engine, const uint8_t *path, uint32_t path_length,
                                                         uint64_t id) {
  bulkhead_partition_config config = bh_directory(path, path_length, id, 0);
  BH_CALL(bulkhead_cubefs_discard_original(engine, &config, &failure));
  return bh_result(status, &failure);
}

static inline bh_cubefs_report bh_cubefs_export(bulkhead_engine engine, const uint8_t *path, uint32_t path_length, uint64_t id,
                                                uint64_t known_index, const uint8_t *target, uint32_t target_length,
                                                bulkhead_progress *progress) {
  bh_cubefs_report out = {NULL, {sizeof(out.report)}};
  bulkhead_partition_config config = bh_directory(path, path_length, id, known_index);
  BH_CALL(bulkhead_cubefs_export(engine, &config, target, target_length, progress, &out.report, &failure));
  out.err = bh_result(status, &failure);
  return out;
}

#endif
