package tokens

import (
	"context"
	"sync"
	"time"
)

// slot is the place of one access token: for one API in one tenant. Sources that want the
// same token with the same chain share it.
type slot struct {
	// turn is held by the goroutine that signs in.
	turn chan struct{}

	mu     sync.Mutex // guards the fields below
	access Access
	// renewNotBefore is when a renewal is tried again that failed while the token was
	// still good.
	renewNotBefore time.Time
	// storeAsked says that the store was asked for a token of an earlier run.
	storeAsked bool
	// refused is the last refusal of a customer, with what it depended on.
	refused *refusedWith
	// checked is when home, asked because of this customer's refusal, last said that
	// the sign-in is alive.
	checked time.Time
	// keepFailed says that a failure of the store to keep the token was logged.
	keepFailed bool
}

// refusedWith is a refusal, when it came, and what it depended on: until some of that
// changes, the answer will be the same.
type refusedWith struct {
	err  *Error
	at   time.Time
	with dependencies
}

func newSlot() *slot { return &slot{turn: make(chan struct{}, 1)} }

// take waits until no other goroutine signs in.
func (l *slot) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryTake is take without waiting.
func (l *slot) tryTake() bool {
	select {
	case l.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// leave ends what take began.
func (l *slot) leave() { <-l.turn }

// valid returns the token if it has not ended.
func (l *slot) valid(now time.Time) (Access, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.access, !l.access.Token.IsZero() && now.Before(l.access.Expiry)
}

// fresh returns the token if it need not be renewed yet.
func (l *slot) fresh(now time.Time) (Access, bool) {
	a, ok := l.valid(now)

	l.mu.Lock()
	defer l.mu.Unlock()

	return a, ok && (now.Before(a.renewFrom()) || now.Before(l.renewNotBefore))
}

// put makes a the token.
func (l *slot) put(a Access) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.access = a
	l.renewNotBefore = time.Time{}
	l.refused = nil
}

// postpone lets the token be used without a renewal until a time.
func (l *slot) postpone(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.renewNotBefore = until
}

// drop removes a. A token that was renewed meanwhile stays.
func (l *slot) drop(a Access) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.access.Token.Equal(a.Token) {
		l.access = Access{}
		l.renewNotBefore = time.Time{}
	}
}

// askStoreOnce reports whether the store is to be asked for a token of an earlier run:
// true for the first call only.
func (l *slot) askStoreOnce() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	first := !l.storeAsked
	l.storeAsked = true

	return first
}

// logKeepFailure reports whether a failure of the store to keep the token is to be
// logged: true for the first call only.
func (l *slot) logKeepFailure() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	first := !l.keepFailed
	l.keepFailed = true

	return first
}

// check records that home was asked because of this customer.
func (l *slot) check(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.checked = now
}

// checkedSince reports whether check was called since a time.
func (l *slot) checkedSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.checked.After(t)
}

// refuse remembers a refusal.
func (l *slot) refuse(r *refusedWith) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.refused = r
}

// lastRefusal returns the last refusal; nil if there was a token since.
func (l *slot) lastRefusal() *refusedWith {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.refused
}
