package tokens

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"fluent-bit-defender/internal/secret"
)

// perSecond is how many redemptions of one chain are sent to a sign-in service in any
// second. No limit is published, but far more than this was taken for a loop
// (AADSTS50196), which locks the application out for all customers.
const perSecond = 5

// How long a place stays taken. Once the answer is there, the request has certainly
// arrived: a second has to pass from then on. A request without an answer has arrived
// some time after it was written.
const (
	afterAnswer = time.Second
	afterWrite  = 3 * time.Second
)

// Redemptions spreads the redemptions of refresh tokens: for each chain at most five
// reach the service within any second, whoever asks. All Sources of a process share one.
// The zero value is ready. Safe for concurrent use.
type Redemptions struct {
	mu     sync.Mutex
	chains map[ChainKey]*spread
}

// of returns the places for the redemptions of a chain.
func (r *Redemptions) of(key ChainKey) *spread {
	r.mu.Lock()
	defer r.mu.Unlock()

	s := r.chains[key]
	if s == nil {
		s = &spread{free: perSecond}

		if r.chains == nil {
			r.chains = map[ChainKey]*spread{}
		}

		r.chains[key] = s
	}

	return s
}

// spread gives out the places for the redemptions of one chain.
type spread struct {
	mu   sync.Mutex // guards the fields below
	free int
	// waiting are those who wait for a place, in order. Closing a channel gives the
	// place to who waits on it.
	waiting []chan struct{}
	// urgent is how many of the first in waiting are urgent.
	urgent int

	// stopped is the refusal after which nothing is sent until a time.
	stopped *Error
	until   time.Time
}

// urgency says who waits for a place, and for how long.
type urgency int

const (
	// usual waits behind everybody who came before.
	usual urgency = iota
	// urgent waits behind other urgent ones only. It is for the chain's own tenant: the
	// chain's lock is held meanwhile.
	urgent
	// yielding does not wait but gives up: others, who were not refused lately, go first.
	yielding
)

// place is the right to send one redemption.
type place struct {
	s       *spread
	release func()
}

// enter waits for a place. ok is false if how is yielding and no place is free.
func (s *spread) enter(ctx context.Context, how urgency) (p *place, ok bool, err error) {
	s.mu.Lock()

	if s.free > 0 {
		s.free--
		s.mu.Unlock()

		return s.taken(), true, nil
	}

	if how == yielding {
		s.mu.Unlock()
		return nil, false, nil
	}

	given := make(chan struct{})

	at := len(s.waiting)
	if how == urgent {
		at = s.urgent
		s.urgent++
	}

	s.waiting = slices.Insert(s.waiting, at, given)
	s.mu.Unlock()

	select {
	case <-given:
		return s.taken(), true, nil
	case <-ctx.Done():
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if i := slices.Index(s.waiting, given); i >= 0 {
		s.remove(i)
	} else {
		s.giveBack() // a place was given at the same moment
	}

	return nil, false, ctx.Err()
}

// remove removes the waiting one at index i. The caller holds s.mu.
func (s *spread) remove(i int) {
	if i < s.urgent {
		s.urgent--
	}

	s.waiting = slices.Delete(s.waiting, i, i+1)
}

// giveBack makes a place free, or gives it to the first who waits. The caller holds
// s.mu.
func (s *spread) giveBack() {
	if len(s.waiting) == 0 {
		s.free++
		return
	}

	first := s.waiting[0]
	s.remove(0)
	close(first)
}

// taken returns a place that was taken from the free ones.
func (s *spread) taken() *place {
	return &place{
		s: s,
		release: sync.OnceFunc(func() {
			s.mu.Lock()
			defer s.mu.Unlock()

			s.giveBack()
		}),
	}
}

// written is called when the request has been sent.
func (p *place) written() { time.AfterFunc(afterWrite, p.release) }

// answered is called when the request is over.
func (p *place) answered() { time.AfterFunc(afterAnswer, p.release) }

// stop makes sure that nothing is sent for the time that e asks for: the service has
// seen too many requests.
func (s *spread) stop(e *Error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.stopped = e
	s.until = now.Add(e.RetryAfter)
}

// refuse returns the refusal that stopped the chain, as long as that lasts.
func (s *spread) refuse(now time.Time) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.stopped == nil || !now.Before(s.until) {
		s.stopped = nil
		return nil
	}

	e := *s.stopped
	e.RetryAfter = s.until.Sub(now)

	return &e
}

// loopCode is the code of "request loop detected", which is about the whole chain.
const loopCode = 50196

// errYielded says that a redemption did not wait, since it was refused lately and
// others go first.
var errYielded = errors.New("tokens: no place at this moment")

// send makes one redemption when the chain has a place for it. It asks for the refresh
// token only then: while it waits, the sign-in may end, or another one may begin. A
// request under way outlives ctx by GraceTime.
func (s *spread) send(
	ctx context.Context, how urgency, c Client, newest func(context.Context) (secret.Text, error),
) (Tokens, error) {
	if e := s.refuse(c.now()); e != nil {
		return Tokens{}, e
	}

	p, ok, err := s.enter(ctx, how)

	switch {
	case err != nil:
		return Tokens{}, err
	case !ok:
		return Tokens{}, errYielded
	}

	defer func() { p.answered() }()

	if e := s.refuse(c.now()); e != nil {
		return Tokens{}, e
	}

	refresh, err := newest(ctx)
	if err != nil {
		p.release() // nothing was sent
		return Tokens{}, err
	}

	longer, cancel := withGrace(ctx, GraceTime)
	defer cancel()

	c.onWritten = p.written
	c.again = func(ctx context.Context) (func(), error) {
		next, _, err := s.enter(ctx, urgent)
		if err != nil {
			return nil, err
		}

		p.answered()

		p = next

		return p.written, nil
	}

	got, err := c.Redeem(longer, refresh)

	var e *Error
	if errors.As(err, &e) && e.Code == loopCode {
		s.stop(e, c.now())
	}

	return got, err
}
