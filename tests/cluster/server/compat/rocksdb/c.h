/* RocksDB's C API as the binding that CubeFS uses knows it (gorocksdb of 2019, for RocksDB 6). Later versions removed
   some functions and changed others. This header stands in front of RocksDB's own and gives back what is missing. */
#ifndef BULKHEAD_COMPAT_ROCKSDB_C_H
#define BULKHEAD_COMPAT_ROCKSDB_C_H

#include_next <rocksdb/c.h>

/* Removed options: nothing in CubeFS sets them. */
static inline void rocksdb_options_set_soft_rate_limit(rocksdb_options_t *o, double v) { (void)o, (void)v; }
static inline void rocksdb_options_set_hard_rate_limit(rocksdb_options_t *o, double v) { (void)o, (void)v; }
static inline void rocksdb_options_set_max_mem_compaction_level(rocksdb_options_t *o, int v) { (void)o, (void)v; }
static inline void rocksdb_options_set_rate_limit_delay_max_milliseconds(rocksdb_options_t *o, unsigned int v) {
  (void)o, (void)v;
}
static inline void rocksdb_options_set_table_cache_remove_scan_count_limit(rocksdb_options_t *o, int v) {
  (void)o, (void)v;
}
static inline void rocksdb_options_set_skip_log_error_on_recovery(rocksdb_options_t *o, unsigned char v) {
  (void)o, (void)v;
}
static inline void rocksdb_options_set_purge_redundant_kvs_while_flush(rocksdb_options_t *o, unsigned char v) {
  (void)o, (void)v;
}

/* Filters written in Go are gone, too; NULL is no filter. */
static inline rocksdb_filterpolicy_t *rocksdb_filterpolicy_create(
    void *state, void (*destructor)(void *),
    char *(*create_filter)(void *, const char *const *, const size_t *, int, size_t *),
    unsigned char (*key_may_match)(void *, const char *, size_t, const char *, size_t),
    void (*delete_filter)(void *, const char *, size_t), const char *(*name)(void *)) {
  (void)state, (void)destructor, (void)create_filter, (void)key_may_match, (void)delete_filter, (void)name;
  return NULL;
}

/* Bits per key are a double now. */
static inline rocksdb_filterpolicy_t *bulkhead_create_bloom(int bits) { return rocksdb_filterpolicy_create_bloom(bits); }
static inline rocksdb_filterpolicy_t *bulkhead_create_bloom_full(int bits) {
  return rocksdb_filterpolicy_create_bloom_full(bits);
}
#define rocksdb_filterpolicy_create_bloom bulkhead_create_bloom
#define rocksdb_filterpolicy_create_bloom_full bulkhead_create_bloom_full

/* These have got an error. The sizes stay 0 then. */
static inline void bulkhead_approximate_sizes(rocksdb_t *db, int ranges, const char *const *start, const size_t *start_len,
                                              const char *const *limit, const size_t *limit_len, uint64_t *sizes) {
  char *err = NULL;
  rocksdb_approximate_sizes(db, ranges, start, start_len, limit, limit_len, sizes, &err);
  rocksdb_free(err);
}
static inline void bulkhead_approximate_sizes_cf(rocksdb_t *db, rocksdb_column_family_handle_t *family, int ranges,
                                                 const char *const *start, const size_t *start_len,
                                                 const char *const *limit, const size_t *limit_len, uint64_t *sizes) {
  char *err = NULL;
  rocksdb_approximate_sizes_cf(db, family, ranges, start, start_len, limit, limit_len, sizes, &err);
  rocksdb_free(err);
}
#define rocksdb_approximate_sizes bulkhead_approximate_sizes
#define rocksdb_approximate_sizes_cf bulkhead_approximate_sizes_cf

#endif
