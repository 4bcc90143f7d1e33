package collect

import (
	"log/slog"
	"testing"
	"time"
)

func TestAFaultIsLoggedAtItsBeginningAndThenNowAndThen(t *testing.T) {
	begin := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

	for name, c := range map[string]struct {
		every time.Duration
		want  []int // minutes after the beginning, of a fault that is seen every minute
	}{
		"once":                  {0, []int{0}},
		"every fifteen minutes": {reminder, []int{0, 15, 30}},
	} {
		t.Run(name, func(t *testing.T) {
			n := faultLog{every: c.every}

			var got []int

			for minute := range 40 {
				if n.level(begin.Add(time.Duration(minute)*time.Minute), slog.LevelError) == slog.LevelError {
					got = append(got, minute)
				}
			}

			if len(got) != len(c.want) || got[len(got)-1] != c.want[len(got)-1] {
				t.Errorf("logged after %v minutes; want %v", got, c.want)
			}

			if !n.over() || n.over() {
				t.Error("its end is not reported exactly once")
			}

			if !n.due(begin.Add(41 * time.Minute)) {
				t.Error("the next fault is not logged at once")
			}
		})
	}
}
