// Bulkhead for C++11 and later: the C interface with ownership and exceptions. Header-only; link the library as from C.
//
// An Engine and a Partition own their handle: moved, not copied, closed by the destructor. Functions throw bulkhead::Error; to look at statuses instead,
// call the C function with handle(). All functions may be called from any thread; an object itself must not be moved from or destroyed meanwhile.
#ifndef BULKHEAD_HPP
#define BULKHEAD_HPP

#include <bulkhead.h>

#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead {

/// A struct of the C interface, all zero but for its size.
template <typename T>
T sized() noexcept {
  T value;
  std::memset(&value, 0, sizeof value);
  value.struct_size = static_cast<uint32_t>(sizeof value);
  return value;
}

/// What a call failed with. `detail` is the C struct: status, errno, operation, partition, range, path.
class Error : public std::runtime_error {
 public:
  explicit Error(const bulkhead_error& error) : std::runtime_error(text(error)), detail(error) {}
  bulkhead_status status() const noexcept { return detail.status; }

  bulkhead_error detail;

 private:
  static std::string text(const bulkhead_error& error) {
    return std::string(bulkhead_status_name(error.status)) + ": " + error.message;
  }
};

namespace detail {

/// Calls `function(arguments..., &error)` and throws what it fails with.
template <typename Function, typename... Arguments>
void call(Function function, Arguments... arguments) {
  bulkhead_error error = sized<bulkhead_error>();
  if (function(arguments..., &error) != BULKHEAD_OK) throw Error(error);
}

/// A handle and the function that closes it.
template <bulkhead_status (*Close)(uint64_t, bulkhead_error*)>
class Handle {
 public:
  explicit Handle(uint64_t value = 0) noexcept : value_(value) {}
  Handle(Handle&& other) noexcept : value_(other.release()) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      value_ = other.release();
    }
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  /// A destructor cannot report: close() tells of an error of the last flush.
  ~Handle() { reset(); }

  uint64_t get() const noexcept { return value_; }
  uint64_t release() noexcept {
    const uint64_t value = value_;
    value_ = 0;
    return value;
  }
  void close() { call(Close, release()); }

 private:
  void reset() noexcept {
    if (value_ != 0) static_cast<void>(Close(release(), nullptr));
  }

  uint64_t value_;
};

}  // namespace detail

/// An entry that was read.
struct Entry {
  uint64_t index;
  uint64_t term;
  uint32_t kind;
  std::vector<uint8_t> data;
};

/// Indexes of a log; `last < first` if it is empty.
struct Bounds {
  uint64_t first;
  uint64_t last;
};

/// Limits as they are set: numbers BULKHEAD_LIMIT_*, values in the unit of their name, BULKHEAD_NEVER or BULKHEAD_INHERIT.
using Limits = std::vector<std::pair<uint32_t, uint64_t>>;

namespace detail {

inline std::vector<bulkhead_limit> limits(const Limits& limits) {
  std::vector<bulkhead_limit> out;
  for (const auto& one : limits) out.push_back(bulkhead_limit{one.first, 0, one.second, 0, 0});
  return out;
}

/// What `function(arguments..., out, capacity, &count, &error)` gives; more than `at_first` is asked for if there may be more.
template <typename T, typename Function, typename... Arguments>
std::vector<T> fetch(std::size_t at_first, Function function, Arguments... arguments) {
  std::vector<T> out(at_first);
  for (;;) {
    std::size_t count = 0;
    call(function, arguments..., out.data(), out.size(), &count);
    const bool all = count < out.size();
    out.resize(all ? count : count * 2);
    if (all) return out;
  }
}

}  // namespace detail

/// An open partition; see the functions of bulkhead.h for what each call does and throws.
class Partition {
 public:
  explicit Partition(bulkhead_partition handle) noexcept : handle_(handle) {}

  bulkhead_partition handle() const noexcept { return handle_.get(); }
  /// Throws what the last flush failed with; the partition is closed all the same.
  void close() { handle_.close(); }

  void append(uint64_t index, uint64_t term, const void* data, uint32_t length, uint32_t kind = 0) {
    const bulkhead_entry entry = {index, term, static_cast<const uint8_t*>(data), length, kind};
    append(&entry, 1);
  }
  void append(const bulkhead_entry* entries, std::size_t count) { detail::call(bulkhead_append, handle(), entries, count); }
  void append(const std::vector<bulkhead_entry>& entries) { append(entries.data(), entries.size()); }

