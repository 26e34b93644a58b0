/* guest.h: what embed.c and guest_plugin.c share. */
#ifndef GS_GUEST_H
#define GS_GUEST_H

#include "runtime.h"

/* The plugin of a language, whose `begin` has been called; loaded when it is wanted first.  GS_OK,
 * or gs_embed's error with its sentence.  On a system stack. */
int guest_plugin_get(const char *language, const gs_guest_plugin **ops);
void guest_plugin_forked(void); /* in a child of fork */

#endif
