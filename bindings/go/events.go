//go:build cgo

package rungroup

import (
	"runtime"
	"sync/atomic"
)

// queue is what happened in the goroutines of actors and interrupts, in order.
type queue struct {
	slots   []event // one for each event that may come
	taken   int
	claimed atomic.Int64
	// target is how many events wake the goroutine in Run; once that has
	// returned, less than 0, it is how many there will be.
	target atomic.Int64
}

// put adds an event. To one of those that come at the same time it says that
// there are as many as are waited for, or as there will be; await and end may
// say so as well.
func (q *queue) put(e event) (enough, last bool) {
	place := q.claimed.Add(1)
	publish(&q.slots[place-1], e)
	target := q.target.Load()
	return place == target, place == -target
}

// await sets how many are waited for, unless they are here: true.
func (q *queue) await(count int) bool {
	if q.claimed.Load() >= int64(count) {
		return true
	}
	q.target.Store(int64(count))
	return q.claimed.Load() >= int64(count)
}

// end sets how many there will be; true: they are here.
func (q *queue) end(count int) bool {
	q.target.Store(int64(-count))
	return q.claimed.Load() >= int64(count)
}

// take gives those that were not taken, with the group's lock held.
func (q *queue) take() []event {
	events := q.slots[q.taken:q.claimed.Load()]
	for i := range events {
		// Nothing is waited for between a claim and what fulfils it.
		for !published(&events[i]) {
			runtime.Gosched()
		}
	}
	q.taken += len(events)
	return events
}

// publish makes the slot the event, for all who see it published.
func publish(slot *event, e event) {
	slot.index, slot.code, slot.time_ns = e.index, e.code, e.time_ns
	atomic.StoreInt32((*int32)(&slot.kind), int32(e.kind))
}

func published(slot *event) bool { return atomic.LoadInt32((*int32)(&slot.kind)) != 0 }

// log is what happened in the goroutine in Run, in order.
type log struct {
	slots []event
	taken int
	count atomic.Int64
}

func (l *log) put(e event) {
	count := l.count.Load()
	l.slots[count] = e
	l.count.Store(count + 1)
}

// take is as that of queue.
func (l *log) take() []event {
	events := l.slots[l.taken:l.count.Load()]
	l.taken += len(events)
	return events
}
