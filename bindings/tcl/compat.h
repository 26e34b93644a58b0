/* compat.h: what differs between the versions of Tcl.  The binding is compiled once for 8.6 and
 * once for 9, from the same sources, which are written as for 9.
 *
 * Tcl_Size is int in 8.6 and ptrdiff_t in 9; every length and index is one.  A Tcl_ObjType ends
 * with a version in 9.  A process has one Tcl, so the guest "tcl" of a Tcl program is its own.
 */
#ifndef GS_TCL_COMPAT_H
#define GS_TCL_COMPAT_H

#include <tcl.h>

#ifndef TCL_SIZE_MAX /* before Tcl 9 and 8.6.14 */
typedef int Tcl_Size;
#endif

#if TCL_MAJOR_VERSION < 9
#define GST_GUEST "tcl"
#else
#define GST_GUEST "tcl9"
#endif

#endif
