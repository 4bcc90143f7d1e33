package instance

import (
	"testing"
	"time"
)

func TestInstancesWithABacklogShareTheTimeOfACallback(t *testing.T) {
	var s timeShare

	behind := make([]bool, 40)
	for _, step := range []struct {
		from, to int // the instances that change
		behind   bool
		want     time.Duration
	}{
		{0, 0, false, 100 * time.Millisecond},
		{0, 1, true, 100 * time.Millisecond},
		{0, 4, true, 25 * time.Millisecond}, // the first says it once more
		{4, 40, true, 10 * time.Millisecond},
		{0, 38, false, 50 * time.Millisecond},
		{0, 40, false, 100 * time.Millisecond},
	} {
		for i := step.from; i < step.to; i++ {
			s.note(&behind[i], step.behind)
		}

		if got := s.each(); got != step.want {
			t.Errorf("after instances %d to %d became %t: %v each; want %v",
				step.from, step.to, step.behind, got, step.want)
		}
	}
}
