package collect

import (
	"context"
	"fmt"
	"time"

	"fluent-bit-defender/internal/store"
)

// What has been read and waits for Fluent Bit when the input ends in good order is
// parked: put aside in the store, in the same transaction in which progress goes past
// it, and handed over first when the input starts again. Without that it would have to
// be read again, and a version that was replaced by a later one meanwhile would be
// gone.

// parkedReason is what the store says of such an entry, for people.
const parkedReason = "waiting for Fluent Bit when the input ended"

// mostParked bounds how many bytes are parked, in the little time there is at an end.
// What is beyond is read again.
const mostParked = 64 << 20

// park lets go of what waits. It is for the very end: nothing may be added or handed
// over any more.
func (in *Input) park() {
	left := mostParked

	for _, t := range in.all() {
		for _, b := range in.outbox.Undelivered(t.stream) {
			if left -= len(b.Events()); left < 0 {
				return
			}

			t.parked = append(t.parked, store.Deferred{
				Kind:    store.ParkedBatch,
				Events:  b.Events(),
				Reason:  parkedReason,
				NextTry: t.now(),
			})
			in.outbox.Release(b)
		}
	}
}

// takeBack puts what an earlier run parked into the outbox, before anything is read.
// false if ctx ended before.
func (t *Tenant) takeBack(ctx context.Context) bool {
	for ; len(t.toTakeBack) > 0; t.toTakeBack = t.toTakeBack[1:] {
		id := t.toTakeBack[0]

		row, ok := t.parkedRow(ctx, id)
		if !ok {
			return false
		}

		if len(row) > 0 {
			n, err := t.in.outbox.AddBatch(ctx, t.stream, row)
			if err != nil {
				return false
			}

			t.added = n
		}

		t.returns(t.added, id)
	}

	return true
}

// parkedRow reads an entry of the store, which is asked until it answers.
func (t *Tenant) parkedRow(ctx context.Context, id int64) (row []byte, ok bool) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		row, _, err := t.in.cfg.Store.DeferredEvents(ctx, t.cfg.Key, id)
		if err == nil {
			return row, true
		}

		t.in.log(
			Debug,
			t.cfg.Name,
			fmt.Sprintf("what waited at the last end cannot be read from the store yet: %v", err),
		)

		if !sleep(ctx, pause) {
			return nil, false
		}
	}
}

// parkedIDs picks what was parked.
func parkedIDs(list []store.Deferred) (ids []int64) {
	for _, a := range list {
		if a.Kind == store.ParkedBatch {
			ids = append(ids, a.ID)
		}
	}

	return ids
}
