/* guest.h: what the plugins of all languages share (gosched_embed.h). */
#ifndef GS_GUEST_PLUGIN_H
#define GS_GUEST_PLUGIN_H

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gosched.h"
#include "gosched_domain.h"

/* Finds the binding that belongs to this plugin, in the build tree or in the same prefix: the first
 * of GUEST_DIRS, seen from the plugin's file, that has `file`.  false: none has. */
static inline bool guest_binding_dir(char dir[PATH_MAX], const char *file) {
  static const char *const dirs[] = {GUEST_DIRS};
  static const char here = 0;
  char path[2 * PATH_MAX], own[PATH_MAX];
  Dl_info info;
  if (!dladdr(&here, &info) || !info.dli_fname || !realpath(info.dli_fname, own)) return false;
  char *slash = strrchr(own, '/');
  if (slash) *slash = 0;
  for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
    snprintf(path, sizeof path, "%s/%s", own, dirs[i]);
    if (!realpath(path, dir)) continue;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (access(path, R_OK) == 0) return true;
  }
  return false;
}

/* Modules in C that the interpreter loads later find its functions, as they do in the language's
 * own program.  address: of one of them.  In a program that has the interpreter inside they do so
 * anyway. */
static inline void guest_make_global(const void *address) {
  Dl_info info;
  if (dladdr(address, &info) && info.dli_fname &&
      !dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD))
    dlerror(); /* it is the program itself */
}

#define GUEST_EXPORT __attribute__((visibility("default")))

#endif
