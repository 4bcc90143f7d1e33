package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Jobs go on until they are killed, from where the last process was.
var jobs = map[string]func(dir string) error{
	"save chains": func(dir string) error {
		s, err := open(Options{Dir: dir})
		if err != nil {
			return err
		}

		c, _, err := s.Tokens().Load(context.Background(), chainKey(1))
		if err != nil {
			return err
		}

		first, _ := strconv.Atoi(c.Refresh.Reveal())
		for n := first + 1; ; n++ {
			c := chainOf(strconv.Itoa(n))
			if err := s.Tokens().
				Save(context.Background(), chainKey(1), c, [32]byte{1, byte(n), byte(n >> 8)}); err != nil {
				return err
			}

			fmt.Println(n)
		}
	},
	"commit units": func(dir string) error {
		up := time.Duration(0) // a minute per commit, so that blobs are merged and pruned all the time

		s, err := open(Options{Dir: dir, Inputs: true, Uptime: func() time.Duration { up += time.Minute; return up }})
		if err != nil {
			return err
		}

		c, _, _, err := s.Load(context.Background(), testUnit)
		if err != nil {
			return err
		}

		for n := int(c.Watermark) + 1; ; n++ {
			c := store.Checkpoint{Floor: 1, Watermark: tick.Tick(n), SeenSince: tick.Tick(max(1, n-100))}
			other := testUnit

			other.TenantID = "other"
			if err := s.Commit(context.Background(), []store.Commit{
				{Key: testUnit, Checkpoint: c, Seen: []store.Seen{{Time: c.Watermark}}},
				{Key: other, Checkpoint: c, Seen: []store.Seen{{Time: c.Watermark}}}}); err != nil {
				return err
			}

			fmt.Println(n)
		}
	},
	"rewind units": func(dir string) error {
		s, err := open(Options{Dir: dir, Inputs: true})
		if err != nil {
			return err
		}

		for n := 1; ; n++ {
			c := store.Checkpoint{Floor: 1, Watermark: 100, SeenSince: 1}
			if err := s.Commit(
				context.Background(),
				[]store.Commit{{Key: testUnit, Checkpoint: c, Seen: []store.Seen{{Time: 40}, {Time: 60}}}},
			); err != nil {
				return err
			}

			if err := s.Rewind(context.Background(), testUnit, 50); err != nil {
				return err
			}

			if _, _, err := s.ApplyRewind(context.Background(), testUnit); err != nil {
				return err
			}

			fmt.Println(n)
		}
	},
	"open and close": func(dir string) error {
		for n := 1; ; n++ {
			s, err := open(Options{Dir: dir, Inputs: true})
			if err != nil {
				return err
			}

			if err := s.Tokens().Save(context.Background(), chainKey(2), chainOf("x")); err != nil {
				return err
			}

			if err := s.Close(); err != nil {
				return err
			}

			fmt.Println(n)
		}
	},
	"hold inputs": func(dir string) error {
		if _, err := open(Options{Dir: dir, Inputs: true}); err != nil {
			return err
		}

		fmt.Println(os.Getpid())

		select {}
	},
	"hold a chain": func(dir string) error {
		s, err := open(Options{Dir: dir})
		if err != nil {
			return err
		}

		if _, err := s.Tokens().Lock(context.Background(), chainKey(1)); err != nil {
			return err
		}

		fmt.Println("locked")

		_, err = io.ReadAll(os.Stdin)

		return err
	},
	"save when told": func(dir string) error {
		s, err := open(Options{Dir: dir})
		if err != nil {
			return err
		}

		fmt.Println("open")

		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if err := s.Tokens().Save(context.Background(), chainKey(9), chainOf(lines.Text())); err != nil {
				fmt.Println(err)
				continue
			}

			fmt.Println("saved")
		}

		return s.Close()
	},
	"count": func(dir string) error {
		s, err := open(Options{Dir: dir})
		if err != nil {
			return err
		}
		defer s.Close()

		return count(s, countEach)
	},
}

const countEach = 25

// count adds 1 to a number in a chain n times, as a redemption changes a token: lock,
// load, save, unlock.
func count(s *Store, n int) error {
	ctx := context.Background()
	for range n {
		unlock, err := s.Tokens().Lock(ctx, chainKey(1))
		if err != nil {
			return err
		}

		c, _, err := s.Tokens().Load(ctx, chainKey(1))
		if err != nil {
			return err
		}

		number, _ := strconv.Atoi(c.Refresh.Reveal())

		c.Refresh = secret.New(strconv.Itoa(number + 1))
		if err := s.Tokens().Save(ctx, chainKey(1), c); err != nil {
			return err
		}

		unlock()
	}

	return nil
}
