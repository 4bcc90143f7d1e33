package main

import (
	"fmt"

	"fluent-bit-defender/internal/testbed/simulator"
)

// large sends one alert of 20 MB. (A page of more than 200 MB is the siem run of the
// whole way.)
func (b *bench) large() error {
	b.t.head("(f) one large alert, "+b.program(), "events", "JSON", "CPU", "", "peak")

	for _, api := range []string{simulator.Endpoint, simulator.SIEM} {
		s, err := startServer(world{
			Tenants: 1,
			Alerts:  1,
			Size:    20_000_000,
			API:     api,
		})
		if err != nil {
			return err
		}

		err = func() error {
			defer s.close()

			c := &contender{
				name:   "plugin, " + api + ", 20 MB",
				plugin: b.plugin,
				input:  b.tenant(s, ordinary, api),
				rows:   s.Rows,
			}
			for range b.rounds {
				if err := b.compete(c); err != nil {
					return err
				}
			}

			b.t.row(c.name, fmt.Sprint(c.rows), mb(s.Bytes), seconds(median(c.cpu)), "", mb(median(c.peak)))

			return nil
		}()
		if err != nil {
			return err
		}
	}

	return nil
}
