/* A VP's thread: run until something is left to us, see to it, run again. */
#include <signal.h>
#include <string.h>

#include "worker/machine.h"
#include "worker/say.h"

/* The old interrupt controllers have something for VP 0: ask to be told when it can take it. */
static void look_at_extint(struct machine_vp *vp)
{
	struct host *host = &vp->machine->host;

	if (!atomic_load(&host->extint) || vp->window) {
		return;
	}
	atomic_store(&host->extint_seen, true);
	vp->window = true;
	if (backend_vp_request_window(vp->vp, true) != 0) {
		say("VP %u: its interrupt window cannot be watched", vp->index);
		machine_end(vp->machine, STOP_HOST_ERROR);
	}
}

void vp_kick(struct machine_vp *vp)
{
	if (atomic_load(&vp->running) && !pthread_equal(vp->thread, pthread_self())) {
		pthread_kill(vp->thread, VP_KICK);
	}
}

void vp_park(struct machine_vp *vp)
{
	struct pause *pause = &vp->machine->pause;

	pthread_mutex_lock(&pause->lock);
	pause->parked++;
	pthread_cond_signal(&pause->arrived);
	while (atomic_load(&pause->state) != PAUSE_NONE) {
		pthread_cond_wait(&pause->go_on, &pause->lock);
	}
	pause->parked--;
	pthread_mutex_unlock(&pause->lock);
}

void *vp_thread(void *argument)
{
	struct machine_vp *vp = argument;
	struct machine *machine = vp->machine;

	while (atomic_load_explicit(&machine->stop, memory_order_relaxed) == STOP_NONE) {
		int ret;

		if (atomic_load_explicit(&machine->pause.state, memory_order_relaxed) !=
		    PAUSE_NONE) {
			vp_park(vp);
			continue;
		}
		if (vp->index == 0) {
			look_at_extint(vp);
		}
		ret = backend_vp_run(vp->vp, &vp->exit);
		if (ret != 0) {
			say("VP %u: cannot be run: %s", vp->index, strerror(-ret));
			machine_end(machine, STOP_HOST_ERROR);
			break;
		}
		intercept_handle(vp, &vp->exit);
	}
	atomic_store(&vp->ended, true);
	return NULL;
}
