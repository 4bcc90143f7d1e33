package postgres

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// uptime returns the time since the machine started, suspension included.
// https://man7.org/linux/man-pages/man2/clock_gettime.2.html
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}

	return time.Duration(ts.Nano())
}

// databaseClock is what a process knows of the clock of the database: the time that it
// showed when it was asked last, and when that question was sent. The time that now
// returns is never behind the true one, except for the drift of two clocks within
// clockStale; it is ahead by at most the time that the answer took. That is the safe
// direction: events count as delivered later than they were.
type databaseClock struct {
	uptime func() time.Duration

	mu    sync.Mutex // guards the fields below
	known bool
	at    time.Time     // the last answer, on the clock of the database
	asked time.Duration // when the question was sent, by uptime
}

// clockStale is how old the last answer may be.
const clockStale = 30 * time.Second

// observe records the answer to a question that was sent at asked.
func (c *databaseClock) observe(asked time.Duration, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if !c.known || asked >= c.asked {
		c.known, c.at, c.asked = true, at, asked
	}
}

// now returns the time on the database's clock; fresh is false if it has to be asked.
func (c *databaseClock) now() (now time.Time, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	since := c.uptime() - c.asked

	return c.at.Add(since), c.known && since < clockStale
}

// estimate returns the time on the database's clock, however old the last answer is.
// known is false if there was none.
func (c *databaseClock) estimate() (now time.Time, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.at.Add(c.uptime() - c.asked), c.known
}

// ClockAhead implements store.Clocked. The answer to each renewal of a lease shows the
// clock of the database.
func (s *Store) ClockAhead() time.Duration {
	now, known := s.clock.estimate()
	if !known {
		return 0
	}

	return s.ahead(now)
}

// databaseTime returns the time on the clock of the database, which is asked if the last
// answer is old.
func (s *Store) databaseTime(ctx context.Context, q querier) (time.Time, error) {
	if now, fresh := s.clock.now(); fresh {
		return now, nil
	}

	var at time.Time

	asked := s.o.Uptime()

	if err := q.QueryRow(ctx, `SELECT defender.clock()`).Scan(&at); err != nil {
		return time.Time{}, err
	}

	s.clock.observe(asked, at)

	now, _ := s.clock.now()

	return now, nil
}
