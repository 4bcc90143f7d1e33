package defender

import "context"

// waitingKey is the key under which a context holds the function of WithWaiting.
type waitingKey struct{}

// WithWaiting returns a context for Reader.Read and DeferringReader.ReadDeferred. With
// it the reader says when it waits: for the network, the sign-in or the limiter. The
// caller can let another tenant read meanwhile.
//
// The reader calls waiting right before a wait, and done right after it, both on the
// goroutine that called Read. Calls do not nest. Data that arrives in small pieces means
// many short waits, so both functions must be cheap. done may block: no timeout of the
// request runs meanwhile.
func WithWaiting(ctx context.Context, waiting func() (done func())) context.Context {
	return context.WithValue(ctx, waitingKey{}, waiting)
}

// startWaiting tells the caller of Read that a wait begins. done tells it that the wait
// has ended.
func startWaiting(ctx context.Context) (done func()) {
	if waiting, ok := ctx.Value(waitingKey{}).(func() func()); ok {
		return waiting()
	}

	return func() {}
}
