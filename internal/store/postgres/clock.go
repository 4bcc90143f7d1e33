package postgres

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// uptime counts through suspension too.
// https://man7.org/linux/man-pages/man2/clock_gettime.2.html
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}

	return time.Duration(ts.Nano())
}

// databaseClock is what a process knows of the clock of the database: what it showed when
// it was asked last, and how long ago the question was sent. The time that now returns is
// therefore never behind the true one, but for how much two clocks drift in
// clockStale; it is ahead by at most the time that the answer took. That is the right way
// round: what was delivered counts as delivered later than it was.
type databaseClock struct {
	uptime func() time.Duration

	mu    sync.Mutex
	known bool
	at    time.Time     // on the database's clock
	asked time.Duration // by uptime
}

// clockStale is how old the last answer may be.
const clockStale = 30 * time.Second

// observe notes an answer to a question that was sent at asked.
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

// look returns the time on the database's clock, however long ago it was asked; known is
// false if it never was.
func (c *databaseClock) look() (now time.Time, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.at.Add(c.uptime() - c.asked), c.known
}

// ClockAhead implements store.Clocked. The answer to each renewal of a lease shows the
// clock of the database.
func (s *Store) ClockAhead() time.Duration {
	now, known := s.clock.look()
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
