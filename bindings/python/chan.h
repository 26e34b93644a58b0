/* chan.h: what chan.c and select.c share.  See chan.c. */
#ifndef GOSCHED_PYTHON_CHAN_H
#define GOSCHED_PYTHON_CHAN_H

#include "binding.h"

typedef struct Node {
  struct Node *next, *prev;
  PyObject *value; /* owned */
} Node;

typedef struct {
  PyObject_HEAD gs_chan *ch;
  Node under_way; /* the list's anchor */
  PyObject *weakrefs;
} Chan;

extern PyTypeObject ChanType;

Node *node_new(Chan *c, PyObject *value); /* on its way in c; NULL: MemoryError is set */
PyObject *node_take(Node *n);             /* takes the node apart and gives its object */

/* Methods of Chan, from select.c. */
extern const char recv_case_doc[], send_case_doc[];
PyObject *case_recv(PyObject *chan, PyObject *ignored);
PyObject *case_send(PyObject *chan, PyObject *value);

#endif
