/* A wall clock that a test moves: loaded before libc (LD_PRELOAD), it adds the seconds that stand in a shared file to
 * the time of day. Every other clock stays as it is, so waiting and time-outs are real.
 *
 * MOVED_TIME_FILE names a file of one signed 64-bit number in the machine's byte order; a change counts at once.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved_seconds;

__attribute__((constructor)) static void open_file(void) {
  const char *path = getenv("MOVED_TIME_FILE");
  int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void *page = mmap(NULL, sizeof *moved_seconds, PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) moved_seconds = page;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  /* The system call itself: looking up the next clock_gettime may need the time. */
  long failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && moved_seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += *moved_seconds;
  return (int)failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec precise;
  int failed = clock_gettime(CLOCK_REALTIME, &precise);
  (void)zone;
  if (!failed) {
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
  }
  return failed;
}

time_t time(time_t *also) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (also) *also = now.tv_sec;
  return now.tv_sec;
}
