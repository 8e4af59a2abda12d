/* A real I/O error for one partition of the example, and its removal. */
#ifndef FAULT_H
#define FAULT_H

/* How the error is made. */
typedef enum {
  FAULT_SHUTDOWN, /* the partition lives on an ext4 of its own, which is shut down: EIO from every call. Needs root. */
  FAULT_LIMIT     /* a limit on file sizes (setrlimit) that only the large entries of the partition meet: EFBIG. Needs no rights. */
} fault_kind;

/* Prepares `directory`, in which the partition that will fail is to be opened. FAULT_SHUTDOWN falls back to FAULT_LIMIT where
   mounting is not possible. Returns what it is, or -1. */
int fault_prepare(const char *directory, fault_kind wanted);
/* From now on the partition in that directory fails. 0, or -1. */
int fault_begin(void);
/* Removes the cause. With FAULT_SHUTDOWN the partition must be closed before: its descriptors keep the dead filesystem. 0, or -1. */
int fault_end(void);
/* Unmounts and removes what fault_prepare made. */
void fault_clean_up(void);

#endif
