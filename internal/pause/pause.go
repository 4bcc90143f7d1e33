// Package pause waits for a time to pass, unless a context ends first.
package pause

import (
	"context"
	"time"
)

// For waits for d. It returns nil when d has passed, and the context's error as soon as
// ctx ends. A d of zero or less does not wait; an ended context is an error all the same.
func For(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}

	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
