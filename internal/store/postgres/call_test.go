package postgres

import (
	"context"
	"errors"
	"testing"

	"fluent-bit-defender/internal/store/postgres/pgtest"
)

// viewThatIsGivenUp asks the database for something that takes some seconds; its caller
// gives up before that.
func viewThatIsGivenUp(ctx context.Context, s *Store, seconds float64) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()

	return s.view(ctx, "test", func(ctx context.Context, q querier) error {
		giveUp()

		_, err := q.Exec(ctx, `SELECT pg_sleep($1::float8)`, seconds)

		return err
	})
}

func TestACallWhoseCallerGivesUpMayEnd(t *testing.T) {
	s := openOn(t, pgtest.New(t))

	// A machine that is busy may need more than lingering for one of them.
	until(t, "a call that is soon over", func(ctx context.Context) error {
		return viewThatIsGivenUp(ctx, s, 0.05)
	})
}

func TestACallThatHangsEndsAfterItsCallerGaveUp(t *testing.T) {
	s := openOn(t, pgtest.New(t), func(o *Options) { o.CallLimit = 2 * limit })

	err := viewThatIsGivenUp(t.Context(), s, 1.5*limit.Seconds())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the call returned %v", err)
	}
}