  /// Entries [lo, hi), until their payloads go over max_bytes; at least one.
  std::vector<Entry> read(uint64_t lo, uint64_t hi, uint64_t max_bytes = 1 << 20) const {
    std::vector<bulkhead_entry_header> headers(64);
    std::vector<uint8_t> data(64 * 1024);
    bulkhead_read_result result = sized<bulkhead_read_result>();
    bulkhead_error error = sized<bulkhead_error>();
    std::vector<Entry> entries;
    uint64_t total = 0;
    while (lo < hi) {
      const bulkhead_status status = bulkhead_read(handle(), lo, hi, max_bytes - total, headers.data(), headers.size(), data.data(), data.size(), &result, &error);
      if (status == BULKHEAD_BUFFER_TOO_SMALL) {
        data.resize(result.needed_bytes);
        continue;
      }
      if (status == BULKHEAD_OUT_OF_RANGE && !entries.empty()) break;  // hi is beyond the last entry
      if (status != BULKHEAD_OK) throw Error(error);
      const uint8_t* at = data.data();
      for (uint32_t i = 0; i < result.count; i++) {
        entries.push_back(Entry{headers[i].index, headers[i].term, headers[i].kind, std::vector<uint8_t>(at, at + headers[i].length)});
        at += headers[i].length;
      }
      total += result.data_bytes;
      lo += result.count;
      if (result.count == 0 || total >= max_bytes) break;
    }
    return entries;
  }

  uint64_t term(uint64_t index) const {
    uint64_t term = 0;
    detail::call(bulkhead_term, handle(), index, &term);
    return term;
  }
  Bounds bounds() const {
    Bounds bounds = {0, 0};
    detail::call(bulkhead_bounds, handle(), &bounds.first, &bounds.last);
    return bounds;
  }
  void compact(uint64_t index) { detail::call(bulkhead_compact, handle(), index); }
  void reset(uint64_t index, uint64_t term) { detail::call(bulkhead_reset, handle(), index, term); }
  void set_hard_state(const bulkhead_hard_state& state) { detail::call(bulkhead_set_hard_state, handle(), &state); }
  bulkhead_hard_state hard_state() const {
    bulkhead_hard_state state = {0, 0, 0};
    detail::call(bulkhead_get_hard_state, handle(), &state);
    return state;
  }
  void sync() { detail::call(bulkhead_sync, handle()); }
  void recover() { detail::call(bulkhead_recover, handle()); }
  /// Takes the partition out of service by hand: BULKHEAD_STATE_READ_ONLY or BULKHEAD_STATE_UNAVAILABLE.
  void fence(uint32_t state, const std::string& reason) { detail::call(bulkhead_fence, handle(), state, reason.data(), reason.size()); }
  void release() { detail::call(bulkhead_release, handle()); }
  /// Sets limits until it is closed, or takes them back.
  void set_limits(const Limits& changes) {
    const std::vector<bulkhead_limit> limits = detail::limits(changes);
    detail::call(bulkhead_set_limits, handle(), limits.data(), limits.size());
  }
  /// What is in force.
  std::vector<bulkhead_limit> limits() const { return detail::fetch<bulkhead_limit>(32, bulkhead_get_limits, handle()); }
  bulkhead_verify_report verify() const {
    bulkhead_verify_report report = sized<bulkhead_verify_report>();
    detail::call(bulkhead_verify, handle(), &report);
    return report;
  }
  bulkhead_partition_status status() const {
    bulkhead_partition_status status = sized<bulkhead_partition_status>();
    detail::call(bulkhead_get_status, handle(), &status);
    return status;
  }
  /// The error that keeps the partition from being ReadWrite; status BULKHEAD_OK if there is none.
  bulkhead_error last_fault() const {
    bulkhead_error fault = sized<bulkhead_error>();
    if (bulkhead_last_fault(handle(), &fault) != BULKHEAD_OK) throw Error(fault);
    return fault;
  }

 private:
  detail::Handle<bulkhead_partition_close> handle_;
};

/// Gets the lines of an engine's log; a line is gone when it returns.
using LogHook = std::function<void(const bulkhead_log_line&)>;

/// An engine. Its destructor closes the partitions that are still open; their objects then throw BULKHEAD_CLOSED.
class Engine {
 public:
  explicit Engine(const bulkhead_engine_config& config = sized<bulkhead_engine_config>()) : handle_(open(config)) {}

  Engine(Engine&&) noexcept = default;
  /// Closes the engine that was here before its log hook goes.
  Engine& operator=(Engine&& other) noexcept {
    handle_ = std::move(other.handle_);
    log_hook_ = std::move(other.log_hook_);
    return *this;
  }

  bulkhead_engine handle() const noexcept { return handle_.get(); }
  void close() { handle_.close(); }

