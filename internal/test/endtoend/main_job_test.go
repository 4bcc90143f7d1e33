package endtoend

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// recordID returns the record_id of docs/contract.md. It is written again here, since it
// must not use the code under test.
func recordID(tenantID, api, key string) string {
	identity, version, _ := strings.Cut(key, "\n")
	sum := sha256.Sum256([]byte(tenantID + "\n" + api + "\n" + identity + "\n" + version))

	return hex.EncodeToString(sum[:])[:32]
}

func tenants(n, alerts int) []simulator.Tenant {
	list := simulator.Generate(n, alerts, 7)
	return list
}

func TestThreeCustomersArriveWholeOnceAndNotAgainAfterARestart(t *testing.T) {
	t.Parallel()

	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			eachHost(t, func(t *testing.T, r *rig) {
				customers := tenants(n, 500)
				r.simulate(simulator.Config{Tenants: customers, Seed: 3})

				var sections []flbhost.Instance
				for _, c := range customers {
					sections = append(sections, r.section(c, "siem"))
				}

				r.mustStart(sections...)
				r.until("all alerts", time.Minute, func() bool { return r.everythingArrived(customers) })
				time.Sleep(3 * time.Second) // a few polls more, which bring repeats
				r.stop()
				r.eachOnce("first run", customers)

				before := r.sim.Requests().Count["siem"]
				polled := func() bool { return r.sim.Requests().Count["siem"] > before+3*n }

				r.mustStart(sections...)
				r.until("a few polls", time.Minute, polled)
				r.stop()
				r.eachOnce("after a restart", customers)
				noSecrets(t, r)
			})
		})
	}
}

// everythingArrived reports whether as many detections arrived as there are.
func (r *rig) everythingArrived(customers []simulator.Tenant) bool {
	for _, c := range customers {
		if len(r.arrived(c.ID, "siem").count) < len(r.sim.Ledger(c.ID, "siem").Exists) {
			return false
		}
	}

	return true
}

// eachOnce checks that each detection came once, as the API sent it.
func (r *rig) eachOnce(when string, customers []simulator.Tenant) {
	r.t.Helper()

	for _, c := range customers {
		lost, repeated, bent, arrived := r.account(c.ID, "siem")
		if lost+repeated+bent > 0 || arrived < 500 {
			r.t.Errorf("%s, %s: lost %d, repeated %d, bent %d of %d", when, c.Name, lost, repeated, bent, arrived)
		}
	}
}

// finder returns a function that reports whether a text holds one of many secrets. They
// are told by their last bytes, since all tokens begin alike.
func finder(secrets []string) (find func(text string) bool) {
	const n = 8

	ends, short := map[[n]byte][]string{}, []string{}
	for _, s := range secrets {
		if len(s) < n {
			short = append(short, s)
			continue
		}

		end := [n]byte([]byte(s[len(s)-n:]))
		ends[end] = append(ends[end], s)
	}

	return func(text string) bool {
		holds := func(s string) bool { return strings.Contains(text, s) }
		if slices.ContainsFunc(short, holds) {
			return true
		}

		b := []byte(text)
		for i := n; i <= len(b); i++ {
			if list, ok := ends[[n]byte(b[i-n:i])]; ok && slices.ContainsFunc(list, holds) {
				return true
			}
		}

		return false
	}
}

func TestASecretIsFoundAmongManyWhereverItStands(t *testing.T) {
	find := finder([]string{"short", "eyJ-one-long-secret", "eyJ-another-secret"})
	for text, want := range map[string]bool{
		"":                                    false,
		"x short":                             true,
		"eyJ-one-long-secret":                 true,
		"before eyJ-another-secret and after": true,
		"eyJ-third-long-secret":               false,
	} {
		if find(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// noSecrets looks for every secret, those that the service issued on the way too, in
// everything that was printed and recorded.
func noSecrets(t *testing.T, r *rig) {
	t.Helper()

	find := finder(r.sim.Secrets())

	look := func(where, text string) {
		if find(text) {
			t.Errorf("a secret in %s: %s", where, text)
		}
	}
	for _, l := range r.logs {
		look("the log", l.Text)

		if strings.Contains(l.Text, "eyJ") { // an access token that the service has forgotten since
			t.Errorf("a token in the log: %s", l.Text)
		}
	}

	records, err := r.host.Records()
	if err != nil {
		t.Fatal(err)
	}

	for _, rec := range records {
		look("a record", string(rec.JSON()))
	}
}
