// A log in C++: open, append, read back, and errors as exceptions.
//
//   example <directory>
#include <bulkhead.hpp>

#include <atomic>
#include <cstdio>

namespace {

uint64_t in_force(const std::vector<bulkhead_limit>& limits, uint32_t limit) {
  for (const bulkhead_limit& one : limits)
    if (one.limit == limit) return one.value;
  return 0;
}

/// Limits are set for an engine, a disk or a partition; the closest counts, and an event says what was changed.
bool limits(bulkhead::Engine& engine, bulkhead::Partition& partition) {
  const uint64_t device = engine.disks().at(0).device;
  engine.events();
  engine.set_limits({{BULKHEAD_LIMIT_HEAL_LIMIT_MS, 500}});
  engine.set_disk_limits(device, {{BULKHEAD_LIMIT_HEAL_LIMIT_MS, 400}});
  partition.set_limits({{BULKHEAD_LIMIT_HEAL_LIMIT_MS, BULKHEAD_NEVER}});
  const std::vector<bulkhead_event> events = engine.events();
  for (const bulkhead_event& event : events) {
    if (event.operation != BULKHEAD_OP_SET_LIMITS) continue;
    for (const bulkhead_limit_changed& one : engine.event_limits(event))
      std::printf("%s: from %llu to %llu\n", bulkhead_limit_name(one.limit), static_cast<unsigned long long>(one.before),
                  static_cast<unsigned long long>(one.after));
  }
  return in_force(engine.limits(), BULKHEAD_LIMIT_HEAL_LIMIT_MS) == 500 &&
         in_force(engine.disk_limits(device), BULKHEAD_LIMIT_HEAL_LIMIT_MS) == 400 &&
         in_force(partition.limits(), BULKHEAD_LIMIT_HEAL_LIMIT_MS) == BULKHEAD_NEVER &&
         engine.event_limits(events.back()).at(0).before == 400;
}

int run(const std::string& directory) {
  bulkhead::Engine engine;
  std::atomic<int> lines(0);
  engine.set_log_hook([&lines](const bulkhead_log_line& line) {
    std::printf("log, level %u: %s\n", static_cast<unsigned>(line.level), line.message);
    ++lines;
    throw std::runtime_error("stays in the hook");
  });
  bulkhead::Partition partition = engine.open_partition(directory + "/cpp", 1);
  const uint64_t next = partition.bounds().last + 1;
  const std::string text = "written from C++, entry " + std::to_string(next);
  partition.append(next, 1, text.data(), static_cast<uint32_t>(text.size()));

  for (const bulkhead::Entry& entry : partition.read(1, next + 1)) {
    std::printf("entry %llu, term %llu: %.*s\n", static_cast<unsigned long long>(entry.index), static_cast<unsigned long long>(entry.term),
                static_cast<int>(entry.data.size()), reinterpret_cast<const char*>(entry.data.data()));
  }

  partition.fence(BULKHEAD_STATE_READ_ONLY, "to be looked at");
  partition.release();
  bulkhead::Engine other = std::move(engine);  // the hook goes with it
  engine = std::move(other);
  engine.set_log_hook(nullptr);  // it has had its lines
  if (lines < 2) return 1;

  if (!limits(engine, partition)) return 1;
  if (engine.metrics_text().find("bulkhead_appends_total") == std::string::npos) return 1;

  try {
    partition.append(next + 10, 1, nullptr, 0);
  } catch (const bulkhead::Error& error) {
    std::printf("refused, as it should be: %s\n", error.what());
    if (error.status() != BULKHEAD_GAP) return 1;
  }

  bulkhead::Partition moved = std::move(partition);
  moved.close();
  try {
    moved.sync();
  } catch (const bulkhead::Error& error) {
    return error.status() == BULKHEAD_INVALID_HANDLE ? 0 : 1;
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s <directory>\n", argv[0]);
    return 2;
  }
  try {
    return run(argv[1]);
  } catch (const bulkhead::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
