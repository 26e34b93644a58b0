/* shared.h: what shared.c, carry.c, chan.c and select.c share. */
#ifndef GST_SHARED_H
#define GST_SHARED_H

#include "binding.h"

/* carry.c.  type: NULL is text.  An error has the errorCode GOSCHED TYPE or GOSCHED OVERFLOW. */
int gst_carry(Tcl_Interp *interp, Tcl_Obj *value, Tcl_Obj *type, gs_value *out);
/* The bytes of UTF-8 of a text.  *ds is to be freed. */
const char *gst_text_of(Tcl_Obj *value, Tcl_DString *ds, Tcl_Size *n);
Tcl_Obj *gst_carried(gs_value *v); /* and frees it */
Tcl_Obj *gst_carried_from(const gs_value *v);
const char *gst_carried_kind(const gs_value *v);

/* shared.c */
gst_shared *gst_shared_from(Tcl_Interp *interp, gst_state *s, Tcl_Obj *name); /* NULL: no error */
gst_shared *gst_shared_retain(gst_shared *c);
void gst_shared_release(gst_shared *c); /* any thread */
bool gst_shared_try(gst_case *k);       /* true: done, or closed */
/* Tries a single case for a moment, if that may help; true: done, or closed. */
bool gst_shared_linger(const gst_state *s, gst_shared *c, gst_choice *choice);
/* That case's wait has ended, or was none. */
void gst_shared_waited(const gst_case *k, gst_why why);
/* Waits for the choice's shared cases on a green thread of the scheduler. */
int gst_mix_start(Tcl_Interp *interp, gst_state *s, gst_choice *c);
/* Nobody but the caller does one of the choice's cases from now on; false: one has been done. */
bool gst_mix_claim(gst_choice *c);
void gst_mix_forget(gst_choice *c);                 /* what is done there is lost */
void gst_mix_interrupt(gst_waiter *w, gst_why why); /* a waiter's */
int gst_shared_failed(Tcl_Interp *interp, int code);

#endif
