/* snapshot.c: what can be seen of Gs, Ms and Ps from outside, as data. */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

void p_info(P *p, gs_p_info *out) {
  const M *m = load_acq(&p->m);
  *out = (gs_p_info){
      .domain = p->d->name,
      .id = (int)p->id,
      .status = (int)p_status(p),
      .m = m ? m->id : -1,
      .runq = runqlen(p),
      .schedtick = load_rlx(&p->schedtick),
      .syscalltick = p_syscalltick(p),
  };
}
