//go:build cgo

package rungroup

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// putAll has each of the goroutines put its events, and tells what was said.
func putAll(q *queue, goroutines, each int, enough, last func()) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := 0; i < goroutines; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			for k := 0; k < each; k++ {
				isEnough, isLast := q.put(newEvent(returned, i, k+1, int64(i*each+k)))
				if isEnough {
					enough()
				}
				if isLast {
					last()
				}
			}
		}(i)
	}
	return &all
}

// Who waits for a count is woken, by itself or by one other, and finds as many.
func TestQueueWakesAndLosesNothing(t *testing.T) {
	const goroutines, each, rounds = 4, 5, 2000
	for round := 0; round < rounds; round++ {
		q := queue{slots: make([]event, goroutines*each)}
		woken := make(chan struct{}, goroutines*each)
		all := putAll(&q, goroutines, each, func() { woken <- struct{}{} }, func() { t.Error("last") })
		next := make([]int, goroutines)
		waits := 0
		for taken := 0; taken < goroutines*each; {
			count := taken + 1 + (round+taken)%3
			if count > goroutines*each {
				count = goroutines * each
			}
			waits++
			if !q.await(count) {
				select {
				case <-woken:
				case <-time.After(watchdog):
					t.Fatalf("round %d: nobody says that there are %d events", round, count)
				}
				waits--
			}
			events := q.take()
			taken += len(events)
			for _, e := range events {
				i := int(e.index)
				if next[i]++; int(e.code) != next[i] || int(e.time_ns) != i*each+next[i]-1 {
					t.Fatalf("round %d: event %d of goroutine %d is %v", round, next[i], i, e)
				}
			}
		}
		all.Wait()
		if len(woken) > waits {
			t.Fatalf("round %d: %d wake-ups too many", round, len(woken)-waits)
		}
	}
}

// An event that comes while somebody starts to wait for it is not missed,
// whenever that is.
func TestQueueWakesAtOnce(t *testing.T) {
	const most, enoughTime = 300_000, 2 * time.Second
	q := queue{slots: make([]event, most)}
	woken := make(chan struct{}, most)
	var turn atomic.Int64
	go func() {
		for i := 0; ; i++ {
			for turn.Load() == int64(i) {
				runtime.Gosched()
			}
			if turn.Load() < 0 {
				return
			}
			if enough, _ := q.put(newEvent(returned, i, 0, 0)); enough {
				woken <- struct{}{}
			}
		}
	}()
	defer turn.Store(-1)
	began := time.Now()
	// Where other programs have the processors, a turn may take long.
	for i := 0; i < most && time.Since(began) < enoughTime; i++ {
		turn.Store(int64(i + 1))
		for delay := i % 200; delay > 0; delay-- {
			turn.Load()
		}
		for !q.await(i + 1) { // again after what was said twice of the one before
			select {
			case <-woken:
			case <-time.After(watchdog):
				t.Fatalf("nobody says that there are %d events", i+1)
			}
		}
		if len(q.take()) != 1 {
			t.Fatalf("there are no %d events", i+1)
		}
	}
}

// Whoever puts the last event is told so, or who asked for it was.
func TestQueueEnds(t *testing.T) {
	const goroutines, each, rounds = 3, 2, 3000
	for round := 0; round < rounds; round++ {
		q := queue{slots: make([]event, goroutines*each)}
		var lasts atomic.Int64
		all := putAll(&q, goroutines, each, func() { t.Error("enough") }, func() { lasts.Add(1) })
		here := q.end(goroutines * each)
		all.Wait()
		if told := lasts.Load(); told > 1 || told == 0 && !here {
			t.Fatalf("round %d: told %d times, here: %v", round, told, here)
		}
		if events := q.take(); len(events) != goroutines*each {
			t.Fatalf("round %d: %d events", round, len(events))
		}
	}
}

// The goroutine that calls interrupts and one that asks for a report.
func TestLogIsSeenWhole(t *testing.T) {
	const count, rounds = 50, 500
	for round := 0; round < rounds; round++ {
		l := log{slots: make([]event, count)}
		go func() {
			for i := 0; i < count; i++ {
				l.put(newEvent(interrupted, i, 0, int64(i)))
			}
		}()
		for taken := 0; taken < count; {
			for _, e := range l.take() {
				if int(e.index) != taken || int(e.time_ns) != taken || e.kind != interrupted {
					t.Fatalf("round %d: event %d is %v", round, taken, e)
				}
				taken++
			}
		}
	}
}
