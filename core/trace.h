/* trace.h: what trace.c records and trace_json.c writes. */
#ifndef GS_TRACE_H
#define GS_TRACE_H

#include <stdio.h>

#include "runtime.h"

#define RING 8192u /* events of an M that are kept */
#define NAME 32    /* as much as a G's name, so that no character is cut in two */

typedef struct {
  int64_t ts;
  int16_t kind;     /* EV_… */
  int16_t flags;    /* EVF_… */
  int32_t mid;      /* the M that it is about; -1: none */
  uint64_t g;       /* the G that it is about; 0: none */
  uint64_t n;       /* of a call without a name its address; of an event of a P its number */
  const char *text; /* static, or as long-lived as a site's name: why, what, the P's domain */
  char name[NAME];  /* of EV_GO: the G's, which may be another one's by the end */
} Event;

enum {
  EVF_NO_P = 1,  /* n is no P's: the call was made elsewhere to begin with */
  EVF_BEGUN = 2, /* of EV_GO: it ran when the trace began */
};

typedef struct gs_tracebuf {
  uint64_t n; /* events ever written; owner, read when it is nobody's any more */
  Event ring[RING];
} TraceBuf;

/* What a language tells of a green thread of its own: gs_trace_track. */
#define MARKS 8192u
typedef struct {
  int64_t ts;
  uint64_t id;
  int what; /* GS_TRACK_… */
  char name[NAME], why[NAME];
} Mark;

/* A trace that is over, with all that belongs to it; trace_json.c sees it alone. */
typedef struct {
  char *path;
  int64_t began, ended;
  gs_metrics before, after;
  TraceBuf *common;
  Mark *marks;     /* a ring of MARKS; NULL: there are none */
  uint64_t nmarks; /* ever made */
  size_t n;        /* buffers */
  struct {
    TraceBuf *b;
    int32_t mid;
    bool extra;
  } * of;
} Trace;

int trace_write(const Trace *t); /* GS_OK, GS_ESYS (errno), GS_ENOMEM */

#endif
