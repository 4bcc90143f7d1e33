package record

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/ugorji/go/codec"

	"fluent-bit-defender/internal/alert"
)

// TestAnotherDecoderReadsTheSame holds the events against a msgpack decoder that is not
// ours, and the alerts against encoding/json's reading of them.
func TestAnotherDecoderReadsTheSame(t *testing.T) {
	var handle codec.MsgpackHandle

	handle.RawToString = true
	handle.WriteExt = true
	handle.MapType = reflect.TypeFor[map[string]any]()

	for api := range corpusOf {
		for _, row := range append(corpus(api, 20),
			[]byte(`{"a":[[],{},[{}],{"b":[1,-1,200,-200,70000,-70000,5000000000,-5000000000,1.5,true,false,`+
				`null,""]}]}`)) {
			e := newEncoder(t, Options{TenantID: "tid", Tenant: "contoso", API: "graph"})

			event, err := e.Alert(nil, alert.Version{Time: 16014749601234567, ID: alert.ID{1}}, row)
			if err != nil {
				t.Fatal(err)
			}

			var got []any

			d := codec.NewDecoderBytes(event, &handle)
			if err := d.Decode(&got); err != nil || d.NumBytesRead() != len(event) {
				t.Fatalf("%s: %d bytes of %d, %v", row, d.NumBytesRead(), len(event), err)
			}

			head := got[0].([]any)

			when := head[0].(codec.RawExt)
			if len(got) != 2 || len(head) != 2 || when.Tag != 0 ||
				string(when.Data) != "\x5f\x74\x91\x90\x07\x5b\xcc\xbc" ||
				len(head[1].(map[string]any)) != 0 {
				t.Fatalf("the header is %v", head)
			}

			record := got[1].(map[string]any)

			mssp := record["mssp"].(map[string]any)
			if mssp["kind"] != "alert" || mssp["tenant_id"] != "tid" || mssp["tenant"] != "contoso" ||
				mssp["api"] != "graph" ||
				len(mssp) != 5 {
				t.Errorf("mssp is %v", mssp)
			}

			delete(record, "mssp")

			var want map[string]any
			if err := json.Unmarshal(row, &want); err != nil {
				t.Fatal(err)
			}

			back, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}

			var same map[string]any
			if err := json.Unmarshal(back, &same); err != nil || !reflect.DeepEqual(same, want) {
				t.Errorf("%s is read as %s, %v", row, back, err)
			}
		}
	}
}
