/* shared.h: what shared.c, value.c and select.c share.  See shared.c. */
#ifndef GOSCHED_PYTHON_SHARED_H
#define GOSCHED_PYTHON_SHARED_H

#include "binding.h"

typedef struct SharedChan {
  PyObject_HEAD gs_chan *ch; /* held */
  PyObject *weakrefs;
  struct SharedChan *next, **link; /* of all of them; GIL */
  bool outside;                    /* announced as one that the scheduler does not know of; GIL */
} SharedChan;

extern PyTypeObject SharedChanType;

/* Copies the object.  what begins the message.  -1: an exception is set, *out is null. */
int value_of_object(PyObject *o, gs_value *out, const char *what);
/* Frees the value.  NULL: an exception is set. */
PyObject *object_of_value(gs_value *v);
/* Leaves it. */
PyObject *object_like_value(const gs_value *v);

#endif
