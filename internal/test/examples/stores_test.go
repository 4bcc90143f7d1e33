package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"

	"github.com/tidwall/gjson"
)

// elasticRig is a rig with the cluster that an example writes to.
func elasticRig(t *testing.T, name string) (*rig, *receiver.Bulk) {
	t.Helper()
	r := newRig(t, []simulator.Tenant{customer(oneCustomer, "contoso", few)}, receiver.HECConfig{})

	cfg := receiver.BulkConfig{TLS: r.server, BusyEvery: 7}
	if name == "elastic" {
		cfg.Index, cfg.Pipeline = "logs-m365_defender.alert-default", r.env["ELASTIC_PIPELINE"]
		cfg.User, cfg.Password = r.env["ELASTIC_USER"], r.env["ELASTIC_PASSWORD"]
	} else {
		cfg.Index, cfg.User, cfg.Password = "defender-alerts", r.env["OPENSEARCH_USER"], r.env["OPENSEARCH_PASSWORD"]
	}

	cluster, err := receiver.StartBulk(cfg)
	r.must(err)
	t.Cleanup(func() { cluster.Close() })

	port := strconv.Itoa(cluster.Port())
	maps.Copy(r.env, map[string]string{
		"ELASTIC_HOST": "localhost", "ELASTIC_PORT": port, "ELASTIC_CA_FILE": r.path("ca.pem"),
		"OPENSEARCH_HOST": "localhost", "OPENSEARCH_PORT": port, "OPENSEARCH_CA_FILE": r.path("ca.pem"),
	})

	return r, cluster
}

// TestElasticAndOpenSearchHaveEachAlertOnce: although every seventh document is refused
// at first and its chunk is sent again, the id makes each alert one document, whose
// message is what the API sent.
func TestElasticAndOpenSearchHaveEachAlertOnce(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"elastic", "opensearch"} {
		for _, suffix := range []string{".conf", ".yaml"} {
			t.Run(name+suffix, func(t *testing.T) {
				t.Parallel()
				r, cluster := elasticRig(t, name)
				r.install(name+suffix, name+suffix)
				r.start(name + suffix)
				want := expected(r.sim, unit{oneCustomer, "contoso", "graph"})
				alerts := func() map[string]gjson.Result { return documents(cluster, "alert") }

				r.until("all alerts", time.Minute, func() bool { return len(alerts()) >= len(want) })
				r.stop()

				for id, row := range want {
					document, there := alerts()[id]
					if !there || !bytes.Equal([]byte(document.Get("message").Str), row) {
						t.Errorf("%s: %s, not %s", id, document.Raw, row)
					}
				}

				if faults := cluster.Faults(); len(faults) > 0 {
					t.Error(faults)
				}

				if cluster.Conflicts() == 0 {
					t.Error("no document was sent twice: the test shows nothing")
				}
			})
		}
	}
}

// documents are the documents of one kind by their id, which is the record_id.
func documents(cluster *receiver.Bulk, kind string) map[string]gjson.Result {
	all := map[string]gjson.Result{}

	for _, d := range cluster.Documents() {
		document := gjson.ParseBytes(d.Source)
		if document.Get("mssp.kind").Str == kind && document.Get("mssp.record_id").Str == d.ID {
			all[d.ID] = document
		}
	}

	return all
}

// TestABucketHasEachAlertOnceAsOCSF: the objects are gzip with one event a line, whose
// metadata.uid is the record_id.
func TestABucketHasEachAlertOnceAsOCSF(t *testing.T) {
	long(t)
	t.Parallel()

	const key = "AKIAEXAMPLE"

	for _, suffix := range []string{".conf", ".yaml"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, []simulator.Tenant{customer(oneCustomer, "contoso", few)}, receiver.HECConfig{})
			bucket, err := receiver.StartBucket(receiver.BucketConfig{
				Name:      r.env["BUCKET_NAME"],
				Region:    r.env["BUCKET_REGION"],
				AccessKey: key,
				TLS:       r.server,
			})
			r.must(err)
			t.Cleanup(func() { bucket.Close() })
			maps.Copy(r.env, map[string]string{
				"BUCKET_STORE_DIR": r.path("s3"), "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "secret",
			})

			name := "s3-ocsf" + suffix
			r.install(name, name)
			r.atSimulatedS3(name, bucket.Port())
			r.start(name)
			want := expected(r.sim, unit{oneCustomer, "contoso", "graph"})

			var lines []json.RawMessage

			r.until("all alerts", 3*time.Minute, func() bool {
				lines, err = bucket.Lines()
				r.must(err)

				return len(lines) >= len(want)
			})
			r.stop()

			seen := map[string]int{}

			for _, line := range lines {
				event := gjson.ParseBytes(line)
				if event.Get("mssp.kind").Str == "alert" {
					seen[event.Get("metadata.uid").Str]++
				}

				if event.Get("date").Exists() {
					t.Errorf("a time that OCSF does not know: %s", line)
				}
			}

			for id := range want {
				if seen[id] != 1 {
					t.Errorf("%s came %d times", id, seen[id])
				}
			}

			if faults := bucket.Faults(); len(faults) > 0 {
				t.Error(faults)
			}
		})
	}
}

// atSimulatedS3 makes an example write to another server than Amazon's.
func (r *rig) atSimulatedS3(name string, port int) {
	r.t.Helper()
	b, err := os.ReadFile(r.path(name))
	r.must(err)

	line := regexp.MustCompile(`(?m)^( +)bucket(:?) .*$|^( +)Bucket .*$`)
	text := line.ReplaceAllStringFunc(string(b), func(found string) string {
		indent := found[:len(found)-len(strings.TrimLeft(found, " "))]

		colon := ""
		if strings.Contains(found, ":") {
			colon = ":"
		}

		return fmt.Sprintf("%s\n%sendpoint%s https://localhost:%d\n%stls.ca_file%s %s", found, indent, colon, port,
			indent, colon, r.path("ca.pem"))
	})
	r.write(name, text)
}
