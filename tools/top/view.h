/* view.h: the picture of a running program, from the monitor's answers (docs/monitor.md).
 */
#ifndef GS_TOP_VIEW_H
#define GS_TOP_VIEW_H

#include <stdio.h>

#include "json_read.h"

/* before: an earlier answer of the same program, for what happens in a second, or NULL.
 * rows, columns: of the terminal; 0: as many as there are. */
void view_print(FILE *out, const json_value *now, const json_value *before, int rows, int columns,
                const char *line_end);

#endif
