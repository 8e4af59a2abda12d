/* go/shim.h as cgo compiles it: once for each Go file, so that what is static there is there several times. This file is
 * compiled twice: with NO_MEMORY the unit in which a call fails, without it the one that frees the error. */
#include <stdio.h>
#include <stdlib.h>

#ifdef NO_MEMORY
#define malloc(size) NULL
#else
static int freed;
#define free(pointer) (freed++, (free)(pointer))
#endif

#include "shim.h"

void *refused(void);

#ifdef NO_MEMORY
void *refused(void) { return bh_engine_close(0); }
#else
void bhLogLine(uintptr_t user, bulkhead_log_line *line) {
  (void)user;
  (void)line;
}

int main(void) {
  bulkhead_error *err = refused();
  if (err == NULL || err->status != BULKHEAD_RESOURCE_EXHAUSTED) return 1;
  bh_free_error(err);
  if (freed != 0) {
    fprintf(stderr, "what says that there was no memory was freed, and was never allocated\n");
    return 1;
  }
  err = bh_engine_close(0);
  if (err == NULL || err->status != BULKHEAD_INVALID_HANDLE) return 1;
  bh_free_error(err);
  bh_free_error(NULL);
  return freed == 1 ? 0 : 1;
}
#endif
