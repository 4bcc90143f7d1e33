package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestForEndsWithTheTimeOrTheContext: whichever comes first.
func TestForEndsWithTheTimeOrTheContext(t *testing.T) {
	for _, test := range []struct {
		name           string
		pause, allowed time.Duration
		took           time.Duration
		want           error
	}{
		{"the time passes", time.Minute, time.Hour, time.Minute, nil},
		{"the context ends", time.Hour, time.Minute, time.Minute, context.DeadlineExceeded},
		{"no time", 0, time.Minute, 0, nil},
		{"less than none", -time.Minute, time.Minute, 0, nil},
		{"the context has ended", 0, 0, 0, context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.allowed)
				defer cancel()

				began := time.Now()

				err := For(ctx, test.pause)
				if took := time.Since(began); !errors.Is(err, test.want) || took != test.took {
					t.Errorf("%v after %v, want %v after %v", err, took, test.want, test.took)
				}
			})
		})
	}
}
