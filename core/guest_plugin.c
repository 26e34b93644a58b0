/* guest_plugin.c: finding and loading the plugin of a language (gosched_embed.h).
 *
 * One copy of the library.  A plugin names libgosched.so.0 as what it needs.  The dynamic linker
 * goes by that name: a process that has loaded a library of that name, from wherever - a build
 * tree, a prefix, the inside of a Python wheel - goes on with it, and the one beside the plugin is
 * not even looked for.  Only a program that has the library linked in statically has no such name
 * to be found by; its plugin would bring a second copy, with a scheduler of its own.  So each
 * plugin says which copy it is bound to, and another one than this is refused.
 *
 * All of it happens in a foreign call: dlopen wants more stack than a green thread has, and waits
 * for locks of the dynamic linker.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define NAME_MOST 31

typedef struct Plugin {
  struct Plugin *next; /* write-once */
  const gs_guest_plugin *ops;
  char language[NAME_MOST + 1];
} Plugin;

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static Plugin *plugins; /* never freed; loading */

const void *gs_guest_library(void) { return &plugins; }

void guest_plugin_forked(void) { pthread_mutex_init(&loading, NULL); }

/* ---- names and places ---- */

/* It becomes part of a file's name. */
static bool is_name(const char *s) {
  size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");
  return n > 0 && n <= NAME_MOST && !s[n];
}

/* The directory of the file that this code is in; "": unknown. */
static void own_dir(char *dir, size_t n) {
  Dl_info info;
  dir[0] = 0;
  if (!dladdr(&plugins, &info) || !info.dli_fname) return;
  char *real = realpath(info.dli_fname, NULL);
  if (!real) return;
  char *slash = strrchr(real, '/');
  if (slash) *slash = 0;
  snprintf(dir, n, "%s", real);
  free(real);
}

/* What was tried, for the sentence. */
typedef struct {
  const char *language;
  char where[160]; /* the directories, with ", " before each */
  char why[512];   /* what the dynamic linker said of a file that is there */
} Search;

static void *try_dir(Search *s, const char *dir, size_t n) {
  char path[4096];
  if (n == 0) return NULL;
  size_t used = strlen(s->where);
  snprintf(s->where + used, sizeof s->where - used, ", %.*s", (int)n, dir);
  snprintf(path, sizeof path, "%.*s/gosched-guest-%s.so", (int)n, dir, s->language);
  FILE *there = fopen(path, "re");
  if (!there) return NULL;
  fclose(there);
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib && !s->why[0]) snprintf(s->why, sizeof s->why, "%s", dlerror());
  return lib;
}

static void *find(Search *s) {
  const char *list;
  char dir[4096];
  (void)gs_setting_get("GOSCHED_GUESTS", &list, NULL);
  while (list && *list) {
    size_t n = strcspn(list, ":");
    void *lib = try_dir(s, list, n);
    if (lib) return lib;
    list += n + (list[n] == ':');
  }
  own_dir(dir, sizeof dir - 8);
  if (dir[0]) {
    strcat(dir, "/gosched");
    void *lib = try_dir(s, dir, strlen(dir));
    if (lib) return lib;
  }
#ifdef GS_GUEST_DIR
  if (strcmp(dir, GS_GUEST_DIR) != 0) return try_dir(s, GS_GUEST_DIR, strlen(GS_GUEST_DIR));
#endif
  return NULL;
}

/* ---- loading ---- */

static int not_found(const Search *s) {
  if (s->why[0])
    return gs_fail(GS_ENOLIB, "gs_embed: the guest of \"%s\" cannot be loaded: %s", s->language,
                   s->why);
  return gs_fail(GS_ENOLIB,
                 "gs_embed: there is no gosched-guest-%s.so in %s; GOSCHED_GUESTS names other "
                 "directories",
                 s->language, s->where[0] ? s->where + 2 : "any directory");
}

static int check(const char *language, const gs_guest_plugin *ops) {
  Dl_info ours = {0}, theirs = {0};
  if (!ops || ops->size < sizeof *ops || ops->abi != GS_GUEST_ABI || !ops->begin || !ops->run ||
      !ops->end || !ops->library)
    return gs_fail(GS_EABI, "gs_embed: gosched-guest-%s.so is made for another version than %s",
                   language, gs_version());
  const void *other = ops->library();
  if (other == gs_guest_library()) return GS_OK;
  dladdr(gs_guest_library(), &ours);
  dladdr(other, &theirs);
  return gs_fail(GS_EABI,
                 "gs_embed: a program with guests must be linked with the shared library: the "
                 "guest uses the copy of gosched in %s, and this program the one in %s",
                 theirs.dli_fname ? theirs.dli_fname : "another file",
                 ours.dli_fname ? ours.dli_fname : "itself");
}

static int load(const char *language, const gs_guest_plugin **ops) {
  Search s = {.language = language};
  void *lib = find(&s);
  if (!lib) return not_found(&s);
  const gs_guest_plugin *found = dlsym(lib, "gosched_guest");
  int err = check(language, found);
  if (err) {
    dlclose(lib);
    return err;
  }
  Plugin *p = calloc(1, sizeof *p);
  if (!p) return gs_fail(GS_ENOMEM, "gs_embed: out of memory");
  strcpy(p->language, language);
  p->ops = found;
  p->next = plugins;
  plugins = p;
  *ops = found;
  return GS_OK;
}

int guest_plugin_get(const char *language, const gs_guest_plugin **ops) {
  int err = GS_OK;
  *ops = NULL;
  if (!is_name(language))
    return gs_fail(GS_EINVAL,
                   "gs_embed: language is \"%.40s\"; small letters, digits and _ are accepted, as "
                   "in \"lua\", \"tcl\", \"python\"",
                   language);
  pthread_mutex_lock(&loading);
  for (Plugin *p = plugins; p && !*ops; p = p->next)
    if (strcmp(p->language, language) == 0) *ops = p->ops;
  if (!*ops) err = load(language, ops);
  if (!err) err = (*ops)->begin();
  pthread_mutex_unlock(&loading);
  return err;
}
