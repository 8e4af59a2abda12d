#define _GNU_SOURCE
#include "fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* _IOR('X', 125, __u32): ext4 stops at once and gives EIO from then on. Its argument 2: without writing out its journal. */
#define SHUTDOWN_REQUEST _IOR('X', 125, uint32_t)
#define SHUTDOWN_WITHOUT_LOG 2u

static fault_kind kind;
static int mounted;
static char image[512];
static char mount_point[512];

static int run(char *const argv[]) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_WRONLY);
    if (null >= 0) {
      dup2(null, STDOUT_FILENO);
      dup2(null, STDERR_FILENO);
    }
    execvp(argv[0], argv);
    _exit(127);
  }
  if (child < 0 || waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int mount_image(void) {
  char mount_program[] = "mount", option[] = "-o", loop[] = "loop";
  char *argv[] = {mount_program, option, loop, image, mount_point, NULL};
  if (run(argv) != 0) return -1;
  mounted = 1;
  return 0;
}

static int make_filesystem(void) {
  char program[] = "mkfs.ext4", quiet[] = "-q", force[] = "-F";
  char *argv[] = {program, quiet, force, image, NULL};
  int fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  if (ftruncate(fd, 64 * 1024 * 1024) != 0) {
    close(fd);
    return -1;
  }
  close(fd);
  return run(argv);
}

int fault_prepare(const char *directory, fault_kind wanted) {
  kind = FAULT_LIMIT;
  signal(SIGXFSZ, SIG_IGN); /* its default would end the process when the limit is met */
  if (wanted == FAULT_SHUTDOWN && geteuid() == 0) {
    snprintf(mount_point, sizeof mount_point, "%s", directory);
    snprintf(image, sizeof image, "%s.image", directory);
    if (make_filesystem() == 0 && mount_image() == 0) {
      kind = FAULT_SHUTDOWN;
    } else {
      unlink(image);
    }
  }
  return (int)kind;
}

static int set_limit(rlim_t bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0) return -1;
  limit.rlim_cur = bytes;
  return setrlimit(RLIMIT_FSIZE, &limit);
}

int fault_begin(void) {
  uint32_t how = SHUTDOWN_WITHOUT_LOG;
  int fd, result;
  if (kind == FAULT_LIMIT) return set_limit(1024 * 1024);
  fd = open(mount_point, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  result = ioctl(fd, SHUTDOWN_REQUEST, &how);
  close(fd);
  return result;
}

int fault_end(void) {
  if (kind == FAULT_LIMIT) return set_limit(RLIM_INFINITY);
  if (umount(mount_point) != 0) return -1;
  mounted = 0;
  return mount_image();
}

void fault_clean_up(void) {
  if (mounted && umount(mount_point) == 0) mounted = 0;
  if (image[0] != 0) unlink(image);
}
