/* monitor.h: between the monitor's answers (monitor.c) and its socket (core/os/).
 */
#ifndef GS_MONITOR_H
#define GS_MONITOR_H

#include <stddef.h>

/* A line of JSON, by malloc, *n bytes with the newline at its end; NULL: out of memory. */
char *monitor_answer(const char *request, size_t *n);

/* What write has written to the descriptor that it was given, by malloc; NULL: it cannot be had. */
char *os_text_of(void (*write)(int fd), size_t *n);
int os_getpid(void);
const char *os_program(void); /* its name, as it was called */

#endif
