package endtoend

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// recordID returns the record_id of docs/contract.md. It is written anew, since it must
// not use the code under test.
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
				check := func(when string) {
					for _, c := range customers {
						lost, repeated, bent, arrived := r.account(c.ID, "siem")
						if lost+repeated+bent > 0 || arrived < 500 {
							t.Errorf(
								"%s, %s: lost %d, repeated %d, bent %d of %d",
								when,
								c.Name,
								lost,
								repeated,
								bent,
								arrived,
							)
						}
					}
				}
				complete := func() bool {
					for _, c := range customers {
						if len(r.arrived(c.ID, "siem").count) < len(r.sim.Ledger(c.ID, "siem").Exists) {
							return false
						}
					}
					return true
				}
				r.mustStart(sections...)
				r.until("all alerts", time.Minute, complete)
				time.Sleep(3 * time.Second) // a few polls more, which bring repeats
				r.stop()
				check("first run")
				before := r.sim.Requests().Count["siem"]
				r.mustStart(sections...)
				r.until(
					"a few polls",
					time.Minute,
					func() bool { return r.sim.Requests().Count["siem"] > before+3*n },
				)
				r.stop()
				check("after a restart")
				noSecrets(t, r)
			})
		})
	}
}

// noSecrets looks for every secret, those that the service issued on the way too, in
// everything that was printed and recorded.
func noSecrets(t *testing.T, r *rig) {
	t.Helper()
	secrets := r.sim.Secrets()
	look := func(where, text string) {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("a secret in %s: %s", where, text)
			}
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
