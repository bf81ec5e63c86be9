//go:build cgo

package rungroup

// #include "rungroup.h"
import "C"

import "unsafe"

// AddSystemd adds an actor, named "systemd", that tells the service manager that
// started the process how the group is, by the protocol of sd_notify(3): READY=1
// once all actors run; STOPPING=1, with the cause as STATUS, once the group
// stops; and until then WATCHDOG=1, twice as often as the unit's WatchdogSec
// asks. Without NOTIFY_SOCKET in the environment it only waits for the stop. If
// the manager cannot be told, the actor ends the group with an [*ActorError].
//
// It returns [ErrState] if the group runs or has run.
func (g *Group) AddSystemd() error {
	return g.AddNative(func(group unsafe.Pointer) error {
		return failure(C.rg_add_systemd((*C.rg_group)(group)))
	})
}
