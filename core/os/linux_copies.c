/* linux_copies.c: one copy of the library in a process, and it stays.
 *
 * Two copies - a shared library beside one that was linked into some extension, a second file under
 * another name, a second namespace of dlmopen - would be two schedulers with two ideas of which Ms
 * and Gs there are: a green thread of the one would block all of the other.  So the second one that
 * boots refuses, and says where the first is.
 *
 * They cannot find each other by symbols: those of a static copy are hidden, and another namespace
 * sees none of ours.  What all of them share is the address space.  A copy that boots maps a page
 * of a memfd, whose name the kernel lists in /proc/self/maps, and writes there what it is.  The
 * mapping is private: a child of fork has its copy, as it has the library; exec takes both away.
 *
 * Two that boot at the same moment.  Each publishes its page, with CLAIMING in it, and then looks
 * for others.  At least one of them sees the other, since each looks after it has published.
 *
 *     it sees READY                      it refuses
 *     it sees CLAIMING, at a lower       it gives way (GONE), for that one may be waiting for it,
 *       address                          and refuses when the other is READY, or tries again
 *     it sees CLAIMING, at a higher one  it waits: that one gives way if it sees this, else it is
 *                                        about to be READY
 *
 * The one with the lowest address among those that claim never gives way, so somebody gets through.
 * Where there is no memfd or no /proc the check is left out: it guards against a mistake.
 *
 * The library that this code is in is pinned, so that a dlclose of the last user does not unmap
 * code that threads run and handlers point to.  libgosched.so says so itself (-z nodelete); for a
 * static copy in somebody's plugin it is done here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../runtime.h"

#define NAME "gosched-rendezvous"
#define MAGIC UINT64_C(0x676f736368656400)
#define ROUNDS 10000 /* of 1 ms: who claims and never ends is not waited for */

enum { CLAIMING = 1, READY, GONE };

/* The format is the same in every version, for good. */
typedef struct {
  uint64_t magic;
  uint32_t state;       /* CLAIMING…; its copy, atomic */
  char version[28];     /* text */
  char path[4096 - 40]; /* of the file that the copy is in */
} Page;

static Page *mine;

/* ---- this copy ---- */

static void own_path(char *path, size_t n) {
  Dl_info info;
  path[0] = 0;
  if (!dladdr((const void *)(uintptr_t)&os_copies_claim, &info) || !info.dli_fname) return;
  /* A program's name may be anything it was called by. */
  char *real = realpath(info.dli_fname, NULL);
  snprintf(path, n, "%s", real ? real : info.dli_fname);
  free(real);
}

static void pin(const char *path) {
  /* A program's own file cannot be loaded again, and need not. */
  void *self = path[0] ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) : NULL;
  if (self)
    dlclose(self);
  else
    dlerror(); /* nobody asks for it */
}

static Page *publish(const char *path) {
  int fd = memfd_create(NAME, MFD_CLOEXEC);
  if (fd < 0) return NULL;
  Page *p = MAP_FAILED;
  if (ftruncate(fd, sizeof *p) == 0)
    p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  close(fd);
  if (p == MAP_FAILED) return NULL;
  snprintf(p->version, sizeof p->version, "%s", GS_VERSION);
  snprintf(p->path, sizeof p->path, "%.*s", (int)sizeof p->path - 1, path);
  store_rlx(&p->magic, MAGIC);
  store_sc(&p->state, CLAIMING);
  return p;
}

/* ---- the others ---- */

/* The page that a line of /proc/self/maps tells of, or NULL. */
static Page *page_of(const char *line) {
  if (!strstr(line, "/memfd:" NAME)) return NULL;
  Page *p = (Page *)(uintptr_t)strtoull(line, NULL, 16);
  return p != mine && load_acq(&p->state) && load_rlx(&p->magic) == MAGIC ? p : NULL;
}

enum { NOBODY, WAIT_FOR_IT, GIVE_WAY, REFUSE };

static int look_at(const Page *p) {
  switch (load_sc(&p->state)) {
    case READY: return REFUSE;
    case CLAIMING: return p < mine ? GIVE_WAY : WAIT_FOR_IT;
    default: return NOBODY;
  }
}

/* The strongest reason not to go on, and who it is. */
static int look(const Page **other) {
  char *line = NULL;
  size_t room = 0;
  int found = NOBODY;
  FILE *f = fopen("/proc/self/maps", "re");
  if (!f) return NOBODY;
  while (getline(&line, &room, f) > 0) {
    const Page *p = page_of(line);
    int what = p ? look_at(p) : NOBODY;
    if (what <= found) continue;
    found = what;
    *other = p;
  }
  free(line);
  fclose(f);
  return found;
}

/* The end of a path says more than its beginning. */
static const char *end_of(const char *path) {
  size_t n = strlen(path), most = 80;
  return n > most ? path + n - most : path;
}

static int refuse(const Page *other, const char *path) {
  store_sc(&mine->state, GONE);
  return gs_fail(
      GS_EABI,
      "another copy of gosched (%.20s) runs in this process already: %s; this one is %s; "
      "a process can have one",
      other->version, end_of(other->path), end_of(path));
}

int os_copies_claim(void) {
  char path[4096];
  const Page *other = NULL;
  own_path(path, sizeof path);
  pin(path);
  if (!(mine = publish(path))) return GS_OK;
  for (int i = 0; i < ROUNDS; i++) {
    torture_window(); /* another copy may publish its page now */
    switch (look(&other)) {
      case NOBODY: store_sc(&mine->state, READY); return GS_OK;
      case REFUSE: return refuse(other, path);
      case GIVE_WAY: store_sc(&mine->state, GONE); break;
      default: break;
    }
    os_sleep_ns(1000000);
    store_sc(&mine->state, CLAIMING);
  }
  return refuse(other, path);
}
