package defender

import "context"

// largeRows is the permit for rows of more than page.LargeRow bytes. The largest row
// takes about five times its size in memory until it is delivered, so the process reads
// one at a time.
var largeRows = make(chan struct{}, 1)

// permit waits for the permit for large rows. The caller returns it with release.
func (b *body) permit() (release func(), err error) {
	releaseLarge, err := permitLarge(b.ctx)
	if err != nil {
		return nil, err
	}

	b.pace.hold(true)

	return func() {
		b.pace.hold(false)
		releaseLarge()
	}, nil
}

// permitLarge waits for the permit for large rows, for a row that is not being read from
// an answer. It uses the permit that ctx shares, if there is one: see sharePermit.
func permitLarge(ctx context.Context) (release func(), err error) {
	shared, ok := ctx.Value(sharedPermitKey{}).(*sharedPermit)
	if !ok {
		return waitForPermit(ctx)
	}

	if shared.release == nil {
		shared.release, err = waitForPermit(ctx)
	}

	return func() {}, err
}

// waitForPermit waits for the permit for large rows.
func waitForPermit(ctx context.Context) (release func(), err error) {
	done := startWaiting(ctx)
	defer done()

	select {
	case largeRows <- struct{}{}:
		return func() { <-largeRows }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// sharedPermit is the permit for large rows that several requests for one row share. It
// is taken when one of them needs it.
type sharedPermit struct{ release func() }

// sharedPermitKey is the key under which a context holds a *sharedPermit.
type sharedPermitKey struct{}

// sharePermit makes all requests with the returned context share one permit for large
// rows. They must not run at the same time. done returns the permit.
func sharePermit(ctx context.Context) (with context.Context, done func()) {
	shared := &sharedPermit{}

	return context.WithValue(ctx, sharedPermitKey{}, shared), func() {
		if shared.release != nil {
			shared.release()
		}
	}
}
