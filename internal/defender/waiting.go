package defender

import "context"

// waitingKey is the key under which a context holds the function of WithWaiting.
type waitingKey struct{}

// WithWaiting returns a context for Reader.Read and DeferringReader.ReadDeferred that
// makes the reader say when it waits for others: for the network, the sign-in or the
// limiter.
//
// The reader calls waiting right before it starts to wait, and done as soon as it has
// ended, both on the goroutine that called Read. Calls do not nest. Data that arrives
// in small pieces means many short waits, so both functions must be cheap; done may
// block, and no time-out of the request runs meanwhile. The caller uses it to give its
// place to another tenant while nothing arrives here.
func WithWaiting(ctx context.Context, waiting func() (done func())) context.Context {
	return context.WithValue(ctx, waitingKey{}, waiting)
}

// startWaiting tells the caller of Read that a wait begins. The function that it
// returns tells it that the wait has ended.
func startWaiting(ctx context.Context) (done func()) {
	if waiting, ok := ctx.Value(waitingKey{}).(func() func()); ok {
		return waiting()
	}

	return func() {}
}