  /// Sets what is called with a line for each event, on a thread of the engine's; an empty function takes it away. What it throws is
  /// caught and dropped. The one set before has ended and is destroyed when this returns; see bulkhead_engine_set_log_hook for what
  /// it may call.
  void set_log_hook(LogHook hook) {
    std::unique_ptr<LogHook> next(hook ? new LogHook(std::move(hook)) : nullptr);
    detail::call(bulkhead_engine_set_log_hook, handle(), next ? &write_line : nullptr, static_cast<void*>(next.get()));
    log_hook_ = std::move(next);
  }

  Partition open_partition(const std::string& path, uint64_t id, uint32_t mode = BULKHEAD_MODE_SYNC, uint32_t disposition = BULKHEAD_OPEN_OR_CREATE,
                           uint64_t known_index = 0) {
    bulkhead_partition_config config = sized<bulkhead_partition_config>();
    config.mode = mode;
    config.disposition = disposition;
    config.path = reinterpret_cast<const uint8_t*>(path.data());
    config.path_length = static_cast<uint32_t>(path.size());
    config.partition_id = id;
    config.known_index = known_index;
    bulkhead_partition partition = 0;
    detail::call(bulkhead_partition_open, handle(), &config, &partition);
    return Partition(partition);
  }

  /// Readable while events wait; the engine's own.
  int event_fd() const {
    int32_t fd = -1;
    detail::call(bulkhead_engine_event_fd, handle(), &fd);
    return fd;
  }
  /// What waits now, without waiting for more.
  std::vector<bulkhead_event> events(std::size_t max = 256) {
    std::vector<bulkhead_event> events(max);
    std::size_t count = 0;
    detail::call(bulkhead_engine_events, handle(), events.data(), events.size(), &count);
    events.resize(count);
    return events;
  }
  /// What an event with BULKHEAD_OP_SET_LIMITS changed. Throws for one that was not fetched lately.
  std::vector<bulkhead_limit_changed> event_limits(const bulkhead_event& event) const {
    return detail::fetch<bulkhead_limit_changed>(32, bulkhead_event_limits, handle(), event.sequence);
  }
  /// Sets limits for all that has nothing of its own, or takes them back.
  void set_limits(const Limits& changes) {
    const std::vector<bulkhead_limit> limits = detail::limits(changes);
    detail::call(bulkhead_engine_set_limits, handle(), limits.data(), limits.size());
  }
  std::vector<bulkhead_limit> limits() const { return detail::fetch<bulkhead_limit>(32, bulkhead_engine_get_limits, handle()); }
  /// The same for a disk: st_dev of any file on it.
  void set_disk_limits(uint64_t device, const Limits& changes) {
    const std::vector<bulkhead_limit> limits = detail::limits(changes);
    detail::call(bulkhead_disk_set_limits, handle(), device, limits.data(), limits.size());
  }
  std::vector<bulkhead_limit> disk_limits(uint64_t device) const {
    return detail::fetch<bulkhead_limit>(32, bulkhead_disk_get_limits, handle(), device);
  }
  /// The disks that the engine has or had partitions on.
  std::vector<bulkhead_disk> disks() const { return detail::fetch<bulkhead_disk>(16, bulkhead_engine_disks, handle()); }
  /// All metrics in Prometheus's text format.
  std::string metrics_text() const {
    std::string text(std::size_t{1} << 16, '\0');
    for (;;) {
      std::size_t needed = 0;
      bulkhead_error err = sized<bulkhead_error>();
      const bulkhead_status status = bulkhead_metrics_text(handle(), &text[0], text.size(), &needed, &err);
      if (status != BULKHEAD_OK && status != BULKHEAD_BUFFER_TOO_SMALL) throw Error(err);
      text.resize(status == BULKHEAD_OK ? needed - 1 : needed + (std::size_t{1} << 16));
      if (status == BULKHEAD_OK) return text;
    }
  }

 private:
  static bulkhead_engine open(const bulkhead_engine_config& config) {
    bulkhead_engine engine = 0;
    detail::call(bulkhead_engine_open, &config, &engine);
    return engine;
  }

  static void write_line(void* hook, const bulkhead_log_line* line) noexcept {
    try {
      (*static_cast<LogHook*>(hook))(*line);
    } catch (...) {  // it must not get into the library
    }
  }

  // Before the handle, so that it goes after it: the close is the last to call it.
  std::unique_ptr<LogHook> log_hook_;
  detail::Handle<bulkhead_engine_close> handle_;
};

}  // namespace bulkhead

#endif
